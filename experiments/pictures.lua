-- 2D is D = 1: the point-wise and the decoupled head on pictures in colour. With phantom2d=nuclei many small bodies, with
-- phantom2d=vessels thin lines.
local flat = { 1, 2, 2 }
local plane = { 1, 3, 3 }

local function stages(count)
  local strides, kernels = { { 1, 1, 1 } }, { plane }
  for i = 2, count do strides[i], kernels[i] = flat, plane end
  return strides, kernels
end

local function at(size, count, grid)
  local strides, kernels = stages(count)
  return { patch = { 1, size, size }, strides = strides, kernels = kernels, key_grid = { 1, grid, grid } }
end

return {
  title = "Heads on 2D pictures",
  base = { data = "phantom2d", mirror = "hw" },
  at = { quick = at(128, 4, 32), small = at(256, 5, 64), paper = at(512, 6, 64) },
  rows = {
    { key = "point_wise", label = "point-wise (nnU-Net)", set = { head = "point_wise", bridge = "none" } },
    { key = "decoupled", label = "decoupled", set = { head = "decoupled", bridge = "none" } },
    { key = "maskmed", label = "decoupled, FSAD bridge", set = { head = "decoupled", bridge = "fsad" } },
  },
}
