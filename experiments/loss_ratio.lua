-- MaskMed Table 7: class : BCE : Dice, in the loss and in the matching cost.
local function ratio(class, bce, dice)
  return {
    key = ("%d:%d:%d"):format(class, bce, dice), label = ("%d : %d : %d"):format(class, bce, dice),
    set = { class_weight = class, bce_weight = bce, dice_weight = dice },
  }
end

return {
  title = "Loss ratios",
  paper = "maskmed",
  table = 7,
  rows = { ratio(2, 5, 5), ratio(4, 5, 5), ratio(2, 10, 10), ratio(4, 10, 10) },
}
