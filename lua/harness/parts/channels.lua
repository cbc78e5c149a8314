-- Some channels of a picture, or of a map of one slice: (N, 1, H, W, C) to (N, 1, H, W, count), from `first` on, counted from 0.
return function(m, x, first, count)
  local grid = x.grid
  local pixels = grid[2] * grid[3]
  local planes = m.op.swap { x, axes = { 1, 4 } } -- (N, C, H, W, 1)
  local chosen = m.op.slice { planes, start = first * pixels, length = count * pixels, grid = { count, grid[2], grid[3] } }
  return m.op.swap { chosen, axes = { 1, 4 } }
end
