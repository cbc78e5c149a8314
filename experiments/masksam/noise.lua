-- Is the depth worth more where slices are noisier? MaskSAM without (B5) and with (B9) what mixes slices, on a phantom with more noise
-- than elsewhere. A table for each noise (in HU):
--   harness run experiments/masksam/noise.lua phantom_noise=15     # and 40, as here, and 80
-- The paper has no such row.
local adapters, variation = require "experiments.masksam.adapters", require "harness.variation"

local rows = {}
for _, row in ipairs(adapters.rows) do
  if row.key == "depth_position" or row.key == "full" then rows[#rows + 1] = row end
end

return variation(adapters, { title = "Depth in noise", at = { quick = { phantom_noise = 40 } }, rows = rows })
