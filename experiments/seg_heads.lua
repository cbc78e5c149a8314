-- MaskMed Table 3: where do masks and classes come from? From nnU-Net's point-wise head (Eq. 1) step by
-- step to the decoupled head (Eq. 5). No bridge; queries, where there are any, belong to one stage and
-- attend without a mask, as in the table's last row, which is the first of Table 4.
return {
  title = "Different SegHeads",
  paper = "maskmed",
  table = 3,
  base = { bridge = "none" },
  rows = {
    { key = "nnunet", label = "nnU-Net (fixed CLS Emb)", set = { head = "point_wise" } },
    -- As many parameters as the last row has, whose queries belong to a stage each.
    { key = "larger_decoder", label = "nnU-Net w/ Larger Decoder",
      set = { head = "point_wise", larger_decoder = true, shared_queries = false } },
    { key = "mlp_class", label = "MLP-based CLS Emb", set = { head = "mlp_class" } },
    { key = "attention_class", label = "Attention-based CLS Emb",
      set = { head = "attention_class", shared_queries = false, masked_attention = false } },
    { key = "attention_both", label = "Attention-based CLS & Mask Emb",
      set = { head = "attention_both", shared_queries = false, masked_attention = false } },
    { key = "decoupled", label = "Decouple CLS & Mask Emb",
      set = { head = "decoupled", shared_queries = false, masked_attention = false } },
    { key = "decoupled_small", label = "Decouple CLS & Mask Emb, loss x 0.1", against = "decoupled",
      set = { head = "decoupled", shared_queries = false, masked_attention = false, loss_scale = 0.1 } },
  },
}
