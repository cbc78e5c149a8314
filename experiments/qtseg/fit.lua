-- What QTSeg's MAE column mixes: pictures stretched to the network's square or padded to it, scored on their own pixels or on the
-- square. The paper's rows 1 to 4 of Table III were stretched, 5 and 6 padded; a picture of 3:4 padded to a square has a quarter of
-- background for nothing, and an MAE of three quarters. Two trainings, four scores; Dice and others: --metric dice.
local flat, plane = { 1, 2, 2 }, { 1, 3, 3 }

local function at(size, steps, halved)
  return {
    patch = { 1, size, size }, phantom2d_size = { size * 3 // 4, size }, steps = steps, step_every = halved,
    strides = { { 1, 1, 1 }, flat, flat, flat }, kernels = { plane, plane, plane, plane },
  }
end

local function row(key, label, set, against) return { key = key, label = label, set = set, against = against } end

return {
  title = "Stretched or padded, scored with the padding or without",
  metric = "mae",
  base = {
    data = "phantom2d", phantom2d_variant = 2, head = "point_wise", bridge = "none", optimizer = "adamw", lr = 1e-3, lr_transformer = 1,
    weight_decay = 1e-4, schedule = "step", warmup = 0, clip = 0, average = 0, foreground = 0, mirror = "none", batch = 8,
    normalise = "symmetric", widths = { 8, 24, 48, 96 },
  },
  at = { quick = at(128, 300, 75), small = at(256, 4000, 600), paper = at(512, 9800, 1400) },
  rows = {
    row("stretch", "stretched", { fit = "stretch" }),
    row("stretch_square", "stretched, the square scored", { fit = "stretch", score_pad = "yes" }, "stretch"),
    row("pad", "padded", { fit = "pad" }, "stretch"),
    row("pad_square", "padded, the square scored", { fit = "pad", score_pad = "yes" }, "pad"),
  },
}
