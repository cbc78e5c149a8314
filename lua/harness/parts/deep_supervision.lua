-- What a model returns: the loss over all stages while training, the class map of the last in inference.
local deep = {}

-- Of the loss of masks and classes (MaskMed 3.5, Table 7).
deep.options = {
  { name = "class_weight", of = "mask_class_loss.class_weight" },
  { name = "bce_weight", of = "mask_class_loss.bce_weight" },
  { name = "dice_weight", of = "mask_class_loss.dice_weight" },
  { name = "loss_scale", of = "mask_class_loss.loss_scale" },
  { name = "none_weight", of = "mask_class_loss.none_weight" },
  { name = "match", of = "mask_class_loss.match" },
}

-- Of the loss of logits. with: what chooses it, where a model has other losses, too. The default is the paper's data set's:
-- nnU-Net's plan of AMOS takes the Dice over the batch, as it does where it makes a low resolution.
function deep.batch_dice(with)
  return { name = "batch_dice", of = "voxel_class_loss.batch_dice", default = true, quick = false, small = false, before = false,
    with = with }
end

-- A model's check (harness/model.lua) where masks and classes are multiplied: a voxel has no logits.
function deep.check_masks(c, what)
  if c.merge ~= "logits" then return nil end
  return ("has no logits to merge (%s), which merge=logits asks for: its class maps are sums over queries; heads with "
    .. "one softmax have"):format(what or "model=" .. c.model)
end

-- Pairs of masks and classes, matched to the segments (MaskMed Eq. 6).
function deep.mask_classification(m, c, masks, classes, supervision)
  if not m.labels then return { map = m.class_map { masks[#masks], classes[#classes] } } end
  local loss, class, bce, dice = m.mask_class_loss {
    m.labels, masks, classes, class_weight = c.class_weight, bce_weight = c.bce_weight, dice_weight = c.dice_weight,
    loss_scale = c.loss_scale, none_weight = c.none_weight, match = c.match, supervision = supervision or "halved",
    regions = c.regions,
  }
  return { loss = loss, class = class, bce = bce, dice = dice }
end

-- Logits whose channels are the classes (MaskMed Eq. 1-4), or regions that may overlap: a sigmoid for each. batch_dice: that
-- option's value (nil: false).
function deep.voxel_classification(m, c, logits, batch_dice)
  local last = logits[#logits]
  if not m.labels and c.merge == "logits" then return { map = last } end
  if not m.labels then
    return { map = c.regions and m.op.activation { last, kind = "sigmoid" } or m.op.softmax { last } }
  end
  local loss, cross_entropy, dice = m.voxel_class_loss { m.labels, logits, regions = c.regions, batch_dice = batch_dice }
  return { loss = loss, class = cross_entropy, dice = dice }
end

return deep
