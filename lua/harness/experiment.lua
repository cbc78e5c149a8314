-- From an experiment's table and "key=value" overrides to what is run: rows, cells, resolved
-- configurations. Called by lua/experiment.c; returns what lua/bind.h documents.
local against = require "harness.against"
local as_long = require "harness.as_long"
local add_first_identity = require "harness.first_identity"
local caveats = require "harness.caveats"
local data_of = require "harness.data"
local models = require "harness.model"
local named = require "harness.named_models"
local objection_to = require "harness.objections"
local options = require "harness.options"
local overrides = require "harness.overrides"
local papers = require "harness.papers"
local planned_options = require "harness.plan_file"
local resolving = require "harness.resolve"
local schedule_objection = require "harness.schedule"
local seeds = require "harness.seeds"
local starts = require "harness.starts"
local self_test = require "harness.self_test"
local tuned = require "harness.tuned"
local validate = require "harness.validate"
local value_of = require "harness.values"
local weights = require "harness.weights"
local where = require "harness.where"
local flat_text = value_of.flat_text
local option_of, shown, unknown = named.option_of, named.shown, named.unknown
local resolve, reads, default_of = resolving.resolve, resolving.reads, resolving.default_of
local listed_rows, models_used, NOTHING = resolving.listed_rows, resolving.models_used, resolving.NOTHING

local by_name = models.by_name -- those of every experiment
local machine -- what lua/experiment.c gives

-- ---- what is typed -------------------------------------------------------------------------------

