-- What MaskSAM (Xie et al., 2024) prints, table by table, and what contradicts it. SAM and MedSAM were prompted by nnU-Net's
-- predictions in Table 1, by the ground truth in Tables 2 and 3; their labels are the prompts'.
local columns = require("harness.structures").columns

-- Two words before the figures: whether a method names what it segments, and where its prompts come from.
local function compared(set, mean)
  local list = columns(set, mean)
  table.insert(list, 1, { name = "Labels" })
  table.insert(list, 2, { name = "Prompts" })
  return list
end

return {
  name = "MaskSAM",
  title = "MaskSAM: Auto-prompt SAM with Mask Classification for Medical Image Segmentation",
  source = "Xie, Tang, Duan, Cai, Yan and Agam, 2024",
  tables = {
    [1] = {
      title = "Comparison on AMOS22",
      axis = "Method",
      data = "AMOS22, Dice",
      columns = compared("amos", "Average"),
      digits = 3,
      rows = {
        { key = "transbts", label = "TransBTS", "yes", false,
          0.885, 0.931, 0.916, 0.817, 0.744, 0.969, 0.837, 0.914, 0.855, 0.724, 0.630, 0.566, 0.704, 0.741, 0.650, 0.792 },
        { key = "unetr", label = "UNETR", "yes", false,
          0.926, 0.936, 0.918, 0.785, 0.702, 0.969, 0.788, 0.893, 0.828, 0.732, 0.717, 0.554, 0.658, 0.683, 0.722, 0.762 },
        { key = "nnformer", label = "nnFormer", "yes", false,
          0.935, 0.904, 0.887, 0.836, 0.712, 0.964, 0.798, 0.901, 0.821, 0.734, 0.665, 0.587, 0.641, 0.744, 0.714, 0.790 },
        { key = "swinunetr", label = "SwinUNETR", "yes", false,
          0.959, 0.960, 0.949, 0.894, 0.827, 0.979, 0.899, 0.944, 0.899, 0.828, 0.791, 0.745, 0.817, 0.875, 0.841, 0.880 },
        { key = "nnunet", label = "nn-UNet", "yes", false,
          0.965, 0.959, 0.951, 0.889, 0.820, 0.980, 0.890, 0.948, 0.901, 0.821, 0.785, 0.739, 0.806, 0.869, 0.839, 0.878 },
        { key = "sam_point", label = "SAM, 1 point", "no", "nnU-Net",
          0.001, 0.000, 0.051, 0.000, 0.002, 0.003, 0.010, 0.018, 0.019, 0.012, 0.000, 0.008, 0.007, 0.005, 0.017, 0.011 },
        { key = "sam_box", label = "SAM, 1 box", "no", "nnU-Net",
          0.679, 0.741, 0.640, 0.168, 0.443, 0.773, 0.671, 0.651, 0.554, 0.434, 0.232, 0.324, 0.444, 0.698, 0.602, 0.538 },
        { key = "medsam_point", label = "MedSAM, 1 point", "no", "nnU-Net",
          0.000, 0.000, 0.078, 0.000, 0.008, 0.008, 0.014, 0.010, 0.025, 0.024, 0.009, 0.000, 0.012, 0.008, 0.023, 0.020 },
        { key = "medsam_box", label = "MedSAM, 1 box", "no", "nnU-Net",
          0.714, 0.811, 0.702, 0.193, 0.469, 0.759, 0.725, 0.701, 0.681, 0.434, 0.365, 0.412, 0.462, 0.783, 0.758, 0.600 },
        { key = "samed", label = "SAMed", "yes", "none",
          0.849, 0.857, 0.830, 0.573, 0.733, 0.894, 0.816, 0.855, 0.784, 0.727, 0.622, 0.683, 0.701, 0.844, 0.829, 0.773 },
        { key = "sam3d", label = "SAM3D", "yes", "none",
          0.796, 0.863, 0.871, 0.428, 0.711, 0.908, 0.833, 0.878, 0.749, 0.699, 0.564, 0.607, 0.635, 0.884, 0.850, 0.752 },
        { key = "masksam", label = "MaskSAM", "yes", "none",
          0.963, 0.973, 0.969, 0.872, 0.876, 0.982, 0.940, 0.962, 0.922, 0.888, 0.794, 0.813, 0.851, 0.920, 0.854, 0.905 },
      },
      contradictions = {
        { mean = "unetr" },
        { mean = "sam_box" },
        { mean = "medsam_point" },
        { mean = "medsam_box" },
        { at = { { "nnunet", "Average" }, { "swinunetr", "Average" }, { "nnformer", "Average" }, { "unetr", "Average" } },
          text = "MaskMed, by the same first author, prints for AMOS22 nnU-Net 0.893, SwinUNETR 0.884, nnFormer 0.845 and UNETR 0.807 "
            .. "beside the same row of MaskSAM: its lead over nnU-Net is 2.7 or 1.2 points" },
        { at = { { "transbts", "Average" }, { "unetr", "Average" }, { "nnformer", "Average" }, { "swinunetr", "Average" } },
          text = "these means equal those of 3D UX-Net's public table of AMOS after pre-training on FLARE, another pipeline; its own "
            .. "0.900 is left out" },
        "paper: the caption says 5-fold cross-validation, section 3 says leaderboard; 16 anatomies are counted, 15 listed",
        { at = { "masksam" },
          text = "paper: the base ViT, SGD, deep supervision of three stages; public code for AMOS22: ViT-H, AdamW, none" },
        "paper: N <= N_gt pads the ground truth with empty labels, which wants N >= N_gt",
      },
    },
    [2] = {
      title = "Comparison on Synapse",
      axis = "Method",
      data = "Synapse, 18 cases for training, 12 for validation, Dice in %",
      columns = compared("synapse", "DSC"),
      digits = 2,
      unit = "%",
      rows = {
        { key = "transunet", label = "TransUNet", "yes", false, 87.23, 63.16, 81.87, 77.02, 94.08, 55.86, 85.08, 75.62, 77.48 },
        { key = "swinunet", label = "SwinUNet", "yes", false, 85.47, 66.53, 83.28, 79.61, 94.29, 56.58, 90.66, 76.6, 79.13 },
        { key = "unetr", label = "UNETR", "yes", false, 89.99, 60.56, 85.66, 84.80, 94.46, 59.25, 87.81, 73.99, 79.56 },
        { key = "nnunet", label = "nnUNet", "yes", false, 92.39, 71.71, 86.07, 91.46, 95.84, 82.92, 90.31, 79.01, 86.21 },
        { key = "nnformer", label = "nnFormer", "yes", false, 92.40, 70.17, 86.57, 86.25, 96.84, 83.35, 90.51, 86.83, 86.57 },
        { key = "sam_point", label = "SAM, 1 point", "no", "truth", 1.18, 8.33, 0.00, 0.16, 1.80, 2.10, 0.44, 1.17, 1.90 },
        { key = "sam_box", label = "SAM, 1 box", "no", "truth", 60.05, 24.90, 68.87, 54.22, 76.91, 45.36, 69.20, 67.93, 58.43 },
        { key = "medsam_point", label = "MedSAM, 1 point", "no", "truth", 0.93, 8.33, 0.00, 5.11, 0.69, 2.73, 0.00, 1.18, 2.37 },
        { key = "medsam_box", label = "MedSAM, 1 box", "no", "truth", 70.16, 22.44, 79.08, 64.63, 76.38, 52.31, 73.07, 79.10, 64.65 },
        { key = "samed", label = "SAMed", "yes", "none", 87.77, 69.11, 80.45, 79.95, 94.80, 72.17, 88.72, 82.06, 81.88 },
        { key = "samed_s", label = "SAMed_s", "yes", "none", 83.62, 57.11, 79.63, 78.92, 93.98, 65.66, 85.81, 77.49, 77.78 },
        { key = "sam3d", label = "SAM3D", "yes", "none", 89.57, 49.81, 86.31, 85.64, 95.42, 69.32, 84.29, 76.11, 79.56 },
        { key = "masksam", label = "MaskSAM", "yes", "none", 91.75, 72.20, 87.32, 88.15, 97.21, 79.62, 92.47, 89.11, 87.23 },
      },
      contradictions = {
        { mean = "nnformer" },
        { at = { { "masksam", "Aorta" }, { "masksam", "R.Kd" }, { "masksam", "Panc" } },
          text = "paper: section 3.1 says that all methods are outperformed; nnFormer has 92.40 in aorta and 83.35 in pancreas, nnU-Net "
            .. "91.46 in the right kidney" },
        { at = { "samed", "DSC" }, text = "paper: section 3.1 has a lead of 6 points over SAMed, the rows differ by 5.35" },
        "paper: section 3.1 compares with V-Net, which has no row",
        { at = { { "transunet", "DSC" }, { "swinunet", "DSC" }, { "nnformer", "DSC" } },
          text = "these start from ImageNet weights, nnU-Net from nothing" },
      },
    },
    [3] = {
      title = "Comparison on ACDC",
      axis = "Method",
      data = "ACDC, 70 patients for training, 10 for validation, 20 for testing, Dice in %",
      columns = compared("acdc", "DSC"),
      digits = 2,
      unit = "%",
      rows = {
        { key = "unetr", label = "UNETR", "yes", false, 85.29, 86.52, 94.02, 88.61 },
        { key = "transunet", label = "TransUNet", "yes", false, 88.86, 84.54, 95.73, 89.71 },
        { key = "swinunet", label = "SwinUNet", "yes", false, 88.55, 85.62, 95.83, 90.00 },
        { key = "nnunet", label = "nnUNet", "yes", false, 90.24, 89.24, 92.36, 91.61 },
        { key = "nnformer", label = "nnFormer", "yes", false, 90.94, 89.58, 95.65, 92.06 },
        { key = "sam_point", label = "SAM, 1 point", "no", "truth", 3.33, 3.20, 27.47, 11.33 },
        { key = "sam_box", label = "SAM, 1 box", "no", "truth", 70.95, 33.33, 81.31, 62.53 },
        { key = "medsam_point", label = "MedSAM, 1 point", "no", "truth", 1.88, 4.90, 9.48, 5.42 },
        { key = "medsam_box", label = "MedSAM, 1 box", "no", "truth", 85.86, 80.31, 92.33, 86.17 },
        { key = "sam3d", label = "SAM3D", "yes", "none", 89.44, 87.12, 94.67, 90.41 },
        { key = "masksam", label = "MaskSAM", "yes", "none", 92.30, 91.37, 96.49, 93.39 },
      },
      contradictions = {
        { mean = "nnunet", text = "the gain over it is 1.8 or 2.8 points; with 95.36 in place of LV's 92.36 the mean would be as printed" },
        { mean = "sam_box" },
        { at = { "nnformer", "RV" }, text = "paper: section 3.1 has a gain of 2.3 points in RV over nnFormer, the rows differ by 1.36" },
        "paper: section 3.1 has four gains, 31, 7, 6 and 3 points, over three methods that use SAM: the third is none's",
        "paper: section 3.1 compares with R50-U-Net and LeViT-UNet-384s, which have no row",
        { at = { { "transunet", "DSC" }, { "swinunet", "DSC" }, { "nnformer", "DSC" } },
          text = "these start from ImageNet or ADE-20k weights, nnU-Net from nothing" },
        { at = { "nnformer", "DSC" }, text = "nnU-Net Revisited, 5 folds of ACDC: nnFormer 92.40, nnU-Net 91.54" },
      },
    },
    [4] = {
      title = "Ablation on ACDC",
      axis = "Model",
      data = "ACDC, 20 patients for testing, Dice in %",
      columns = { "DSC" },
      digits = 2,
      unit = "%",
      rows = {
        { key = "mask", label = "B1 SAM + MaskPG + vAdapter", 89.53 },
        { key = "box", label = "B2 SAM + BBoxPG + vAdapter", 88.78 },
        { key = "mask_box", label = "B3 SAM + MaskBBoxPG + vAdapter", 90.08 },
        { key = "mask_mean_box", label = "B4 SAM + MaskAvgBBoxPG + vAdapter", 91.45 },
        { key = "depth_position", label = "B5 B4 + DPosEmbed", 91.61 },
        { key = "mlp_after", label = "B6 B5, vAdapter w/ D-MLP after FC-Up", 92.88 },
        { key = "mlp_before", label = "B7 B5, vAdapter w/ D-MLP before FC-Down", 92.93 },
        { key = "mlp_middle", label = "B8 B5, DMLPAdapter for vAdapter", 93.10 },
        { key = "full", label = "B9 B8 + DConvAdapter (full model)", 93.39 },
      },
      contradictions = {
        { at = { { "box", "DSC" }, { "mask_box", "DSC" }, { "mlp_before", "DSC" } },
          text = "paper: section 3.2 cuts differences instead of rounding them: 2.6 for 2.67 (B4 to B2), 1.3 for 1.37 (B4 to B3), "
            .. "0.1 for 0.17 (B8 to B7)" },
        { at = { "mlp_after", "DSC" },
          text = "paper: any mixing of depth is the largest step, 1.27 points (B5 to B6); where it stands, which is what the text "
            .. "names, moves 0.22" },
        { at = { "full" },
          text = "paper: the auxiliary class token is pooled to one cell, in public code to 16 x 16; code has B9 alone, none of B1 to B8" },
      },
      notes = {
        "PG: generator of prompts, masks or boxes or both; vAdapter: vanilla adapter; D-MLP: MLP along depth; DPosEmbed: position "
          .. "along depth",
      },
    },
  },
}
