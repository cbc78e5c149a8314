-- Models: what a file declares and how its graph is built.
--
-- A model's file returns { doc = "what it is", options = { rows }, build = function(m, c) ... end }, or the function alone
-- where it has no options of its own. Rows are as in options.lua; a part's list of rows may stand among them. check(c),
-- where there is one, returns a sentence about a configuration that the model cannot be built of ("has no ..."), else nothing.
-- pytorch(c), where there is one, returns what PyTorch's implementation calls the parameters (harness/weights.lua).
-- caution(c), where there is one, returns what is to be known of such a trial before it runs and below its table, nil: nothing.
-- starts_from(c), where there is one, returns the trial whose network this one starts from (harness/starts.lua), nil: none.
--
-- `build` is called with m, which builds the graph (m.image, and m.labels while training), and c, the configuration.
-- It returns { loss = ... } while training and { map = ... } in inference.
local shared = require "harness.options"
local rows = require "harness.rows"
local hint = require "harness.hint"
local check = require("harness.values").check

-- What a configuration holds besides options, and what is added for a model to read.
local RESERVED = {
  "scale", "seeds", "first_seed", "until", "budget", "folds", "seed", "device", "kind", "channels", "classes", "regions",
  "preprocessing", "split", "inner_split", "pretrained", "schemes", "model_path", "weights_path", "weights_map_path",
  "data_dir", "data_path", "home", "checkpoint", "counted", "name", "share", "frozen",
}
local READ = { scale = true, classes = true, regions = true }
local FIELDS = { "doc", "options", "build", "check", "pytorch", "starts_from", "caution" }

local by_name, reserved = {}, {}
for _, name in ipairs(RESERVED) do reserved[name] = true end
for _, row in ipairs(shared) do by_name[row.name] = row end

local function checked(name, file, returned)
  local function wrong(text) error(("%s: %s"):format(file, text), 0) end
  local model = type(returned) == "function" and { build = returned } or returned
  if type(model) ~= "table" or type(model.build) ~= "function" then
    wrong(("a model's file returns { options = { ... }, build = function(m, c) ... end }, or the function alone; found a %s%s")
      :format(type(returned), type(model) == "table" and " without a function build" or ""))
  end
  for key in pairs(model) do
    local text, found = tostring(key), false
    for _, field in ipairs(FIELDS) do found = found or field == key end
    if not found then wrong(("a model has no field '%s'%s"):format(text, hint(text, FIELDS))) end
  end
  if model.doc ~= nil and type(model.doc) ~= "string" then wrong("doc: expected a text") end
  for _, key in ipairs { "check", "pytorch", "starts_from", "caution" } do
    if model[key] ~= nil and type(model[key]) ~= "function" then wrong(key .. ": expected a function") end
  end
  if model.options ~= nil and type(model.options) ~= "table" then wrong("options: expected a list of rows") end
  local options, own = rows(model.options or {}, file, by_name)
  for _, row in ipairs(options) do
    if by_name[row.name] then wrong(("option %s is one of every experiment: the model reads it without a row"):format(row.name)) end
    if reserved[row.name] then wrong(("option %s: the name means something else in a configuration"):format(row.name)) end
  end
  return {
    name = name, file = file, doc = model.doc, options = options, by_name = own, check = model.check, build = model.build,
    pytorch = model.pytorch, starts_from = model.starts_from, caution = model.caution,
  }
end

local opened = {}

-- name: a file of models/, or the whole path of a file elsewhere, which ends in .lua; that is called by its own name,
-- wherever it lies. load(path, shown): what that file returns. shown: what messages call it.
local function open(name, load, shown)
  if opened[name] then return opened[name] end
  local model
  if name:find("%.lua$") then
    model = checked(name:match("[^/]+$"), shown or name, load(name, shown or name))
    model.path = name
  else
    model = checked(name, "lua/harness/models/" .. name .. ".lua", require("harness.models." .. name))
  end
  opened[name] = model
  return model
end

-- The configuration as a model reads it: an option that stayed out of it has the value that means "as before", and what
-- the model does not declare is a mistake, since it is no part of what its trials are known by.
local function readable(model, config)
  return setmetatable({}, {
    __index = function(_, key)
      local row = model.by_name[key] or by_name[key]
      if not row and not READ[key] then
        local names = {}
        for name in pairs(model.by_name) do names[#names + 1] = name end
        for name in pairs(by_name) do names[#names + 1] = name end
        table.sort(names)
        error(("c.%s: %s has no such option%s; a model declares what it reads (options = { ... })"):format(tostring(key),
          model.name, hint(tostring(key), names)), 2)
      end
      if config[key] == nil and row then return row.before end
      return config[key]
    end,
  })
end

-- A trial's model, whose file may have moved since.
local function of_trial(config, load)
  local good, model = pcall(open, config.model_path or config.model, load)
  if good then return model end
  local gone = config.model_path and model:find(config.model_path .. ": cannot be read", 1, true)
  error(gone and model .. "; where the model has moved, `harness run` its experiment from there, which tells its trials" or model, 0)
end

-- Options that the model is counted with (m.parameters) in place of its own.
local function set_counted(model, config)
  for name, value in pairs(config.counted or {}) do
    local row = model.by_name[name] or by_name[name]
    local good, why = nil, ("%s has no such option"):format(model.name)
    if row then good, why = check(row, value) end
    if good == nil then error(("%s: %s"):format(name, why), 0) end
    config[name] = value
  end
end

-- What model.c calls for a configuration's graph.
local function build(m, config, load)
  local model = of_trial(config, load)
  set_counted(model, config)
  return model.build(m, readable(model, config))
end

-- Why the configuration cannot be built, nil where it can.
local function objection(model, config)
  return model.check and model.check(readable(model, config))
end

-- What the configuration's network starts from, nil where it is its own numbers.
local function start(model, config)
  return model.starts_from and model.starts_from(readable(model, config))
end

local function caution(model, config)
  return model.caution and model.caution(readable(model, config))
end

-- Names of the options that belong to evaluation: those of every experiment and of the models that were opened. Trainings
-- are told apart by the others, whosever they are, so a name belongs to evaluation in all models or in none.
local function evaluation()
  local names, scores = {}, {}
  local function add(list, whose)
    for _, row in ipairs(list) do
      local first, score = scores[row.name], row.evaluation == true
      if first and first.score ~= score then
        error(("option %s belongs to evaluation in %s, and to the training in %s: give one of them another name"):format(row.name,
          score and whose or first.whose, score and first.whose or whose), 0)
      end
      if score and not first then names[#names + 1] = row.name end
      scores[row.name] = first or { score = score, whose = whose }
    end
  end
  add(shared)
  for _, model in pairs(opened) do add(model.options, model.name) end
  table.sort(names)
  return names
end

return {
  open = open, of_trial = of_trial, readable = readable, build = build, objection = objection, start = start, caution = caution,
  evaluation = evaluation, by_name = by_name,
  names = require "harness.models",
}
