-- SAM alone: masks of what prompts point at. Prompts are inputs of the graph beside the image: boxes (N, Q, D, 1, 4), points (N,
-- Q, D, P, 2), both in pixels, x before y, masks (N, Q D, 4h, 4w, 1), logits. There are as many queries Q as classes, and query
-- i is asked for what has label i: no class is predicted. Trained by the mask loss, scored by the mask's probability.
local sam = require "harness.parts.sam"

local GIVES = {
  box = { boxes = true }, points = { points = true }, box_points = { boxes = true, points = true }, mask = { masks = true },
  box_mask = { boxes = true, masks = true }, all = { boxes = true, points = true, masks = true },
}

local function prompts_of(m, c, grid)
  local gives, n, d, q = GIVES[c.prompts], m.image.shape[1], grid[1], c.classes
  local prompts = { grid = grid }
  if gives.boxes then
    prompts.boxes = m.op.reshape { m.input { name = "boxes", grid = { q, d, 1 }, channels = 4 }, shape = { 0, 4 } }
  end
  if gives.points then
    local count = #c.point_labels
    prompts.points = m.op.reshape { m.input { name = "points", grid = { q, d, count }, channels = 2 }, shape = { 0, count, 2 } }
    prompts.labels = c.point_labels
  end
  if gives.masks then
    local masks = m.input { name = "masks", grid = { q * d, 4 * grid[2], 4 * grid[3] }, channels = 1 }
    prompts.masks = m.op.reshape { masks, shape = { n * q, d, 4 * grid[2], 4 * grid[3], 1 } }
  end
  return prompts
end

-- Query i is label i's.
local function loss_of(m, c, logits)
  local nobody = m.op.fill { shape = { logits.shape[1], c.classes, c.classes + 1 } }
  local assignment = m.op.match { nobody, logits, m.labels, fixed = true }
  local bce, dice = m.op.mask_loss { logits, m.labels, assignment }
  return { loss = m.op.weighted_sum { bce, dice }, bce = bce, dice = dice }
end

local function build(m, c)
  local image = sam.encoder(m, c, m.image)
  local tokens, dense = sam.prompts(m, c, prompts_of(m, c, image.grid))
  local logits, after, map = sam.decoder(m, c, image, sam.dense_position(m, c, image.grid), tokens, dense)
  local full = logits
  if table.concat(logits.grid, ",") ~= table.concat(m.image.grid, ",") then full = m.op.resize { logits, size = m.image.grid } end
  if m.labels then return loss_of(m, c, full) end
  local extra = { logits = logits }
  if c.multimask then
    for i = 1, sam.MASKS - 1 do extra["logits" .. i] = sam.mask(m, c, map, after, i, image.shape) end
    extra.quality = sam.quality(m, c, after)
  end
  return { map = m.op.activation { full, kind = "sigmoid" }, extra = extra }
end

return {
  doc = "SAM (Segment Anything) alone: the masks of boxes, points and rough masks, with segment-anything's weights",
  options = {
    sam.options, sam.frozen(false),
    { name = "prompts", type = "choice", default = "box", choices = { "box", "points", "box_points", "mask", "box_mask", "all" },
      doc = "what every query is asked by" },
    { name = "point_labels", type = "list", default = { 1 }, min = -1, max = 1, most = 8,
      doc = "of each point of a query: 1: inside, 0: outside, -1: none" },
    { name = "multimask", type = "bool", default = false, doc = "the three masks that one prompt may mean, and their expected quality, "
      .. "beside the one" },
  },
  build = build,
  pytorch = function() return require "harness.parts.sam_names" end,
}
