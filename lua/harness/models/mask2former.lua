-- Mask2Former (Cheng et al. 2022) in 3D as MaskMed adapts it (appendix D.1, Figure 7): a deformable
-- Transformer over the last three encoder features, an FPN, masked attention that goes round the three
-- lowest levels, masks from the feature of highest resolution.
local deep = require "harness.models.deep_supervision"

local LEVELS = 3

return function(m, c)
  local scales = m.plain_conv_encoder {
    m.image, name = "encoder", widths = c.widths, strides = c.strides, kernels = c.kernels, convs = c.convs,
  }
  local mixed = m.fsad_bridge {
    scales, name = "pixel_decoder", hidden = c.hidden, heads = c.heads, points = c.points, layers = c.bridge_layers,
    query_scales = LEVELS, value_scales = LEVELS, ffn = c.ffn, norm = "post",
  }
  local pyramid = m.fpn_decoder { mixed, name = "fpn", width = c.fpn_width }
  local finest = pyramid[#pyramid]
  local queries, position = m.object_queries { finest, count = c.queries * c.classes, hidden = c.hidden, name = "queries" }
  local masks, classes = {}, {}
  for i = 1, c.decoder_layers do
    local name = "layer" .. i
    local normed
    queries, normed = m.query_block {
      pyramid[(i - 1) % LEVELS + 1], queries, position, masks[i - 1], name = name, heads = c.heads, ffn = c.ffn,
      norm = c.head_norm, key_grid = c.key_grid, mask_resize = "trilinear",
    }
    masks[i] = m.op.matmul {
      finest, m.embedding { normed, width = finest.channels, layers = c.mask_layers, name = name .. ".mask_embedding" },
    }
    classes[i] = m.embedding { normed, width = c.classes + 1, layers = c.class_layers, name = name .. ".class_embedding" }
  end
  return deep.mask_classification(m, c, masks, classes, "equal")
end
