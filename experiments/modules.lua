-- MaskMed Table 4: what does each proposed module add to the decoupled head?
return {
  title = "Different proposed modules",
  paper = "maskmed",
  table = 4,
  rows = {
    {
      key = "per_stage", label = "One query per stage",
      set = { bridge = "none", shared_queries = false, masked_attention = false },
    },
    { key = "per_model", label = "One query per model (One_Q / M)", set = { bridge = "none", masked_attention = false } },
    { key = "masked", label = "One_Q / M + Masked Attn", set = { bridge = "none" } },
    { key = "standard", label = "One_Q / M + Masked Attn + StandardTrans", set = { bridge = "standard" } },
    { key = "deformable", label = "One_Q / M + Masked Attn + DeformableTrans", set = { bridge = "deformable" } },
    { key = "fsad", label = "One_Q / M + Masked Attn + FSAD-Transformer", set = { bridge = "fsad" } },
  },
}
