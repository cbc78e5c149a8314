-- MaskMed Figures 3-5: what the queries embed under each kind of head. The trials are those of Table 3 with one
-- seed; `harness plot embeddings` runs them on two validation patches and draws class and mask embeddings.
local table3 = require "experiments.seg_heads"

return {
  title = "Embeddings per query",
  paper = "maskmed",
  seeds = 1,
  base = table3.base,
  at = table3.at,
  rows = { table.unpack(table3.rows, 3, 6) }, -- without the two nnU-Nets, whose class embedding is fixed
}