-- The options' texts as values: parsed.values, parsed.order; parsed.option has a row of each name.
local function read_values(experiment, parsed, scales)
  local function put(name, row, text)
    parsed.values[name] = overrides.values(row, text)
    if not parsed.option[name] then parsed.order[#parsed.order + 1] = name end
    parsed.option[name] = row
  end
  parsed.values, parsed.order, parsed.option = {}, {}, {}
  for _, typed in ipairs(parsed.options) do
    if typed.name == "model" then put("model", by_name.model, typed.text) end
  end
  for i, value in ipairs(parsed.values.model or {}) do
    local path = value:find("%.lua$") and machine.whole_path(value)
    if value:find("%.lua$") and not path then error(("model=%s: there is no such file"):format(value), 0) end
    parsed.values.model[i] = path or value
  end
  local used = models_used(experiment, parsed, scales)
  for _, typed in ipairs(parsed.options) do
    local name, found = typed.name, nil
    for _, model in ipairs(used) do
      local row = option_of(model, name)
      if row and row ~= found and name ~= "model" then put(name, row, typed.text) end -- each model's own row judges it
      found = row or found
    end
    if not found then error(unknown(name, used), 0) end
  end
end

-- ---- rows ----------------------------------------------------------------------------------------

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
        local key = axis.name .. "=" .. shown(axis.name, value)
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

local function differs(key, value, typed)
  return value ~= nil and (#typed > 1 or shown(key, value) ~= shown(key, typed[1]))
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
    local own = config_text(resolve(experiment, NOTHING, scale, row))
    local other = seen[typed]
    if other and other.own ~= own then return other.row, row end
    seen[typed] = other or { own = own, row = row }
  end
end

local NUMERIC = { int = true, number = true, list = true, numbers = true }

-- What the user types wins over what a row sets, unless it is what the rows are compared by: a word or a switch
-- that makes the row what it is, a number in which rows differ, or one without which two rows would be the same.
local function overridden(experiment, parsed, scale, rows)
  local replaced = {}
  for _, key in ipairs(parsed.order) do
    local typed, first, option = parsed.values[key], nil, parsed.option[key]
    local given = {}
    for i, value in ipairs(typed) do given[i] = shown(key, value) end
    given = table.concat(given, ",")
    local function refuse(why)
      error(("%s=%s: row '%s' sets %s=%s, and %s; change it in the experiment's file"):format(key, given, first.key, key,
        shown(key, first.set[key]), why), 0)
    end
    for _, row in ipairs(experiment.rows and rows or {}) do
      if differs(key, row.set[key], typed) then
        if not NUMERIC[option.type] then
          first = row
          refuse("that is what the row is")
        end
        local rates_alike = #typed == 1 and type(typed[1]) == "string" -- lr=tuned: each row gets its own again
        if first and not rates_alike and differs(key, row.set[key], { first.set[key] }) then
          refuse(("'%s' sets %s: that is what the rows vary"):format(row.key, flat_text(row.set[key])))
        end
        first = first or row
        replaced[#replaced + 1] = ("%s: %s=%s in place of its own %s"):format(row.key, key, given, flat_text(row.set[key]))
      end
    end
    local a, b
    if first then a, b = rows_made_equal(experiment, parsed, scale, rows) end
    if a then refuse(("without it '%s' and '%s' are the same"):format(a.key, b.key)) end
  end
  return replaced
end

-- A listed row that is compared with another by name, its own or the experiment's, is there for what it sets.
local function is_control(experiment, rows, i)
  local own, all = rows[i].against, experiment.rows and experiment.against
  if own then return own ~= rows[i].key end
  return all and all ~= "above" and all ~= rows[i].key and (all ~= "first" or i > 1)
end

-- Where something else is typed for what such a row sets, it is left out, and with it what is compared with it alone.
local function without_controls(experiment, parsed, rows)
  local kept, left, gone = {}, {}, {}
  for i, row in ipairs(rows) do
    local why = gone[row.against] and ("since '%s' is"):format(row.against)
    for _, key in ipairs(is_control(experiment, rows, i) and parsed.order or {}) do
      if differs(key, row.set[key], parsed.values[key]) then why = ("since it sets %s=%s"):format(key, flat_text(row.set[key])) end
    end
    gone[row.key] = why and true
    if why then left[#left + 1] = ("%s: left out, %s"):format(row.key, why) else kept[#kept + 1] = row end
  end
  return kept, left
end

-- Every row once for each combination of the axes that it reads.
local function multiply(experiment, parsed, scale, rows, axes)
  local grown = {}
  for _, row in ipairs(rows) do
    local config, model = resolve(experiment, parsed, scale, row)
    local own = {}
    for _, axis in ipairs(axes) do
      local option = option_of(model, axis.name)
      if option and reads(config, option) then own[#own + 1] = axis end
    end
    for _, extra in ipairs(#own > 0 and grid_rows(own) or {}) do
      local set = {}
      for k, v in pairs(row.set) do set[k] = v end
      for k, v in pairs(extra.set) do set[k] = v end
      grown[#grown + 1] = {
        key = row.key .. " " .. extra.key, label = row.label .. ", " .. extra.key, set = set,
        base = row.base, extra = (row.extra or "") .. " " .. extra.key, against = row.against, note = row.note, verdict = row.verdict,
        as_long = row.as_long,
      }
    end
    if #own == 0 then grown[#grown + 1] = row end
  end
  return grown
end

-- The options by which others are read or not.
local function deciding(used)
  local decides = {}
  local function add(list)
    for _, option in ipairs(list) do
      for name in pairs(option.with or {}) do decides[name] = true end
    end
  end
  add(options)
  for _, model in ipairs(used) do add(model.options) end
  return decides
end

local function rows_of(experiment, parsed, scale)
  local rows
  if experiment.rows then
    rows = {}
    for i, row in ipairs(listed_rows(experiment, parsed, scale)) do
      local label = row.label or row.key
      rows[i] = {
        key = row.key, label = label, set = row.set, against = row.against, note = row.note and label .. ": " .. row.note,
        verdict = row.verdict, as_long = row.as_long,
      }
    end
  else
    rows = grid_rows(axes_of(experiment, parsed), experiment.label)
  end
  for _, row in ipairs(rows) do row.base = row.key end
  local left
  rows, left = without_controls(experiment, parsed, rows)
  local replaced = overridden(experiment, parsed, scale, rows)
  table.move(left, 1, #left, #replaced + 1, replaced)
  local decides = deciding(models_used(experiment, parsed, { scale }))
  local model_axes, choices, axes = {}, {}, {} -- which options a row has depends on its model, then on what it chooses
  for _, axis in ipairs(extra_axes(experiment, parsed)) do
    local list = axis.name == "model" and model_axes or decides[axis.name] and choices or axes
    list[#list + 1] = axis
  end
  for _, list in ipairs { model_axes, choices, axes } do rows = multiply(experiment, parsed, scale, rows, list) end
  rows, left = where(experiment, parsed, scale, rows)
  return rows, table.move(left, 1, #left, #replaced + 1, replaced)
end

local function joined(a, b) return table.move(b, 1, #b, #a + 1, table.move(a, 1, #a, 1, {})) end

-- What a row says of its verdict, which is not known before its trials: of the two texts a table prints the one that holds.
local function verdict_note(row, key)
  local function text(word) return ("%s: %s"):format(row.label, row.verdict[word]) end
  return { row = key, worse = text "worse", otherwise = text "otherwise" }
end

-- What a row says of itself stands below the table, too, once.
local function add_notes(document, rows, prefix)
  local told = {}
  for _, note in ipairs(document.notes) do told[note] = true end
  for _, row in ipairs(rows) do
    if row.note and not told[row.note] then document.notes[#document.notes + 1] = row.note end
    if row.note then told[row.note] = true end
    if row.verdict then document.notes[#document.notes + 1] = verdict_note(row, prefix .. row.key) end
  end
end

-- The scale's blocks of so many stages: the last stands for those that it has not.
local function blocks_of(blocks, stages)
  local list = {}
  for stage = 1, stages do list[stage] = blocks[math.min(stage, #blocks)] end
  return list
end

-- What DIR/plan.json says about options, and about the preprocessing, which is none; nothing where pictures are fitted. The
-- plan's widths are for large machines: a scale keeps its own first and last width.
local function planned_of(config, model, scale)
  local data = data_of(config, machine)
  local plan = config.plan == "auto" and config.fit == "none" and data.kind == "folder" and machine.read_plan(data.dir)
  if not plan then return nil end
  local set = planned_options(plan, data.dir .. "/plan.json")
  set.preprocessing = plan.preprocessing
  if not model.by_name.widths then return set end
  local blocks = model.by_name.encoder_blocks
  if blocks and not set.encoder_blocks then set.encoder_blocks = blocks_of(default_of(blocks, scale), #set.strides) end
  local widths = default_of(model.by_name.widths, scale)
  set.widths = {}
  for stage = 1, #set.strides do set.widths[stage] = math.min(widths[1] << (stage - 1), widths[#widths]) end
  return set
end

-- What a trial's process reads: every option but the way to the data, whose content is their identity, and but how its
-- rate was found.
local NO_PART = { data = true, plan = true, lr_tries = true, lr_seeds = true }
local function is_part(key) return not NO_PART[key] and not key:find("^phantom") and not key:find("^scenes_") end
local function config_of(experiment, config, model, seed, fold, data)
  local cell = {}
  for k, v in pairs(config) do
    local option = option_of(model, k)
    local as_before = option and option.before
    if is_part(k) and (as_before == nil or flat_text(v) ~= flat_text(as_before)) then cell[k] = v end
  end
  add_first_identity(cell, model)
  weights.settle(cell, machine)
  cell.seed, cell.fold, cell.data_dir = seed, fold, data.dir
  if experiment.kind == "plan" then
    cell.kind, cell.channels, cell.classes = "plan", 1, config.phantom_organs + 1
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

-- What is typed for nobody is a mistake.
local function check_read(parsed, key)
  local _, with = reads({}, parsed.option[key])
  if with and not parsed.read[key] then error(("%s: it is read with %s alone, which no row has"):format(key, with), 0) end
end

-- A default that is meant for another choice than the configuration's is nobody's wish.
local function check_default(row, config, option, given)
  for key, value in pairs(option.default_with or {}) do
    if config[key] ~= value and config[option.name] ~= nil and not given[option.name] then
      error(("row '%s': with %s=%s, set %s, too: its default, %s, is meant for %s=%s"):format(row.key, key, flat_text(config[key]),
        option.name, flat_text(config[option.name]), key, flat_text(value)), 0)
    end
  end
end

-- What a row sets, its model reads, also where another model was typed, and what it chooses; what has no default there is
-- set; and the model can be built of it all.
local function check_row(row, config, model, given, rates)
  for key in pairs(row.set) do
    local option = option_of(model, key)
    if not option then error(("row '%s': %s"):format(row.key, unknown(key, { model })), 0) end
    local read, with = reads(config, option)
    if not read then error(("row '%s': option %s is read with %s alone"):format(row.key, key, with), 0) end
  end
  for _, list in ipairs { options, model.options } do
    for _, option in ipairs(list) do check_default(row, config, option, given) end
  end
  local objection = models.objection(model, config) or objection_to(config) or tuned.objection(schedule_objection, config, rates)
  if objection then error(("row '%s' %s"):format(row.key, objection), 0) end
end

-- The document's model: the paper's name for it, else those of all rows.
local function add_model(document, paper, model)
  local names = document.model or ""
  if paper.name or (" + " .. names .. " + "):find(" + " .. model.name .. " + ", 1, true) then return end
  document.model = names == "" and model.name or names .. " + " .. model.name
end

-- Whoever sets the stages of one option in place of the plan's sets them of all; an encoder would say it at the trial's start.
local function check_planned_stages(row, config, model)
  for _, name in ipairs { "widths", "kernels" } do
    local option, strides = model.by_name[name], config.strides
    local alike = not (option and option.of == "plain_conv_encoder." .. name and strides) or #config[name] == #strides
    if not alike then
      error(("row '%s': %s has %d stages, strides has %d; those that nobody sets are of %s/plan.json: set widths, strides and "
        .. "kernels alike, or plan=none"):format(row.key, name, #config[name], #strides, config.data), 0)
    end
  end
end

-- What the row comes to with what its data set's plan says: configuration, model, and what was set.
local function configured(experiment, parsed, scale, row)
  local config, model, given = resolve(experiment, parsed, scale, row)
  local planned = experiment.kind ~= "plan" and planned_of(config, model, scale)
  if planned then config = resolve(experiment, parsed, scale, row, planned) end
  if planned then check_planned_stages(row, config, model) end
  return config, model, given
end

-- A row that comes to the same as the one that it is compared with by name says nothing beside it: these are one trial's figures.
local function without_copies(experiment, parsed, scale, rows, file)
  local kept, left = {}, {}
  for i, row in ipairs(rows) do
    local other = rows[against.position(experiment, rows, i, file)]
    local copy = other and other ~= row and other.base ~= row.base and not row.as_long
      and config_text(configured(experiment, parsed, scale, row)) == config_text(configured(experiment, parsed, scale, other))
    if copy then left[#left + 1] = ("%s: left out, since it comes to the same as '%s'"):format(row.key, other.key) end
    if not copy then kept[#kept + 1] = row end
  end
  return kept, left
end

-- Where in document.starts the trial stands that the row's network starts from; nil: from its own numbers.
local function start_of(document, config, model, scale, put_device)
  local found = models.start(model, config)
  if not found then return nil end
  local start = starts.checked(found, model)
  local row = { key = start.key, set = start.set }
  local own, its_model, given = configured({}, NOTHING, scale, row)
  check_row(row, own, its_model, given)
  local data = data_of(own, machine)
  local cell = put_device(config_of({}, own, its_model, start.seed or 0, own.fold, data))
  return starts.add(document, { key = start.key, config = cell, data = data })
end

-- Returns what the row came to: its configuration and model.
local function add_row(document, experiment, parsed, scale, row, paper)
  local config, model, given = configured(experiment, parsed, scale, row)
  local plans = experiment.kind == "plan"
  if plans then tuned.forget(config, default_of(by_name.lr, scale)) end
  local rates = tuned.rates(row.key, config, by_name.lr, default_of(by_name.lr, scale))
  check_row(row, config, model, given, rates)
  for key in pairs(config) do parsed.read[key] = true end
  document.origins[#document.origins + 1] = { key = row.key, config = config, from = given }
  add_model(document, paper, model)
  local key = experiment.scales and scale .. " " .. row.key or row.key
  local label = experiment.scales and scale .. ": " .. row.label or row.label
  document.data = document.data or (plans and { kind = "none", name = "none", dir = "" }) or data_of(config, machine)
  document.rows[#document.rows + 1] = {
    key = key, label = label, paper = paper.numbers[row.key], paper_word = paper.words[row.key], against = row.against,
  }
  if config.preprocessing then document.data.preprocessing = config.preprocessing end
  local first, last = folds_of(experiment, parsed, config)
  local first_seed, last_seed = seeds.range(experiment, parsed)
  local function put_device(cell)
    cell.device = document.device ~= "cpu" and document.device or nil -- the identity of a trial on the CPU has no device
    if not cell.device then cell.tf32 = nil end
    return cell
  end
  local function cell_of(seed, fold) return put_device(config_of(experiment, config, model, seed, fold, document.data)) end
  local start = not plans and start_of(document, config, model, scale, put_device) or nil
  local cells = as_long.list(document, row, rates)
  for seed = first_seed, last_seed do
    for fold = first, last do
      cells[#cells + 1] = {
        row = #document.rows - 1, seed = seed, fold = fold, config = cell_of(seed, fold), start = start, as_long = row.as_long,
      }
    end
  end
  if rates then
    tuned.check(key, config, experiment.kind, first_seed, document["until"] and first_seed + seeds.MOST or last_seed)
    tuned.add(document, config, rates, { first = first, last = last, start = start }, function(rate, seed, fold)
      local cell = cell_of(seed, fold)
      cell.lr = rate
      return cell
    end)
  end
  return { config = config, model = model }
end

-- Of lua/experiment.c: machine.load(path, shown) runs a model's file; read_plan(dir) is the table of dir/plan.json, nil
-- without one; folder_name(dir) is what "." is called; whole_path(path) is nil where no file is; results is the
-- folder of results.
return function(experiment, typed, file, source, of_machine)
  machine = of_machine
  named.begin(machine, file)
  if experiment.experiments ~= nil then return validate.list(experiment, file, source) end
  validate.experiment(experiment, file, source)
  local parsed = overrides.parse(typed)
  local scales = parsed.scale and { parsed.scale } or experiment.scales or { "quick" }
  read_values(experiment, parsed, scales)
  parsed.read = { data = true }
  local paper = papers.of(experiment)
  local document = {
    experiment = file:match("([^/]+)%.lua$") or file, file = file, table = experiment.table, title = experiment.title or file,
    metric = experiment.metric or (experiment.kind == "plan" and "plan") or "dice", scale = table.concat(scales, "+"),
    device = parsed.device or "cpu",
    model = paper.name, axis = paper.axis, notes = {}, rows = {}, cells = {}, origins = {},
    ["until"] = seeds.until_decided(experiment, parsed),
  }
  local resolved = {}
  if parsed.values.tf32 and document.device == "cpu" then error("tf32 is an option of GPUs: with --device cuda", 0) end
  for _, scale in ipairs(scales) do
    local listed, replaced = rows_of(experiment, parsed, scale)
    local rows, copies = without_copies(experiment, parsed, scale, listed, file)
    replaced = joined(replaced, copies)
    if #replaced > 0 then document.overridden = joined(document.overridden or {}, replaced) end
    add_notes(document, rows, experiment.scales and scale .. " " or "")
    for _, row in ipairs(as_long.settle(against.settle(experiment, rows, file, #resolved), #resolved)) do
      resolved[#resolved + 1] = add_row(document, experiment, parsed, scale, row, paper)
    end
  end
  document.notes = joined(papers.notes(paper, document.rows), document.notes)
  if not experiment.kind then caveats(document, resolved) end
  for _, key in ipairs(parsed.order) do check_read(parsed, key) end
  document.self_test = self_test.settle(experiment, parsed, document)
  document.evaluation = models.evaluation()
  for _, one in ipairs(document.starts or {}) do one.evaluation = document.evaluation end
  return document
end
