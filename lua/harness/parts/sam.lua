-- SAM (Kirillov et al. 2023): image encoder, prompt encoder, two-way decoder, as segment-anything has them, with places for
-- adapters. Maps are (N, D, h, w, C): every slice is an image of its own. Streams are the Q queries (prompts) of all slices:
-- tokens (N Q D, T, C), maps (N Q, D, h, w, C), queries slower than slices. Points and boxes are x before y.
local transposed = require "harness.parts.transposed"
local two_way = require "harness.parts.two_way"

local sam = {}

-- What SAM's sizes are called; small: as much of it as two cores train. default_where below has their numbers.
local function sizes(B, L, H, small) return { sam = { B = B, L = L, H = H, small = small } } end

local function size(name, B, L, H, small, doc)
  return { name = name, type = "int", default = B, default_where = sizes(B, L, H, small), min = 1, max = 65536, doc = doc }
end

sam.options = {
  { name = "sam", type = "choice", default = "B", quick = "small", small = "small", choices = { "B", "L", "H", "small" },
    doc = "SAM's image encoder: ViT-B, L or H; small: of 8 blocks of 96 channels, with patches of 4 pixels" },
  size("vit_width", 768, 1024, 1280, 96, "E, channels of SAM's image encoder"),
  size("vit_blocks", 12, 24, 32, 8, "its blocks"),
  size("vit_heads", 12, 16, 16, 3, "its attention heads"),
  size("vit_mlp", 3072, 4096, 5120, 384, "width of its feed-forward networks"),
  size("vit_global_every", 3, 6, 8, 2, "every so manieth block attends to the whole slice, the others in windows"),
  size("vit_window", 14, 14, 14, 4, "side of the windows in tokens"),
  size("vit_patch", 16, 16, 16, 4, "pixels of a token's patch along H and W"),
  size("vit_side", 64, 64, 64, 10, "tokens along a side of the image that its positions are made for"),
  size("sam_width", 256, 256, 256, 64, "C, channels of SAM's prompts, decoder and of the encoder's result"),
  size("sam_heads", 8, 8, 8, 4, "attention heads of SAM's decoder"),
  size("sam_mlp", 2048, 2048, 2048, 256, "width of its feed-forward networks"),
  size("sam_mask_width", 16, 16, 16, 16, "channels that a mask as a prompt is read by: a quarter of them, then these"),
  { name = "frame", type = "choice", default = "code", choices = { "code", "crop", "resize" },
    doc = "positions in an image of other than vit_side tokens; code: as SAM's code does (absolute ones cut top left, relative ones "
      .. "stretched, prompts in the frame of the whole side); crop: relative ones cut, too; resize: all are resized, prompts in "
      .. "the image's own frame" },
  { name = "vit_padding", type = "choice", default = "sam", choices = { "sam", "code", "masked" },
    doc = "keys of windows beyond the border; sam: of zeros after the norm; code: of zeros before it (MaskSAM's code); masked: none" },
  { name = "decoder_eps", type = "number", default = 1e-5, min = 0, max = 1,
    doc = "epsilon of the decoder's four norms a layer; 1e-5: segment-anything; 1e-6: its port in transformers" },
}

-- Whether SAM is left as it is: where that is what is asked, and where SAM itself trains.
function sam.frozen(default)
  return { name = "sam_frozen", type = "bool", default = default,
    doc = "SAM's own parameters do not train (image_encoder, prompt_encoder, mask_decoder)" }
end

-- What a model's check says of a patch that SAM cannot see, `times` as large as it is; nil: it can.
function sam.check(c, times)
  local high, wide = c.patch[2] * times / c.vit_patch, c.patch[3] * times / c.vit_patch
  if high % 1 ~= 0 or wide % 1 ~= 0 then
    return ("sees %d x %d pixels of a patch, which are no whole tokens of vit_patch=%d"):format(c.patch[2] * times, c.patch[3] * times,
      c.vit_patch)
  end
  if c.frame ~= "resize" and math.max(high, wide) > c.vit_side then
    return ("sees %d x %d tokens of a patch, and has positions for vit_side=%d along a side; frame=resize stretches them"):format(high,
      wide, c.vit_side)
  end
end

-- ---- parameters ------------------------------------------------------------------------------------

local function parameter(m, c, name, shape, init, value, role)
  return m.parameter { name = name, shape = shape, init = init, value = value, role = role, frozen = c.sam_frozen }
end

local function norm(m, c, x, name, epsilon)
  return m.token_norm { x, name = name, epsilon = epsilon or 1e-6, frozen = c.sam_frozen }
end

local function gelu(m, x) return m.op.activation { x, kind = "gelu" } end

local function convolution(m, c, x, name, width, kernel, stride, bias)
  return m.convolution {
    x, name = name, width = width, kernel = { 1, kernel, kernel }, stride = { 1, stride, stride }, bias = bias, slope = 1,
    frozen = c.sam_frozen,
  }
