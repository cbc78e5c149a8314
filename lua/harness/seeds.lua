-- How many seeds an experiment's rows get: a number of them, or as many as it takes (until=decided, within a budget of time).
local seeds = {}

seeds.MOST = 99 -- more than looks take of a row, replaced ones included

-- "2h", "90min", "1.5d" in seconds, nil where it is no time.
local UNITS = { s = 1, min = 60, h = 3600, d = 86400 }
function seeds.seconds(text)
  local number, unit = text:match("^(%d+%.?%d*)(%a+)$")
  number = tonumber(number)
  return number and number > 0 and UNITS[unit] and number * UNITS[unit] or nil
end
seeds.a_time = "expected a time such as 2h or 90min (s, min, h, d)"

-- {"budget_s", "first_seed"} where seeds are added until the claims are decided, nil where their number is given. What is
-- planned and timed has no seeds to add.
local BUDGET = "2h"
function seeds.until_decided(experiment, parsed)
  if parsed.decided and parsed.seeds then error("seeds and until: give one of them", 0) end
  if parsed.budget_s and not parsed.decided and not experiment.budget then
    error("budget: the time within which until=decided adds seeds; give that too", 0)
  end
  if experiment.kind == "plan" or parsed.seeds or not (parsed.decided or experiment.budget) then return nil end
  return { budget_s = parsed.budget_s or seeds.seconds(experiment.budget or BUDGET), first_seed = parsed.first_seed }
end

-- What compares rows gets as many as a verdict needs (src/statistics/contrast.h).
local function default_count(experiment)
  if experiment.kind == "plan" then return 1 end
  return (experiment.paper or experiment.against) and 5 or 3
end

-- The first and the last seed of a row's cells; until claims are decided the first are a pattern for those to come.
function seeds.range(experiment, parsed)
  local first = parsed.first_seed or 0
  return first, first + (parsed.seeds or experiment.seeds or default_count(experiment)) - 1
end

return seeds
