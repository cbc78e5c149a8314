-- Do the adapters of the full model (B9) adapt anything? Beside the frozen pre-trained SAM stand a frozen one of drawn numbers, one
-- of which the image encoder alone was pre-trained, on the same pictures without prompts (mae), the first two trained whole, and
-- nnU-Net's head, for as many steps and for as long (by what the first trials of both took).
local variation = require "harness.variation"

return variation(require "experiments.masksam.adapters", {
  title = "What is frozen, and what it brings",
  rows = function(c)
    local nnunet = { model = "maskmed", head = "point_wise", bridge = "none" }
    if c.scale == "quick" then nnunet.optimizer, nnunet.lr = "sgd", 0.15 end -- elsewhere all rows have the scale's
    return {
      { key = "full", label = "pre-trained, frozen", set = {} },
      -- What does not learn is to end with a figure, too: one that collapses has none to compare.
      { key = "random", label = "drawn, frozen", set = { pretrain = "none", collapse_dice = 0 },
        verdict = {
          worse = "worse than the pre-trained one: adapters do adapt it",
          otherwise = "not shown to be worse than the pre-trained one: claims about adaptation are undecided at this scale",
        } },
      { key = "mae", label = "encoder filled in pictures, frozen", set = { pretrain = "mae", collapse_dice = 0 } },
      { key = "trained", label = "pre-trained, all trained", set = { sam_frozen = false } },
      { key = "scratch", label = "drawn, all trained", set = { pretrain = "none", sam_frozen = false } },
      { key = "nnunet", label = "nnU-Net's head, as many steps", set = nnunet },
      { key = "nnunet_as_long", label = "nnU-Net's head, as long", set = nnunet, as_long = { as = "full", by = "nnunet" } },
    }
  end,
})
