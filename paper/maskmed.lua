-- The numbers that MaskMed (Xie and Agam, 2025) prints for AMOS22, as data. A row's key is
-- the key of the experiment's row; dsc is the mean Dice of the table. `notes` are printed below the
-- table: what the paper contradicts or leaves open.
return {
  name = "MaskMed",
  title = "MaskMed: Decoupled Mask and Class Prediction for Medical Image Segmentation",
  tables = {
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
        "paper section 4 speaks of 16 structures, its tables of 15 organs",
      },
    },
  },
}
