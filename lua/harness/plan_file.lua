-- The options that a data set's plan.json sets. One place for who writes the file (`harness data plan`) and who
-- trains by it: what the one leaves there, the other takes.
local options = require "harness.options"
local rows = require "harness.rows"
local check = require "harness.values".check

local of_parts = {
  require "harness.parts.encoder".options, require "harness.parts.queries".options,
  require "harness.parts.deep_supervision".batch_dice(),
}

local named = { patch = true, batch = true, strides = true, kernels = true, key_grid = true, batch_dice = true }
local optional = { encoder = true, encoder_blocks = true } -- of a plan for a residual encoder

-- where: the file's name, for messages.
return function(plan, where)
  local set = {}
  for _, row in ipairs(rows({ options, of_parts }, "plan_file.lua")) do
    if named[row.name] or (optional[row.name] and plan[row.name] ~= nil) then
      local value, why = check(row, plan[row.name])
      if value == nil then error(("%s: %s: %s"):format(where, row.name, why), 0) end
      set[row.name] = value
    end
  end
  if #set.strides < 2 or #set.strides ~= #set.kernels then
    error(("%s: strides and kernels: expected the same two stages or more of both, found %d and %d"):format(where,
      #set.strides, #set.kernels), 0)
  end
  if set.encoder_blocks and #set.encoder_blocks ~= #set.strides then
    error(("%s: encoder_blocks: expected a number for each of %d stages, found %d"):format(where, #set.strides,
      #set.encoder_blocks), 0)
  end
  return set
end
