-- MaskMed Table 5: how much slower must the Transformer modules learn than the CNN? The paper sees 1:1
-- collapse and 1:0.1 win.
return {
  title = "Learning rate ratios",
  paper = "maskmed",
  table = 5,
  vary = { lr_transformer = { 1, 0.5, 0.1, 0.05 } },
  label = function(c) return "1 : " .. c.lr_transformer end,
}
