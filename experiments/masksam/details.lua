-- What else MaskSAM's paper and its public code leave open or do in two ways, on the full model (B9): each row has one detail the
-- other way. Those of its prompts: prompts.lua.
local adapters = require "experiments.masksam.adapters"

return {
  title = "Details of MaskSAM",
  base = adapters.base,
  at = adapters.at,
  against = "first",
  rows = {
    { key = "full", label = "MaskSAM", set = {} },
    { key = "fold", label = "windows for the depth", set = { adapter_fold = "code" },
      note = "in blocks with windows the public code takes neighbouring windows, mostly of one slice, for neighbouring slices" },
    { key = "volume", label = "matched over volumes", set = { match_over = "volume" },
      note = "the public code matches slice by slice, so that a query may be another organ in the next slice, which adapters mix" },
    { key = "sigmoid", label = "auxiliary sigmoid twice", set = { aux_sigmoid = "twice" },
      note = "the public code hands its auxiliary masks' probabilities to losses of logits" },
    { key = "zero", label = "adapters start at zero", set = { adapter_zero = true },
      note = "nowhere said; in the public code adapters disturb SAM from the first step on" },
    { key = "pooled", label = "class tokens of pooled features", set = { class_token = "pooled" },
      note = "the paper pools features to one number, its public code to a grid" },
    { key = "final", label = "convolutions over masks", set = { final_conv = 64 },
      note = "the public code has them for AMOS and Synapse, not for ACDC; the paper does not tell of them" },
  },
}
