-- What QTSeg's MAE column mixes: pictures stretched to the network's square or padded to it, scored on their own pixels or on the
-- square. The paper's rows 1 to 4 of Table III were stretched, 5 and 6 padded; a picture of 3:4 padded to a square has a quarter of
-- background for nothing, and at best an MAE of three quarters. Two trainings of setting 6, four scores; Dice and others: --metric
-- dice. Another network: model=maskmed head=point_wise bridge=none. At quick setting 6 is half as wide.
local variation = require "harness.variation"

local function row(key, label, set, against) return { key = key, label = label, set = set, against = against } end

return variation(require "experiments.qtseg.modules", {
  title = "Stretched or padded, scored with the padding or without",
  metric = "mae",
  at = { quick = { n_channel = 8, mlp = 256 } },
  rows = {
    row("stretch", "stretched", { fit = "stretch" }),
    row("stretch_square", "stretched, the square scored", { fit = "stretch", score_pad = "yes" }, "stretch"),
    row("pad", "padded", { fit = "pad" }, "stretch"),
    row("pad_square", "padded, the square scored", { fit = "pad", score_pad = "yes" }, "pad"),
  },
})
