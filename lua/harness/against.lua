-- With which row a row is compared. By default with the row above, and judged only where the paper claims a difference.
-- against = "first" or a row's key, of an experiment or of a row: with that one, and where the paper says nothing of it the
-- question is whether they differ; against = "above": so with the row above.
local hint = require "harness.hint"

-- Of rows that were multiplied by what was typed ("lr=0.1,0.2") the one with the same values, which is row.extra.
local function find(rows, key, extra)
  local any
  for i, row in ipairs(rows) do
    if row.base == key and row.extra == extra then return i end
    if row.base == key and not any then any = i end
  end
  return any
end

-- Gives each row that says so, or whose experiment does, its `against`: the position of the other, from 0, or its own where
-- it is what others are compared with.
return function(experiment, rows, file)
  local keys = {}
  for i, row in ipairs(rows) do keys[i] = row.base end
  for i, row in ipairs(rows) do
    local wanted = row.against or experiment.against
    if wanted == "above" then row.position = i > 1 and i - 1 or 1
    elseif wanted then
      row.position = find(rows, wanted == "first" and rows[1].base or wanted, row.extra)
      if not row.position then
        error(("%s: against = %q: expected \"first\", \"above\" or a row's key%s"):format(file, wanted, hint(wanted, keys)), 0)
      end
    end
  end
  for _, row in ipairs(rows) do row.against = row.position and row.position - 1 end
  return rows
end
