-- The papers' tables as data: what paper/NAME.lua declares (docs/adding.md) checked and made whole, for experiments, which
-- take a table's figures by the key of a row, and for those who print it.
local hint = require "harness.hint"
local names = require "harness.paper_names" -- of the files in paper/, in order
local same = require("harness.structures").same

local PAPER = { "name", "title", "source", "roman", "tables" }
local TABLE = { "title", "axis", "data", "columns", "main", "digits", "unit", "rows", "contradictions", "notes" }
local COLUMN = { "name", "group", "structure", "mean", "digits", "unit", "cost" }
local COSTS = { parameters = true, macs = true } -- what is counted of our rows and stands beside the column
local ROW = { "key", "label", "mean_of" }
local CONTRADICTION = { "at", "mean", "text" }

local function wrong(where, text, ...) error((where .. ": " .. text):format(...), 0) end

local function check_fields(item, fields, where)
  if type(item) ~= "table" then wrong(where, "expected a table, found a %s", type(item)) end
  local known = {}
  for _, field in ipairs(fields) do known[field] = true end
  for key in pairs(item) do
    if math.type(key) ~= "integer" and not known[key] then
      wrong(where, "there is no field '%s'%s", tostring(key), hint(tostring(key), fields))
    end
  end
end

local function check_text(item, field, where)
  if type(item[field]) ~= "string" or item[field] == "" then wrong(where, "%s says what it is, in words", field) end
end

-- ---- columns and cells -----------------------------------------------------------------------------

local function column_of(declared, t, where)
  local column = type(declared) == "string" and { name = declared } or declared
  check_fields(column, COLUMN, where .. ": a column")
  check_text(column, "name", where .. ": a column")
  if column.cost ~= nil and not COSTS[column.cost] then
    wrong(where, "column %s: cost is \"parameters\" or \"macs\", found '%s'", column.name, tostring(column.cost))
  end
  return {
    name = column.name, group = column.group or "", structure = column.structure or "", mean = column.mean or false,
    digits = column.digits or t.digits, unit = column.unit or t.unit or "", cost = column.cost or "",
    mark = "",
  }
end

local function full_name(column) return column.group == "" and column.name or column.group .. " " .. column.name end

-- By its name, or by its group's name before it.
local function column_called(columns, name)
  for i, column in ipairs(columns) do
    if column.name == name or full_name(column) == name then return i end
  end
end

-- As the paper prints it; false: it prints nothing there.
local function shown(value, column)
  if value == false then return "-" end
  if type(value) == "string" then return value end
  return (column.digits and "%." .. column.digits .. "f" or "%.14g"):format(value)
end

-- A share of 1, as ours are.
local function share(value, column)
  if type(value) ~= "number" then return nil end
  return column.unit == "%" and value / 100 or value
end

-- ---- means -----------------------------------------------------------------------------------------

-- Where the printed mean is further from that of the printed figures than rounding of both allows: the other mean.
local function other_mean(figures, printed, column)
  local sum = 0
  for _, figure in ipairs(figures) do sum = sum + figure end
  local mean, unit = sum / #figures, 10.0 ^ -(column.digits or 0)
  if math.abs(mean - printed) > unit * (1 + 1e-9) then return mean end
end

