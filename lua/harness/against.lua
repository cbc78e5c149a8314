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

local against = { find = find }

-- The position, from 1, of what row i is compared with by name, its own or its experiment's; nil where none is named.
function against.position(experiment, rows, i, file)
  local wanted = rows[i].against or experiment.against
  if not wanted then return nil end
  if wanted == "above" then return i > 1 and i - 1 or 1 end
  local found = find(rows, wanted == "first" and rows[1].base or wanted, rows[i].extra)
  if found then return found end
  local keys = {}
  for k, row in ipairs(rows) do keys[k] = row.base end
  error(("%s: against = %q: expected \"first\", \"above\" or a row's key%s"):format(file, wanted, hint(wanted, keys)), 0)
end

-- Gives each row that says so, or whose experiment does, its `against`: the document's position of the other, from 0, or its
-- own where it is what others are compared with. before: how many rows the document has before these.
function against.settle(experiment, rows, file, before)
  local position = {}
  for i in ipairs(rows) do position[i] = against.position(experiment, rows, i, file) end
  for i, row in ipairs(rows) do row.against = position[i] and before + position[i] - 1 end
  return rows
end

return against
