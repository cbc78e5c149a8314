-- QTSeg's decoder (III-B): query tokens go through the levels from the coarsest to the finest, and at each mix with its features
-- in dual-mix attention, or, as in the settings that Table III compares with, in SAM's two-way layers. Maps are (N, 1, h, w, C),
-- tokens (N, 1, K, C). Defaults are the public code's, options the paper's where they differ.
local transposed = require "harness.parts.transposed"
local two_way = require "harness.parts.two_way"

local dual_mix = {}

local DMAD = { decoder = "dmad" }

dual_mix.options = {
  { name = "decoder", type = "choice", default = "dmad", choices = { "dmad", "medsam" },
    doc = "blocks of the decoder; dmad: dual-mix attention; medsam: SAM's two-way layers" },
  { name = "depths", type = "list", default = { 3, 2, 1 }, min = 1, max = 12, most = 3,
    doc = "blocks of each level, from the coarsest on; as many levels as numbers" },
  { name = "mlp", type = "int", default = 2048, min = 1, max = 65536, doc = "width of the blocks' feed-forward networks" },
  { name = "token_heads", type = "int", default = 8, min = 1, max = 64, doc = "attention heads of the decoder" },
  { name = "cab", type = "choice", default = "code", choices = { "code", "paper", "none" }, with = DMAD,
    doc = "channel attention of a block, P x + x: code: P = gamma softmax(max - x x'), gamma from 0 on, which seeks the least "
      .. "similar channel; paper: P = softmax(x x') (Eq. 1); none: x" },
  { name = "sam_kernel", type = "int", default = 7, min = 0, max = 15, with = DMAD,
    doc = "edge of the spatial attention's convolution over mean and maximum of the channels; 7: code; 3: paper; 0: no spatial "
      .. "attention" },
  { name = "sam_residual", type = "bool", default = true, with = DMAD,
    doc = "spatial attention adds what came in (code and Fig. 4d; false: Eq. 2)" },
  { name = "medsam_position", type = "choice", default = "none", before = "entry", choices = { "none", "entry" },
    with = { decoder = "medsam" },
    doc = "position of tokens in SAM's layers; none: QTSeg's code; entry: what they were when they came to the level, as SAM has it" },
  { name = "cfta", type = "bool", default = true, with = DMAD, doc = "features attend to tokens; false: they stay as they came" },
  { name = "token_mlp", type = "choice", default = "own", choices = { "own", "shared" },
    doc = "the network of three layers behind each level; own: each token has one; shared: all have the same" },
  { name = "token_position", type = "choice", default = "fourier", choices = { "fourier", "sine", "learned" },
    doc = "position of the features; fourier: of random frequencies; sine: as DETR's; learned: a vector of each place" },
}

-- The blocks' check: nil, or what is wrong.
function dual_mix.check(c)
  if c.decoder == "dmad" and c.sam_kernel > 0 and c.sam_kernel % 2 == 0 then
    return ("has spatial attention with a kernel of %d, expected an odd edge, or 0 for none"):format(c.sam_kernel)
  end
  local narrowest = 16 * c.n_channel >> #c.depths -- half of the finest level's width
  if narrowest % c.token_heads ~= 0 then
    return ("has attention of %d channels, half of %d, which %d heads do not divide (n_channel, token_heads)"):format(narrowest,
      2 * narrowest, c.token_heads)
  end
end

local function norm(m, x, name, epsilon) return m.token_norm { x, name = name, epsilon = epsilon } end