-- Of a row's structures, where it has a column of their mean.
local function check_mean(row, columns)
  local figures, position = {}, nil
  for i, column in ipairs(columns) do
    if column.structure ~= "" and type(row.values[i]) == "number" then figures[#figures + 1] = row.values[i] end
    if column.mean then position = i end
  end
  local printed = position and row.values[position]
  if type(printed) ~= "number" or #figures == 0 then return nil end
  return other_mean(figures, printed, columns[position]), position
end

-- Of a row that is the mean of others, each column.
local function check_mean_row(row, by_key, columns, where)
  for i, column in ipairs(columns) do
    local figures = {}
    for _, key in ipairs(row.mean_of) do
      local other = by_key[key] or wrong(where, "row %s: mean_of names '%s', which is no row", row.key, tostring(key))
      if type(other.values[i]) == "number" then figures[#figures + 1] = other.values[i] end
    end
    local other = type(row.values[i]) == "number" and #figures > 0 and other_mean(figures, row.values[i], column)
    if other then wrong(where, "row %s, %s: the mean of its rows is %s", row.key, column.name, shown(other, column)) end
  end
end

-- ---- rows ------------------------------------------------------------------------------------------

local function row_of(declared, columns, main, where)
  check_fields(declared, ROW, where .. ": a row")
  check_text(declared, "key", where .. ": a row")
  local place = where .. ": row " .. declared.key
  check_text(declared, "label", place)
  local row = {
    key = declared.key, label = declared.label, mean_of = declared.mean_of, mark = "", values = {}, shares = {}, cells = {}, marks = {},
  }
  if #declared ~= #columns then wrong(place, "expected %d figures, one a column, found %d", #columns, #declared) end
  for i, column in ipairs(columns) do
    local value = declared[i]
    if type(value) ~= "number" and type(value) ~= "string" and value ~= false then
      wrong(place, "%s: expected a number, a word, or false where the paper has none", column.name)
    end
    row.values[i], row.cells[i], row.marks[i], row.shares[i] = value, shown(value, column), "", share(value, column) or false
  end
  local figure = row.values[main]
  row.paper, row.word = share(figure, columns[main]), type(figure) == "string" and figure or ""
  return row
end

local function rows_of(declared, columns, main, where)
  local rows, by_key = {}, {}
  for i, each in ipairs(declared) do
    rows[i] = row_of(each, columns, main, where)
    if by_key[rows[i].key] then wrong(where, "two rows have the key '%s'", rows[i].key) end
    by_key[rows[i].key] = rows[i]
  end
  for _, row in ipairs(rows) do
    if row.mean_of then check_mean_row(row, by_key, columns, where) end
    row.mean_of = nil
  end
  return rows, by_key
end

-- ---- contradictions --------------------------------------------------------------------------------

-- What is said of a printed mean that is not that of its columns; it must be so.
local function of_mean(declared, by_key, columns, where)
  local row = by_key[declared.mean] or wrong(where, "a contradiction's mean names '%s', which is no row", tostring(declared.mean))
  local mean, position = check_mean(row, columns)
  if not mean then wrong(where, "row %s: its mean is that of its columns: nothing contradicts it", row.key) end
  local text = ("paper: %s: the mean of its columns is %s, printed is %s"):format(row.label, shown(mean, columns[position]),
    row.cells[position])
  return { at = { { row.key, columns[position].name } }, text = text .. (declared.text and ": " .. declared.text or "") }
end

-- Puts the mark at the value, at a row's label, at a column's head.
local function place_mark(at, mark, t, by_key, where)
  local key, name = at[1], at[2]
  local row = key and (by_key[key] or wrong(where, "a contradiction is at row '%s', which is none", tostring(key)))
  local position = name and (column_called(t.columns, name) or wrong(where, "a contradiction is at column '%s', which is none", name))
  if row and position then
    row.marks[position] = row.marks[position] .. mark
  elseif row then
    row.mark = row.mark .. mark
  elseif position then
    t.columns[position].mark = t.columns[position].mark .. mark
  else
    wrong(where, "a contradiction's `at` names a row's key, a column, or both")
  end
  return { row = key or nil, column = position and full_name(t.columns[position]) }
end

local function contradictions_of(declared, t, by_key, where)
  local list, marks, told = {}, 0, {}
  for i, each in ipairs(declared) do
    if type(each) == "string" then each = { text = each } end
    check_fields(each, CONTRADICTION, where .. ": a contradiction")
    if each.mean then told[each.mean] = true end
    local item = each.mean and of_mean(each, by_key, t.columns, where) or each
    check_text(item, "text", where .. ": a contradiction")
    local places = item.at and (type(item.at[1]) == "table" and item.at or { item.at }) or {}
    local found = { text = item.text, at = {}, mark = "" }
    if #places > 0 then
      marks = marks + 1
      found.mark = ("[%d]"):format(marks)
    end
    for k, at in ipairs(places) do found.at[k] = place_mark(at, found.mark, t, by_key, where) end
    list[i] = found
  end
  for _, row in ipairs(t.rows) do
    local mean, position = check_mean(row, t.columns)
    if mean and not told[row.key] then
      wrong(where, "row %s: printed is the mean %s, that of its columns is %s; name it among the contradictions, { mean = \"%s\" }",
        row.key, row.cells[position], shown(mean, t.columns[position]), row.key)
    end
  end
  return list
end

-- ---- tables ----------------------------------------------------------------------------------------

local ROMAN = { "I", "II", "III", "IV", "V", "VI", "VII", "VIII", "IX", "X" }

local function legend_of(columns)
  local parts = {}
  for _, column in ipairs(columns) do
    if column.structure ~= "" and column.name:lower() ~= column.structure then
      parts[#parts + 1] = column.name .. " " .. column.structure
    end
  end
  return table.concat(parts, ", ")
end

local function table_of(paper, file, number)
  local declared, where = paper.tables[number], ("paper/%s.lua: table %d"):format(file, number)
  check_fields(declared, TABLE, where)
  for _, field in ipairs { "title", "axis", "data" } do check_text(declared, field, where) end
  local t = {
    paper = file, name = paper.name, table = number, numeral = paper.roman and ROMAN[number] or tostring(number),
    title = declared.title, axis = declared.axis, data = declared.data, columns = {}, notes = declared.notes or {}, same = same,
  }
  for i, column in ipairs(declared.columns or wrong(where, "columns are missing")) do
    t.columns[i] = column_of(column, declared, where)
  end
  local main = declared.main and column_called(t.columns, declared.main) or #t.columns
  if declared.main and not column_called(t.columns, declared.main) then
    wrong(where, "main names '%s', which is no column", declared.main)
  end
  local by_key
  t.main = main - 1
  t.rows, by_key = rows_of(declared.rows or wrong(where, "rows are missing"), t.columns, main, where)
  t.contradictions = contradictions_of(declared.contradictions or {}, t, by_key, where)
  t.legend = legend_of(t.columns)
  return t
end

local function unknown_paper(name)
  return ("there is no paper '%s'%s; there are %s"):format(name, hint(name, names), table.concat(names, ", "))
end

local function open(name)
  for _, known in ipairs(names) do
    if known == name then
      local paper, where = require("paper." .. name), ("paper/%s.lua"):format(name)
      check_fields(paper, PAPER, where)
      for _, field in ipairs { "name", "title", "source" } do check_text(paper, field, where) end
      if type(paper.tables) ~= "table" or #paper.tables == 0 then wrong(where, "tables are missing") end
      return paper
    end
  end
  error(unknown_paper(name), 0)
end

-- "4", or "IV" as some print it.
local function number_of(word)
  for i, roman in ipairs(ROMAN) do
    if word:upper() == roman then return i end
  end
  return math.tointeger(tonumber(word))
end

local function unknown_table(name, paper, word)
  local parts = {}
  for i, t in ipairs(paper.tables) do parts[i] = ("%d (%s)"):format(i, t.title) end
  return ("%s has no table '%s'; it has %s"):format(name, word, table.concat(parts, ", "))
end

local function one(name, word)
  local paper = open(name)
  local number = number_of(tostring(word))
  if not number or not paper.tables[number] then error(unknown_table(name, paper, tostring(word)), 0) end
  return table_of(paper, name, number)
end

-- { paper, name, title, source, tables }, of one that cannot be read { paper, error }.
local function all()
  local list = {}
  for i, name in ipairs(names) do
    local good, paper = pcall(function()
      local paper, tables = open(name), {}
      for number = 1, #paper.tables do tables[number] = table_of(paper, name, number) end
      return { paper = name, name = paper.name, title = paper.title, source = paper.source, tables = tables }
    end)
    list[i] = good and paper or { paper = name, error = tostring(paper) }
  end
  return list
end

-- Of the paper that calls itself so; nil where there is none, or no such table.
local function printed(name, word)
  for _, file in ipairs(names) do
    local good, paper = pcall(open, file)
    if good and paper.name == name and paper.tables[number_of(word)] then return one(file, word) end
  end
end

-- ---- for experiments -------------------------------------------------------------------------------

-- What an experiment takes of its paper: the name, its table's column head, its numbers and words by the keys of rows.
local function of(experiment)
  local paper = { numbers = {}, words = {}, notes = {}, contradictions = {} }
  if not experiment.paper then return paper end
  paper.name = open(experiment.paper).name
  if not experiment.table then return paper end
  local t = one(experiment.paper, experiment.table)
  for _, row in ipairs(t.rows) do
    paper.numbers[row.key], paper.words[row.key] = row.paper, row.word ~= "" and row.word or nil
  end
  paper.axis, paper.notes, paper.contradictions = t.axis, t.notes, t.contradictions
  return paper
end

-- What contradicts the paper where the experiment has rows of it, or as a whole, then its notes.
local function notes(paper, rows)
  local here, list = {}, {}
  for _, row in ipairs(rows) do here[row.key] = true end
  for _, each in ipairs(paper.contradictions) do
    local concerns = #each.at == 0
    for _, at in ipairs(each.at) do concerns = concerns or not at.row or here[at.row] end
    if concerns then list[#list + 1] = each.text end
  end
  return table.move(paper.notes, 1, #paper.notes, #list + 1, list)
end

return { open = open, one = one, all = all, printed = printed, of = of, notes = notes }
