-- MaskMed Figures 3-5: what the queries embed under each kind of head. The trials are those of Table 3 with one
-- seed; `harness plot embeddings` runs them on two validation patches and draws class and mask embeddings.
return {
  title = "Embeddings per query",
  paper = "maskmed",
  seeds = 1,
  base = { bridge = "none" },
  at = { quick = { lr = 0.1 } }, -- as Table 3
  rows = {
    { key = "mlp_class", label = "MLP-based CLS Emb", set = { head = "mlp_class" } },
    { key = "attention_class", label = "Attention-based CLS Emb",
      set = { head = "attention_class", shared_queries = false, masked_attention = false } },
    { key = "attention_both", label = "Attention-based CLS & Mask Emb",
      set = { head = "attention_both", shared_queries = false, masked_attention = false } },
    { key = "decoupled", label = "Decouple CLS & Mask Emb",
      set = { head = "decoupled", shared_queries = false, masked_attention = false } },
  },
}
