-- nnU-Net's head against MaskMed on anisotropic MRI: right ventricle, myocardium, left ventricle in 6-17
-- slices of 9 mm (ACDC). Patients, not volumes, are split. As hippocampus.lua:
--   harness data import msd DOWNLOADED/ACDC data/ACDC
--   harness data plan data/ACDC
-- The planned network at half its widths (and 160 for 320), on most of a slice instead of all of it: patches that
-- hold all of it never shift the heart, and patches of a quarter (128x128) invent hearts at the slice's border.
return {
  title = "Cardiac MRI (ACDC)",
  seeds = 1,
  base = {
    data = "data/ACDC", patch = { 10, 192, 160 }, batch = 2, steps = 3600, lr = 0.1, augment = "nnunet", mirror = "none",
    widths = { 16, 32, 64, 128, 160, 160 }, key_grid = { 5, 12, 10 },
    query_scales = 3, loss_scale = 0.1, warmup = 0, average = 0, -- as they were when the rates were found, whatever a scale's defaults are
  },
  rows = {
    { key = "nnunet", label = "nnU-Net", set = { head = "point_wise", bridge = "none" } },
    { key = "maskmed", label = "MaskMed", set = { steps = 2200, lr = 0.2 } }, -- the same half hour
  },
}
