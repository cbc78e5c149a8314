-- What QTSeg's parameters are called in its public code, and those of its encoder alone in the file that the code starts from and
-- in YOLOv8's: maps (harness/weights.lua) of a configuration. There one convolution gives both halves that a stage begins with.
local NORM = { "weight", "bias", "running_mean", "running_var" }
local BOTH = { "weight", "bias" }
local STAGES = { 2, 4, 6, 8, 12, 15, 18, 21 } -- of YOLOv8's layers those that are C2f; 9 is SPPF, the others convolutions

local function add(map, ours, theirs, part) map[#map + 1] = { ours, theirs, part = part, flat = true } end

local function add_all(map, names, ours, theirs, part)
  for _, name in ipairs(names) do add(map, ours .. "." .. name, theirs .. "." .. name, part) end
end

-- A convolution, `conv` there or what it is called, and its norm.
local function convolution(map, ours, theirs, part, conv)
  add(map, ours .. ".conv.weight", theirs .. "." .. (conv or "conv") .. ".weight", part)
  add_all(map, NORM, ours .. ".bn", theirs .. ".bn", part)
end

-- named(layer, kind): what a layer, "sppf", "c2f" or "conv", is called there.
local function encoder(map, named)
  for i = 1, 2 do convolution(map, "encoder.layer9.cv" .. i, named("9", "sppf") .. ".cv" .. i) end
  for _, layer in ipairs(STAGES) do
    local ours, theirs = "encoder.layer" .. layer, named(layer, "c2f")
    convolution(map, ours .. ".cv1a", theirs .. ".cv1", { 1, 2 })
    convolution(map, ours .. ".cv1b", theirs .. ".cv1", { 2, 2 })
    convolution(map, ours .. ".cv2", theirs .. ".cv2")
    convolution(map, ours .. ".m{i}.cv{k}", theirs .. ".m.{i}.cv{k}")
  end
  convolution(map, "encoder.layer{n}", named("{n}", "conv"))
  map.unused = { "*.num_batches_tracked" } -- batch norm's counter, which nothing is computed of
  return map
end

local function attention(map, ours, theirs)
  for _, name in ipairs { "q_proj", "k_proj", "v_proj", "out_proj" } do
    add_all(map, BOTH, ours .. "." .. name, theirs .. "." .. name)
  end
end

local blocks = {}

function blocks.dmad(map, ours, theirs)
  attention(map, ours .. "ctfa_spatial", theirs .. "dm_attention.spatial_token_mix_attention")
  attention(map, ours .. "ctfa_channel", theirs .. "dm_attention.channel_token_mix_attention")
  attention(map, ours .. "cfta", theirs .. "feature_mix")
  add(map, ours .. "spatial.weight", theirs .. "dm_attention.spatial_attention.cv1.weight")
  add(map, ours .. "channel.gamma", theirs .. "dm_attention.channel_attention.gamma")
  add_all(map, BOTH, ours .. "norm1", theirs .. "dm_attention.token_layernorm")
  add_all(map, BOTH, ours .. "mlp.lin{k}", theirs .. "token_mlp.lin{k}")
  add_all(map, BOTH, ours .. "norm2", theirs .. "token_layernorm")
end

function blocks.medsam(map, ours, theirs)
  for _, name in ipairs { "self_attn", "cross_attn_token_to_image", "cross_attn_image_to_token" } do
    attention(map, ours .. name, theirs .. name)
  end
  add_all(map, BOTH, ours .. "norm{k}", theirs .. "norm{k}")
  add_all(map, BOTH, ours .. "mlp.lin{k}", theirs .. "mlp.lin{k}")
end

-- A level's parts there: of DMAD, and of the decoder with SAM's layers that was before it (v0.1.0).
local NAMES = {
  dmad = { blocks = "DMAB_s", tokens = "MLP_s", position = "PE_s", up = "SUB_s" },
  medsam = { blocks = "transformer_s", tokens = "output_hypernetworks_mlps_s", position = "pe_layer_s", up = "output_upscaling_s" },
}

local function decoder(map, kind)
  local function theirs(part) return "mask_decoder." .. NAMES[kind][part] .. "{s}" end
  local level = "decoder.level{s}."
  add(map, "decoder.tokens", "mask_decoder.mask_tokens.weight")
  blocks[kind](map, level .. "block{i}.", theirs "blocks" .. ".layers.{i}.")
  attention(map, level .. "final", theirs "blocks" .. ".final_attn_token_to_image")
  add_all(map, BOTH, level .. "final_norm", theirs "blocks" .. ".norm_final_attn")
  add(map, level .. "frequencies", theirs "position" .. ".positional_encoding_gaussian_matrix")
  for i = 0, 1 do
    add_all(map, BOTH, level .. "up" .. i, theirs "up" .. "." .. 3 * i)
    add_all(map, BOTH, level .. "up" .. i .. ".norm", theirs "up" .. "." .. 3 * i + 1)
  end
  add_all(map, BOTH, level .. "token{k}.{l}", theirs "tokens" .. ".{k}.layers.{l}")
end

local function distribution(map)
  for to = 0, 2 do
    for from = 0, 2 do
      convolution(map, ("mlfd.to%d.from%d"):format(to, from), ("bridge.neck_%d_%d"):format(to, from), nil,
        from > to and "conv_transpose" or nil)
    end
  end
end

return function(c)
  local map = encoder({}, function(layer, kind) return ("image_encoder.%s_%s"):format(kind, layer) end)
  distribution(map)
  decoder(map, c.decoder)
  local alone = encoder({ mark = "conv_0.conv.weight" }, function(layer, kind) return kind .. "_" .. layer end)
  local yolo = encoder({ mark = "model.0.conv.weight" }, function(layer) return "model." .. layer end)
  yolo.unused[#yolo.unused + 1] = "model.22.*" -- its detection head
  if c.bn_eps ~= 1e-3 then
    yolo.note = ("YOLOv8's batch norms were trained with epsilon 1e-3, here is bn_eps=%g, as in QTSeg's code"):format(c.bn_eps)
  end
  map.others = { alone, yolo }
  return map
end
