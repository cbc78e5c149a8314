-- A bridge alone, for plans and timings: the encoder's features are inputs, with gradients as an encoder
-- would want them; a loss on every scale that the bridge rewrites stands for the decoder. partial: no map of classes.
local encoder = require "harness.parts.encoder"
local fusion = require "harness.parts.fusion"

local function build(m, c)
  local scales, grids, grid = {}, {}, { c.patch[1], c.patch[2], c.patch[3] }
  for i, width in ipairs(c.widths) do
    for a = 1, 3 do grid[a] = grid[a] // c.strides[i][a] end
    grids[i] = { grid[1], grid[2], grid[3] }
    scales[i] = m.input { name = "scale" .. i, grid = grids[i], channels = width }
  end
  local fused = fusion.build(m, c, scales)
  if not m.labels then return { map = fused[#fused], partial = true } end
  local losses, rewritten = {}, c.bridge == "standard" and c.standard_scales or c.query_scales
  for i = #scales - rewritten + 1, #scales do
    losses[#losses + 1] = m.op.voxel_loss { fused[i], m.input { name = "labels" .. i, grid = grids[i] } }
  end
  return { loss = m.op.weighted_sum(losses) }
end

return { doc = "a bridge alone, to plan and to time", options = { encoder.pyramid, fusion.options }, build = build }
