-- MaskMed's Tables 3-7, the comparison of its Tables 1 and 2, and what the bridges cost: in one sweep. A
-- trial that stands in several tables (the full model is a row of five) runs once.
return {
  experiments = {
    "seg_heads", "modules", "lr_ratio", "query_count", "loss_ratio", "comparison", "embeddings", "memory_scale",
  },
}