end

local function upscaled(m, c, x, name, width) return transposed(m, x, name, width, 2, { frozen = c.sam_frozen }) end

local hooked = two_way.hooked

-- ---- image encoder ---------------------------------------------------------------------------------

-- The first h rows and w columns of a table (1, side, side, E).
local function cut(m, table, h, w, side, width)
  if h > side or w > side then
    error(("the image has %d x %d tokens, more than the %d of SAM's positions; frame=resize stretches them"):format(h, w, side), 0)
  end
  local rows = m.op.reshape { m.op.slice { table, start = 0, length = h * side }, shape = { 1, h, side, width } }
  local turned = m.op.swap { rows, axes = { 1, 2 } }
  local columns = m.op.reshape { m.op.slice { turned, start = 0, length = w * h }, shape = { 1, w, h, width } }
  return m.op.swap { columns, axes = { 1, 2 } }
end

-- The absolute position (.., h, w, E).
local function absolute(m, c, h, w)
  local side, width = c.vit_side, c.vit_width
  local table = parameter(m, c, "image_encoder.pos_embed", { 1, side, side, width })
  if h == side and w == side then return table end
  if c.frame ~= "resize" then return cut(m, table, h, w, side, width) end
  return m.op.resize { m.op.reshape { table, shape = { 1, 1, side, side, width } }, size = { 1, h, w } }
end

local PADDING = { sam = "zero", code = "norm", masked = "masked" }

-- Whether block i, from 0, attends to the whole slice.
function sam.is_global(c, i) return (i + 1) % c.vit_global_every == 0 end

local function block(m, c, x, i, hooks)
  local name = ("image_encoder.blocks.%d."):format(i)
  local normed = norm(m, c, x, name .. "norm1")
  local attended = m.grid_self_attention {
    normed, name = name .. "attn", heads = c.vit_heads, window = sam.is_global(c, i) and 0 or c.vit_window, side = c.vit_side,
    tables = c.frame == "crop" and "crop" or "stretch", padding = PADDING[c.vit_padding], frozen = c.sam_frozen,
  }
  x = m.op.add { x, hooked(hooks.after_attention, m, attended, i) }
  normed = norm(m, c, x, name .. "norm2")
  local y = m.op.add { x, m.mlp { normed, name = name .. "mlp", hidden = c.vit_mlp, frozen = c.sam_frozen } }
  local beside = hooks.beside_mlp and hooks.beside_mlp(m, normed, i)
  return beside and m.op.add { y, beside, scale = 0.5 } or y
end

local function neck(m, c, x)
  x = convolution(m, c, x, "image_encoder.neck.conv1", c.sam_width, 1, 1, false)
  x = norm(m, c, x, "image_encoder.neck.norm1")
  x = convolution(m, c, x, "image_encoder.neck.conv2", c.sam_width, 3, 1, false)
  return norm(m, c, x, "image_encoder.neck.norm2")
end

