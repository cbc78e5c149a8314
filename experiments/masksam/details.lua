-- What else MaskSAM's paper and its public code leave open or do in two ways, on the full model (B9): each row has one detail the
-- other way. Those of its prompts: prompts.lua.
local variation = require "harness.variation"

return variation(require "experiments.masksam.adapters", {
  title = "Details of MaskSAM",
  rows = {
    { key = "full", label = "MaskSAM", set = {} },
    { key = "fold", label = "windows for the depth", set = { adapter_fold = "code" },
      note = "in blocks with windows the public code takes neighbouring windows, mostly of one slice, for neighbouring slices" },
    -- Of two rows that name one option the one that the scale has is no row.
    { key = "slice", label = "matched slice by slice", set = { match_over = "slice" },
      note = "the public code matches slice by slice, so that a query may be another organ in the next slice, which adapters mix" },
    { key = "volume", label = "matched over volumes", set = { match_over = "volume" } },
    { key = "sigmoid", label = "auxiliary sigmoid twice", set = { aux_sigmoid = "twice" },
      note = "the public code hands its auxiliary masks' probabilities to losses of logits" },
    { key = "zero", label = "adapters start at zero", set = { adapter_zero = true },
      note = "nowhere said; in the public code adapters disturb SAM from the first step on" },
    { key = "grid", label = "class tokens of a grid", set = { class_token = "grid" },
      note = "the paper pools features to one number, its public code to a grid whose cells are a token's channels" },
    { key = "pooled", label = "class tokens of pooled features", set = { class_token = "pooled" } },
    { key = "final", label = "convolutions over masks", set = { final_conv = 64 },
      note = "the public code has them for AMOS and Synapse, not for ACDC; the paper does not tell of them" },
  },
})
