-- The numbers that MaskMed (Xie and Agam, 2025) prints for AMOS22, as data. A row's key is
-- the key of the experiment's row; dsc is the mean Dice of the table. `notes` are printed below the
-- table: what the paper contradicts or leaves open.
return {
  name = "MaskMed",
  title = "MaskMed: Decoupled Mask and Class Prediction for Medical Image Segmentation",
  tables = {
    [1] = {
      title = "Method",
      rows = {
        { key = "nnunet", label = "nn-UNet", dsc = 0.893 },
        { key = "maskformer", label = "MaskFormer", dsc = 0.863 },
        { key = "mask2former", label = "Mask2Former", dsc = 0.886 },
        { key = "maskmed", label = "MaskMed", dsc = 0.913 },
      },
      notes = {
        "paper: AMOS22 test set; the caption says 5-fold cross-validation, section 4 says leaderboard",
        "paper: nnU-Net stands at 0.893 here and at 0.878 in Table 3: the gain over it is 2.0 or 3.5 points",
        "paper: BTCV (Table 2) claims 13 organs and prints 12 columns; its nnU-Net 0.802 is below the 0.83 that nnU-Net itself reports",
        "paper: how MaskFormer and Mask2Former became 3D is one sentence (appendix D.1); here their public code's structure: one norm, "
          .. "class head and mask MLP for all layers, Mask2Former's prediction before the first layer, its deformable levels as they are",
        "after MaskFormer and Mask2Former, whose code has masks at 1/4 of the resolution (here the image's) and sums losses over "
          .. "predictions (here their mean)",
        "after Mask2Former: its loss reads 12,544 points drawn by importance, here all voxels; after MaskFormer: focal loss 20:1 to Dice "
          .. "and dropout 0.1, here MaskMed's weights of cross-entropy and none",
        "3D-TransUNet and MaskSAM matched masks to segments in medical images before MaskMed claims to be first",
      },
    },
    [3] = {
      title = "SegHead",
      rows = {
        { key = "nnunet", label = "nnU-Net (fixed CLS Emb)", dsc = 0.878 },
        { key = "larger_decoder", label = "nnU-Net w/ Larger Decoder", dsc = 0.890 },
        { key = "mlp_class", label = "MLP-based CLS Emb", dsc = 0.880 },
        { key = "attention_class", label = "Attention-based CLS Emb", dsc = 0.885 },
        { key = "attention_both", label = "Attention-based CLS & Mask Emb", dsc = 0.891 },
        { key = "decoupled", label = "Decouple CLS & Mask Emb", dsc = 0.903 },
      },
      notes = {
        "paper: nnU-Net stands at 0.878 here and at 0.893 in Table 1",
        "paper: Eq. 1-4 name Dice + BCE, appendix C cross-entropy and Dice; here cross-entropy and Dice, as nnU-Net "
          .. "(voxel_loss=bce_dice: the other)",
        "paper: the larger decoder's widths are not given; here its stages' first convolutions are wider, to the last row's parameters",
      },
    },
    [4] = {
      title = "Module",
      rows = {
        { key = "per_stage", label = "One query per stage", dsc = 0.903 },
        { key = "per_model", label = "One query per model (One_Q / M)", dsc = 0.906 },
        { key = "masked", label = "One_Q / M + Masked Attn", dsc = 0.909 },
        { key = "standard", label = "One_Q / M + Masked Attn + StandardTrans", dsc = 0.901 },
        { key = "deformable", label = "One_Q / M + Masked Attn + DeformableTrans", dsc = 0.907 },
        { key = "fsad", label = "One_Q / M + Masked Attn + FSAD-Transformer", dsc = 0.913 },
      },
      notes = {
        "paper: section 3.3 takes queries from the lowest four scales, appendix B names the smallest three as 'key'",
      },
    },
    [5] = {
      title = "CNN : Transformer",
      rows = {
        { key = "lr_transformer=1", label = "1:1", status = "collapse" },
        { key = "lr_transformer=0.5", label = "1:0.5", dsc = 0.822 },
        { key = "lr_transformer=0.1", label = "1:0.1", dsc = 0.913 },
        { key = "lr_transformer=0.05", label = "1:0.05", dsc = 0.908 },
      },
      notes = {
        "paper: 1:1 'collapse', without a rule for it",
        "paper: lr / (1 - momentum) is 0.1 for the CNN, 0.005 to 0.1 for the Transformer, over 250,000 steps; at quick a ratio acts at "
          .. "other sizes of step",
      },
    },
    [6] = {
      title = "# Object query",
      rows = {
        { key = "queries=1", label = "1 x N", dsc = 0.913 },
        { key = "queries=2", label = "2 x N", dsc = 0.904 },
        { key = "queries=3", label = "3 x N", dsc = 0.900 },
        { key = "queries=4", label = "4 x N", dsc = 0.891 },
      },
      notes = {
        "paper: AMOS22, one number a row; whether N counts background is not stated (here it does)",
        "paper: Eq. 6 shows no weight of the empty label, which further queries learn (here option none_weight, from MaskFormer and DETR)",
        "paper section 4 speaks of 16 structures, its tables of 15 organs",
      },
    },
    [7] = {
      title = "Class : BCE : Dice",
      rows = {
        { key = "2:5:5", label = "2:5:5", dsc = 0.902 },
        { key = "4:5:5", label = "4:5:5", dsc = 0.889 },
        { key = "2:10:10", label = "2:10:10", dsc = 0.913 },
        { key = "4:10:10", label = "4:10:10", dsc = 0.910 },
      },
      notes = {
        "paper: ratios only; the absolute scale of the loss is not given (here: option loss_scale)",
        "paper: the matching does not see a common factor: 2:5:5 and 4:10:10 differ in the loss's size, as if in the rate, alone",
        "paper: Eq. 6 sums over the stages a mask loss that it calls final; here every stage's masks have theirs",
      },
    },
  },
}
