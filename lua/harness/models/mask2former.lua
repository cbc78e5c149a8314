-- Mask2Former (Cheng et al. 2022) in 3D as MaskMed adapts it (appendix D.1, Figure 7): a deformable
-- Transformer over the last three encoder features, an FPN, masked attention that goes round the three
-- lowest levels.
local encode = require "harness.parts.encoder"
local decode = require "harness.parts.query_decoder"

local LEVELS = 3

return function(m, c)
  local mixed = m.fsad_bridge {
    encode(m, c), name = "pixel_decoder", hidden = c.hidden, heads = c.heads, points = c.points, layers = c.bridge_layers,
    query_scales = LEVELS, value_scales = LEVELS, ffn = c.ffn, norm = "post",
  }
  local pyramid = m.fpn_decoder { mixed, name = "fpn", width = c.fpn_width }
  return decode(m, c, pyramid[#pyramid], { table.unpack(pyramid, 1, LEVELS) }, true)
end
