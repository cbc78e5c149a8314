-- lr=tuned: each row's learning rate is chosen by a few tries on an inner split of the training cases, the same tries for
-- every row. A try is a trial of one of the rates that trains on three quarters of the fold's training cases and is scored
-- on the others; the fold's validation cases are in neither part. Which rate wins is known once the tries have ended
-- (src/cli/tuning.c): until then a row's cells have lr = "tuned", afterwards the rate, and are then its ordinary trials.
local flat_text = require("harness.values").flat_text

local INNER = 4 -- of so many training cases one scores the tries
local FIRST_SEED = 1000 -- of tries: no reported one
local FACTORS = { 0.5, 1, 2 } -- of the scale's own rate, where lr_tries names none

local tuned = {}

-- The rates that a row tries, rising; nil where its rate is given. lr: the option's row. default: its value at this scale.
function tuned.rates(key, config, lr, default)
  if config.lr ~= "tuned" then return nil end
  local list = config.lr_tries
  if #list == 1 then
    error(("row '%s': lr_tries=%s: one rate is no choice; name two or more, or write lr=%s"):format(key, flat_text(list),
      flat_text(list)), 0)
  end
  if #list > 0 then return list end
  for name, value in pairs(lr.default_with) do
    if config[name] ~= value then
      error(("row '%s': with %s=%s and lr=tuned, set lr_tries, too: without it half, once and twice lr's default, %s, are tried, "
        .. "which is meant for %s=%s"):format(key, name, flat_text(config[name]), flat_text(default), name, flat_text(value)), 0)
    end
  end
  list = {}
  for i, factor in ipairs(FACTORS) do list[i] = factor * default end
  return list
end

-- Where nothing is trained no rate is chosen: lr=tuned, typed for a list of experiments, is the scale's own rate there.
function tuned.forget(config, default)
  if config.lr == "tuned" then config.lr = default end
end

-- What `judge` has against the configuration at any of the rates, nil where it has nothing.
function tuned.objection(judge, config, rates)
  if not rates then return judge(config) end
  for _, rate in ipairs(rates) do
    local one = {}
    for key, value in pairs(config) do one[key] = value end
    one.lr = rate
    local objection = judge(one)
    if objection then return ("%s (at lr=%s, one of its tries)"):format(objection, rate) end
  end
end

-- Tries where no rows are compared, or with seeds that are reported, are a mistake.
function tuned.check(key, config, kind, first_seed, last_seed)
  if kind then
    error(("row '%s': lr=tuned is for rows that are compared, which those of kind %s are not"):format(key, kind), 0)
  end
  local last = FIRST_SEED + config.lr_seeds - 1
  if first_seed <= last and last_seed >= FIRST_SEED then
    error(("seeds from %d on: lr=tuned tries its rates with seeds %d to %d, which must not be reported ones; choose another "
      .. "first_seed"):format(first_seed, FIRST_SEED, last), 0)
  end
end

-- Adds the tries of the document's last row: of each rate a row of its own in tries.rows, which says of which of the
-- table's it is, and its cells. folds: first, last, and the start of each cell (starts.lua). cell(rate, seed, fold): a configuration.
function tuned.add(document, config, rates, folds, cell)
  local tries = document.tries or { rows = {}, cells = {} }
  local row = document.rows[#document.rows]
  document.tries = tries
  for _, rate in ipairs(rates) do
    local key = ("%s try lr=%s"):format(row.key, rate)
    tries.rows[#tries.rows + 1] = { key = key, label = key, of = #document.rows - 1 }
    for seed = FIRST_SEED, FIRST_SEED + config.lr_seeds - 1 do
      for fold = folds.first, folds.last do
        local one = cell(rate, seed, fold)
        one.inner_split = INNER
        tries.cells[#tries.cells + 1] = { row = #tries.rows - 1, seed = seed, fold = fold, config = one, start = folds.start }
      end
    end
  end
end

return tuned
