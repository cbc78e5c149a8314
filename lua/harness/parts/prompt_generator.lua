-- MaskSAM's prompt generator (2.4): auxiliary masks and class tokens out of the image encoder's features.
local generator = {}

generator.options = {
  { name = "generator_widths", of = "prompt_generator.widths", default = { 256, 128, 128 }, quick = { 32, 16, 16 },
    small = { 64, 32, 16 } },
  { name = "generator_upsample", of = "prompt_generator.upsample" },
  { name = "generator_skips", of = "prompt_generator.skips" },
  { name = "class_token", of = "class_token.from" },
}

-- neck: the image encoder's result (N, D, h, w, C); globals: what its global blocks leave, first to last; queries: of a
-- slice. Returns the auxiliary masks' logits (N, D, H, W, Q) and the list of levels, level 0 first.
function generator.build(m, c, neck, globals, queries)
  local made = {
    m.prompt_generator {
      neck, globals, widths = c.generator_widths, upsample = c.generator_upsample, skips = c.generator_skips, queries = queries,
      name = "prompt_generator",
    },
  }
  return made[1], { table.unpack(made, 2) }
end

-- (N, D, Q, width): a token for every query of a slice, auxiliary plus the one that all share; last in the decoder's list.
function generator.class_tokens(m, c, levels, queries, width)
  return m.class_token { levels, queries = queries, width = width, from = c.class_token, name = "class_token" }
end

return setmetatable(generator, { __call = function(_, ...) return generator.build(...) end })
