-- From defaults, an experiment, a row and what is typed to a configuration; and the models of an experiment's rows.
local models = require "harness.model"
local named = require "harness.named_models"
local options = require "harness.options"
local flat_text = require("harness.values").flat_text
local open, option_of = named.open, named.option_of

local by_name = models.by_name -- those of every experiment
local NOTHING = { values = {} } -- typed

local function default_of(option, scale)
  local value = option[scale]
  if value == nil then value = option.default end
  return value
end

-- What is set before a row: by the experiment, then by it at this scale.
local function common_sets(experiment, scale) return { experiment.base or {}, (experiment.at or {})[scale] or {} } end

local function model_of(experiment, parsed, scale, set)
  local value, typed = by_name.model.default, parsed.values.model
  for _, common in ipairs(common_sets(experiment, scale)) do value = common.model or value end
  if set.model then value = set.model end
  return open(typed and #typed == 1 and typed[1] or value)
end

-- Whether the option is read by what the configuration chooses; if not, what it is read with.
local function reads(config, option)
  for key, wanted in pairs(option.with or {}) do
    local chosen = false
    for _, value in ipairs(type(wanted) == "table" and wanted or { wanted }) do chosen = chosen or config[key] == value end
    if not chosen then return false, key .. "=" .. flat_text(wanted) end
  end
  return true
end

-- The defaults that another option's choice brings.
local function choose_defaults(config, given, list)
  for _, option in ipairs(list) do
    for name, defaults in pairs(not given[option.name] and option.default_where or {}) do
      local value = defaults[config[name]]
      if value ~= nil then config[option.name] = value end
    end
  end
end

-- A warm-up that is a share of the steps, as steps: a trial is known by these.
local function warmup_steps(config)
  local steps = config.warmup < 1 and math.floor(config.warmup * config.steps + 0.5) or config.warmup
  return math.tointeger(steps) or steps
end

-- Default, then scale, then the data set's plan, then the experiment's base, then what it sets at this scale,
-- then the row, then the command line: of what the row's model reads. Also which of them were set, and by whom.
local function resolve(experiment, parsed, scale, row, planned)
  local model = model_of(experiment, parsed, scale, row.set)
  local config, given = { scale = scale, preprocessing = planned and planned.preprocessing }, {}
  local function put(set, who)
    for key, value in pairs(set) do
      if option_of(model, key) then config[key], given[key] = value, who end
    end
  end
  local function drop(list)
    for _, option in ipairs(list) do
      if not reads(config, option) then config[option.name] = nil end
    end
  end
  for _, option in ipairs(options) do config[option.name] = default_of(option, scale) end
  for _, option in ipairs(model.options) do config[option.name] = default_of(option, scale) end
  put(planned or {}, "the data set's plan")
  for i, set in ipairs(common_sets(experiment, scale)) do put(set, i == 1 and "base" or "at." .. scale) end
  put(row.set, "the row")
  for key, values in pairs(parsed.values) do
    if #values == 1 then put({ [key] = values[1] }, "typed") end
  end
  config.model, config.model_path = model.name, model.path
  config.warmup = warmup_steps(config)
  choose_defaults(config, given, options)
  choose_defaults(config, given, model.options)
  drop(options)
  drop(model.options)
  return config, model, given
end

-- The rows that the file lists, or of a grid those that have models of their own.
local function listed_rows(experiment, parsed, scale)
  local rows = experiment.rows
  if type(rows) == "function" then rows = rows((resolve(experiment, parsed, scale, { set = {} }))) end
  if rows then return rows end
  rows = {}
  for _, value in ipairs((experiment.vary or {}).model or {}) do rows[#rows + 1] = { set = { model = value } } end
  return #rows > 0 and rows or { { set = {} } }
end

-- The models of all rows, each once.
local function models_used(experiment, parsed, scales)
  local used, seen = {}, {}
  local function add(model)
    if not seen[model] then used[#used + 1] = model end
    seen[model] = true
  end
  for _, value in ipairs(parsed.values.model or {}) do add(open(value)) end
  for _, scale in ipairs(#used == 0 and scales or {}) do
    for _, row in ipairs(listed_rows(experiment, parsed, scale)) do add(model_of(experiment, parsed, scale, row.set)) end
  end
  return used
end

return {
  resolve = resolve, reads = reads, default_of = default_of, model_of = model_of, listed_rows = listed_rows,
  models_used = models_used, NOTHING = NOTHING,
}
