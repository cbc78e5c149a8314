-- The rows of MaskSAM's Table 4 (adapters.lua) on MRI of the heart, with the same small SAM, of which a slice of 64 x 64 pixels
-- has more tokens than the scenes that it was pre-trained on. 24 of ACDC's 100 patients at 4 mm are not the paper's data
-- (a folder of its own, since its plan is another than that of experiments/acdc.lua):
--   harness data import msd DOWNLOADED/ACDC data/ACDC-4mm
--   harness data plan data/ACDC-4mm --spacing 9,4,4
local adapters = require "experiments.masksam.adapters"

local rows = table.move(adapters.rows, 1, #adapters.rows, 1, {})
local full = rows[#rows]
rows[#rows] = { key = full.key, label = full.label, set = full.set,
  note = "it and the others are trained on cases at 4 mm, not on those of the paper: no figure here is one of Table 4" }

return {
  title = "Prompts and adapters on cardiac MRI (ACDC)",
  seeds = 1,
  base = {
    model = "masksam", data = "data/ACDC-4mm", patch = { 4, 64, 64 }, batch = 1, steps = 500, optimizer = "adamw", lr = 4e-3,
    lr_transformer = 1, class_weight = 1, mask_prompt = "logits", class_token = "pooled", match_over = "volume", box_norm = "none",
    foreground = 0.67, collapse_at = 0.7, frame = "resize", queries = 2, augment = "none",
  },
  rows = rows,
}
