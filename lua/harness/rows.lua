-- Rows of options made whole: from what a file declares to one list, checked. See options.lua for what a row is.
local blocks = require "harness.blocks"
local value_of = require "harness.values"
local check, hint = value_of.check, value_of.hint

local TYPES = { int = true, number = true, bool = true, choice = true, list = true, numbers = true, text = true, model = true }
local FIELDS = {
  "name", "type", "default", "doc", "min", "max", "choices", "words", "of", "triples", "ascending", "most", "length", "before", "with",
  "default_with", "default_where", "evaluation", "quick", "small", "paper",
}
local known = {}
for _, field in ipairs(FIELDS) do known[field] = true end

-- Takes what the row leaves out from the option that it is of.
local function complete(row, wrong)
  if not row.of then return end
  local block, name = tostring(row.of):match("^([%w_]+)%.([%w_]+)$")
  local of_block = blocks[block] and blocks[block][name]
  if not of_block then wrong("no block has an option '" .. tostring(row.of) .. "'") end
  for key, value in pairs(of_block) do
    if row[key] == nil then row[key] = key == "doc" and value .. " (" .. block .. ")" or value end
  end
end

local function check_row(row, where)
  local function wrong(text) error(("%s: option %s: %s"):format(where, row.name, text), 0) end
  for key in pairs(row) do
    if not known[key] then wrong(("a row has no field '%s'%s"):format(tostring(key), hint(tostring(key), FIELDS))) end
  end
  complete(row, wrong)
  if not TYPES[row.type] then
    wrong(("type: expected int, number, bool, choice, list, numbers or text, found '%s'"):format(tostring(row.type)))
  end
  if row.type == "choice" and (type(row.choices) ~= "table" or #row.choices == 0) then wrong("a choice wants its choices") end
  for _, key in ipairs { "min", "max", "most", "length" } do
    if row[key] ~= nil and type(row[key]) ~= "number" then wrong(("%s: expected a number, found '%s'"):format(key, tostring(row[key]))) end
  end
  for _, key in ipairs { "with", "default_with", "default_where", "words" } do
    if row[key] ~= nil and type(row[key]) ~= "table" then wrong(key .. ": expected { option = value }") end
  end
  if type(row.doc) ~= "string" then wrong("doc says what it is, in a sentence") end
  if row.default == nil then wrong("a default is missing") end
  for _, key in ipairs { "default", "quick", "small", "paper", "before" } do
    local good, why = true, nil
    if row[key] ~= nil then good, why = check(row, row[key]) end
    if good == nil then wrong(key .. ": " .. why) end
  end
end

-- What a row is read with is an option, here or of every experiment, and values that this can have.
local function check_choices(row, by_name, shared, where)
  local function judge(key, option, value, name)
    local good, why = nil, ("there is no option '%s'"):format(tostring(name))
    if option then good, why = check(option, value) end
    if good == nil then error(("%s: option %s: %s: %s"):format(where, row.name, key, why), 0) end
  end
  for _, key in ipairs { "with", "default_with" } do
    for name, value in pairs(row[key] or {}) do
      for _, each in ipairs(key == "with" and type(value) == "table" and value or { value }) do
        judge(key, by_name[name] or shared[name], each, name)
      end
    end
  end
  for name, defaults in pairs(row.default_where or {}) do
    for word, value in pairs(defaults) do
      judge("default_where", by_name[name] or shared[name], word, name)
      judge("default_where", row, value)
    end
  end
end

-- declared: rows, and lists of rows (a part's). A row that comes by two ways is one; two rows of one name are a
-- mistake. where: the file, for messages. shared: a model's rows may name the options of every experiment, by name.
return function(declared, where, shared)
  local rows, by_name = {}, {}
  local function add(list)
    for _, item in ipairs(list) do
      if type(item) ~= "table" then
        error(("%s: options: expected rows and lists of rows, found a %s"):format(where, type(item)), 0)
      elseif item.name == nil then
        if #item == 0 and next(item) ~= nil then error(("%s: options: a row has no name"):format(where), 0) end
        add(item)
      elseif type(item.name) ~= "string" or not item.name:find("^%a[%w_]*$") then
        error(("%s: options: '%s' is no name: letters, digits and _ make one"):format(where, tostring(item.name)), 0)
      elseif by_name[item.name] == nil then
        check_row(item, where)
        rows[#rows + 1], by_name[item.name] = item, item
      elseif by_name[item.name] ~= item then
        error(("%s: option %s is declared twice"):format(where, item.name), 0)
      end
    end
  end
  add(declared)
  for _, row in ipairs(rows) do check_choices(row, by_name, shared or {}, where) end
  return rows, by_name
end
