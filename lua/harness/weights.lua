-- What parameters are called in other programs' files (weights=FILE, `harness weights`), by a map, which is read in both
-- directions.
--
-- A map is a list of rows { ours, theirs, ... }: one tensor's name here and there; what follows are further names of the
-- same tensor, as PyTorch's modules list some twice. {x} stands for a number, the same in all names of a row; the first
-- row that fits a name is its. convolution = true: our linear layer is a convolution of one voxel there; flat = true: a
-- convolution is one in 2D there, whatever the images; part = { 1, 2 }: ours is the first half of theirs, along the first axis.
-- What no row names has one name, and our layout, in both.
-- Beside the rows, `note` is a text that is told when a file is read by the map, and `unused` lists names that a file may hold
-- and nobody reads; there * stands for any text. `others` lists maps of programs that call the same tensors otherwise: one is
-- read by where the file holds a tensor called its `mark`.
-- A map is what a model's pytorch(c) returns, or what a file (weights_map=FILE.lua) returns, which may also be a function of c.
local models = require "harness.model"

-- ---- names -------------------------------------------------------------------------------------

-- A Lua pattern for a name with {x} and, in `unused`, *; and the names of its numbers in order.
local function pattern_of(name)
  local keys = {}
  local text = name:gsub("[%^%$%(%)%%%.%[%]%+%-%?]", "%%%0"):gsub("%*", ".*"):gsub("{(%w+)}", function(key)
    keys[#keys + 1] = key
    return "(%d+)"
  end)
  return "^" .. text .. "$", keys
end

local function numbers_in(name, pattern)
  local text, keys = pattern_of(pattern)
  local found = { name:match(text) }
  if #found == 0 then return nil end
  local numbers = {}
  for i, key in ipairs(keys) do
    if numbers[key] and numbers[key] ~= found[i] then return nil end
    numbers[key] = found[i]
  end
  return numbers
end

local function filled(pattern, numbers)
  return (pattern:gsub("{(%w+)}", numbers))
end

-- All names of our parameter there, the usual one first, and its row.
local function theirs_of(map, ours)
  for _, row in ipairs(map) do
    local numbers = numbers_in(ours, row[1])
    if numbers then
      local names = {}
      for i = 2, #row do names[#names + 1] = filled(row[i], numbers) end
      return names, row
    end
  end
  return { ours }, {}
end

-- What the name of a tensor there is here; nil: no row has it.
local function ours_of(map, theirs)
  for _, row in ipairs(map) do
    for i = 2, #row do
      local numbers = numbers_in(theirs, row[i])
      if numbers then return filled(row[1], numbers) end
    end
  end
end

-- ---- maps --------------------------------------------------------------------------------------

local function keys_text(name)
  local _, keys = pattern_of(name)
  table.sort(keys)
  return table.concat(keys, " ")
end

local function is_part(part)
  local at, of = table.unpack(type(part) == "table" and part or {})
  return math.type(at) == "integer" and math.type(of) == "integer" and at >= 1 and at <= of and of <= 64
end

local checked

function checked(map, where)
  if type(map) ~= "table" then error(("%s: a map is a list of rows, found a %s"):format(where, type(map)), 0) end
  for i, row in ipairs(map) do
    local function wrong(text) error(("%s: row %d: %s"):format(where, i, text), 0) end
    if type(row) ~= "table" or #row < 2 then wrong("expected { our name, their name }") end
    for _, name in ipairs(row) do
      if type(name) ~= "string" then wrong(("expected names, found a %s"):format(type(name))) end
      if name:find("*", 1, true) then wrong(("'%s': * may stand in `unused` alone; {x} is a number"):format(name)) end
      if keys_text(name) ~= keys_text(row[1]) then wrong(("'%s' and '%s' have other numbers"):format(row[1], name)) end
    end
    if row.part ~= nil and not is_part(row.part) then wrong("part: expected { which, of how many }, as { 1, 2 }") end
  end
  for _, name in ipairs(map.unused or {}) do
    if type(name) ~= "string" then error(("%s: unused: expected names, found a %s"):format(where, type(name)), 0) end
  end
  for _, other in ipairs(map.others or {}) do
    if type(checked(other, where .. ": others").mark) ~= "string" then error(where .. ": others: each map has a mark, a name", 0) end
  end
  return map
end

-- The map, or the one among its others that the file is of. theirs: names in the file.
local function of_file(map, theirs)
  for _, other in ipairs(map.others or {}) do
    for _, name in ipairs(theirs) do
      if name == other.mark then return other end
    end
  end
  return map
end

-- kind: own, pytorch, or the path of a file.
local function map_of(kind, config, load)
  if kind == "own" then return {} end
  local model = models.of_trial(config, load)
  local map, where = model.pytorch, ("model %s: pytorch"):format(model.name)
  if kind ~= "pytorch" then map, where = load(kind, kind), kind end
  if map == nil then error(("model %s does not say what PyTorch calls its parameters"):format(model.name), 0) end
  if type(map) == "function" then map = map(models.readable(model, config)) end
  return checked(map, where)
end

-- ---- a file's tensors and a model's parameters ---------------------------------------------------

local function begins(name, prefixes)
  for _, prefix in ipairs(prefixes) do
    if name == prefix or name:sub(1, #prefix + 1) == prefix .. "." then return true end
  end
  return false
end

local function scopes_text(ours)
  local known, seen = {}, {}
  for _, name in ipairs(ours) do
    local first = name:match("^[^.]+")
    if not seen[first] then known[#known + 1] = first end
    seen[first] = true
  end
  return table.concat(known, ", ")
end

-- Whether the pattern, in which * stands for any text, is the name or a scope that leads to it.
local function means(pattern, name)
  local text = pattern_of(pattern)
  while name do
    if name:find(text) then return true end
    name = name:match("^(.*)%.[^.]*$")
  end
  return false
end

-- scope: all, or beginnings of our names; behind a minus, what is left out of them, as freeze= has it; each has to be some
-- parameter's. Returns whether a name is in it; nil: all are.
local function wanted_by(scope, ours)
  if scope == "all" then return nil end
  local prefixes, without, all = {}, {}, true
  local function check(entry, text, fits)
    for _, name in ipairs(ours) do
      if fits(name) then return end
    end
    error(("weights_scope=%s: no parameter's name %s '%s'; they begin with %s"):format(scope, text, entry, scopes_text(ours)), 0)
  end
  for entry in scope:gmatch("[^,]+") do
    local out = entry:match("^%-(.*)$")
    if out then
      check(out, "is", function(name) return means(out, name) end)
      without[#without + 1] = out
    elseif entry ~= "all" then
      check(entry, "begins with", function(name) return begins(name, { entry }) end)
      prefixes[#prefixes + 1], all = entry, false
    end
  end
  return function(name)
    for _, pattern in ipairs(without) do
      if means(pattern, name) then return false end
    end
    return all or begins(name, prefixes)
  end
end

local function is_among(patterns, name)
  for _, pattern in ipairs(patterns or {}) do
    if name:find((pattern_of(pattern))) then return true end
  end
  return false
end

-- With our own names there is no row, and what a model may do without is what it may do without by other names.
local function map_of_own(config, load)
  if not models.of_trial(config, load).pytorch then return {} end
  return { unused = map_of("pytorch", config, load).unused }
end

-- A network that starts from another trial's has that one's names; what either may do without its model says.
local function map_of_start(config, load)
  local model = models.of_trial(config, load)
  local start = models.start(model, config)
  return { unused = start.unused, drawn = start.drawn }
end

-- config: a trial's, with weights_map and weights_scope where they are not own and all. ours, theirs: lists of names.
-- pairs: { ours, theirs, duplicates of it ... }. aside: theirs that are not wanted: `unused` names them, or the scope
-- leaves them out.
local function match(config, load, ours, theirs)
  local kind = config.weights_map_path or config.weights_map or "own"
  local map = config.pretrained and map_of_start(config, load) or kind == "own" and map_of_own(config, load)
    or of_file(map_of(kind, config, load), theirs)
  local wanted = wanted_by(config.weights_scope or "all", ours)
  local result, there, used = { pairs = {}, missing = {}, unused = {}, aside = {}, parts = {}, note = map.note }, {}, {}
  for _, name in ipairs(theirs) do there[name] = true end
  for _, name in ipairs(ours) do
    if not wanted or wanted(name) then
      local pair, names, row = { name }, theirs_of(map, name)
      for _, their in ipairs(names) do
        if there[their] then pair[#pair + 1], used[their] = their, true end
      end
      if #pair > 1 then
        result.parts[tostring(#result.pairs)], result.pairs[#result.pairs + 1] = row.part, pair
      elseif not is_among(map.drawn, name) then
        result.missing[#result.missing + 1] = names[1]
      end
    end
  end
  for _, name in ipairs(theirs) do
    local state = not map[1] and there[name:match("^(.+)%.[%w_]+$")] -- what a checkpoint of ours keeps for the optimiser
    local outside = wanted and not wanted(ours_of(map, name) or name)
    local list = (state or outside or is_among(map.unused, name)) and result.aside or result.unused
    if not used[name] then list[#list + 1] = name end
  end
  return result
end

-- Of a cell's configuration on its way to a trial: where files lie goes beside what a trial is known by, their content.
local function settle(cell, machine)
  local kind = cell.weights_map
  if not cell.weights then
    local key = kind and "weights_map" or cell.weights_scope and "weights_scope"
    if key then error(("%s=%s says how weights=FILE is read, which is not given"):format(key, cell[key]), 0) end
    return
  end
  if kind and kind ~= "pytorch" and not kind:find("%.lua$") then
    error(("weights_map=%s: expected own, pytorch, or a file that ends in .lua"):format(kind), 0)
  end
  local files = { "weights", kind and kind ~= "pytorch" and "weights_map" or nil }
  for _, key in ipairs(files) do
    local good, path, content = pcall(machine.file_content, cell[key])
    if not good then error(("%s=%s"):format(key, path), 0) end
    cell[key .. "_path"], cell[key] = path, content
  end
end

-- Of each of ours: all its names there, whether it is a convolution, and whether of two axes.
local function names(config, load, kind, ours)
  local map, list = map_of(kind, config, load), {}
  for i, name in ipairs(ours) do
    local all, row = theirs_of(map, name)
    list[i] = { names = all, convolution = row.convolution == true, flat = row.flat == true, part = row.part }
  end
  return list
end

return { match = match, names = names, settle = settle }
