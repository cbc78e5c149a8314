-- What the paper and its public code leave open or say in two ways about the prompts, on the full model (B9): each row has one
-- detail the other way.
local variation = require "harness.variation"

return variation(require "experiments.masksam.adapters", {
  title = "Details of the prompts",
  rows = {
    { key = "full", label = "MaskSAM", set = {} },
    -- Of rows that name one option the one that the scale has is no row.
    { key = "binary", label = "mask prompt: 0 and 1", set = { mask_prompt = "binary" },
      note = "the public code gives SAM masks of 0 and 1, through which nothing learns, where it was trained with logits" },
    { key = "logits", label = "mask prompt: logits", set = { mask_prompt = "logits" },
      note = "SAM's mask prompts are logits; MaskSAM's public code gives it masks of 0 and 1, through which nothing learns" },
    { key = "signed", label = "mask prompt: -8 and 8", set = { mask_prompt = "signed" } },
    { key = "norm", label = "learned boxes with a norm", set = { box_norm = "instance" },
      note = "the public code norms what a box is made of, so that its four numbers have mean 0 before the sigmoid" },
    { key = "no_norm", label = "learned boxes without", set = { box_norm = "none" } },
    { key = "soft", label = "gradient through boxes of masks", set = { box_gradient = "soft" },
      note = "the box of a mask is its first and last row and column, through which nothing learns" },
    { key = "smooth", label = "box prompts not rounded", set = { box_prompt = "smooth" },
      note = "the public code rounds box prompts to pixels, so that boxes learn from their own losses alone" },
  },
})
