-- What MaskMed (Xie and Agam, 2025) prints, table by table, and what contradicts it. A row's key is the key of the row of
-- the experiment that repeats it. How a table is declared: docs/adding.md.
local columns = require("harness.structures").columns

return {
  name = "MaskMed",
  title = "MaskMed: Decoupled Mask and Class Prediction for Medical Image Segmentation",
  source = "Xie and Agam, 2025",
  tables = {
    [1] = {
      title = "Comparison on AMOS22",
      axis = "Method",
      data = "AMOS22, Dice",
      columns = columns("amos", "Average"),
      digits = 3,
      rows = {
        { key = "unetr", label = "UNETR",
          0.928, 0.913, 0.903, 0.719, 0.763, 0.955, 0.849, 0.922, 0.838, 0.766, 0.663, 0.663, 0.662, 0.815, 0.744, 0.807 },
        { key = "nnformer", label = "nnFormer",
          0.950, 0.948, 0.944, 0.789, 0.784, 0.967, 0.914, 0.931, 0.868, 0.828, 0.654, 0.695, 0.759, 0.865, 0.773, 0.845 },
        { key = "swinunetr", label = "SwinUNETR",
          0.954, 0.954, 0.950, 0.819, 0.852, 0.972, 0.919, 0.955, 0.911, 0.875, 0.775, 0.801, 0.816, 0.895, 0.812, 0.884 },
        { key = "swinunetr_v2", label = "SwinUNETRv2",
          0.959, 0.962, 0.958, 0.842, 0.867, 0.976, 0.933, 0.957, 0.920, 0.889, 0.783, 0.812, 0.843, 0.913, 0.836, 0.897 },
        { key = "ux_net", label = "3D UX-Net",
          0.955, 0.956, 0.953, 0.826, 0.858, 0.972, 0.922, 0.955, 0.915, 0.881, 0.781, 0.809, 0.820, 0.902, 0.823, 0.889 },
        { key = "nnunet", label = "nn-UNet",
          0.951, 0.961, 0.956, 0.826, 0.869, 0.973, 0.931, 0.957, 0.923, 0.880, 0.784, 0.809, 0.846, 0.898, 0.827, 0.893 },
        { key = "masksam", label = "MaskSAM",
          0.963, 0.973, 0.969, 0.872, 0.876, 0.982, 0.940, 0.962, 0.922, 0.888, 0.794, 0.813, 0.851, 0.920, 0.854, 0.905 },
        { key = "maskformer", label = "MaskFormer",
          0.946, 0.959, 0.953, 0.790, 0.835, 0.969, 0.914, 0.948, 0.905, 0.853, 0.735, 0.671, 0.814, 0.865, 0.787, 0.863 },
        { key = "mask2former", label = "Mask2Former",
          0.954, 0.966, 0.962, 0.819, 0.855, 0.972, 0.934, 0.954, 0.917, 0.874, 0.760, 0.779, 0.844, 0.891, 0.809, 0.886 },
        { key = "maskmed", label = "MaskMed",
          0.971, 0.970, 0.969, 0.880, 0.890, 0.981, 0.950, 0.961, 0.929, 0.904, 0.801, 0.826, 0.875, 0.931, 0.859, 0.913 },
      },
      contradictions = {
        "paper: AMOS22 test set; the caption says 5-fold cross-validation, section 4 says leaderboard",
        { at = { "nnunet", "Average" },
          text = "paper: nnU-Net stands at 0.893 here and at 0.878 in Table 3: the gain over it is 2.0 or 3.5 points" },
        { at = { { "unetr", "Average" }, { "nnformer", "Average" }, { "swinunetr", "Average" } },
          text = "MaskSAM, by the same first author, prints for AMOS22 UNETR 0.762, nnFormer 0.790, SwinUNETR 0.880 and nnU-Net 0.878; "
            .. "its own row is the same in both" },
        { at = { { "maskmed", "R.Kd" }, { "maskmed", "Liver" }, { "maskmed", "Aorta" } },
          text = "paper: section 4.1 calls right kidney, liver and aorta the best of all; MaskSAM's 0.973, 0.982 and 0.962 are larger" },
        "paper: section 4 has 300 scans of 16 structures, the table 15 organs; MaskSAM counts 200 scans of the same data set",
        { at = { { "swinunetr", "Average" }, { "nnformer", "Average" } },
          text = "nnU-Net Revisited, 5 folds of AMOS22: SwinUNETR 0.838, nnFormer 0.816, nnU-Net 0.886" },
        { at = { "maskmed" },
          text = "3D-TransUNet and MaskSAM matched masks to segments in medical images before MaskMed claims to be first" },
      },
      notes = {
        "paper: how MaskFormer and Mask2Former became 3D is one sentence (appendix D.1); here their public code's structure: one norm, "
          .. "class head and mask MLP for all layers, Mask2Former's prediction before the first layer, its deformable levels as they are",
        "after MaskFormer and Mask2Former, whose code has masks at 1/4 of the resolution (here the image's) and sums losses over "
          .. "predictions (here their mean)",
        "after Mask2Former: its loss reads 12,544 points drawn by importance, here all voxels; after MaskFormer: focal loss 20:1 to Dice "
          .. "and dropout 0.1, here MaskMed's weights of cross-entropy and none",
      },
    },
    [2] = {
      title = "Comparison on BTCV",
      axis = "Method",
      data = "BTCV, 24 cases for training, 6 for validation, Dice",
      columns = columns("btcv", "DSC"),
      digits = 3,
      rows = {
        { key = "transunet", label = "TransUNet",
          0.952, 0.927, 0.929, 0.662, 0.757, 0.969, 0.889, 0.920, 0.833, 0.791, 0.775, 0.637, 0.838 },
        { key = "ux_net", label = "3D UX-Net",
          0.946, 0.942, 0.943, 0.593, 0.722, 0.964, 0.734, 0.872, 0.849, 0.722, 0.809, 0.671, 0.814 },
        { key = "unetr", label = "UNETR",
          0.968, 0.924, 0.941, 0.750, 0.766, 0.971, 0.913, 0.890, 0.847, 0.788, 0.767, 0.741, 0.856 },
        { key = "swinunetr", label = "Swin-UNETR",
          0.971, 0.936, 0.943, 0.794, 0.773, 0.975, 0.921, 0.892, 0.853, 0.812, 0.794, 0.765, 0.869 },
        { key = "nnunet", label = "nnUNet",
          0.942, 0.894, 0.910, 0.704, 0.723, 0.948, 0.824, 0.877, 0.782, 0.720, 0.680, 0.616, 0.802 },
        { key = "nnformer", label = "nnFormer",
          0.935, 0.949, 0.950, 0.641, 0.795, 0.968, 0.901, 0.897, 0.859, 0.778, 0.856, 0.739, 0.856 },
        { key = "maskformer", label = "MaskFormer",
          0.963, 0.946, 0.950, 0.561, 0.755, 0.969, 0.892, 0.894, 0.858, 0.738, 0.826, 0.674, 0.835 },
        { key = "mask2former", label = "Mask2Former",
          0.965, 0.949, 0.950, 0.626, 0.772, 0.970, 0.897, 0.897, 0.865, 0.752, 0.835, 0.706, 0.849 },
        { key = "maskmed", label = "MaskMed",
          0.970, 0.952, 0.956, 0.680, 0.792, 0.974, 0.922, 0.915, 0.887, 0.799, 0.875, 0.742, 0.872 },
      },
      contradictions = {
        { mean = "transunet" },
        { at = { "nnunet", "DSC" },
          text = "paper: 0.802 is below every Transformer; nnU-Net itself reports 0.831 on the 30 cases (nnU-Net Revisited, 5 folds)" },
        { at = { { "nnformer", "DSC" }, { "swinunetr", "DSC" } },
          text = "nnU-Net Revisited: nnFormer 0.809, SwinUNETR 0.789; SwinUNETR's repository, 24 and 6 cases: 0.823 pre-trained, a smaller "
            .. "one from nothing 0.798" },
        { at = { "unetr", "DSC" },
          text = "0.856 is UNETR's figure on the leaderboard's 20 test cases, of ensembles and partly private data; its users "
            .. "report 0.765 there and 0.776 in validation" },
        "paper: BTCV claims 13 organs and prints 12 columns, the adrenal glands as one; the mean of 0.872 is over 12, with that "
          .. "column twice it would be 0.862",
        { at = { { "maskmed", "Liver" }, { "maskmed", "Veins" } },
          text = "paper: section 4.1 names liver and veins among the gains; Swin-UNETR has 0.975 and 0.812" },
        { at = { "maskmed", "DSC" }, text = "paper: the abstract has +6.9 points over nnU-Net, the table's rows differ by 7.0" },
        "paper: the caption has DSC in %, the table prints shares of 1; section 4.1 compares with SwinUNet, which has no row",
      },
    },
    [3] = {
      title = "Segmentation heads",
      axis = "SegHead",
      data = "AMOS22, Dice",
      columns = { "DSC" },
      digits = 3,
      rows = {
        { key = "nnunet", label = "nnU-Net (fixed CLS Emb)", 0.878 },
        { key = "larger_decoder", label = "nnU-Net w/ Larger Decoder", 0.890 },
        { key = "mlp_class", label = "MLP-based CLS Emb", 0.880 },
        { key = "attention_class", label = "Attention-based CLS Emb", 0.885 },
        { key = "attention_both", label = "Attention-based CLS & Mask Emb", 0.891 },
        { key = "decoupled", label = "Decouple CLS & Mask Emb", 0.903 },
      },
      contradictions = {
        { at = { "nnunet", "DSC" }, text = "paper: nnU-Net stands at 0.878 here and at 0.893 in Table 1" },
        { at = { "decoupled", "DSC" }, text = "paper: section 4.2 calls 0.903 the full model, which has 0.913 in Tables 1 and 4" },
        "paper: Eq. 1-4 name Dice + BCE, appendix C cross-entropy and Dice; here cross-entropy and Dice, as nnU-Net "
          .. "(voxel_loss=bce_dice: the other)",
      },
      notes = {
        "paper: the larger decoder's widths are not given; here its stages' first convolutions are wider, to the last row's parameters",
      },
    },
    [4] = {
      title = "Proposed modules",
      axis = "Module",
      data = "AMOS22, Dice",
      columns = { "DSC" },
      digits = 3,
      rows = {
        { key = "per_stage", label = "One query per stage", 0.903 },
        { key = "per_model", label = "One query per model (One_Q / M)", 0.906 },
        { key = "masked", label = "One_Q / M + Masked Attn", 0.909 },
        { key = "standard", label = "One_Q / M + Masked Attn + StandardTrans", 0.901 },
        { key = "deformable", label = "One_Q / M + Masked Attn + DeformableTrans", 0.907 },
        { key = "fsad", label = "One_Q / M + Masked Attn + FSAD-Transformer", 0.913 },
      },
      contradictions = {
        "paper: section 3.3 takes queries from the lowest four scales, appendix B names the smallest three as 'key'",
      },
    },
    [5] = {
      title = "Learning rate ratios",
      axis = "CNN : Transformer",
      data = "AMOS22, Dice",
      columns = { "DSC" },
      digits = 3,
      rows = {
        { key = "lr_transformer=1", label = "1:1", "collapse" },
        { key = "lr_transformer=0.5", label = "1:0.5", 0.822 },
        { key = "lr_transformer=0.1", label = "1:0.1", 0.913 },
        { key = "lr_transformer=0.05", label = "1:0.05", 0.908 },
      },
      notes = {
        "paper: 1:1 'collapse', without a rule for it",
        "paper: lr / (1 - momentum) is 0.1 for the CNN, 0.005 to 0.1 for the Transformer, over 250,000 steps; at quick a ratio acts at "
          .. "other sizes of step",
      },
    },
    [6] = {
      title = "Number of object queries",
      axis = "# Object query",
      data = "AMOS22, Dice",
      columns = { "DSC" },
      digits = 3,
      rows = {
        { key = "queries=1", label = "1 x N", 0.913 },
        { key = "queries=2", label = "2 x N", 0.904 },
        { key = "queries=3", label = "3 x N", 0.900 },
        { key = "queries=4", label = "4 x N", 0.891 },
      },
      contradictions = {
        "paper section 4 speaks of 16 structures, its tables of 15 organs",
      },
      notes = {
        "paper: AMOS22, one number a row; whether N counts background is not stated (here it does)",
        "paper: Eq. 6 shows no weight of the empty label, which further queries learn (here option none_weight, from MaskFormer and DETR)",
      },
    },
    [7] = {
      title = "Loss ratios",
      axis = "Class : BCE : Dice",
      data = "AMOS22, Dice",
      columns = { "DSC" },
      digits = 3,
      rows = {
        { key = "2:5:5", label = "2:5:5", 0.902 },
        { key = "4:5:5", label = "4:5:5", 0.889 },
        { key = "2:10:10", label = "2:10:10", 0.913 },
        { key = "4:10:10", label = "4:10:10", 0.910 },
      },
      contradictions = {
        "paper: Eq. 6 sums over the stages a mask loss that it calls final; here every stage's masks have theirs",
      },
      notes = {
        "paper: ratios only; the absolute scale of the loss is not given (here: option loss_scale)",
        "paper: the matching does not see a common factor: 2:5:5 and 4:10:10 differ in the loss's size, as if in the rate, alone",
      },
    },
  },
}
