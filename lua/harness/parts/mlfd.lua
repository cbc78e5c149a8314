-- QTSeg's Multi-Level Feature Distribution (III-A): every level gets what all three have. Half of a level's channels are its
-- own, by a 1x1 convolution, a quarter comes from each other, by a strided or a transposed one.
local transposed = require "harness.parts.transposed"
local yolo = require "harness.parts.yolo"

local function enlarged(m, c, x, name, width, times)
  return yolo.norm(m, c, transposed(m, x, name .. ".conv", width, times, { bias = false, group = "cnn" }), name)
end

-- levels: finest first, each with half the edges of the one before.
return function(m, c, levels)
  local made = {}
  for to, like in ipairs(levels) do
    local pieces = {}
    for from, x in ipairs(levels) do
      local name, quarter = ("mlfd.to%d.from%d"):format(to - 1, from - 1), like.channels // 4
      if from == to then
        pieces[from] = yolo.conv(m, c, x, name, 2 * quarter, 1)
      elseif from < to then
        pieces[from] = yolo.conv(m, c, x, name, quarter, 3, 1 << (to - from))
      else
        pieces[from] = enlarged(m, c, x, name, quarter, 1 << (from - to))
      end
    end
    made[to] = m.op.concat { pieces, axis = "channels" }
  end
  return made
end