-- Attention of inner width C/2.
local function attend(m, c, name, inputs) return two_way.attend(m, { heads = c.token_heads }, name, inputs[1].channels // 2, inputs) end

-- ---- positions -------------------------------------------------------------------------------------

local positions = {}

function positions.fourier(m, f, name)
  local frequencies = m.buffer { name = name .. ".frequencies", shape = { 2, f.channels // 2 }, init = "normal" }
  return m.op.fourier_position { frequencies, grid = { f.grid[2], f.grid[3] } }
end

function positions.sine(m, f)
  return m.op.reshape { m.op.sine_position { grid = f.grid, width = f.channels }, shape = { f.grid[2], f.grid[3], 0 } }
end

function positions.learned(m, f, name)
  return m.parameter { name = name .. ".position", shape = { f.grid[2], f.grid[3], f.channels }, init = "normal", value = 0.02 }
end

-- ---- dual-mix attention ----------------------------------------------------------------------------

-- x s, s the sigmoid of a convolution over the mean and the maximum of x's channels.
local function spatial(m, c, x, name)
  if c.sam_kernel == 0 then return x end
  local k = c.sam_kernel
  local weight = m.parameter {
    name = name .. ".weight", shape = { 1, 1, k, k, 2 }, init = "uniform", value = (2 * k * k) ^ -0.5, role = "weight",
  }
  local seen = m.op.conv { weight, false, m.op.channel_pool { x }, stride = { 1, 1, 1 } }
  return m.op.multiply { x, seen, sigmoid = true, plus = c.sam_residual and 1 or 0 }
end

local function channel(m, c, x, name)
  if c.cab == "none" then return x end
  local n, channels = x.shape[1], x.channels
  local rows = m.op.swap { m.op.reshape { x, shape = { n, 0, channels } }, axes = { 1, 2 } }
  local alike = m.op.matmul { rows, rows } -- (N, C, C)
  -- softmax(max - a) is softmax(-a).
  if c.cab == "code" then alike = m.op.multiply { alike, m.op.fill { shape = { 1 }, value = -1 } } end
  local mixed = m.op.matmul { x, m.op.softmax { alike } }
  if c.cab == "code" then mixed = m.op.multiply { mixed, m.parameter { name = name .. ".gamma", shape = { 1 } } } end
  return m.op.add { mixed, x }
end

local blocks = {}

-- One block on s = { tokens, image, image_position }.
function blocks.dmad(m, c, name, s)
  local t, x = s.tokens, m.op.add { s.image, s.image_position }
  local a, b = spatial(m, c, x, name .. "spatial"), channel(m, c, x, name .. "channel")
  local of_a = attend(m, c, name .. "ctfa_spatial", { t, a, a })
  local of_b = attend(m, c, name .. "ctfa_channel", { t, b, b })
  local mixed = norm(m, m.op.add { m.op.add { of_a, of_b }, t }, name .. "norm1")
  local mlp = m.mlp { mixed, name = name .. "mlp", hidden = c.mlp }
  local after = m.op.add { norm(m, mlp, name .. "norm2"), t }
  if not c.cfta then return after, s.image end
  local asks = m.op.add { m.op.add { a, b }, s.image_position }
  return after, m.op.add { attend(m, c, name .. "cfta", { asks, mixed, mixed }), s.image }
end

function blocks.medsam(m, c, name, s, i)
  if c.medsam_position == "entry" then s.token_position = s.entry end
  local how = { width = s.image.channels, heads = c.token_heads, mlp = c.mlp, epsilon = 1e-5 }
  return two_way.layer(m, how, name, s, i == 1, {})
end

-- ---- levels ----------------------------------------------------------------------------------------

-- A level's blocks, then the tokens' last look at what came of it.
local function level(m, c, features, tokens, depth, name)
  local position = positions[c.token_position](m, features, name)
  local s = { tokens = tokens, entry = tokens, image = features, image_position = position }
  for i = 1, depth do
    s.tokens, s.image = m.block(function() return blocks[c.decoder](m, c, ("%s.block%d."):format(name, i - 1), s, i) end)
  end
  local seen = attend(m, c, name .. ".final", { s.tokens, s.image, s.image, tokens, position })
  return norm(m, m.op.add { s.tokens, seen }, name .. ".final_norm"), s.image
end

-- Twice the edges.
local function enlarged(m, x, name, width)
  return m.op.activation { norm(m, transposed(m, x, name, width, 2, {}), name .. ".norm", 1e-6), kind = "gelu" }
end

-- Tokens (N, 1, K, C) to (N, 1, K, width).
local function projected(m, c, tokens, name, width)
  local function network(x, of) return m.embedding { x, width = width, layers = 3, init = "linear", name = of } end
  if c.token_mlp == "shared" then return network(tokens, name) end
  local n, count = tokens.shape[1], tokens.shape[3]
  local list, own = m.op.reshape { tokens, shape = { n, count, 0 } }, {}
  for i = 1, count do own[i] = network(m.op.slice { list, start = i - 1, length = 1 }, ("%s%d"):format(name, i - 1)) end
  return m.op.reshape { m.op.concat(own), shape = { n, 1, count, width } }
end

-- levels: maps, finest first. Returns the logits of `count` tokens (N, 1, 4h, 4w, count) at four times the finest level's edges.
function dual_mix.build(m, c, levels, count)
  local coarsest, last = levels[#levels], levels[#levels + 1 - #c.depths]
  local n = coarsest.shape[1]
  local tokens = m.parameter { name = "decoder.tokens", shape = { count, coarsest.channels }, init = "normal" }
  tokens = m.op.reshape { m.op.expand { tokens, count = n }, shape = { n, 1, count, coarsest.channels } }
  local x = coarsest
  for i, depth in ipairs(c.depths) do
    local features = levels[#levels + 1 - i]
    local name, width = ("decoder.level%d"):format(#levels - i), features.channels
    if i > 1 then x = m.op.add { features, x } end
    tokens, x = level(m, c, x, tokens, depth, name)
    x = enlarged(m, x, name .. ".up0", width // 2)
    if features == last then x = enlarged(m, x, name .. ".up1", width) end
    tokens = projected(m, c, tokens, name .. ".token", features == last and width or width // 2)
  end
  return m.op.matmul { x, m.op.reshape { tokens, shape = { n, count, 0 } } }
end

return dual_mix
