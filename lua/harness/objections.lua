-- What a configuration asks for and cannot get, whatever its model: a sentence about the row, or nothing.
local FLAT = { { "fit", { stretch = true, pad = true } }, { "augment", { qtseg = true } } }

local function of_pictures(config)
  for _, option in ipairs(FLAT) do
    local name, flat = table.unpack(option)
    if flat[config[name]] and config.patch[1] ~= 1 then
      return ("has %s=%s, which is for pictures, and a patch of %s; expected one of 1,H,W"):format(name, config[name],
        table.concat(config.patch, ","))
    end
  end
end

local function of_freezing(config)
  local steps = config.freeze_steps
  if steps > 0 and config.freeze == "none" then
    return ("has freeze_steps=%d, which says how long freeze= is for, and freeze=none"):format(steps)
  elseif steps > 0 and steps >= config.steps then
    return ("has freeze_steps=%d of steps=%d: what never trains is frozen without freeze_steps"):format(steps, config.steps)
  end
end

return function(config) return of_pictures(config) or of_freezing(config) end
