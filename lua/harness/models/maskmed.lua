-- MaskMed, Figure 2: encoder, bridge, decoder, segmentation head; and every variant of its Tables 3 and
-- 4. `m` builds the graph (m.image, and m.labels while training), `c` is the resolved configuration.
local adapters = require "harness.parts.adapters"
local deep = require "harness.parts.deep_supervision"
local encoder = require "harness.parts.encoder"
local fusion = require "harness.parts.fusion"
local queries = require "harness.parts.queries"

-- Table 3, Figure 1 b-f: where masks and classes come from.
local heads = {
  point_wise = { masks = "projection", classes = "identity" },       -- Eq. 1: softmax(F M_mask I)
  mlp_class = { masks = "projection", classes = "matrix" },          -- Eq. 2: softmax(F M_mask M_cls)
  attention_class = { masks = "projection", classes = "attention" }, -- Eq. 3: softmax(F M_mask f(E_Q, F)_cls)
  attention_both = { masks = "attention", classes = "attention" },   -- Eq. 4: softmax(F f(E_Q, F)_mask f(E_Q, F)_cls)
  decoupled = { masks = "attention", classes = "decoupled" },        -- Eq. 5: sigmoid(F f(E_Q, F)_mask), f(E_Q, F)_cls, matched
}

-- Those with queries.
local ATTENDS = { head = { "attention_class", "attention_both", "decoupled" } }
-- Those whose logits are the classes': what chooses the options of their loss.
local VOXEL_HEADS = { head = { "point_wise", "mlp_class", "attention_class", "attention_both" } }

-- f(E_Q, F): one stage's transformer block on the shared or the stage's own queries.
local function attend(m, c, state, feature, name)
  if not state.queries or not c.shared_queries then
    state.queries, state.position = m.object_queries {
      feature, count = c.queries * c.classes, hidden = c.hidden, name = c.shared_queries and "queries" or name .. ".queries",
    }
  end
  local normed
  state.queries, normed = m.query_block {
    feature, state.queries, state.position, c.masked_attention and state.prior or nil, name = name, heads = c.heads,
    ffn = c.ffn, blocks = c.blocks, norm = c.head_norm, key_grid = c.key_grid, mask_resize = c.mask_resize,
    attention_init = c.attention_init, adapter = c.head_adapter,
  }
  return normed
end

-- Factors on the start of an embedding's last layer. Where logits are sums over queries (Eq. 3 and 4), classes start at
-- 1/sqrt(queries) of their usual size: otherwise the first softmax saturates. Masks start alike in all heads (Eq. 4 and 5);
-- only Xavier's, several times larger, are made smaller where such a sum follows.
local function class_gain(c, kind) return kind.classes == "attention" and (c.queries * c.classes) ^ -0.5 or 1 end

local function mask_gain(c, kind, channels)
  return c.head_init == "xavier" and kind.classes == "attention" and channels ^ -0.5 or 1
end

-- One decoder stage: mask logits, and class embeddings where they are kept apart. What is embedded is shown
-- as the last stage leaves it: *_embedding (1, queries, channels or classes) depends on the image, *_weight
-- (out, in) does not.
local function stage(m, c, kind, state, feature, name)
  local attends = kind.masks == "attention" or kind.classes == "attention"
  local normed = attends and attend(m, c, state, feature, name)
  local masks, weight
  local extra = {}
  state.extra = extra
  if kind.masks == "projection" then
    local channels = kind.classes == "identity" and c.classes or c.queries * c.classes
    masks, weight = m.point_wise_head { feature, classes = channels, name = name .. ".mask_embedding" }
    extra.mask_weight = weight
  else
    extra.mask_embedding = m.embedding {
      normed, width = feature.channels, layers = c.mask_layers, name = name .. ".mask_embedding", init = c.head_init,
      gain = mask_gain(c, kind, feature.channels),
    }
    masks = m.op.matmul { feature, extra.mask_embedding }
  end
  state.prior = masks
  if kind.classes == "identity" then return masks end
  if kind.classes == "matrix" then
    local logits
    logits, extra.class_weight = m.point_wise_head { masks, classes = c.classes, name = name .. ".class_embedding" }
    return logits
  end
  local decoupled = kind.classes == "decoupled"
  extra.class_embedding = m.embedding {
    normed, width = c.classes + (decoupled and 1 or 0), layers = c.class_layers, name = name .. ".class_embedding",
    init = c.head_init, gain = class_gain(c, kind),
  }
  if decoupled then return masks, extra.class_embedding end
  return m.op.matmul { masks, extra.class_embedding, transpose = false }
end

-- Table 3's control: what the decoupled head of the same options has more than the point-wise one, in the decoder.
local function extra(m, c)
  if not c.larger_decoder then return 0 end
  return m.parameters { head = "decoupled", larger_decoder = false } - m.parameters { larger_decoder = false }
end

local function build(m, c)
  local features = m.plain_conv_decoder {
    fusion.build(m, c, encoder.build(m, c)), name = "decoder", kernels = c.kernels, convs = c.decoder_convs, extra = extra(m, c),
    norm = c.conv_norm, activation = c.conv_activation,
  }
  -- Figure 2b: queries enter at the lowest decoder stage and are refined upwards, each stage's masks
  -- guiding the attention of the next.
  local kind, state, masks, classes = heads[c.head], {}, {}, {}
  for i, feature in ipairs(features) do
    masks[i], classes[i] = stage(m, c, kind, state, feature, "head.stage" .. i)
  end
  local result
  if kind.classes == "decoupled" then
    result = deep.mask_classification(m, c, masks, classes, { drop_lowest = c.drop_lowest == "yes", mask_loss_at = c.mask_loss_at })
  else
    result = deep.voxel_classification(m, c, masks, {
      drop_lowest = c.drop_lowest ~= "no", batch_dice = c.batch_dice, loss = c.voxel_loss,
    })
  end
  result.extra = state.extra
  return result
end

return {
  doc = "MaskMed (Figure 2) and every variant of its Tables 3 and 4; nnU-Net with head=point_wise bridge=none",
  options = {
    encoder.options,
    { name = "decoder_convs", of = "plain_conv_decoder.convs", default_where = { encoder = { residual = 1 } } }, -- ResEnc's
    fusion.options,
    { name = "head", type = "choice", default = "decoupled",
      choices = { "point_wise", "mlp_class", "attention_class", "attention_both", "decoupled" },
      doc = "Figure 1 b-f: where masks and classes come from; decoupled: MaskMed's" },
    queries.options, queries.init(ATTENDS), adapters.elsewhere("head_adapter", "query_block", ATTENDS),
    { name = "larger_decoder", type = "bool", default = false, before = false, with = { head = "point_wise" },
      doc = "the decoder has as many parameters more as a decoupled head of these options would (Table 3's control)" },
    { name = "shared_queries", type = "bool", default = true, doc = "one query set per model, not one per stage" },
    { name = "masked_attention", type = "bool", default = true, doc = "lower stages' masks as attention prior" },
    { name = "blocks", of = "query_block.blocks" },
    { name = "mask_resize", of = "query_block.mask_resize" },
    deep.options, deep.stages, deep.batch_dice(VOXEL_HEADS),
    { name = "voxel_loss", of = "voxel_class_loss.loss", before = "ce_dice", with = VOXEL_HEADS },
  },
  check = function(c) return c.head == "decoupled" and deep.check_masks(c, "model=maskmed head=decoupled") or nil end,
  build = build,
  pytorch = function(c) -- required here: trials do not hang on its text
    return require("harness.parts.pytorch_names").unet(c, c.head == "point_wise")
  end,
}
