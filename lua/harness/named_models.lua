-- The models that an experiment names, and what of theirs it may set.
local models = require "harness.model"
local options = require "harness.options"
local value_of = require "harness.values"
local flat_text, hint = value_of.flat_text, value_of.hint

local by_name = models.by_name
local machine, folder, paths -- what lua/experiment.c gives; the experiment's folder; files by their models' names

local function begin(of_machine, file)
  machine, folder, paths = of_machine, file:match("^.*/") or "", {}
end

-- value: of option model. A file of one's own lies where the experiment's folder says (what is typed is a whole path), and
-- its trials are known by its name, wherever that is.
local function open(value)
  if not value:find("%.lua$") then return models.open(value, machine.load) end
  local shown = value:find("^/") and value or folder .. value
  local path = machine.whole_path(shown)
  if not path then error(("model %s: there is no file %s"):format(value, shown), 0) end
  local model = models.open(path, machine.load, shown)
  if (paths[model.name] or path) ~= path then
    error(("two models are called %s: %s and %s. Their trials would be known by the same name; rename one"):format(model.name,
      paths[model.name], path), 0)
  end
  paths[model.name] = path
  return model
end

local function option_of(model, key) return by_name[key] or model.by_name[key] end

-- A value as rows' keys and messages show it: of a model its name.
local function shown(key, value)
  return key == "model" and value:match("[^/]+$") or flat_text(value)
end

local function listed(names)
  if #names < 2 then return names[1] end
  return table.concat(names, ", ", 1, #names - 1) .. " and " .. names[#names]
end

-- What is wrong with a key that none of the models has, and no experiment: whose it is, or the name that was meant.
local function unknown(key, used)
  local owners, own, known = {}, {}, {}
  for _, name in ipairs(models.names) do
    local good, model = pcall(models.open, name, machine.load)
    if good and model.by_name[key] then owners[#owners + 1] = name end
  end
  for _, model in ipairs(used) do own[#own + 1] = model.name end
  if #owners > 0 then
    local whose = #own > 1 and "this experiment's models are" or "this trial's model is"
    return ("option %s belongs to %s; %s %s"):format(key, listed(owners), whose, listed(own))
  end
  for _, rows in ipairs({ require "harness.sweep_keys", options }) do
    for _, row in ipairs(rows) do known[#known + 1] = row.name end
  end
  for _, model in ipairs(used) do
    for _, row in ipairs(model.options) do known[#known + 1] = row.name end
  end
  return ("no option '%s'%s"):format(key, hint(key, known))
end

return { begin = begin, open = open, option_of = option_of, shown = shown, unknown = unknown }
