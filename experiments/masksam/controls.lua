-- Do the adapters of the full model (B9) adapt anything? Beside the frozen pre-trained SAM stand a frozen one of drawn numbers, both
-- trained whole, and nnU-Net's head for as long. Where the frozen drawn numbers do as well, a claim about adaptation is undecided
-- at this scale.
local adapters = require "experiments.masksam.adapters"

return {
  title = "What is frozen, and what it brings",
  base = adapters.base,
  at = adapters.at,
  against = "first",
  rows = {
    { key = "full", label = "pre-trained, frozen", set = {} },
    { key = "random", label = "drawn, frozen", set = { pretrain = "none" } },
    { key = "trained", label = "pre-trained, all trained", set = { sam_frozen = false } },
    { key = "scratch", label = "drawn, all trained", set = { pretrain = "none", sam_frozen = false } },
    { key = "nnunet", label = "nnU-Net's head, as long",
      set = { model = "maskmed", head = "point_wise", bridge = "none", optimizer = "sgd", lr = 0.15 } },
  },
}
