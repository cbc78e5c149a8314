-- MaskFormer (Cheng et al. 2021) in 3D as MaskMed adapts it (appendix D.1, Figure 7): an FPN decodes, the
-- queries see only the lowest-resolution feature.
local encode = require "harness.parts.encoder"
local decode = require "harness.parts.query_decoder"

return function(m, c)
  local scales = encode(m, c)
  local pyramid = m.fpn_decoder { scales, name = "fpn", width = c.fpn_width }
  return decode(m, c, pyramid[#pyramid], { scales[#scales] }, false)
end
