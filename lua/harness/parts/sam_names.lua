-- What SAM's parameters (parts/sam.lua) are called elsewhere: maps (harness/weights.lua) of segment-anything, whose names ours are
-- but for convolutions, which have another layout, and of transformers' SamModel. Their convolutions are in 2D.
local BOTH, WEIGHT = { "weight", "bias" }, { "weight" }

-- A map's rows are made by add(ours, theirs, ...), a layer's, with what it has, by layer(parts, ours, theirs).
local function map_made_by(make)
  local map = {}
  local function add(...)
    local row = { ... }
    row.flat = true
    map[#map + 1] = row
  end
  make(add, function(parts, ours, theirs)
    for _, what in ipairs(parts) do add(ours .. "." .. what, theirs .. "." .. what) end
  end)
  return map
end

local segment_anything = map_made_by(function(_, layer)
  layer(BOTH, "image_encoder.patch_embed", "image_encoder.patch_embed.proj")
  for i = 1, 2 do
    layer(WEIGHT, "image_encoder.neck.conv" .. i, "image_encoder.neck." .. 2 * i - 2)
    layer(BOTH, "image_encoder.neck.norm" .. i, "image_encoder.neck." .. 2 * i - 1)
    layer(BOTH, "prompt_encoder.mask_downscaling.norm" .. i, "prompt_encoder.mask_downscaling." .. 3 * i - 2)
  end
  for i = 1, 3 do layer(BOTH, "prompt_encoder.mask_downscaling.conv" .. i, "prompt_encoder.mask_downscaling." .. 3 * i - 3) end
  layer(BOTH, "mask_decoder.upscaling.conv1", "mask_decoder.output_upscaling.0")
  layer(BOTH, "mask_decoder.upscaling.norm1", "mask_decoder.output_upscaling.1")
  layer(BOTH, "mask_decoder.upscaling.conv2", "mask_decoder.output_upscaling.3")
end)

local transformers = map_made_by(function(add, layer)
  local blocks, there = "image_encoder.blocks.{i}.", "vision_encoder.layers.{i}."
  add("image_encoder.pos_embed", "vision_encoder.pos_embed")
  layer(BOTH, "image_encoder.patch_embed", "vision_encoder.patch_embed.projection")
  layer(BOTH, blocks .. "norm{k}", there .. "layer_norm{k}")
  for _, name in ipairs { "attn.qkv", "attn.proj", "mlp.lin1", "mlp.lin2" } do layer(BOTH, blocks .. name, there .. name) end
  for _, name in ipairs { "attn.rel_pos_h", "attn.rel_pos_w" } do add(blocks .. name, there .. name) end
  layer(WEIGHT, "image_encoder.neck.conv{k}", "vision_encoder.neck.conv{k}")
  layer(BOTH, "image_encoder.neck.norm{k}", "vision_encoder.neck.layer_norm{k}")
  add("prompt_encoder.pe_layer.positional_encoding_gaussian_matrix", "shared_image_embedding.positional_embedding",
    "prompt_encoder.shared_embedding.positional_embedding")
  layer(WEIGHT, "prompt_encoder.point_embeddings.{i}", "prompt_encoder.point_embed.{i}")
  layer(BOTH, "prompt_encoder.mask_downscaling.conv{k}", "prompt_encoder.mask_embed.conv{k}")
  layer(BOTH, "prompt_encoder.mask_downscaling.norm{k}", "prompt_encoder.mask_embed.layer_norm{k}")
  local inside = "mask_decoder.transformer."
  layer(BOTH, inside .. "layers.{i}.norm{k}", inside .. "layers.{i}.layer_norm{k}")
  layer(BOTH, inside .. "norm_final_attn", inside .. "layer_norm_final_attn")
  layer(BOTH, "mask_decoder.upscaling.conv{k}", "mask_decoder.upscale_conv{k}")
  layer(BOTH, "mask_decoder.upscaling.norm1", "mask_decoder.upscale_layer_norm")
  for i, name in ipairs { "proj_in", "layers.0", "proj_out" } do
    for _, mlp in ipairs { "mask_decoder.output_hypernetworks_mlps.{m}.", "mask_decoder.iou_prediction_head." } do
      layer(BOTH, mlp .. "layers." .. i - 1, mlp .. name)
    end
  end
end)

-- What a model may do without: prompts that it does not give, masks and a quality that it does not ask for.
local unused = {
  "prompt_encoder.point_embed*", "prompt_encoder.not_a_point_embed.weight", "prompt_encoder.no_mask_embed.weight",
  "prompt_encoder.mask_downscaling.*", "prompt_encoder.mask_embed.*", "mask_decoder.output_hypernetworks_mlps.*",
  "mask_decoder.iou_prediction_head.*",
}

transformers.unused, transformers.mark = unused, "vision_encoder.pos_embed"
segment_anything.unused, segment_anything.others = unused, { transformers }
return segment_anything
