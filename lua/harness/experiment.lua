-- From an experiment's table and "key=value" overrides to what is run: rows, cells, resolved
-- configurations. Called by lua/experiment.c; returns what lua/bind.h documents.
local options = require "harness.options"
local planned_options = require "harness.plan_file"
local value_of = require "harness.values"
local check, flat_text, hint = value_of.check, value_of.flat_text, value_of.hint

local SCALES = { quick = true, small = true, paper = true }
-- Keys of an experiment file. rows may also be a function of the resolved base configuration. kind = "plan":
-- nothing is trained; each cell's graph is planned and, where it fits, timed on noise. scales: at which
-- scales, all in one table. folds: cells for the folds 0 .. folds-1 instead of option fold.
local FIELDS = {
  title = "string", table = "number", base = "table", vary = "table", rows = "table|function", label = "function",
  seeds = "number", folds = "number", paper = "string", metric = "string", order = "table", kind = "string", scales = "table",
  at = "table",
}

local by_name = {}
for _, row in ipairs(options) do by_name[row.name] = row end

local function known_names()
  local names = { "scale", "seeds", "folds" }
  for _, row in ipairs(options) do names[#names + 1] = row.name end
  return names
end

-- The line of a key in the file's source, for messages.
local function line_of(source, key)
  local at = source:find("%f[%w_]" .. key:gsub("%W", "%%%0") .. "%f[^%w_]%s*=")
  if not at then return 1 end
  local _, lines = source:sub(1, at):gsub("\n", "")
  return lines + 1
end

-- ---- values ------------------------------------------------------------------------------------

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
  if row.type ~= "number" or #parts % 2 == 1 then return end
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
local function read_override(row, text)
  local values, seen = {}, {}
  if row.type == "list" then
    for i, part in ipairs(split(text)) do values[i] = math.tointeger(tonumber(part)) or part end
    values = { row.triples and triples(values) or values }
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

-- ---- overrides ---------------------------------------------------------------------------------

local function whole(key, text)
  local value = math.tointeger(tonumber(text))
  if not value or value < 1 then error(("%s=%s: expected a whole number, at least 1"):format(key, text), 0) end
  return value
end

local function parse_overrides(overrides)
  local parsed = { values = {}, order = {} }
  for _, text in ipairs(overrides) do
    local key, value = text:match("^([%w_]+)=(.*)$")
    if not key then error(("'%s': an override is written key=value"):format(text), 0) end
    if value == "" then error(("%s=: nothing is given; is a variable unset?"):format(key), 0) end
    if key == "scale" then
      if not SCALES[value] then error(("scale=%s: expected quick, small or paper"):format(value), 0) end
      parsed.scale = value
    elseif key == "seeds" or key == "folds" then parsed[key] = whole(key, value)
    elseif key == "device" then
      if value ~= "cpu" and value ~= "cuda" then error(("device=%s: expected cpu or cuda"):format(value), 0) end
      parsed.device = value
    elseif by_name[key] then
      parsed.values[key] = read_override(by_name[key], value)
      parsed.order[#parsed.order + 1] = key
    else error(("no option '%s'%s"):format(key, hint(key, known_names())), 0) end
  end
  return parsed
end

-- ---- the experiment ----------------------------------------------------------------------------

local function default_of(option, scale)
  local value = option[scale]
  if value == nil then value = option.default end
  return value
end

-- Default, then scale, then the data set's plan, then the experiment's base, then what it sets at this scale,
-- then the row, then the command line.
local function resolve(experiment, parsed, scale, row, planned)
  local config = { scale = scale }
  for _, option in ipairs(options) do config[option.name] = default_of(option, scale) end
  for key, value in pairs(planned or {}) do config[key] = value end
  for key, value in pairs(experiment.base or {}) do config[key] = value end
  for key, value in pairs((experiment.at or {})[scale] or {}) do config[key] = value end
  for key, value in pairs(row.set) do config[key] = value end
  for key, values in pairs(parsed.values) do
    if #values == 1 then config[key] = values[1] end
  end
  return config
end

local function validate(experiment, file, source)
  local function wrong(key, text) error(("%s:%d: %s"):format(file, line_of(source, key), text), 0) end
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
  local function options_in(set)
    for key, value in pairs(set) do
      local row = by_name[key]
      local text = tostring(key)
      if not row then wrong(text, ("no option '%s'%s"):format(text, hint(text, known_names()))) end
      local result, why = check(row, value)
      if result == nil then wrong(key, ("option %s: %s (%s)"):format(key, why, row.doc)) end
    end
  end
  options_in(experiment.base or {})
  for scale, set in pairs(experiment.at or {}) do
    if not SCALES[scale] then wrong("at", ("at.%s: expected quick, small or paper"):format(tostring(scale))) end
    options_in(set)
  end
  if not experiment.vary and not experiment.rows then
    wrong("vary", "an experiment says what varies: vary = { option = { values } } or rows = { ... }")
  end
  for key, values in pairs(experiment.vary or {}) do
    if type(values) ~= "table" then wrong(key, ("vary.%s: expected a list of values"):format(key)) end
    for _, value in ipairs(values) do options_in { [key] = value } end
  end
  if (experiment.kind or "plan") ~= "plan" then wrong("kind", "an experiment is of kind plan, or trains (no kind)") end
  local rows = experiment.rows
  if type(rows) == "function" then rows = rows(resolve(experiment, { values = {} }, "quick", { set = {} })) end
  for i, row in ipairs(rows or {}) do
    if type(row.key) ~= "string" or type(row.set) ~= "table" then
      wrong("rows", ("rows[%d]: wants key = \"...\" and set = { option = value }"):format(i))
    end
    options_in(row.set)
  end
end

-- Rows of a grid: every combination, the first axis slowest; axes in the order of `order`, then by name.
local function grid_rows(axes, label)
  local rows = { { key = "", set = {} } }
  for _, axis in ipairs(axes) do
    local grown = {}
    for _, row in ipairs(rows) do
      for _, value in ipairs(axis.values) do
        local set = {}
        for k, v in pairs(row.set) do set[k] = v end
        set[axis.name] = value
        local key = axis.name .. "=" .. flat_text(value)
        grown[#grown + 1] = { key = row.key == "" and key or row.key .. " " .. key, set = set }
      end
    end
    rows = grown
  end
  for _, row in ipairs(rows) do row.label = label and label(row.set) or row.key end
  return rows
end

local function axes_of(experiment, parsed)
  local names, axes = {}, {}
  for name in pairs(experiment.vary or {}) do names[#names + 1] = name end
  table.sort(names)
  for _, name in ipairs(experiment.order or names) do
    axes[#axes + 1] = { name = name, values = parsed.values[name] or experiment.vary[name] }
  end
  return axes
end

-- An override of several values that is no axis of the experiment becomes one: "lr=0.1,0.2".
local function extra_axes(experiment, parsed)
  local axes = {}
  for _, name in ipairs(parsed.order) do
    local values = parsed.values[name]
    if #values > 1 and not (experiment.vary or {})[name] then axes[#axes + 1] = { name = name, values = values } end
  end
  return axes
end

-- ---- what is typed against what a row sets --------------------------------------------------------

local function differs(value, typed)
  return value ~= nil and (#typed > 1 or flat_text(value) ~= flat_text(typed[1]))
end

local function config_text(config)
  local parts = {}
  for key, value in pairs(config) do parts[#parts + 1] = key .. "=" .. flat_text(value) end
  table.sort(parts)
  return table.concat(parts, " ")
end

-- Two rows that are one with what was typed, and were two without.
local function rows_made_equal(experiment, parsed, scale, rows)
  local seen = {}
  for _, row in ipairs(rows) do
    local typed = config_text(resolve(experiment, parsed, scale, row))
    local own = config_text(resolve(experiment, { values = {} }, scale, row))
    local other = seen[typed]
    if other and other.own ~= own then return other.row, row end
    seen[typed] = other or { own = own, row = row }
  end
end

-- What the user types wins over what a row sets, unless it is what the rows are compared by: a word or a switch
-- that makes the row what it is, a number in which rows differ, or one without which two rows would be the same.
local function overridden(experiment, parsed, scale, rows)
  local replaced = {}
  for _, key in ipairs(parsed.order) do
    local typed, first, option = parsed.values[key], nil, by_name[key]
    local function refuse(why)
      error(("%s=%s: row '%s' sets %s=%s, and %s; change it in the experiment's file"):format(key,
        flat_text(typed), first.key, key, flat_text(first.set[key]), why), 0)
    end
    for _, row in ipairs(experiment.rows and rows or {}) do
      if differs(row.set[key], typed) then
        if option.type ~= "int" and option.type ~= "number" and option.type ~= "list" then
          first = row
          refuse("that is what the row is")
        end
        if first and differs(row.set[key], { first.set[key] }) then
          refuse(("'%s' sets %s: that is what the rows vary"):format(row.key, flat_text(row.set[key])))
        end
        first = first or row
        replaced[#replaced + 1] = ("%s: %s=%s in place of its own %s"):format(row.key, key, flat_text(typed), flat_text(row.set[key]))
      end
    end
    local a, b
    if first then a, b = rows_made_equal(experiment, parsed, scale, rows) end
    if a then refuse(("without it '%s' and '%s' are the same"):format(a.key, b.key)) end
  end
  return replaced
end

local function rows_of(experiment, parsed, scale)
  local rows
  if experiment.rows then
    local list = experiment.rows
    if type(list) == "function" then list = list(resolve(experiment, parsed, scale, { set = {} })) end
    rows = {}
    for i, row in ipairs(list) do rows[i] = { key = row.key, label = row.label or row.key, set = row.set } end
  else
    rows = grid_rows(axes_of(experiment, parsed), experiment.label)
  end
  local replaced = overridden(experiment, parsed, scale, rows)
  local more = extra_axes(experiment, parsed)
  if #more == 0 then return rows, replaced end
  local grown = {}
  for _, row in ipairs(rows) do
    for _, extra in ipairs(grid_rows(more)) do
      local set = {}
      for k, v in pairs(row.set) do set[k] = v end
      for k, v in pairs(extra.set) do set[k] = v end
      grown[#grown + 1] = { key = row.key .. " " .. extra.key, label = row.label .. ", " .. extra.key, set = set }
    end
  end
  return grown, replaced
end

-- The paper's name, its table's column head, its numbers by row key, its notes.
local function paper_of(experiment)
  if not experiment.paper then return { numbers = {}, words = {}, notes = {} } end
  local paper = require("paper." .. experiment.paper)
  local printed = experiment.table and paper.tables[experiment.table] or { rows = {} }
  local numbers, words = {}, {}
  for _, row in ipairs(printed.rows) do numbers[row.key], words[row.key] = row.dsc, row.status end
  return { name = paper.name, axis = printed.title, numbers = numbers, words = words, notes = printed.notes or {} }
end

local folder_name -- of lua/experiment.c

-- The phantom's folder carries its options in its name: another size is another data set.
local function data_of(config, home)
  if config.data ~= "phantom" then
    local dir = config.data:gsub("(.)/+$", "%1")
    local name = dir:match("([^/]+)$")
    if not name or name == "." or name == ".." then name = folder_name(dir) or dir end
    return { kind = "folder", dir = dir, name = name }
  end
  local name = ("phantom-%s-%dorgans-%dcases-%gHU-seed%d"):format(
    table.concat(config.phantom_size, "x"), config.phantom_organs, config.phantom_cases, config.phantom_noise,
    config.phantom_seed)
  return {
    kind = "phantom", name = "phantom", dir = home .. "/results/data/" .. name,
    options = {
      size = config.phantom_size, cases = config.phantom_cases, validation = config.phantom_validation,
      organs = config.phantom_organs, noise_hu = config.phantom_noise, seed = config.phantom_seed,
    },
  }
end

-- What DIR/plan.json says about options, and about the preprocessing, which is none. The plan's widths are for
-- large machines: a scale keeps its own first and last width.
local function planned_of(config, scale, read_plan)
  local data = data_of(config, "")
  local plan = config.plan == "auto" and data.kind == "folder" and read_plan(data.dir)
  if not plan then return nil end
  local set = planned_options(plan, data.dir .. "/plan.json")
  set.preprocessing, set.widths = plan.preprocessing, {}
  local widths = default_of(by_name.widths, scale)
  for stage = 1, #set.strides do set.widths[stage] = math.min(widths[1] << (stage - 1), widths[#widths]) end
  return set
end

-- What a trial's process reads: every option but the way to the data, whose content is their identity.
local function config_of(experiment, config, seed, fold, data)
  local cell = {}
  for k, v in pairs(config) do
    local as_before = by_name[k] and by_name[k].before
    if k ~= "data" and k ~= "plan" and not k:find("^phantom_") and (as_before == nil or v ~= as_before) then cell[k] = v end
  end
  cell.seed, cell.fold, cell.data_dir = seed, fold, data.dir
  if experiment.kind then
    cell.kind, cell.channels, cell.classes = experiment.kind, 1, config.phantom_organs + 1
  end
  return cell
end

-- The first and the last fold of a row's cells.
local function folds_of(experiment, parsed, config)
  if parsed.folds and parsed.values.fold then error("fold and folds: give one of them", 0) end
  local folds = parsed.folds or (not parsed.values.fold and experiment.folds)
  if folds then return 0, folds - 1 end
  return config.fold, config.fold
end

-- Masks and classes that are multiplied have no logits of a voxel.
local function merge_check(config, row)
  if config.merge == "logits" and (config.model ~= "maskmed" or config.head == "decoupled") then
    error(("merge=logits: row '%s' has no logits to merge (model=%s head=%s): its class maps are sums over queries; "
      .. "heads with one softmax have"):format(row.key, config.model, config.head), 0)
  end
end

local function add_row(document, experiment, parsed, scale, row, paper, home, read_plan)
  local config = resolve(experiment, parsed, scale, row)
  local planned = not experiment.kind and planned_of(config, scale, read_plan)
  if planned then config = resolve(experiment, parsed, scale, row, planned) end
  merge_check(config, row)
  local key = experiment.scales and scale .. " " .. row.key or row.key
  local label = experiment.scales and scale .. ": " .. row.label or row.label
  document.data = document.data or (experiment.kind and { kind = "none", name = "none", dir = "" }) or data_of(config, home)
  document.rows[#document.rows + 1] = {
    key = key, label = label, paper = paper.numbers[row.key], paper_word = paper.words[row.key],
  }
  if config.preprocessing then document.data.preprocessing = config.preprocessing end
  local first, last = folds_of(experiment, parsed, config)
  for seed = 0, (parsed.seeds or experiment.seeds or (experiment.kind and 1) or 3) - 1 do
    for fold = first, last do
      local cell = config_of(experiment, config, seed, fold, document.data)
      cell.device = document.device ~= "cpu" and document.device or nil -- the identity of a trial on the CPU has no device
      if not cell.device then cell.tf32 = nil end
      document.cells[#document.cells + 1] = { row = #document.rows - 1, seed = seed, fold = fold, config = cell }
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

-- read_plan(dir): the table of dir/plan.json, nil without one. name_of(dir): what "." is called.
return function(experiment, overrides, file, source, home, read_plan, name_of)
  folder_name = name_of
  if experiment.experiments ~= nil then return list_of(experiment, file, source) end
  validate(experiment, file, source)
  local parsed = parse_overrides(overrides)
  local scales = parsed.scale and { parsed.scale } or experiment.scales or { "quick" }
  local paper = paper_of(experiment)
  local document = {
    experiment = file:match("([^/]+)%.lua$") or file, file = file, table = experiment.table, title = experiment.title or file,
    metric = experiment.metric or experiment.kind or "dice", scale = table.concat(scales, "+"), device = parsed.device or "cpu",
    model = paper.name, axis = paper.axis, notes = paper.notes, rows = {}, cells = {},
  }
  if parsed.values.tf32 and document.device == "cpu" then error("tf32 is an option of GPUs: with --device cuda", 0) end
  for _, scale in ipairs(scales) do
    local rows, replaced = rows_of(experiment, parsed, scale)
    local before = document.overridden or {}
    if #replaced > 0 then document.overridden = table.move(replaced, 1, #replaced, #before + 1, before) end
    for _, row in ipairs(rows) do
      add_row(document, experiment, parsed, scale, row, paper, home, read_plan)
    end
  end
  return document
end
