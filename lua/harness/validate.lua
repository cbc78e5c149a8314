-- Whether an experiment's file is one, and what is wrong with it, with the line.
local as_long = require "harness.as_long"
local models = require "harness.model"
local named = require "harness.named_models"
local resolving = require "harness.resolve"
local seeds = require "harness.seeds"
local self_test = require "harness.self_test"
local value_of = require "harness.values"
local check, hint = value_of.check, value_of.hint
local open, option_of, unknown = named.open, named.option_of, named.unknown
local listed_rows, model_of, models_used = resolving.listed_rows, resolving.model_of, resolving.models_used
local NOTHING = resolving.NOTHING

local by_name = models.by_name

local SCALES = { quick = true, small = true, paper = true }
-- Keys of an experiment file. rows may also be a function of the resolved base configuration. kind = "plan":
-- nothing is trained; each cell's graph is planned and, where it fits, timed on noise. scales: at which
-- scales, all in one table. folds: cells for the folds 0 .. folds-1 instead of option fold. budget = "2h": as until=decided
-- (no word for a file: it is one of Lua's) with that budget. kind = "self_test", shapes, relabelings: see self_test.lua.
-- where: see where.lua; against: see against.lua. A row has key and set, and may have label, against and note, which is printed
-- below the table, as_long (as_long.lua), and verdict = { worse = TEXT, otherwise = TEXT }, of which a table prints the one that
-- holds: whether the row is shown to be worse than the one that it is compared with.
local FIELDS = {
  title = "string", table = "number", base = "table", vary = "table", rows = "table|function", label = "function",
  where = "function", seeds = "number", folds = "number", budget = "string", paper = "string", metric = "string",
  order = "table", kind = "string",
  scales = "table", at = "table", shapes = "table", relabelings = "number", against = "string",
}
local ROW_TEXTS = { "label", "against", "note" }
local VERDICT_TEXTS = { "worse", "otherwise" }

-- What is wrong with a row's verdict, nil: nothing.
local function verdict_objection(verdict)
  if type(verdict) ~= "table" then return "expected { worse = TEXT, otherwise = TEXT }, found a " .. type(verdict) end
  for _, key in ipairs(VERDICT_TEXTS) do
    if type(verdict[key]) ~= "string" then return ("%s: expected a text, found a %s"):format(key, type(verdict[key])) end
  end
end

-- The line of a key in the file's source, for messages: after the text `from`, where that stands there.
local function line_of(source, key, from)
  local start = from and source:find(from, 1, true) or 1
  local pattern = "%f[%w_]" .. key:gsub("%W", "%%%0") .. "%f[^%w_]%s*="
  local at = source:find(pattern, start) or source:find(pattern)
  if not at then return 1 end
  local _, lines = source:sub(1, at):gsub("\n", "")
  return lines + 1
end

local function validate_fields(experiment, wrong)
  local names = {}
  for name in pairs(FIELDS) do names[#names + 1] = name end
  table.sort(names)
  for key, value in pairs(experiment) do
    local expected = FIELDS[key]
    local text = tostring(key)
    if not expected then wrong(text, ("an experiment has no field '%s'%s"):format(text, hint(text, names))) end
    if not (expected .. "|"):find(type(value) .. "|", 1, true) then
      wrong(key, ("field %s: expected a %s, found a %s"):format(key, expected:gsub("|", " or a "), type(value)))
    end
  end
  for scale, set in pairs(experiment.at or {}) do
    if not SCALES[scale] then wrong("at", ("at.%s: expected quick, small or paper"):format(tostring(scale))) end
    if type(set) ~= "table" then wrong("at", ("at.%s: expected { option = value }"):format(scale)) end
  end
  if not experiment.vary and not experiment.rows then
    wrong("vary", "an experiment says what varies: vary = { option = { values } } or rows = { ... }")
  end
  for key, values in pairs(experiment.vary or {}) do
    if type(values) ~= "table" then wrong(key, ("vary.%s: expected a list of values"):format(key)) end
  end
  if experiment.budget and not seeds.seconds(experiment.budget) then
    wrong("budget", ("budget = %q: %s"):format(experiment.budget, seeds.a_time))
  end
  if experiment.kind and experiment.against then wrong("against", "against: only what trains and compares has it (no kind)") end
  if experiment.kind and experiment.kind ~= "plan" and experiment.kind ~= "self_test" then
    wrong("kind", "an experiment is of kind plan or self_test, or trains and compares (no kind)")
  end
  self_test.validate(experiment, wrong)
end

-- The file alone, whatever is typed: what it sets is an option, of every experiment or of a model that reads it there.
local function validate(experiment, file, source)
  local function wrong(key, text, from) error(("%s:%d: %s"):format(file, line_of(source, key, from), text), 0) end
  validate_fields(experiment, wrong)
  local function check_value(key, row, value, from)
    local result, why = check(row, value)
    if result == nil then wrong(key, ("option %s: %s (%s)"):format(key, why, row.doc), from) end
    if key ~= "model" then return end
    local good, message = pcall(open, value)
    if not good then wrong(key, message, from) end
  end
  local function options_in(set, used, from)
    if set.model ~= nil then check_value("model", by_name.model, set.model, from) end
    for key, value in pairs(set) do
      local known = false
      for _, model in ipairs(used or {}) do
        local row = option_of(model, key)
        known = known or row ~= nil
        if row then check_value(key, row, value, from) end
      end
      if used and not known then wrong(tostring(key), unknown(tostring(key), used), from) end
    end
  end
  options_in({ model = (experiment.base or {}).model })
  for _, set in pairs(experiment.at or {}) do options_in({ model = set.model }) end
  local scales, vary = { "quick" }, experiment.vary or {}
  for scale in pairs(experiment.at or {}) do scales[#scales + 1] = scale end -- where another model may be set
  for _, value in ipairs(vary.model or {}) do options_in { model = value } end
  local rows = experiment.rows and listed_rows(experiment, NOTHING, "quick")
  local keys = {}
  for i, row in ipairs(rows or {}) do keys[i] = row.key end
  for i, row in ipairs(rows or {}) do
    if type(row.key) ~= "string" or type(row.set) ~= "table" then
      wrong("rows", ("rows[%d]: wants key = \"...\" and set = { option = value }"):format(i))
    end
    for _, key in ipairs(ROW_TEXTS) do
      if type(row[key] or "") ~= "string" then
        wrong(key, ("rows[%d]: %s: expected a text, found a %s"):format(i, key, type(row[key])), row.key)
      end
    end
    local objection = row.verdict ~= nil and verdict_objection(row.verdict)
    if objection then wrong("verdict", ("rows[%d]: verdict: %s"):format(i, objection), row.key) end
    objection = row.as_long ~= nil and as_long.objection(row.as_long, keys)
    if objection then wrong("as_long", ("rows[%d]: as_long: %s"):format(i, objection), row.key) end
    options_in({ model = row.set.model }, nil, row.key)
    options_in(row.set, { model_of(experiment, NOTHING, "quick", row.set) }, row.key)
  end
  local used = models_used(experiment, NOTHING, scales)
  options_in(experiment.base or {}, used)
  for _, set in pairs(experiment.at or {}) do options_in(set, used) end
  for key, values in pairs(vary) do
    for _, model in ipairs(not experiment.rows and used or {}) do
      for _, value in ipairs(values) do options_in({ [key] = value }, { model }, "vary") end
    end
  end
end

-- A file that lists others: { experiments = { "seg_heads", ... } }, names of files beside it.
local function list_of(experiment, file, source)
  local function wrong(key, text) error(("%s:%d: %s"):format(file, line_of(source, key), text), 0) end
  for key in pairs(experiment) do
    if key ~= "experiments" then wrong(tostring(key), "a list of experiments has no other field than experiments") end
  end
  local names, seen = experiment.experiments, {}
  if type(names) ~= "table" or #names == 0 then wrong("experiments", "experiments: expected a list of names") end
  for _, name in ipairs(names) do
    if type(name) ~= "string" or not name:find("^[%w_-]+$") then
      wrong("experiments", ("experiments: expected names of files beside this one, found '%s'"):format(tostring(name)))
    end
    if seen[name] then wrong(name, ("experiments: '%s' stands there twice"):format(name)) end
    seen[name] = true
  end
  return { experiments = names }
end

return { experiment = validate, list = list_of }
