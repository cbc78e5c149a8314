-- An experiment on another's network: its base and what that sets at each scale, under what `own` sets there; each row is held
-- against the first, unless `own` says otherwise. own: an experiment without base, which stands in the other.
local function under(below, above)
  local all = {}
  for _, set in ipairs { below or {}, above or {} } do
    for option, value in pairs(set) do all[option] = value end
  end
  return all
end

return function(other, own)
  local at = {}
  for _, scales in ipairs { other.at or {}, own.at or {} } do
    for scale in pairs(scales) do at[scale] = under((other.at or {})[scale], (own.at or {})[scale]) end
  end
  own.base, own.at, own.against = under(other.base, own.base), at, own.against or "first"
  return own
end
