-- What a configuration asks of its learning rate and cannot get (engine/rate_schedule.h says how the rate goes): a sentence
-- about the row, or nothing.

-- The steps at which a run of the schedule begins, and where the last ends.
local function borders(config)
  local list = { 0 }
  for _, step in ipairs(config.restarts or {}) do list[#list + 1] = step end
  list[#list + 1] = config.steps
  return list
end

return function(config)
  local restarts, percents = config.restarts or {}, config.restart_percent or {}
  if #percents > #restarts then
    return ("has %d numbers in restart_percent, more than the %d restarts that they are of"):format(#percents, #restarts)
  end
  local last = restarts[#restarts]
  if last and last >= config.steps then
    return ("restarts at step %d, and its training ends after %d"):format(last, config.steps)
  end
  if math.type(config.warmup) ~= "integer" then
    return ("has a warm-up of %s steps, expected a whole number of them, or a share below 1"):format(config.warmup)
  end
  local at = borders(config)
  for i = 1, config.warmup > 0 and #at - 1 or 0 do
    local length = at[i + 1] - at[i]
    if config.warmup > length then
      return ("has a warm-up of %d steps where the rate has %d: it would never reach lr (warmup, %s)"):format(config.warmup,
        length, #restarts > 0 and "restarts, steps" or "steps")
    end
  end
  for i = 0, #restarts do
    local highest = config.lr * (i > 0 and percents[i] or 100) / 100
    if config.lr_min > 0 and config.lr_min > highest then
      return ("has lr_min=%s, which is more than the rate that it begins to fall from, %s"):format(config.lr_min, highest)
    end
  end
end
