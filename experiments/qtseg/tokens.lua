-- QTSeg's query tokens: how many blocks mix them with each level, whose network reads them behind it, and where features lie. None
-- of it is in the paper. At quick the network is half as wide.
local variation = require "harness.variation"

return variation(require "experiments.qtseg.modules", {
  title = "Query tokens",
  at = { quick = { n_channel = 8, mlp = 256 } },
  rows = {
    { key = "full", label = "QTSeg", set = {} },
    { key = "one_block", label = "one block a level", set = { depths = { 1, 1, 1 } } },
    { key = "shared_mlp", label = "all tokens share a network", set = { token_mlp = "shared" } },
    { key = "sine", label = "sine positions", set = { token_position = "sine" } },
    { key = "learned", label = "learned positions", set = { token_position = "learned" } },
  },
})
