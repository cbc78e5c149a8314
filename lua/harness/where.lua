-- where = function(c): which rows of a grid or a list there are, by their resolved configurations. Those that it leaves out are
-- named when the experiment is run.
local resolve = require("harness.resolve").resolve

return function(experiment, parsed, scale, rows)
  if not experiment.where then return rows, {} end
  local kept, left = {}, {}
  for _, row in ipairs(rows) do
    if experiment.where((resolve(experiment, parsed, scale, row))) then
      kept[#kept + 1] = row
    else
      left[#left + 1] = ("%s: left out by where"):format(row.key)
    end
  end
  if #kept == 0 then error("where leaves no row: it is a function of a configuration that returns true for those that are run", 0) end
  return kept, left
end
