-- nnU-Net's head against MaskMed on real MRI: anterior and posterior hippocampus (MSD Task04, 1 mm,
-- about 36x50x35 voxels a case). nnU-Net's published five-fold Dice is 0.90 and 0.89. Once:
--   harness data import msd DOWNLOADED/Task04_Hippocampus data/Task04_Hippocampus
--   harness data plan data/Task04_Hippocampus
-- folds=5 for all folds, data=DIR for another place, dtype=bf16 where the processor has it.
-- A short training: mirrored patches and more steps do not pay before nnU-Net's own length. Rates, widths and the loss's size are
-- those that were measured together (results/reference/hippocampus.txt), whatever a scale's defaults are.
return {
  title = "Hippocampus (MSD Task04)",
  seeds = 1,
  base = { data = "data/Task04_Hippocampus", batch = 2, steps = 1500, lr = 0.2, augment = "nnunet", mirror = "none",
    widths = { 16, 32, 64, 128 }, query_scales = 3, loss_scale = 0.1, warmup = 0, average = 0 },
  rows = {
    { key = "nnunet", label = "nnU-Net", set = { head = "point_wise", bridge = "none" } },
    { key = "maskmed", label = "MaskMed", set = { steps = 2000, lr = 0.3 } }, -- its head learns at a tenth of the rate
  },
}
