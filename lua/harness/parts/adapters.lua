-- MaskSAM's adapters (2.5, 2.6) where a model is put together in Lua, and the option by which other models take one.
local adapters = {}

local KINDS = { "vanilla", "mlp_before", "mlp_middle", "mlp_after", "conv_middle" }

-- Table 4's axes. Of tokens an adapter has no neighbours in the slice: none is a convolution.
adapters.options = {
  { name = "depth_position", type = "bool", default = true,
    doc = "a learned position of each slice in image encoder and mask decoder (MaskSAM 2.6, Table 4: DPosEmbed)" },
  { name = "decoder_position", of = "depth_position.per", default = "voxel",
    doc = "what has a position of its own in the mask decoder: every voxel (MaskSAM's code), or every slice",
    with = { depth_position = true } },
  { name = "token_adapter", type = "choice", default = "mlp_middle", choices = { table.unpack(KINDS, 1, 4) },
    doc = "adapter of prompts' tokens in the mask decoder (MaskSAM 2.5, Table 4)" },
  { name = "image_adapter", type = "choice", default = "conv_middle", choices = KINDS,
    doc = "adapter of image embeddings, in the image encoder and the mask decoder (MaskSAM 2.5, Table 4)" },
  { name = "adapter_fold", type = "choice", default = "volume", choices = { "volume", "code" },
    doc = "what the image encoder's adapters behind attention in windows take for the depth; volume: the volume's slices; code: "
      .. "neighbouring windows, mostly of one slice, as MaskSAM's code does" },
  { name = "adapter_ratio", of = "adapter.ratio" },
  { name = "adapter_zero", of = "adapter.zero" },
}

-- `elsewhere.encoder`, `.bridge`, `.head`: a row that gives another block an adapter. of: whose; with: what chooses that block.
function adapters.elsewhere(name, of, with)
  return { name = name, of = of .. ".adapter", before = "none", with = with }
end

local function call(m, x, how)
  return m.adapter {
    x, kind = how.kind, ratio = how.ratio, zero = how.zero, slices = how.slices, streams = how.streams,
    window = how.window, name = how.name,
    share = how.share, group = how.group, frozen = how.frozen,
  }
end

-- Both without the skip around them. x: (N, D, h, w, E) or (N, D, T, E); with how.slices a batch (N D, ..., E) of slices,
-- with how.streams too a batch (N D Q, ..., E) of Q streams each. how: kind, name; ratio, zero; window: of adapter_fold=code.
adapters.token, adapters.image = call, call

-- A position for each slice of a map (N, D, h, w, E), or in the mask decoder: of one slice's position (h, w, C) that of all
-- `slices`, (slices, h, w, C).
function adapters.encoder_position(m, x, name) return m.depth_position { x, name = name } end

function adapters.decoder_position(m, position, slices, per, name)
  return m.depth_position { position, slices = slices, per = per, name = name }
end

return adapters
