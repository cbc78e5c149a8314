-- QTSeg's Table III, settings 2 to 6: does distributing features between levels help (4 against 3, 6 against 5), does dual-mix
-- attention do better than SAM's layers (5 against 3, 6 against 4), do three levels than one (3 against 2)? Setting 1, TinyViT at
-- 1024 x 1024, stands in the paper's table only: it is not built. With images of one's own: data=FOLDER.
local function row(key, label, set, against) return { key = key, label = label, set = set, against = against } end

return {
  title = "Decoder and feature distribution",
  paper = "qtseg",
  table = 3,
  base = {
    model = "qtseg", data = "phantom2d", phantom2d_variant = 2, fit = "pad", normalise = "symmetric", optimizer = "adamw", lr = 1e-3,
    lr_transformer = 1, weight_decay = 1e-4, schedule = "step", step_factor = 0.5, warmup = 0, clip = 0, average = 0, foreground = 0,
    mirror = "none",
  },
  at = {
    quick = { phantom2d_size = { 96, 128 }, patch = { 1, 128, 128 }, batch = 8, steps = 480, step_every = 120 },
    small = { phantom2d_size = { 192, 256 }, patch = { 1, 256, 256 }, batch = 16, steps = 4000, step_every = 600 },
    -- 350 epochs of 28 batches, of which the last is left out; the rate is halved every 50.
    paper = {
      phantom2d_size = { 384, 512 }, patch = { 1, 512, 512 }, batch = 32, steps = 9800, step_every = 1400, lr_min = 1e-5,
      augment = "qtseg",
    },
  },
  rows = {
    row("cnn_medsam", "2 one level, SAM's layers", { decoder = "medsam", depths = { 1 }, mlfd = false }),
    row("multi_medsam", "3 three levels, SAM's layers", { decoder = "medsam", mlfd = false }, "cnn_medsam"),
    row("multi_medsam_mlfd", "4 the same, MLFD", { decoder = "medsam", mlfd = true }, "multi_medsam"),
    row("multi_dmad", "5 three levels, DMAD", { decoder = "dmad", mlfd = false }, "multi_medsam"),
    row("multi_dmad_mlfd", "6 the same, MLFD", { decoder = "dmad", mlfd = true }, "multi_dmad"),
  },
}
