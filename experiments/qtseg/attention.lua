-- What is in QTSeg's dual-mix attention: its channel and its spatial attention left out, as the paper's equations have them and
-- as the public code does, and the features' look at the tokens. None of it is in the paper. At quick the
-- network is half as wide.
local variation = require "harness.variation"

return variation(require "experiments.qtseg.modules", {
  title = "Dual-mix attention taken apart",
  at = { quick = { n_channel = 8, mlp = 256 } },
  rows = {
    { key = "full", label = "QTSeg", set = {} },
    { key = "no_channel", label = "no channel attention", set = { cab = "none" } },
    { key = "paper_channel", label = "channel attention of Eq. 1", set = { cab = "paper" },
      note = "Eq. 1 has softmax(Q K), the public code softmax(max - Q K) times a factor that starts at 0" },
    { key = "no_spatial", label = "no spatial attention", set = { sam_kernel = 0 } },
    { key = "paper_spatial", label = "spatial attention of 3 x 3", set = { sam_kernel = 3 },
      note = "the paper has 3 x 3, the public code and the paper's parameters 7 x 7" },
    { key = "eq2_spatial", label = "spatial attention without skip (Eq. 2)", set = { sam_residual = false } },
    { key = "neither", label = "neither", set = { cab = "none", sam_kernel = 0 } },
    { key = "no_cfta", label = "features do not attend to tokens", set = { cfta = false } },
  },
})
