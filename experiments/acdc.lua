-- nnU-Net's head against MaskMed on anisotropic MRI: right ventricle, myocardium, left ventricle in 6-17
-- slices of 9 mm (ACDC). Patients, not volumes, are split. As hippocampus.lua:
--   harness data import msd DOWNLOADED/ACDC data/ACDC
--   harness data plan data/ACDC
-- The plan's patch is a whole slice (10x256x224); a quarter of it is a step in a quarter of the time, but
-- invents structures far from the heart, most of which the stored post-processing takes away.
return {
  title = "Cardiac MRI (ACDC)",
  seeds = 1,
  base = {
    data = "data/ACDC", patch = { 10, 128, 128 }, batch = 2, steps = 1200, lr = 0.1, augment = "nnunet", mirror = "none",
    widths = { 16, 32, 64, 128, 128 },
    strides = { { 1, 1, 1 }, { 1, 2, 2 }, { 1, 2, 2 }, { 2, 2, 2 }, { 1, 2, 2 } },
    kernels = { { 1, 3, 3 }, { 1, 3, 3 }, { 3, 3, 3 }, { 3, 3, 3 }, { 3, 3, 3 } },
    key_grid = { 5, 16, 16 },
  },
  rows = {
    { key = "nnunet", label = "nnU-Net", set = { head = "point_wise", bridge = "none", steps = 2000 } },
    { key = "maskmed", label = "MaskMed", set = {} },
  },
}
