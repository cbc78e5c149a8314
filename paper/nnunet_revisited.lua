-- nnU-Net Revisited (Isensee, Wald et al., 2024) as nnU-Net's documentation of its residual encoder presets prints it: one
-- pipeline, trained from nothing. What others' tables are held against.
return {
  name = "nnU-Net Revisited",
  title = "nnU-Net Revisited: A Call for Rigorous Validation in 3D Medical Image Segmentation",
  source = "Isensee, Wald, Ulrich, Baumgartner, Roy, Maier-Hein and Jaeger, 2024",
  tables = {
    [1] = {
      title = "Comparison on six data sets",
      axis = "Method",
      data = "5 folds, Dice in %; memory in GB (nvidia-smi), time in hours on one A100 of 40 GB",
      columns = {
        "BTCV", "ACDC", "LiTS", "BraTS", "KiTS", "AMOS", { name = "VRAM", unit = "GB" }, { name = "Hours", unit = "h", digits = 0 }, "Kind",
        "nnU-Net",
      },
      main = "AMOS",
      digits = 2,
      unit = "%",
      rows = {
        { key = "nnunet", label = "nnU-Net", 83.08, 91.54, 80.09, 91.24, 86.04, 88.64, 7.70, 9, "CNN", "yes" },
        { key = "resenc_m", label = "ResEnc M", 83.31, 91.99, 80.75, 91.26, 86.79, 88.77, 9.10, 12, "CNN", "yes" },
        { key = "resenc_l", label = "ResEnc L", 83.35, 91.69, 81.60, 91.13, 88.17, 89.41, 22.70, 35, "CNN", "yes" },
        { key = "resenc_xl", label = "ResEnc XL", 83.28, 91.48, 81.19, 91.18, 88.67, 89.68, 36.60, 66, "CNN", "yes" },
        { key = "mednext_l_k3", label = "MedNeXt L k3", 84.70, 92.65, 82.14, 91.35, 88.25, 89.62, 17.30, 68, "CNN", "yes" },
        { key = "mednext_l_k5", label = "MedNeXt L k5", 85.04, 92.62, 82.34, 91.50, 87.74, 89.73, 18.00, 233, "CNN", "yes" },
        { key = "stu_net_s", label = "STU-Net S", 82.92, 91.04, 78.50, 90.55, 84.93, 88.08, 5.20, 10, "CNN", "yes" },
        { key = "stu_net_b", label = "STU-Net B", 83.05, 91.30, 79.19, 90.85, 86.32, 88.46, 8.80, 15, "CNN", "yes" },
        { key = "stu_net_l", label = "STU-Net L", 83.36, 91.31, 80.31, 91.26, 85.84, 89.34, 26.50, 51, "CNN", "yes" },
        { key = "swinunetr", label = "SwinUNETR", 78.89, 91.29, 76.50, 90.68, 81.27, 83.81, 13.10, 15, "Transformer", "yes" },
        { key = "swinunetr_v2", label = "SwinUNETRv2", 80.85, 92.01, 77.85, 90.74, 84.14, 86.24, 13.40, 15, "Transformer", "yes" },
        { key = "nnformer", label = "nnFormer", 80.86, 92.40, 77.40, 90.22, 75.85, 81.55, 5.70, 8, "Transformer", "yes" },
        { key = "cotr", label = "CoTr", 81.95, 90.56, 79.10, 90.73, 84.59, 88.02, 8.20, 18, "Transformer", "yes" },
        { key = "no_mamba", label = "No-Mamba Base", 83.69, 91.89, 80.57, 91.26, 85.98, 89.04, 12.00, 24, "CNN", "yes" },
        { key = "u_mamba_bot", label = "U-Mamba Bot", 83.51, 91.79, 80.40, 91.26, 86.22, 89.13, 12.40, 24, "Mamba", "yes" },
        { key = "u_mamba_enc", label = "U-Mamba Enc", 82.41, 91.22, 80.27, 90.91, 86.34, 88.38, 24.90, 47, "Mamba", "yes" },
        { key = "a3ds_segresnet", label = "A3DS SegResNet", 80.69, 90.69, 79.28, 90.79, 81.11, 87.27, 20.00, 22, "CNN", "no" },
        { key = "a3ds_dints", label = "A3DS DiNTS", 78.18, 82.97, 69.05, 87.75, 65.28, 82.35, 29.20, 16, "CNN", "no" },
        { key = "a3ds_swinunetr", label = "A3DS SwinUNETR", 76.54, 82.68, 68.59, 89.90, 52.82, 85.05, 34.50, 9, "Transformer", "no" },
      },
      contradictions = {
        { at = { { "resenc_l", "Hours" }, { "mednext_l_k3", "VRAM" } },
          text = "a user repeats ResEnc L in 28 hours and 23.5 GB, MedNeXt L k3 in 60 hours and 24.9 GB" },
        { at = { { "nnunet", "BTCV" }, { "nnformer", "BTCV" }, { "swinunetr", "BTCV" } },
          text = "MaskMed's Table 2 has nnU-Net below every Transformer on BTCV: 0.802, nnFormer 0.856, Swin-UNETR 0.869" },
      },
      notes = {
        "nnU-Net: whether the method is part of nnU-Net's framework; A3DS: Auto3DSeg of MONAI",
      },
    },
  },
}
