-- MaskFormer (Cheng et al. 2021) in 3D as MaskMed adapts it (appendix D.1, Figure 7): an FPN decodes, the
-- queries see only the lowest-resolution feature.
local encoder = require "harness.parts.encoder"
local fpn = require "harness.parts.fpn"
local decoder = require "harness.parts.query_decoder"

return {
  doc = "MaskFormer in 3D as MaskMed compares with it (appendix D.1)",
  options = { encoder.options, fpn.options, decoder.options },
  check = decoder.check,
  build = function(m, c)
    local scales = encoder.build(m, c)
    local pyramid = fpn.build(m, c, scales)
    return decoder.build(m, c, pyramid[#pyramid], { scales[#scales] }, false)
  end,
}
