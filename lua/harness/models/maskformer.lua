-- MaskFormer (Cheng et al. 2021) in 3D as MaskMed adapts it (appendix D.1, Figure 7): an FPN decodes, the
-- queries see only the lowest-resolution feature, and every layer's mask embeddings are multiplied with
-- the one feature of highest resolution.
local deep = require "harness.models.deep_supervision"

return function(m, c)
  local scales = m.plain_conv_encoder {
    m.image, name = "encoder", widths = c.widths, strides = c.strides, kernels = c.kernels, convs = c.convs,
  }
  local pyramid = m.fpn_decoder { scales, name = "fpn", width = c.fpn_width }
  local finest, lowest = pyramid[#pyramid], scales[#scales]
  local queries, position = m.object_queries { lowest, count = c.queries * c.classes, hidden = c.hidden, name = "queries" }
  local masks, classes = {}, {}
  for i = 1, c.decoder_layers do
    local name = "layer" .. i
    local normed
    queries, normed = m.query_block {
      lowest, queries, position, name = name, heads = c.heads, ffn = c.ffn, norm = c.head_norm, key_grid = c.key_grid,
    }
    masks[i] = m.op.matmul {
      finest, m.embedding { normed, width = finest.channels, layers = c.mask_layers, name = name .. ".mask_embedding" },
    }
    classes[i] = m.embedding { normed, width = c.classes + 1, layers = c.class_layers, name = name .. ".class_embedding" }
  end
  return deep.mask_classification(m, c, masks, classes, "equal")
end
