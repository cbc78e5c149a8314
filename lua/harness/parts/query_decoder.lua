-- The Transformer decoder of MaskFormer and Mask2Former, and what is made of it: layer by layer the queries go
-- round the features `seen`, guided by the masks of the layer before where `masked`; every layer's mask
-- embeddings are multiplied with the one feature of highest resolution.
local deep = require "harness.parts.deep_supervision"
local head = require "harness.parts.queries"

local function build(m, c, finest, seen, masked)
  local queries, position = m.object_queries { finest, count = c.queries * c.classes, hidden = c.hidden, name = "queries" }
  local masks, classes = {}, {}
  for i = 1, c.decoder_layers do
    local name = "layer" .. i
    local normed
    queries, normed = m.query_block {
      seen[(i - 1) % #seen + 1], queries, position, masked and masks[i - 1] or nil, name = name, heads = c.heads, ffn = c.ffn,
      norm = c.head_norm, key_grid = c.key_grid, mask_resize = "trilinear", attention_init = c.attention_init,
    }
    masks[i] = m.op.matmul {
      finest,
      m.embedding {
        normed, width = finest.channels, layers = c.mask_layers, init = c.head_init, name = name .. ".mask_embedding",
      },
    }
    classes[i] = m.embedding {
      normed, width = c.classes + 1, layers = c.class_layers, init = c.head_init, name = name .. ".class_embedding",
    }
  end
  return deep.mask_classification(m, c, masks, classes, { supervision = "equal" })
end

return {
  options = {
    head.options, head.init(),
    { name = "decoder_layers", type = "int", default = 6, quick = 3, small = 3, min = 1, max = 12,
      doc = "transformer decoder layers" },
    deep.options,
  },
  build = build,
  check = deep.check_masks,
}
