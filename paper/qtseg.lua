-- What QTSeg (Tran et al., 2025) prints, table by table, and what contradicts it. FLOPs are multiply-adds: GMAC.
local PER_IMAGE = { "MAE", "Dice", "IoU" }

-- The columns of Table I: cost, then three figures a data set.
local function per_set(sets)
  local list = { { name = "Params", unit = "M" }, { name = "FLOPs", unit = "G" } }
  for _, set in ipairs(sets) do
    for _, name in ipairs(PER_IMAGE) do list[#list + 1] = { name = name, group = set } end
  end
  return list
end

return {
  name = "QTSeg",
  title = "QTSeg: A Query Token-Based Dual-Mix Attention Framework with Multi-Level Feature Distribution for Medical Image Segmentation",
  source = "Tran, Pham, Dang, Huh and Hong, 2025",
  roman = true,
  tables = {
    [1] = {
      title = "Comparison on four data sets",
      axis = "Method",
      data = "2D images; MAE, Dice and IoU in %, parameters in M, FLOPs in G",
      columns = per_set { "ISIC2016", "BUSI", "NeoPolyp", "DSB2018" },
      main = "ISIC2016 Dice",
      digits = 2,
      unit = "%",
      rows = {
        { key = "unet", label = "U-Net",
          23.63, 33.39, 4.98, 89.56, 83.61, 4.09, 77.17, 68.47, 0.99, 87.25, 81.33, 3.12, 88.83, 81.04 },
        { key = "unet_pp", label = "UNet++",
          24.38, 35.60, 5.12, 89.46, 83.63, 3.53, 78.58, 69.65, 0.92, 88.44, 82.89, 3.00, 89.22, 81.63 },
        { key = "ege_unet", label = "EGE-UNet",
          0.05, 0.33, 5.68, 88.98, 81.74, 4.85, 68.24, 57.11, 3.20, 59.98, 49.28, 3.21, 85.29, 76.03 },
        { key = "missformer", label = "MISSFormer",
          42.33, 109.45, 5.45, 88.37, 80.75, 4.25, 78.63, 69.66, 0.95, 87.98, 81.89, 2.28, 89.78, 82.36 },
        { key = "swin_unet", label = "Swin-Unet",
          27.27, 36.98, 4.74, 90.12, 83.21, 3.80, 81.35, 72.90, 0.73, 90.80, 85.24, 2.27, 89.95, 82.67 },
        { key = "malunet", label = "MALUNet",
          0.18, 0.37, 4.55, 92.01, 85.20, 4.72, 75.14, 60.26, 1.84, 82.09, 69.67, 5.56, 81.72, 71.96 },
        { key = "h2former", label = "H2Former",
          33.71, 33.56, 3.80, 92.41, 86.45, 4.14, 74.06, 63.64, 1.69, 73.83, 64.29, 3.00, 89.17, 81.33 },
        { key = "mhorunet", label = "MHorUNet",
          4.96, 2.38, 4.74, 91.13, 84.91, 4.11, 77.24, 67.89, 2.12, 64.66, 53.90, 3.34, 83.14, 73.28 },
        { key = "vm_unet_v2", label = "VM-UNetV2",
          22.77, 4.40, 4.43, 92.14, 85.43, 5.87, 67.80, 51.63, 1.26, 87.71, 78.16, 2.56, 88.46, 80.44 },
        { key = "met_net", label = "MET-Net",
          18.65, 15.60, 4.06, 91.67, 85.66, 3.98, 78.54, 69.80, 0.74, 91.05, 85.99, 2.18, 90.30, 83.10 },
        { key = "transunet", label = "TransUNet",
          109.54, 56.66, 4.23, 91.31, 84.96, 3.64, 81.25, 73.10, 0.69, 91.37, 86.25, 2.80, 89.97, 82.51 },
        { key = "fsca_net", label = "FSCA-Net",
          43.50, 32.95, 5.01, 90.51, 84.09, 3.61, 81.25, 72.95, 0.89, 89.45, 83.99, 2.24, 89.79, 82.67 },
        { key = "medsam", label = "MedSAM",
          9.79, 39.91, 3.88, 92.33, 86.59, 3.72, 81.65, 72.88, 0.81, 88.92, 83.55, 2.58, 88.08, 80.36 },
        { key = "qtseg", label = "QTSeg",
          9.21, 2.60, 3.00, 92.45, 86.92, 3.08, 81.82, 73.46, 0.50, 92.71, 88.41, 1.94, 91.56, 85.07 },
      },
      contradictions = {
        { at = { { "qtseg", "BUSI Dice" }, { "qtseg", "BUSI IoU" } },
          text = "paper: section IV-C3 has 82.09 and 73.85 for BUSI, and its leads over FSCA-Net, 0.84 and 0.90, are those of these" },
        { at = { false, "ISIC2016 MAE" },
          text = "code: images were stretched to the square before January 2025 and padded later, and what is padded counts as right "
            .. "background; ISIC2016's figures of other methods are partly other papers'" },
        { at = { "qtseg", "ISIC2016 Dice" },
          text = "code: the epoch that is best on the test set; the same run's last has 92.35 and 86.78, below H2Former's Dice" },
        { at = { "medsam", "Params" },
          text = "paper: this is TinyViT at 1024 x 1024, not MedSAM's ViT-B (93.74 M, Table III); the others' FLOPs are at 512 x 512" },
        { at = { "transunet", "Params" }, text = "paper: printed without a unit" },
        "code: five folds leave out what does not divide, two benign images of BUSI; patients are not known there; one run a figure",
      },
    },
    [2] = {
      title = "Comparison on FIVES",
      axis = "Method",
      data = "FIVES, 600 images for training, 200 for testing; in %",
      columns = { "Acc", "Dice", "IoU" },
      main = "Dice",
      digits = 2,
      unit = "%",
      rows = {
        { key = "unet", label = "U-Net", 98.66, 88.87, 80.77 },
        { key = "pspnet", label = "PSPNet", 98.78, 89.88, 82.35 },
        { key = "segnet", label = "SegNet", 98.13, 85.09, 74.98 },
        { key = "attention_unet", label = "Attention-Unet", 98.68, 88.81, 80.73 },
        { key = "deeplab_v3", label = "DeepLab V3+", 98.50, 88.56, 80.75 },
        { key = "cbam", label = "CBAM", 98.67, 88.50, 80.29 },
        { key = "sk", label = "SK", 98.58, 88.35, 79.94 },
        { key = "sgat_net", label = "SGAT-Net", 98.86, 90.51, 83.47 },
        { key = "swin_unet", label = "Swin-UNet", 98.82, 90.13, 82.76 },
        { key = "transunet", label = "TransUNet", 98.83, 90.37, 83.17 },
        { key = "qtseg", label = "QTSeg", 98.93, 90.98, 84.26 },
      },
      contradictions = {
        { at = { "qtseg", "Dice" }, text = "paper: section IV-C4 has 90.37 for QTSeg, which is TransUNet's here" },
      },
    },
    [3] = {
      title = "Ablation on ISIC2016",
      axis = "Setting",
      data = "ISIC2016, 900 images for training, 379 for testing; in %, parameters in M, FLOPs in G",
      columns = {
        "Encoder", "Decoder", "MLFD", "MAE", "Acc", "Dice", "IoU", { name = "Params", unit = "M", cost = "parameters" },
        { name = "FLOPs", unit = "G", cost = "macs" },
      },
      main = "Dice",
      digits = 2,
      unit = "%",
      rows = {
        { key = "vit_medsam", label = "Baseline MedSAM", "ViT Base", "MedSAM", "no", false, false, false, false, 93.74, 488.24 },
        { key = "tinyvit_medsam", label = "1 MedSAM", "TinyViT", "MedSAM", "no", 3.88, 96.12, 92.33, 86.59, 9.79, 39.91 },
        { key = "cnn_medsam", label = "2 MedSAM", "CNN-based", "MedSAM", "no", 4.00, 96.00, 92.14, 86.31, 4.63, 1.89 },
        { key = "multi_medsam", label = "3 QTSeg", "CNN-based", "Multi-MedSAM", "no", 3.87, 96.13, 91.92, 85.87, 9.41, 2.19 },
        { key = "multi_medsam_mlfd", label = "4 QTSeg", "CNN-based", "Multi-MedSAM", "yes", 3.59, 96.41, 92.42, 86.74, 9.69, 2.29 },
        { key = "multi_dmad", label = "5 QTSeg", "CNN-based", "Multi-DMAD", "no", 3.07, 96.93, 92.06, 86.30, 8.94, 2.49 },
        { key = "multi_dmad_mlfd", label = "6 QTSeg", "CNN-based", "Multi-DMAD", "yes", 3.00, 97.01, 92.45, 86.92, 9.21, 2.60 },
      },
      contradictions = {
        { at = { "multi_dmad_mlfd", "Dice" },
          text = "code: the epoch that is best on the test set; the same run's last has 3.07 96.93 92.35 86.78, below setting 4's Dice, "
            .. "that of the best validation loss 2.89 97.11 92.13 86.36. Choosing it is worth more than both steps from MedSAM's "
            .. "decoder to DMAD, 0.14 and 0.03" },
        { at = { { "multi_medsam", "Dice" }, { "cnn_medsam", "Dice" } },
          text = "paper: section III-C says that one decoder does worse than several, by this table: 92.14 with one, 91.92 with several" },
        { at = { { "multi_dmad", "MAE" }, { "multi_dmad_mlfd", "MAE" } },
          text = "code: settings 1 to 4 are of stretched images, 5 and 6 of padded ones, whose padding counts as right background: "
            .. "3.00 / 0.75 would be 4.0 for images of 4:3. The authors' logs of 35 epochs: stretched Dice 91.36 at MAE 4.10, padded "
            .. "90.35 at 3.44" },
        { at = { false, "FLOPs" },
          text = "paper: FLOPs are multiply-adds; setting 1 reads 1024 x 1024, the others 512 x 512: most of its 39.91 is of that" },
        { at = { { "vit_medsam" }, { "tinyvit_medsam" } },
          text = "paper only, not built here: encoders of windowed attention and depthwise convolutions at 1024 x 1024" },
        { at = { "tinyvit_medsam", "Params" }, text = "code: 9.80 with its four mask tokens and the head of predicted IoU" },
        "paper: Eq. 2 has a convolution of 3 x 3 without a skip, code 7 x 7 with one, as the parameters count; Eq. 1 has softmax(Q K), "
          .. "code softmax(max - Q K) times a factor that starts at 0; weight decay 1e-4, in code 3e-5",
        "paper: section III-B1 leverages SAM for channel attention; it is the spatial one",
      },
    },
  },
}
