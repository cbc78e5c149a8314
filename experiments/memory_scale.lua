-- MaskMed 3.3: what does a bridge cost when it covers more scales? The paper stops standard attention at three
-- scales and deformable attention at four for want of memory; FSAD asks from the lowest query_scales and samples all.
-- Planned at both sizes, timed where it fits; nothing is trained.
local function standard(attention)
  return function(n) return { bridge = "standard", attention = attention, standard_scales = n } end
end

local bridges = {
  { key = "naive", label = "standard, naive", set = standard("naive") },
  { key = "tiled", label = "standard, tiled", set = standard("tiled") },
  { key = "deformable", label = "deformable", set = function(n) return { bridge = "deformable", query_scales = n } end },
  {
    key = "fsad", label = "FSAD",
    set = function(n, c) return { bridge = "fsad", query_scales = math.min(n, c.query_scales), value_scales = n } end,
  },
}

return {
  title = "Memory against scale coverage",
  kind = "plan",
  scales = { "quick", "paper" },
  base = { model = "bridge" },
  rows = function(c)
    local rows = {}
    for _, bridge in ipairs(bridges) do
      for n = 1, #c.widths do
        local label = ("%s, %d scale%s"):format(bridge.label, n, n > 1 and "s" or "")
        rows[#rows + 1] = { key = bridge.key .. " " .. n, label = label, set = bridge.set(n, c) }
      end
    end
    return rows
  end,
}
