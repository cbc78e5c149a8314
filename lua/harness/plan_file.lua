-- The options that a data set's plan.json sets. One place for who writes the file (`harness data plan`) and who
-- trains by it: what the one leaves there, the other takes.
local options = require "harness.options"
local rows = require "harness.rows"
local check = require "harness.values".check

local of_parts = {
  require "harness.parts.encoder".options, require "harness.parts.queries".options,
  require "harness.parts.deep_supervision".batch_dice(),
}

local NAMES = { "patch", "batch", "strides", "kernels", "key_grid", "batch_dice" }

-- where: the file's name, for messages.
return function(plan, where)
  local set = {}
  for _, row in ipairs(rows({ options, of_parts }, "plan_file.lua")) do
    for _, name in ipairs(NAMES) do
      if row.name == name then
        local value, why = check(row, plan[name])
        if value == nil then error(("%s: %s: %s"):format(where, name, why), 0) end
        set[name] = value
      end
    end
  end
  if #set.strides < 2 or #set.strides ~= #set.kernels then
    error(("%s: strides and kernels: expected the same two stages or more of both, found %d and %d"):format(where,
      #set.strides, #set.kernels), 0)
  end
  return set
end
