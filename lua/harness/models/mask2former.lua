-- Mask2Former (Cheng et al. 2022) in 3D as MaskMed adapts it (appendix D.1, Figure 7): a deformable
-- Transformer over the last three encoder features, an FPN, masked attention that goes round the three
-- lowest levels.
local encoder = require "harness.parts.encoder"
local fpn = require "harness.parts.fpn"
local decoder = require "harness.parts.query_decoder"

local LEVELS = 3

return {
  doc = "Mask2Former in 3D as MaskMed compares with it (appendix D.1)",
  options = {
    encoder.options,
    { name = "points", of = "fsad_bridge.points" },
    { name = "bridge_layers", of = "fsad_bridge.layers", quick = 1 },
    fpn.options,
    decoder.options,
  },
  check = decoder.check,
  build = function(m, c)
    local mixed = m.fsad_bridge {
      encoder.build(m, c), name = "pixel_decoder", hidden = c.hidden, heads = c.heads, points = c.points,
      layers = c.bridge_layers, query_scales = LEVELS, value_scales = LEVELS, ffn = c.ffn, norm = "post",
    }
    local pyramid = fpn.build(m, c, mixed)
    return decoder.build(m, c, pyramid[#pyramid], { table.unpack(pyramid, 1, LEVELS) }, true)
  end,
}
