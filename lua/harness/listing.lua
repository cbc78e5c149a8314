-- Options and models for those who only read them: help, the report, plans.
local models = require "harness.model"

-- Of models/: { name, doc, options = the model's own }; of one that cannot be read its error is the doc.
local function all(load)
  local list = {}
  for i, name in ipairs(models.names) do
    local good, model = pcall(models.open, name, load)
    list[i] = { name = name, doc = good and (model.doc or "") or model, options = good and model.options or {} }
  end
  return list
end

-- model: nil for what every experiment has, a model's name or path, "*" for all in models/ that can be read; "+": the keys that
-- are no options. load: see harness/model.lua.
local function options(model, load)
  if model == "+" then return require "harness.sweep_keys" end
  local list, seen = {}, {}
  local function add(rows)
    for _, row in ipairs(rows) do
      if not seen[row.name] then list[#list + 1] = row end
      seen[row.name] = true
    end
  end
  add(require "harness.options")
  if model == "*" then
    for _, each in ipairs(all(load)) do add(each.options) end
  elseif model then
    add(models.open(model, load).options)
  end
  return list
end

-- As `all` has them, of the model in a file elsewhere.
local function one(load, path)
  local model = models.open(path, load)
  return { name = model.name, doc = model.doc or "", options = model.options }
end

return { options = options, all = all, one = one }
