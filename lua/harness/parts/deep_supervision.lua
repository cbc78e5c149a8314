-- What a model returns: the loss over all stages while training, the class map of the last in inference.
local deep = {}

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

-- Logits whose channels are the classes (MaskMed Eq. 1-4), or regions that may overlap: a sigmoid for each.
function deep.voxel_classification(m, c, logits)
  local last = logits[#logits]
  if not m.labels and c.merge == "logits" then return { map = last } end
  if not m.labels then
    return { map = c.regions and m.op.activation { last, kind = "sigmoid" } or m.op.softmax { last } }
  end
  local loss, cross_entropy, dice = m.voxel_class_loss { m.labels, logits, regions = c.regions }
  return { loss = loss, class = cross_entropy, dice = dice }
end

return deep
