-- Whether a value is one of an option's (a row of options.lua), and how values read in messages.
local hint = require "harness.hint"
local models = require "harness.models"

local function flat_text(value)
  if type(value) ~= "table" then return tostring(value) end
  local parts = {}
  for i, item in ipairs(value) do parts[i] = flat_text(item) end
  return table.concat(parts, ",")
end

-- "outside 1 .. 8", or "less than 1" where there is no most.
local function beyond(row)
  if row.min and row.max then return ("outside %s .. %s"):format(row.min, row.max) end
  return row.min and ("less than %s"):format(row.min) or ("more than %s"):format(row.max)
end

local function check_number(row, value)
  for _, word in ipairs(row.words or {}) do
    if value == word then return value end
  end
  if type(value) ~= "number" or (row.type ~= "number" and math.type(value) ~= "integer") then
    local words = row.words and " or " .. table.concat(row.words, ", ") or ""
    return nil, ("expected a %s%s, found '%s'%s"):format(row.type == "number" and "number" or "whole number", words,
      tostring(value), row.words and type(value) == "string" and hint(value, row.words) or "")
  end
  if (row.min and value < row.min) or (row.max and value > row.max) then
    return nil, ("%s is %s"):format(tostring(value), beyond(row))
  end
  if value ~= value or value == math.huge or value == -math.huge then
    return nil, ("%s is no finite number"):format(tostring(value))
  end
  return value
end

local function check_list(row, value)
  local item_type = row.type == "numbers" and "number" or "int"
  if type(value) ~= "table" then return nil, "expected a list of " .. (item_type == "int" and "whole numbers" or "numbers") end
  local list, numbers = {}, 0
  for i, item in ipairs(value) do
    local result, why
    numbers = numbers + (type(item) == "table" and #item or 1)
    if type(item) == "table" and row.triples then result, why = check_list({ min = row.min, max = row.max }, item)
    else result, why = check_number({ type = item_type, min = row.min, max = row.max }, item) end
    if result == nil then return nil, why end
    if row.ascending and i > 1 and result <= list[i - 1] then
      return nil, ("expected rising numbers, found %s after %s"):format(tostring(result), tostring(list[i - 1]))
    end
    list[i] = result
  end
  if row.most and numbers > row.most then return nil, ("expected at most %d numbers, found %d"):format(row.most, numbers) end
  if row.length and numbers ~= row.length then return nil, ("expected %d numbers, found %d"):format(row.length, numbers) end
  return list
end

local function check(row, value)
  if row.type == "int" or row.type == "number" then return check_number(row, value) end
  if row.type == "list" or row.type == "numbers" then return check_list(row, value) end
  if row.type == "bool" then
    if type(value) ~= "boolean" then return nil, "expected true or false, found '" .. tostring(value) .. "'" end
    return value
  end
  if type(value) ~= "string" then return nil, "expected a text, found '" .. tostring(value) .. "'" end
  if row.type == "text" or (row.type == "model" and value:find("%.lua$")) then return value end
  local choices = row.type == "model" and models or row.choices
  for _, choice in ipairs(choices) do
    if choice == value then return value end
  end
  return nil, ("expected one of %s%s, found '%s'%s"):format(table.concat(choices, ", "),
    row.type == "model" and " or a path that ends in .lua" or "", value, hint(value, choices))
end

return { check = check, flat_text = flat_text, hint = hint }
