-- SAM's image encoder trained without labels or prompts, on the pictures of data=scenes alone: patches are hidden, and a linear
-- layer behind the encoder tells their colours (He et al. 2022; as in SimMIM, Xie et al. 2022, what is hidden is seen as nothing
-- and no token is left out, since SAM's windows want whole grids). Small SAMs that others start from are trials of this
-- (parts/pretraining.lua, pretrain=mae). It finds no masks: in inference every pixel is background.
local channels = require "harness.parts.channels"
local sam = require "harness.parts.sam"

local COLOURS = 3 -- of data=scenes, whose other channels are prompts
local TURNS = 16 -- between pictures whose mean colours differ by 1

local function mean(m, x) return m.op.adaptive_avg_pool { x, size = { 1, 1, 1 } } end

-- Which patches of a picture are seen, (N, 1, h, w, 1) of 1 and 0: the mean colour drawn through random frequencies, so that
-- each picture has its own, the same at every step.
local function shown_of(m, c, pictures, h, w)
  local samples, half = pictures.shape[1], (h * w + 1) // 2
  local frequencies = m.buffer { name = "hidden.frequencies", shape = { COLOURS, half }, init = "normal" }
  local colour = m.op.reshape { mean(m, pictures), shape = { samples, 1, COLOURS } }
  local waves = m.op.fourier_position { frequencies, colour, size = { TURNS, TURNS, TURNS }, frame = { 1, 1, 1 } } -- (N, 1, 2 half)
  waves = m.op.slice { m.op.reshape { waves, shape = { samples, 2 * half, 1 } }, start = 0, length = h * w }
  local one = m.op.fill { shape = { 1 }, value = 1 }
  -- Sines lie above cos(share pi) as often as this share says.
  local above = m.op.add { waves, one, scale = -math.cos((1 - c.hidden_share) * math.pi) }
  return m.op.reshape { m.op.activation { above, kind = "step" }, shape = { samples, 1, h, w, 1 } }
end

-- The squares' mean over hidden patches.
local function loss_of(m, c, told, pictures, shown)
  local patch = { 1, c.vit_patch, c.vit_patch }
  local one = m.op.fill { shape = { 1 }, value = 1 }
  local apart = m.op.add { told, m.op.patches { pictures, patch = patch }, scale = -1 }
  apart = m.op.multiply { apart, m.op.add { shown, one, scale = -1 } }
  local squares = mean(m, m.op.multiply { apart, apart }) -- (N, 1, 1, 1, of a patch)
  squares = mean(m, m.op.reshape { squares, shape = { 1, 1, 1, squares.shape[1] * squares.shape[5], 1 } })
  return m.op.weighted_sum { m.op.reshape { squares, shape = { 1 } }, weight0 = 1 / c.hidden_share }
end

local function build(m, c)
  local pictures = channels(m, m.image, 0, COLOURS)
  local grid = pictures.grid
  local shown = shown_of(m, c, pictures, grid[2] // c.vit_patch, grid[3] // c.vit_patch)
  local seen = m.op.multiply { pictures, m.op.resize { shown, size = grid, mode = "nearest" } }
  local told = m.convolution {
    sam.encoder(m, c, seen), name = "reconstruction", width = COLOURS * c.vit_patch * c.vit_patch, kernel = { 1, 1, 1 },
    stride = { 1, 1, 1 }, slope = 1,
  }
  if m.labels then return { loss = loss_of(m, c, told, pictures, shown) } end
  local nothing = m.op.fill { shape = { pictures.shape[1], grid[1], grid[2], grid[3], c.classes } }
  return { map = m.op.softmax { nothing }, extra = { told = told, shown = shown } }
end

return {
  doc = "SAM's image encoder that fills in what is hidden of a picture (data=scenes): what pretrain=mae trains",
  options = {
    sam.options, sam.frozen(false),
    { name = "hidden_share", type = "number", default = 0.6, min = 0.01, max = 0.99, doc = "share of patches that are hidden" },
  },
  check = function(c)
    if c.data ~= "scenes" then return ("reads the colours of data=scenes, which data=%s has not"):format(c.data) end
    if c.patch[1] ~= 1 then return "has pictures, a patch of one slice: patch=1,H,W" end
    return sam.check(c, 1)
  end,
  build = build,
  pytorch = function() return require "harness.parts.sam_names" end,
}
