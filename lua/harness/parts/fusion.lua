-- MaskMed Table 4, Figure 2c: what fuses the encoder's features on their way to the decoder.
local adapters = require "harness.parts.adapters"
local transformer = require "harness.parts.transformer"

local function build(m, c, scales)
  if c.bridge == "none" then return scales end
  local options = {
    scales, name = "bridge", hidden = c.hidden, heads = c.heads, layers = c.bridge_layers, query_scales = c.query_scales,
    ffn = c.ffn, norm = c.bridge_norm, zero_init = c.bridge_zero_init,
    input_norm = c.bridge_input_norm, adapter = c.bridge_adapter,
  }
  if c.bridge == "standard" then
    options.query_scales, options.attention, options.attention_init = c.standard_scales, c.attention, c.attention_init
    return m.standard_bridge(options)
  end
  options.points, options.points_total = c.points, c.points_total
  options.value_scales = c.bridge == "deformable" and c.query_scales or c.value_scales
  return m.fsad_bridge(options)
end

return {
  options = {
    { name = "bridge", type = "choice", default = "fsad", choices = { "none", "standard", "deformable", "fsad" },
      doc = "what fuses the encoder's features: nothing, self-attention, deformable attention over the query scales, FSAD" },
    transformer.options, transformer.attention,
    { name = "points", of = "fsad_bridge.points" },
    { name = "bridge_layers", of = "fsad_bridge.layers", quick = 1 },
    { name = "query_scales", of = "fsad_bridge.query_scales", quick = 2, small = 3 },
    { name = "standard_scales", of = "standard_bridge.query_scales", quick = 2, small = 2 },
    { name = "attention", of = "standard_bridge.attention" },
    { name = "value_scales", of = "fsad_bridge.value_scales" },
    { name = "points_total", of = "fsad_bridge.points_total" },
    { name = "bridge_norm", of = "fsad_bridge.norm" },
    { name = "bridge_zero_init", of = "fsad_bridge.zero_init" },
    { name = "bridge_input_norm", of = "fsad_bridge.input_norm", before = "none",
      with = { bridge = { "standard", "deformable", "fsad" } } },
    adapters.elsewhere("bridge_adapter", "fsad_bridge", { bridge = { "standard", "deformable", "fsad" } }),
  },
  build = build,
}