-- image (N, D, H, W, 3), of whole patches. Returns what the decoder reads (N, D, h, w, C) and a list of the outputs of the
-- blocks that attend to the whole slice, in order. hooks, all optional, each returns a value for what it is given:
--   position(m, x)            behind the absolute position
--   after_attention(m, a, i)  of block i's (from 0) attention, before its residual
--   beside_mlp(m, normed, i)  a branch of which the half is added beside the feed-forward network
function sam.encoder(m, c, image, hooks)
  hooks = hooks or {}
  local x = m.patch_embedding {
    image, name = "image_encoder.patch_embed", width = c.vit_width, patch = { 1, c.vit_patch, c.vit_patch }, frozen = c.sam_frozen,
  }
  x = m.op.add { x, absolute(m, c, x.grid[2], x.grid[3]) }
  x = hooked(hooks.position, m, x)
  local globals = {}
  for i = 0, c.vit_blocks - 1 do
    local before = x
    x = m.block(function() return block(m, c, before, i, hooks) end)
    if sam.is_global(c, i) then globals[#globals + 1] = x end
  end
  return neck(m, c, x), globals
end

-- ---- prompt encoder --------------------------------------------------------------------------------

-- The random frequencies of positions.
local function frequencies(m, c)
  return m.buffer {
    name = "prompt_encoder.pe_layer.positional_encoding_gaussian_matrix", shape = { 2, c.sam_width // 2 }, init = "normal",
    share = true,
  }
end

-- The sides W, H of the frame that positions are counted in, in units of a token.
local function frame(c, grid)
  if c.frame == "resize" then return { grid[3], grid[2] } end
  return { c.vit_side, c.vit_side }
end

-- The position of each token of the image, (h, w, C); grid: of the encoder's result.
function sam.dense_position(m, c, grid)
  return m.op.fourier_position { frequencies(m, c), grid = { grid[2], grid[3] }, frame = frame(c, grid) }
end

-- How corners become positions. In pixels of the encoder's input; or, with `pixels` = { W, H }, in shares of an image of so
-- many, which the input shows larger: a whole number of times.
local function spot(c, prompts)
  local f, patch = frame(c, prompts.grid), c.vit_patch
  local pixels = prompts.pixels
  if not pixels then return { frame = { f[1] * patch, f[2] * patch }, offset = 0.5 } end
  local times = prompts.grid[3] * patch // pixels[1]
  for a = 1, 2 do
    if prompts.grid[4 - a] * patch ~= times * pixels[a] or f[a] * patch % times ~= 0 then
      error(("prompts: %d x %d pixels are not shown a whole number of times larger by %d x %d tokens of %d pixels"):format(pixels[1],
        pixels[2], prompts.grid[3], prompts.grid[2], patch), 0)
    end
  end
  return { size = pixels, frame = { f[1] * patch // times, f[2] * patch // times }, offset = 0.5 / times, floor = prompts.floor }
end

local function positions(m, c, points, at)
  return m.op.fourier_position {
    frequencies(m, c), points, size = at.size or {}, frame = at.frame, offset = at.offset, floor = at.floor or false,
  }
end

local function token(m, c, name)
  return m.parameter {
    name = "prompt_encoder." .. name .. ".weight", shape = { 1, c.sam_width }, init = "normal", frozen = c.sam_frozen, share = true,
  }
end

-- What stands for a point or a corner that is not there, (1, C).
function sam.no_point(m, c) return token(m, c, "not_a_point_embed") end

local function as_token(m, x) return m.op.reshape { x, shape = { 1, 1, 0 } } end

local function repeated(m, x, count) return m.op.expand { as_token(m, x), count = count, inner = true } end

-- labels: of each point of a stream: 1 inside, 0 outside, -1 none.
local function point_tokens(m, c, points, labels, at)
  local streams, made, kinds = points.shape[1], {}, {}
  local placed = positions(m, c, points, at)
  local function kind(name)
    kinds[name] = kinds[name] or token(m, c, name)
    return kinds[name]
  end
  for i, label in ipairs(labels) do
    if label == -1 then
      made[i] = repeated(m, kind "not_a_point_embed", streams)
    else
      made[i] = m.op.add { m.op.slice { placed, start = i - 1, length = 1 }, kind("point_embeddings." .. label) }
    end
  end
  return made
end

local function box_tokens(m, c, boxes, at)
  local corners = positions(m, c, m.op.reshape { boxes, shape = { 0, 2, 2 } }, at)
  local first, second = token(m, c, "point_embeddings.2"), token(m, c, "point_embeddings.3")
  return m.op.add { corners, m.op.concat { as_token(m, first), as_token(m, second) } }
end

local function mask_map(m, c, masks)
  local name = "prompt_encoder.mask_downscaling."
  local x = convolution(m, c, masks, name .. "conv1", c.sam_mask_width // 4, 2, 2)
  x = gelu(m, norm(m, c, x, name .. "norm1"))
  x = convolution(m, c, x, name .. "conv2", c.sam_mask_width, 2, 2)
  x = gelu(m, norm(m, c, x, name .. "norm2"))
  return convolution(m, c, x, name .. "conv3", c.sam_width, 1, 1)
end

-- prompts: grid (of the encoder's result); boxes (.., 4), x1 y1 x2 y2; points (streams, P, 2) with labels, one of each point for
-- all streams; both in pixels of the encoder's input, or with pixels = { W, H } in shares of so many (floor = true: of whole
-- ones, without gradient); masks (N Q, D, 4h, 4w, 1), logits.
-- Returns tokens (streams, T, C), nil without box and point, and what is added to the image: a map, or one vector.
function sam.prompts(m, c, prompts)
  local at, list = spot(c, prompts), {}
  if prompts.points then
    local labels = { table.unpack(prompts.labels) }
    list = point_tokens(m, c, prompts.points, labels, at)
    if not prompts.boxes then list[#list + 1] = repeated(m, sam.no_point(m, c), prompts.points.shape[1]) end
  end
  if prompts.boxes then list[#list + 1] = box_tokens(m, c, prompts.boxes, at) end
  local dense = prompts.masks and mask_map(m, c, prompts.masks) or token(m, c, "no_mask_embed")
  return #list > 1 and m.op.concat(list) or list[1], dense
end

-- ---- decoder ---------------------------------------------------------------------------------------

sam.MASKS = 4 -- mask tokens: the first for one mask, the others for three that a prompt may mean
local FIRST = 1 -- the place of the first among the tokens, behind the one of the masks' quality

-- The decoder's layers, as two_way.layer has them.
local function how(c)
  return { width = c.sam_width, heads = c.sam_heads, mlp = c.sam_mlp, epsilon = c.decoder_eps, frozen = c.sam_frozen }
end

local function layer(m, c, s, i, hooks)
  return two_way.layer(m, how(c), ("mask_decoder.transformer.layers.%d."):format(i), s, i == 0, hooks, i)
end

-- The image once for each of its queries, with what a prompt adds to it: (N Q, D, h, w, C).
local function image_streams(m, image, dense, queries)
  local one = #dense.shape == 2
  if one then image = m.op.add { image, dense } end
  image = m.op.expand { image, count = queries, inner = true }
  return one and image or m.op.add { image, dense }
end

-- (N Q D, T, C) of all tokens: those of quality and masks, then what prompts gave.
local function all_tokens(m, c, tokens, streams)
  local quality = parameter(m, c, "mask_decoder.iou_token.weight", { 1, c.sam_width }, "normal")
  local masks = parameter(m, c, "mask_decoder.mask_tokens.weight", { sam.MASKS, c.sam_width }, "normal")
  local own = m.op.concat { as_token(m, quality), m.op.reshape { masks, shape = { 1, sam.MASKS, 0 } } }
  own = m.op.expand { own, count = streams, inner = true }
  return tokens and m.op.concat { own, tokens } or own
end

-- Mask i (from 0) of every query, logits (N, D, 4h, 4w, Q), of what sam.decoder returned.
function sam.mask(m, c, upscaled_map, tokens, i, slices)
  local s = upscaled_map.shape -- (N Q, D, 4h, 4w, C/8)
  local streams, samples = s[1] * s[2], slices[1]
  local kernel = m.embedding {
    m.op.slice { tokens, start = FIRST + i, length = 1 }, width = s[5], layers = 3, init = "linear",
    name = ("mask_decoder.output_hypernetworks_mlps.%d.layers"):format(i), frozen = c.sam_frozen,
  }
  local mask = m.op.matmul { m.op.reshape { upscaled_map, shape = { streams, s[3], s[4], s[5] } }, kernel }
  local queries = s[1] // samples
  mask = m.op.swap { m.op.reshape { mask, shape = { samples, queries, 0 } }, axes = { 1, 2 } }
  return m.op.reshape { mask, shape = { samples, s[2], s[3], s[4], queries } }
end

-- The quality (intersection over union) that SAM expects of its four masks, (streams, 1, 4).
function sam.quality(m, c, tokens)
  return m.embedding {
    m.op.slice { tokens, start = 0, length = 1 }, width = sam.MASKS, layers = 3, init = "linear",
    name = "mask_decoder.iou_prediction_head.layers", frozen = c.sam_frozen,
  }
end

-- image (N, D, h, w, C), position (h, w, C) or (D, h, w, C), tokens (N Q D, T, C) and dense as sam.prompts returns them; more
-- tokens may stand behind the prompts'. Returns the logits of mask 0, (N, D, 4h, 4w, Q), all tokens behind the decoder
-- (N Q D, 5 + T, C), and the map of which masks are made (N Q, D, 4h, 4w, C/8).
-- hooks, all optional, hook(m, a, layer) on (N Q, D, T, C) tokens and (N Q, D, h, w, C) maps: self_attention, token_to_image,
-- image_to_token, final on what an attention gives, before its residual; beside_mlp: a branch, of which the half is added.
function sam.decoder(m, c, image, position, tokens, dense, hooks)
  hooks = hooks or {}
  local n, d, width = image.shape[1], image.shape[2], c.sam_width
  local streams = tokens and tokens.shape[1] or dense.shape[1] * dense.shape[2]
  local queries = streams // (n * d)
  local t = m.op.reshape { all_tokens(m, c, tokens, streams), shape = { n * queries, d, 0, width } }
  local s = { tokens = t, image = image_streams(m, image, dense, queries), token_position = t, image_position = position }
  for i = 0, 1 do
    s.tokens, s.image = m.block(function() return layer(m, c, s, i, hooks) end)
  end
  local seen = two_way.attend(m, how(c), "mask_decoder.transformer.final_attn_token_to_image", width // 2, {
    s.tokens, s.image, s.image, s.token_position, s.image_position,
  })
  t = norm(m, c, m.op.add { s.tokens, hooked(hooks.final, m, seen, 2) }, "mask_decoder.transformer.norm_final_attn", 1e-5)
  t = m.op.reshape { t, shape = { streams, 0, width } }
  local x = upscaled(m, c, s.image, "mask_decoder.upscaling.conv1", width // 4)
  x = gelu(m, norm(m, c, x, "mask_decoder.upscaling.norm1"))
  x = gelu(m, upscaled(m, c, x, "mask_decoder.upscaling.conv2", width // 8))
  return sam.mask(m, c, x, t, 0, image.shape), t, x
end

return sam
