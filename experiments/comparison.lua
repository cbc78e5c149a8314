-- The shape of MaskMed's Tables 1 and 2: nnU-Net, 3D MaskFormer and 3D Mask2Former (appendix D.1) beside
-- MaskMed, per structure. Mask2Former's matching and weights are its own.
-- Trials stored before the two were structured as their public code have decoder_heads=own decoder_start=learned
-- decoder_order=cross_first pixel_decoder=laterals, and of Mask2Former first_prediction=no bce_weight=10 dice_weight=10.
return {
  title = "Comparison with other methods",
  paper = "maskmed",
  table = 1,
  rows = {
    { key = "nnunet", label = "nnU-Net", set = { head = "point_wise", bridge = "none" } },
    { key = "maskformer", label = "MaskFormer (3D)", set = { model = "maskformer", match = "per_stage" } },
    { key = "mask2former", label = "Mask2Former (3D)",
      set = { model = "mask2former", match = "per_stage", bce_weight = 5, dice_weight = 5 } },
    { key = "maskmed", label = "MaskMed", set = {} },
  },
}
