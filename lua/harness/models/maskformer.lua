-- MaskFormer (Cheng et al. 2021) in 3D as MaskMed adapts it (appendix D.1, Figure 7): an FPN decodes, the
-- queries see only the encoder's lowest-resolution feature. In options' defaults its structure is that of the public code;
-- what differs: the pyramid goes up to the image's resolution, trilinearly; no dropout; the masks' loss is MaskMed's
-- cross-entropy, not focal, and a mean over predictions, not their sum.
local encoder = require "harness.parts.encoder"
local fpn = require "harness.parts.fpn"
local decoder = require "harness.parts.query_decoder"

return {
  doc = "MaskFormer in 3D as MaskMed compares with it (appendix D.1), structured as its public code",
  options = {
    encoder.options,
    fpn.options "MaskFormer's, with norms after lateral projections, none of the lowest stage, a 3x3x3 convolution at the end",
    decoder.options { start = "zero", order = "self_first" },
  },
  check = decoder.check,
  build = function(m, c)
    local scales = encoder.build(m, c)
    local pyramid = fpn.build(m, c, scales, { lowest = "block", norm = "group", lateral_norm = true, mask_kernel = 3 })
    return decoder.build(m, c, pyramid[#pyramid], { scales[#scales] }, {})
  end,
}
