-- Mask2Former (Cheng et al. 2022) in 3D as MaskMed adapts it (appendix D.1, Figure 7): a deformable Transformer over the
-- last three encoder features, an FPN above it, masked attention that goes round those three. In options' defaults its
-- structure is that of the public code; what differs: the pyramid goes up to the image's resolution; losses are means over
-- all voxels, not over 12,544 points, and over all predictions, not their sum.
local encoder = require "harness.parts.encoder"
local fpn = require "harness.parts.fpn"
local decoder = require "harness.parts.query_decoder"

local LEVELS = 3

-- The levels that queries see, lowest first, and the features of masks.
local function published(m, c, scales, mixed)
  local first = #scales - LEVELS + 1
  local seen = {}
  for i = 1, LEVELS do seen[i] = mixed[#mixed + 1 - i] end
  local pyramid = fpn.build(m, c, { table.unpack(mixed, 1, first) }, {
    lowest = "given", norm = "group", lateral_norm = true, mask_kernel = 1,
  })
  return pyramid[#pyramid], seen
end

local function build(m, c)
  local scales = encoder.build(m, c)
  local follows = c.pixel_decoder == "published"
  local mixed = m.fsad_bridge {
    scales, name = "pixel_decoder", hidden = c.hidden, heads = c.heads, points = c.points, layers = c.bridge_layers,
    query_scales = LEVELS, value_scales = LEVELS, ffn = c.ffn, norm = "post", result = follows and "tokens" or "added",
    input_norm = follows and "group" or "none",
  }
  local finest, seen
  if follows then
    finest, seen = published(m, c, scales, mixed)
  else
    local pyramid = fpn.build(m, c, mixed)
    finest, seen = pyramid[#pyramid], { table.unpack(pyramid, 1, LEVELS) }
  end
  return decoder.build(m, c, finest, seen, { masked = true, embedding = true, first = c.first_prediction })
end

return {
  doc = "Mask2Former in 3D as MaskMed compares with it (appendix D.1), structured as its public code",
  options = {
    encoder.options,
    { name = "points", of = "fsad_bridge.points" },
    { name = "bridge_layers", of = "fsad_bridge.layers", default = 6, quick = 1, small = 2 },
    fpn.options "Mask2Former's, where the deformable layers' levels are as they leave them and only finer ones are a pyramid's",
    decoder.options { start = "learned", order = "cross_first", layers = 9 },
    { name = "first_prediction", type = "bool", default = true, before = false,
      doc = "masks and classes of the queries before the first layer: supervised, and that layer's attention prior" },
  },
  check = decoder.check,
  build = build,
}
