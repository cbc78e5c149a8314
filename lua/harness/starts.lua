-- Networks that start from another trial's: pre-training. A model's starts_from(c) names that trial:
--
--   { key = "scenes", set = { model = "sam_promptable", data = "scenes", steps = 1500, ... }, seed = 0,
--     unused = { "mask_decoder.iou_token" }, drawn = { "adapters.*" } }
--
-- set: what it is, of the options of every experiment and of its own model; what it does not set has the scale's defaults,
-- whatever is typed. seed: 0 where none is given. unused: parameters of it that the network may do without (* stands for any
-- text); all others must be there under the same names. drawn: parameters of the network that it has not, though they be
-- frozen. Rows and seeds that name the same trial share it: it is trained
-- once, before them (src/cli/starts.c), and they are known by its hash.
local flat_text = require("harness.values").flat_text

local FIELDS = { key = "string", set = "table", seed = "number", unused = "table", drawn = "table" }

local function checked(start, model)
  local function wrong(text) error(("model %s: starts_from: %s"):format(model.name, text), 0) end
  if type(start) ~= "table" then wrong("expected { key = ..., set = { ... } }, found a " .. type(start)) end
  for key, value in pairs(start) do
    local expected = FIELDS[key] or "key, set, seed, unused or drawn"
    if type(value) ~= expected then wrong(("%s: expected a %s"):format(tostring(key), expected)) end
  end
  if not start.key or not start.set then wrong("expected key and set") end
  return start
end

-- The document that lists the trials of one data set and scale, made where it is not there yet, and its position.
local function listed(document, cell)
  local starts = document.starts or {}
  document.starts = starts
  for i, one in ipairs(starts) do
    if one.data.dir == cell.data.dir and one.scale == cell.config.scale then return one, i end
  end
  starts[#starts + 1] = {
    experiment = "pretraining", file = document.file, title = "Pre-training", metric = "dice", scale = cell.config.scale,
    device = document.device, model = cell.config.model, data = cell.data, notes = {}, rows = {}, cells = {},
  }
  return starts[#starts], #starts
end

local function known_by(config)
  local parts = {}
  for key, value in pairs(config) do parts[#parts + 1] = key .. "=" .. flat_text(value) end
  table.sort(parts)
  return table.concat(parts, " ")
end

-- Where in document.starts the trial stands, whose cell this is: counted from 0 as { of, cell }. cell: { key, config, data }.
local function add(document, cell)
  local list, of = listed(document, cell)
  local own, position = known_by(cell.config), nil
  for i, other in ipairs(list.cells) do
    if known_by(other.config) == own then position = i end
  end
  if not position then
    position = #list.cells + 1
    list.rows[position] = { key = cell.key .. (position > 1 and " " .. position or ""), label = cell.key }
    list.cells[position] = { row = position - 1, seed = cell.config.seed, fold = cell.config.fold, config = cell.config }
  end
  return { of = of - 1, cell = position - 1 }
end

return { add = add, checked = checked }
