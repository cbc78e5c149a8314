-- What a configuration asks of pictures and cannot get, since its patch is none: a sentence about the row, or nothing.
local FLAT = { { "fit", { stretch = true, pad = true } }, { "augment", { qtseg = true } } }

return function(config)
  for _, option in ipairs(FLAT) do
    local name, of_pictures = table.unpack(option)
    if of_pictures[config[name]] and config.patch[1] ~= 1 then
      return ("has %s=%s, which is for pictures, and a patch of %s; expected one of 1,H,W"):format(name, config[name],
        table.concat(config.patch, ","))
    end
  end
end
