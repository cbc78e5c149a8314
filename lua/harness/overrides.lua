-- What is typed after an experiment's file: "key=value", and the values that it gives.
local seeds = require "harness.seeds"
local value_of = require "harness.values"
local check, flat_text = value_of.check, value_of.flat_text

local SCALES = {}
for _, name in ipairs((require "harness.sweep_keys")[1].choices) do SCALES[name] = true end
local overrides = {}

-- A text from the command line as a value of the row's type (unchecked where it does not read).
local function read(row, text)
  if row.type == "int" then return math.tointeger(tonumber(text)) or text end
  if row.type == "number" then return tonumber(text) or text end
  if row.type == "bool" then
    if text == "true" or text == "1" or text == "yes" then return true end
    if text == "false" or text == "0" or text == "no" then return false end
  end
  return text
end

local function split(text)
  local parts = {}
  for part in (text .. ","):gmatch("([^,]*),") do parts[#parts + 1] = part end
  return parts
end

local function triples(list)
  local nested = {}
  for i = 1, #list, 3 do nested[#nested + 1] = { list[i], list[i + 1], list[i + 2] } end
  return nested
end

-- "0,5" for an option that takes fractions: a decimal comma, or two values? Also "0,1,0,01".
local function ask_comma(row, text, parts)
  if (row.type ~= "number" and row.type ~= "numbers") or #parts % 2 == 1 then return end
  local pairs_of, fraction, seen = {}, #parts == 2, {}
  for i, part in ipairs(parts) do
    if not part:find("^%d+$") then return end
    fraction = fraction or part:find("^0%d") or seen[part]
    seen[part] = true
    if i % 2 == 0 then pairs_of[#pairs_of + 1] = parts[i - 1] .. "." .. part end
  end
  if not fraction then return end
  error(("%s=%s: did you mean %s=%s? A comma separates values; write %s=%s for %d of them"):format(row.name, text, row.name,
    table.concat(pairs_of, ","), row.name, table.concat(parts, ".0,") .. ".0", #parts), 0)
end

-- "queries=1,2": a list of values of the row's type; a list option takes all of them as one value.
function overrides.values(row, text)
  local values, seen = {}, {}
  if row.type == "list" then
    for i, part in ipairs(split(text)) do values[i] = math.tointeger(tonumber(part)) or part end
    values = { row.triples and triples(values) or values }
  elseif row.type == "numbers" then
    local parts, list = split(text), {}
    ask_comma(row, text, parts)
    for i, part in ipairs(parts) do list[i] = tonumber(part) or part end
    values = { list }
  elseif row.type == "text" then
    values = { text }
  else
    local parts = split(text)
    ask_comma(row, text, parts)
    for i, part in ipairs(parts) do values[i] = read(row, part) end
  end
  for i, value in ipairs(values) do
    local result, why = check(row, value)
    if result == nil then error(("%s=%s: %s (%s)"):format(row.name, text, why, row.doc), 0) end
    if seen[result] then error(("%s=%s: %s stands there twice"):format(row.name, text, flat_text(result)), 0) end
    seen[result] = true
    values[i] = result
  end
  return values
end

local MOST = 2 ^ 31 - 1000 -- what holds a seed, and those that are added to it
local function whole(key, text, least)
  local value = math.tointeger(tonumber(text))
  if not value or value < least then error(("%s=%s: expected a whole number, at least %d"):format(key, text, least), 0) end
  if value > MOST then error(("%s=%s: expected at most %d"):format(key, text, MOST), 0) end
  return value
end

-- { scale, seeds, first_seed, folds, device, decided, budget_s, options = { { name, text }, ... } }: what the options' texts
-- mean depends on the models.
function overrides.parse(list)
  local parsed = { options = {} }
  for _, text in ipairs(list) do
    local key, value = text:match("^([%w_]+)=(.*)$")
    if not key then error(("'%s': an override is written key=value"):format(text), 0) end
    if value == "" then error(("%s=: nothing is given; is a variable unset?"):format(key), 0) end
    if key == "scale" then
      if not SCALES[value] then error(("scale=%s: expected quick, small or paper"):format(value), 0) end
      parsed.scale = value
    elseif key == "seeds" or key == "folds" then parsed[key] = whole(key, value, 1)
    elseif key == "first_seed" then parsed.first_seed = whole(key, value, 0)
    elseif key == "until" then
      if value ~= "decided" then error(("until=%s: expected decided"):format(value), 0) end
      parsed.decided = true
    elseif key == "budget" then
      parsed.budget_s = seeds.seconds(value)
      if not parsed.budget_s then error(("budget=%s: %s"):format(value, seeds.a_time), 0) end
    elseif key == "device" then
      if value ~= "cpu" and value ~= "cuda" then error(("device=%s: expected cpu or cuda"):format(value), 0) end
      parsed.device = value
    else
      parsed.options[#parsed.options + 1] = { name = key, text = value }
    end
  end
  return parsed
end

return overrides
