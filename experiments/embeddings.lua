-- MaskMed Figures 3-5: what the queries embed under each kind of head. The trials are those of Table 3 with one
-- seed; `harness plot embeddings` runs them on two validation patches and draws class and mask embeddings.
local own_queries = { shared_queries = false, masked_attention = false }

local function head(name, more)
  local set = { head = name }
  for key, value in pairs(more or {}) do set[key] = value end
  return set
end

return {
  title = "Embeddings per query",
  paper = "maskmed",
  seeds = 1,
  base = { bridge = "none" },
  at = { quick = { lr = 0.1 } }, -- as Table 3
  rows = {
    { key = "mlp_class", label = "MLP-based CLS Emb", set = head("mlp_class") },
    { key = "attention_class", label = "Attention-based CLS Emb", set = head("attention_class", own_queries) },
    { key = "attention_both", label = "Attention-based CLS & Mask Emb", set = head("attention_both", own_queries) },
    { key = "decoupled", label = "Decouple CLS & Mask Emb", set = head("decoupled", own_queries) },
  },
}
