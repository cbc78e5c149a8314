-- What a model returns: the loss over all stages while training, the class map of the last in inference.
local deep = {}

-- Of the loss of masks and classes (MaskMed 3.5, Table 7).
deep.options = {
  { name = "class_weight", of = "mask_class_loss.class_weight" },
  { name = "bce_weight", of = "mask_class_loss.bce_weight" },
  { name = "dice_weight", of = "mask_class_loss.dice_weight" },
  -- Table 7 compares 2:5:5 with 4:10:10, one ratio: its weights are absolute, as Mask2Former's are.
  { name = "loss_scale", of = "mask_class_loss.loss_scale", default = 1 },
  -- Eq. 6 shows no weight, nor Table 7's lambdas: it is MaskFormer's equation, whose text, as DETR's, gives 0.1.
  { name = "none_weight", of = "mask_class_loss.none_weight",
    doc = "weight of 'no object' in the class term; 0.1: MaskFormer and DETR, which MaskMed 3.5 follows; 1: Eq. 6 to the letter" },
  { name = "match", of = "mask_class_loss.match" },
}

-- Of the loss of logits. with: what chooses it, where a model has other losses, too. The default is the paper's data set's:
-- nnU-Net's plan of AMOS takes the Dice over the batch, as it does where it makes a low resolution.
function deep.batch_dice(with)
  return { name = "batch_dice", of = "voxel_class_loss.batch_dice", default = true, quick = false, small = false, before = false,
    with = with }
end

-- Of decoder stages, whose resolutions differ.
deep.stages = {
  { name = "drop_lowest", type = "choice", default = "own", before = "own", choices = { "own", "yes", "no" },
    doc = "the lowest decoder stage has no loss; own: as the loss's source has it: yes for point-wise logits (nnU-Net, with "
      .. "which Eq. 1-4 train), no for masks and classes (Eq. 6: every weight is half the next one's)" },
  { name = "mask_loss_at", of = "mask_class_loss.mask_loss_at", before = "every", with = { head = "decoupled" } },
}

local function with(more, call)
  for name, value in pairs(more or {}) do call[name] = value end
  return call
end

-- A model's check (harness/model.lua) where masks and classes are multiplied: a voxel has no logits.
function deep.check_masks(c, what)
  if c.merge ~= "logits" then return nil end
  return ("has no logits to merge (%s), which merge=logits asks for: its class maps are sums over queries; heads with "
    .. "one softmax have"):format(what or "model=" .. c.model)
end

-- Pairs of masks and classes, matched to the segments (MaskMed Eq. 6). how: more options of the loss.
function deep.mask_classification(m, c, masks, classes, how)
  if not m.labels then return { map = m.class_map { masks[#masks], classes[#classes] } } end
  local loss, class, bce, dice = m.mask_class_loss(with(how, {
    m.labels, masks, classes, class_weight = c.class_weight, bce_weight = c.bce_weight, dice_weight = c.dice_weight,
    loss_scale = c.loss_scale, none_weight = c.none_weight, match = c.match, regions = c.regions,
  }))
  return { loss = loss, class = class, bce = bce, dice = dice }
end

-- Logits whose channels are the classes (MaskMed Eq. 1-4), or regions that may overlap: a sigmoid for each. how: more
-- options of the loss.
function deep.voxel_classification(m, c, logits, how)
  local last = logits[#logits]
  if not m.labels and c.merge == "logits" then return { map = last } end
  if not m.labels then
    return { map = c.regions and m.op.activation { last, kind = "sigmoid" } or m.op.softmax { last } }
  end
  local loss, cross_entropy, dice = m.voxel_class_loss(with(how, { m.labels, logits, regions = c.regions }))
  return { loss = loss, class = cross_entropy, dice = dice }
end

return deep
