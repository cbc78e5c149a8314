-- kind = "self_test": one configuration, many seeds, whose trials are dealt at random into tables of equal rows, judged as
-- tables are (src/statistics/relabel.h). shapes = { { rows, seeds }, ... } of these tables, relabelings: how many of each.
local self_test = {}

local function whole(value, least, most)
  return math.type(value) == "integer" and value >= least and value <= most
end

local LEAST_SEEDS = 5 -- fewer give no verdict (src/statistics/contrast.h)

-- What the file says, alone.
function self_test.validate(experiment, wrong)
  if experiment.kind ~= "self_test" then
    for _, key in ipairs { "shapes", "relabelings" } do
      if experiment[key] then wrong(key, ("%s: is of kind = \"self_test\" alone"):format(key)) end
    end
    return
  end
  for _, key in ipairs { "budget", "folds", "paper", "scales" } do
    if experiment[key] then wrong(key, ("%s: a self test has none: its trials are of one configuration, with as many seeds as "
      .. "the file says"):format(key)) end
  end
  if not whole(experiment.relabelings, 1, 1000000) then
    wrong(experiment.relabelings and "relabelings" or "kind", "relabelings: how many tables are dealt of each shape, 1 to 1000000")
  end
  local shapes = experiment.shapes
  if type(shapes) ~= "table" or #shapes == 0 then
    wrong(shapes and "shapes" or "kind", "shapes: the tables to be dealt, as { { rows, seeds }, ... }, such as { { 4, 5 } }")
  end
  for i, shape in ipairs(shapes) do
    if type(shape) ~= "table" or #shape ~= 2 or not whole(shape[1], 2, 100) or not whole(shape[2], LEAST_SEEDS, 1000) then
      wrong("shapes", ("shapes[%d]: expected { rows, seeds }, at least 2 and %d: fewer seeds give no verdict"):format(i,
        LEAST_SEEDS))
    end
  end
end

-- What the document says of it, nil of other kinds; and what is typed may not make of it.
function self_test.settle(experiment, parsed, document)
  if experiment.kind ~= "self_test" then return nil end
  if parsed.decided then error("until=decided: a self test has no claims; seeds=N says how many trials it has", 0) end
  if parsed.folds then error("folds: the trials of a self test are of one fold; fold=N says which", 0) end
  if #document.rows ~= 1 then
    error(("a self test is of one configuration; here are %d: %s, %s ..."):format(#document.rows, document.rows[1].key,
      document.rows[2].key), 0)
  end
  local shapes = {}
  for i, shape in ipairs(experiment.shapes) do shapes[i] = { rows = shape[1], seeds = shape[2] } end
  return { relabelings = experiment.relabelings, shapes = shapes }
end

return self_test
