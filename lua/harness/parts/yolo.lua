-- QTSeg's encoder: the backbone and the feature pyramid of YOLOv8 (n) without its detection head, in 2D. Every convolution is
-- without bias, then batch norm, then SiLU. Weights start as torch's.
local yolo = {}

yolo.options = {
  { name = "n_channel", type = "int", default = 16, min = 2, max = 256,
    doc = "channels of the first convolution; stages have 2, 4, 8 and 16 times as many" },
  { name = "bn_eps", of = "batch_norm.epsilon", doc = "added to the variance by batch norm: 1e-5 as torch; 1e-3 as YOLOv8's weights" },
}

-- The channels of the pyramid's three maps, finest first: at 1/8, 1/16 and 1/32 of the picture.
function yolo.widths(c) return { 4 * c.n_channel, 8 * c.n_channel, 16 * c.n_channel } end

function yolo.norm(m, c, x, name) return m.batch_norm { x, name = name .. ".bn", activation = "silu", epsilon = c.bn_eps } end

-- x: a map, or up to four whose channels stand side by side.
function yolo.conv(m, c, x, name, width, kernel, stride)
  x = m.convolution {
    x, name = name .. ".conv", width = width, kernel = { 1, kernel, kernel }, stride = { 1, stride or 1, stride or 1 },
    bias = false, init = "torch",
  }
  return yolo.norm(m, c, x, name)
end

-- Two halves; `count` bottlenecks after each other on the second, of two convolutions each; all of it side by side.
local function c2f(m, c, x, name, width, count, shortcut)
  local half = width // 2
  -- One convolution to both halves, as two: batch norm and what follows keep channels apart.
  local parts = { yolo.conv(m, c, x, name .. ".cv1a", half, 1), yolo.conv(m, c, x, name .. ".cv1b", half, 1) }
  for i = 1, count do
    local before, of = parts[#parts], ("%s.m%d"):format(name, i - 1)
    local y = yolo.conv(m, c, yolo.conv(m, c, before, of .. ".cv1", half, 3), of .. ".cv2", half, 3)
    parts[#parts + 1] = shortcut and m.op.add { y, before } or y
  end
  return yolo.conv(m, c, parts, name .. ".cv2", width, 1)
end

local function sppf(m, c, x, name, width)
  local parts = { yolo.conv(m, c, x, name .. ".cv1", x.channels // 2, 1) }
  for i = 1, 3 do parts[i + 1] = m.op.window_max { parts[i], size = { 1, 5, 5 } } end
  return yolo.conv(m, c, parts, name .. ".cv2", width, 1)
end

local function doubled(m, x, like) return m.op.resize { x, size = like.grid, mode = "nearest" } end

-- image (N, 1, H, W, C), H and W multiples of 32. Returns the three maps, finest first. Names are the layers' numbers in YOLOv8.
function yolo.build(m, c, image)
  local n = c.n_channel
  local function name(layer) return "encoder.layer" .. layer end
  local function conv(x, layer, width) return yolo.conv(m, c, x, name(layer), width, 3, 2) end
  local function stage(x, layer, width, count, shortcut)
    return m.block(function() return c2f(m, c, x, name(layer), width, count, shortcut) end)
  end
  local x = conv(conv(image, 0, n), 1, 2 * n)
  x = conv(stage(x, 2, 2 * n, 1, true), 3, 4 * n)
  local fine = stage(x, 4, 4 * n, 2, true)
  local middle = stage(conv(fine, 5, 8 * n), 6, 8 * n, 2, true)
  x = stage(conv(middle, 7, 16 * n), 8, 16 * n, 1, true)
  local coarse = m.block(function() return sppf(m, c, x, name(9), 16 * n) end)
  local up = stage({ doubled(m, coarse, middle), middle }, 12, 8 * n, 1, false)
  local first = stage({ doubled(m, up, fine), fine }, 15, 4 * n, 1, false)
  local second = stage({ conv(first, 16, 4 * n), up }, 18, 8 * n, 1, false)
  local third = stage({ conv(second, 19, 8 * n), coarse }, 21, 16 * n, 1, false)
  return { first, second, third }
end

return yolo
