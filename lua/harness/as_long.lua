-- Rows that train for as long as another, whose steps take other time: as_long = { as = KEY, by = KEY } of a row, which has
-- as many steps as go into the time of row `as` where one takes what it takes in row `by`, which differs in steps alone. What
-- a training took (of the processors; where a device computed, by the clock) is known once a trial of both rows has ended
-- (src/cli/as_long.c); until then the row's cells stand apart, in document.later, with the steps that are typed.
local against = require "harness.against"
local hint = require "harness.hint"

local as_long = {}

-- What is wrong with a row's as_long, nil: nothing. keys: those of all rows.
function as_long.objection(value, keys)
  if type(value) ~= "table" then return "expected { as = KEY, by = KEY }, found a " .. type(value) end
  local known = {}
  for _, key in ipairs(keys) do known[key] = true end
  for field, key in pairs(value) do
    if field ~= "as" and field ~= "by" then return ("expected { as = KEY, by = KEY }, found '%s'"):format(tostring(field)) end
    if not known[key] then return ("%s = %q: there is no such row%s"):format(field, tostring(key), hint(tostring(key), keys)) end
  end
  if not value.as or not value.by then return "expected { as = KEY, by = KEY }" end
end

-- Gives each row that says so the document's positions of both others, from 0. before: how many rows it has before these.
function as_long.settle(rows, before)
  for _, row in ipairs(rows) do
    local wanted = row.as_long
    if wanted then
      local function position(key) return before + (against.find(rows, key, row.extra) or 0) - 1 end
      row.as_long = { as = position(wanted.as), by = position(wanted.by) }
      for _, at in pairs(row.as_long) do
        if at < before then
          error(("row '%s': as_long: a row that it names was left out, by what was typed"):format(row.key), 0)
        end
      end
    end
  end
  return rows
end

-- Where the cells of the row are listed. rates: of a row with lr=tuned.
function as_long.list(document, row, rates)
  if not row.as_long then return document.cells end
  if rates then error(("row '%s': as_long: lr=tuned is for rows whose steps are given"):format(row.key), 0) end
  if document["until"] then
    error(("row '%s': as_long: until=decided is for rows whose steps are given; give seeds=N"):format(row.key), 0)
  end
  document.later = document.later or {}
  return document.later
end

return as_long
