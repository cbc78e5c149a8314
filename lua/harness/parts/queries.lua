-- The options of every head whose masks come from object queries.
local transformer = require "harness.parts.transformer"

return {
  options = {
    { name = "queries", type = "int", default = 1, min = 1, max = 16, doc = "object queries, in multiples of the labels N" },
    transformer.options, transformer.attention,
    { name = "key_grid", of = "query_block.key_grid", default = { 16, 24, 20 }, quick = { 12, 12, 12 }, small = { 12, 12, 12 } },
    { name = "head_norm", of = "query_block.norm" },
    { name = "mask_layers", of = "embedding.layers", default = 3, doc = "layers of the mask embedding's MLP" },
    { name = "class_layers", of = "embedding.layers", doc = "layers of the class embedding's MLP" },
  },
  -- with: what chooses it, where a model has other heads, too. MaskMed is silent; Mask2Former, MaskFormer and MaskSAM leave
  -- nn.Linear as it is.
  init = function(with)
    return { name = "head_init", of = "embedding.init", default = "linear", before = "xavier", with = with }
  end,
}
