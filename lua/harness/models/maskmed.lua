-- MaskMed, Figure 2: encoder, bridge, decoder, segmentation head. `m` builds the graph (m.image, and
-- m.labels while training), `c` is the resolved configuration.

-- Figure 2c and the rows of Table 4: what fuses the encoder's features.
local bridges = {}

function bridges.none(_, _, scales) return scales end

function bridges.fsad(m, c, scales)
  return m.fsad_bridge {
    scales, name = "bridge", hidden = c.hidden, heads = c.heads, points = c.points, layers = c.bridge_layers,
    query_scales = c.query_scales, ffn = c.ffn, norm = c.bridge_norm, zero_init = c.bridge_zero_init,
    value_scales = c.bridge == "deformable" and c.query_scales or 0,
  }
end

bridges.deformable = bridges.fsad

-- Figure 1b: a point-wise convolution at every decoder stage.
local heads = {}

function heads.point_wise(m, c, features)
  local logits = {}
  for i, feature in ipairs(features) do
    logits[i] = m.point_wise_head { feature, classes = c.classes, name = "head.stage" .. i }
  end
  if not m.labels then return { map = m.op.softmax { logits[#logits] } } end
  local loss, cross_entropy, dice = m.voxel_class_loss { m.labels, logits }
  return { loss = loss, class = cross_entropy, dice = dice }
end

-- Figure 2b: queries enter at the lowest decoder stage and are refined upwards, each stage's masks
-- guiding the attention of the next.
function heads.masked(m, c, features)
  local masks, classes = {}, {}
  local queries, position, prior
  for i, feature in ipairs(features) do
    if i == 1 or not c.shared_queries then
      queries, position = m.object_queries {
        feature, count = c.queries * c.classes, hidden = c.hidden, name = c.shared_queries and "queries" or "queries" .. i,
      }
    end
    queries, masks[i], classes[i] = m.mask_stage {
      feature, queries, position, c.masked_attention and prior or nil, name = "head.stage" .. i, classes = c.classes,
      heads = c.heads, ffn = c.ffn, blocks = c.blocks, norm = c.head_norm, key_grid = c.key_grid,
      mask_resize = c.mask_resize, mask_layers = c.mask_layers, class_layers = c.class_layers,
    }
    prior = masks[i]
  end
  if not m.labels then return { map = m.class_map { masks[#masks], classes[#classes] } } end
  local loss, class, bce, dice = m.mask_class_loss {
    m.labels, masks, classes, class_weight = c.class_weight, bce_weight = c.bce_weight, dice_weight = c.dice_weight,
    loss_scale = c.loss_scale, none_weight = c.none_weight, match = c.match,
  }
  return { loss = loss, class = class, bce = bce, dice = dice }
end

return function(m, c)
  local scales = m.plain_conv_encoder {
    m.image, name = "encoder", widths = c.widths, strides = c.strides, kernels = c.kernels, convs = c.convs,
  }
  local fused = bridges[c.bridge](m, c, scales)
  local features = m.plain_conv_decoder { fused, name = "decoder", kernels = c.kernels, convs = c.convs }
  return heads[c.head](m, c, features)
end
