-- MaskMed Table 7: class : BCE : Dice, in the loss and in the matching cost. Two rows of our own follow: what the loss's
-- size does, which the paper does not give, and what a twice as long step does: the matching does not see a common factor,
-- so that 2:5:5 and 4:10:10 are one experiment but for that.
local function ratio(class, bce, dice, own)
  local set = { class_weight = class, bce_weight = bce, dice_weight = dice }
  local key = ("%d:%d:%d"):format(class, bce, dice)
  local row = { key = key, label = key:gsub(":", " : "), set = set }
  for name, value in pairs(own and own.set or {}) do set[name] = value end
  if own then row.key, row.label, row.against = own.key, row.label .. own.label, key end
  return row
end

return {
  title = "Loss ratios",
  paper = "maskmed",
  table = 7,
  rows = function(c)
    return {
      ratio(2, 5, 5), ratio(4, 5, 5), ratio(2, 10, 10), ratio(4, 10, 10),
      ratio(2, 10, 10, { key = "small", label = ", loss x 0.1", set = { loss_scale = 0.1 } }),
      ratio(2, 5, 5, { key = "faster", label = ", rate x 2", set = { lr_cnn = 2 * c.lr_cnn, lr_transformer = 2 * c.lr_transformer } }),
    }
  end,
}
