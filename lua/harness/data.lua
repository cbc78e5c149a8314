-- The data set that a configuration asks for, as lua/bind.h documents it: a folder, or a phantom that is made where it
-- is missing. A phantom's folder carries its options in its name: another size is another data set.
local function phantom2d_of(config, results)
  local size, kind, variant = config.phantom2d_size, config.phantom2d, config.phantom2d_variant
  return {
    kind = "phantom", name = "phantom2d",
    dir = ("%s/data/phantom2d-%s-%dx%d-%dcases-%dvalidation-seed%d%s"):format(results, kind, size[1], size[2],
      config.phantom2d_cases, config.phantom2d_validation, config.phantom2d_seed, variant == 1 and "" or "-variant" .. variant),
    options = {
      picture = kind, variant = variant, size = size, cases = config.phantom2d_cases, validation = config.phantom2d_validation,
      seed = config.phantom2d_seed,
    },
  }
end

local function scenes_of(config, results)
  local size = config.scenes_size
  return {
    kind = "phantom", name = "scenes",
    dir = ("%s/data/scenes-%s-%dcases-%dvalidation-seed%d"):format(results, table.concat(size, "x"), config.scenes_cases,
      config.scenes_validation, config.scenes_seed),
    options = {
      picture = "scenes", size = size, cases = config.scenes_cases, validation = config.scenes_validation,
      seed = config.scenes_seed,
    },
  }
end

local function phantom_of(config, results)
  local name = ("phantom-%s-%dorgans-%dcases-%gHU-seed%d"):format(
    table.concat(config.phantom_size, "x"), config.phantom_organs, config.phantom_cases, config.phantom_noise,
    config.phantom_seed)
  if config.phantom_anatomy ~= 1 then name = name .. "-anatomy" .. config.phantom_anatomy end
  return {
    kind = "phantom", name = "phantom", dir = results .. "/data/" .. name,
    options = {
      size = config.phantom_size, cases = config.phantom_cases, validation = config.phantom_validation,
      organs = config.phantom_organs, anatomy = config.phantom_anatomy, noise_hu = config.phantom_noise, seed = config.phantom_seed,
    },
  }
end

local function folder_of(dir, machine)
  local name = dir:match("([^/]+)$")
  if not name or name == "." or name == ".." then name = machine.folder_name(dir) or dir end
  return { kind = "folder", dir = dir, name = name }
end

-- machine: lua/experiment.c's.
return function(config, machine)
  if config.data == "phantom" then return phantom_of(config, machine.results) end
  if config.data == "phantom2d" then return phantom2d_of(config, machine.results) end
  if config.data == "scenes" then return scenes_of(config, machine.results) end
  return folder_of((config.data:gsub("(.)/+$", "%1")), machine)
end
