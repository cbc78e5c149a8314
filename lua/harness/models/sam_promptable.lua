-- SAM trained as SAM was, on pictures that bring their prompts along (data=scenes): of four objects two are asked for by a box,
-- one by a box and a mask, one by a mask alone; query i is object i, whatever it is. Small SAMs that others start from are trials
-- of this (parts/pretraining.lua).
local channels = require "harness.parts.channels"
local sam = require "harness.parts.sam"

-- What data=scenes has, in this order: colours, boxes of targets, masks of the last, of which the very last go without their box.
local COLOURS, TARGETS, MASKED, ALONE = 3, 4, 2, 1

-- What is added to the image of each query, (N Q, 1, h, w, C): of the first nothing is masked.
local function dense_of(m, none, masked, samples)
  local s = masked.shape -- (N MASKED, 1, h, w, C)
  local places = s[3] * s[4]
  none = m.op.expand { m.op.reshape { none, shape = { 1, 1, 0 } }, count = samples * (TARGETS - MASKED) * places, inner = true }
  local both = m.op.concat {
    m.op.reshape { none, shape = { samples, (TARGETS - MASKED) * places, 0 } },
    m.op.reshape { masked, shape = { samples, MASKED * places, 0 } },
  }
  return m.op.reshape { both, shape = { samples * TARGETS, 1, s[3], s[4], 0 } }
end

-- The tokens of each query (N Q, 2, C): of a box its corners, of none what SAM has for no point.
local function tokens_of(m, c, corners, samples)
  local none = m.op.reshape { sam.no_point(m, c), shape = { 1, 1, 0 } }
  none = m.op.expand { none, count = samples * ALONE * 2, inner = true }
  local both = m.op.concat {
    m.op.slice { m.op.reshape { corners, shape = { samples, TARGETS, 0 } }, start = 0, length = TARGETS - ALONE },
    m.op.reshape { none, shape = { samples, ALONE, 0 } },
  }
  return m.op.reshape { both, shape = { samples * TARGETS, 2, 0 } }
end

local function masks_of(m, samples)
  local masks = m.op.swap { channels(m, m.image, COLOURS + TARGETS, MASKED), axes = { 1, 4 } } -- (N, MASKED, H, W, 1)
  return m.op.reshape { masks, shape = { samples * MASKED, 1, masks.shape[3], masks.shape[4], 1 } }
end

-- Logits of the targets (N, 1, H, W, TARGETS).
local function logits_of(m, c)
  local samples, grid = m.image.shape[1], m.image.grid
  local neck = sam.encoder(m, c, channels(m, m.image, 0, COLOURS))
  local boxes = m.op.mask_box { channels(m, m.image, COLOURS, TARGETS) }
  local corners, none = sam.prompts(m, c, { grid = neck.grid, boxes = boxes, pixels = { grid[3], grid[2] } })
  local _, masked = sam.prompts(m, c, { grid = neck.grid, masks = masks_of(m, samples) })
  local tokens = tokens_of(m, c, corners, samples)
  local dense = dense_of(m, none, masked, samples)
  return (sam.decoder(m, c, neck, sam.dense_position(m, c, neck.grid), tokens, dense))
end

local function build(m, c)
  local logits = logits_of(m, c)
  local s = logits.shape
  -- The background is a query of its own with logits 0: a voxel is of whom it is more likely than not.
  local all = m.op.concat { m.op.fill { shape = { s[1], s[2], s[3], s[4], 1 } }, logits, axis = "channels" }
  if not m.labels then return { map = m.op.activation { all, kind = "sigmoid" } } end
  local classes = m.op.fill { shape = { s[1], TARGETS + 1, c.classes + 1 } }
  local loss, _, bce, dice = m.mask_class_loss {
    m.labels, all, classes, match = "fixed", class_weight = 0, bce_weight = c.bce_weight, dice_weight = c.dice_weight, loss_scale = 1,
  }
  return { loss = loss, bce = bce, dice = dice }
end

return {
  doc = "SAM on pictures with prompts (data=scenes): what a small SAM is pre-trained as",
  options = {
    sam.options, sam.frozen(false),
    { name = "bce_weight", of = "mask_class_loss.bce_weight", default = 1 },
    { name = "dice_weight", of = "mask_class_loss.dice_weight", default = 1 },
  },
  check = function(c)
    if c.data ~= "scenes" then return ("reads prompts, which data=scenes has and data=%s has not"):format(c.data) end
    if c.patch[1] ~= 1 then return "has pictures, a patch of one slice: patch=1,H,W" end
    return sam.check(c, 1)
  end,
  build = build,
  pytorch = function() return require "harness.parts.sam_names" end,
}
