-- MaskSAM (Xie et al. 2024): SAM, frozen, with adapters between its layers, told by a prompt generator where to look: of each
-- query of each slice an auxiliary mask and a box prompt SAM's mask decoder, and a class token is classified behind it.
-- Defaults are those of the public code for ACDC; rows of Table 4 differ in prompts, depth_position, token_adapter and
-- image_adapter. Queries are streams of the decoder: maps (N Q, D, h, w, C), tokens (N Q D, T, C).
local adapters = require "harness.parts.adapters"
local deep = require "harness.parts.deep_supervision"
local generator = require "harness.parts.prompt_generator"
local input_adapter = require "harness.parts.input_adapter"
local pretraining = require "harness.parts.pretraining"
local sam = require "harness.parts.sam"

-- Table 4, B1 to B4: what prompts SAM. box: the mask's own, a learned one, or the mean of both.
local prompts = {
  mask = { mask = true, box = "mask" },
  box = { box = "learned" },
  mask_box = { mask = true, box = "learned" },
  mask_mean_box = { mask = true, box = "mean" },
}
local WITH_MASK = { prompts = { "mask", "mask_box", "mask_mean_box" } }
local WITH_LEARNED_BOX = { prompts = { "box", "mask_box", "mask_mean_box" } }
local WITH_MASK_BOX = { prompts = { "mask", "mask_mean_box" } }

-- ---- axes -------------------------------------------------------------------------------------------

-- x (N Q, D, ...) as (N D, Q, last axis): what is a slice's own.
local function of_slices(m, x, samples)
  local streams, slices = x.shape[1], x.shape[2]
  local apart = m.op.reshape { x, shape = { samples, streams // samples, slices, 0 } }
  return m.op.reshape { m.op.swap { apart, axes = { 1, 2 } }, shape = { samples * slices, streams // samples, 0 } }
end

-- A map or labels (N, D, ...) as N D samples of one slice.
local function as_slices(m, x)
  local shape = { x.shape[1] * x.shape[2], 1, table.unpack(x.shape, 3) }
  return m.op.reshape { x, shape = shape }
end

-- Masks at the image's resolution.
local function full(m, x)
  local grid = m.image.grid
  if x.grid[2] == grid[2] and x.grid[3] == grid[3] then return x end
  return m.op.resize { x, size = grid }
end

-- Masks through convolutions over all queries, as many times larger as the image's resolution needs.
local function refined(m, c, x)
  local times = 0
  while x.grid[2] << (times + 1) <= m.image.grid[2] do times = times + 1 end
  return m.final_conv { x, width = c.final_conv, upsample = times, name = "final_conv" }
end

-- Tokens (N, D, Q, C) as the decoder's (N Q D, 1, C).
local function as_streams(m, x)
  return m.op.reshape { m.op.swap { x, axes = { 1, 2 } }, shape = { 0, 1, x.channels } }
end

-- Masks (N, D, H, W, Q) as maps of one channel (N Q, D, H, W, 1).
local function apart(m, x)
  local samples, slices, high, wide, queries = table.unpack(x.shape)
  local rows = m.op.swap { m.op.reshape { x, shape = { samples, 0, queries } }, axes = { 1, 2 } }
  return m.op.reshape { rows, shape = { samples * queries, slices, high, wide, 1 } }
end

-- ---- where adapters stand (2.5, 2.6; Figure 3) --------------------------------------------------------

local function adapter_of(m, c, of, kind)
  return function(x, name, window)
    return of(m, x, { kind = kind, ratio = c.adapter_ratio, zero = c.adapter_zero, window = window, name = "adapters." .. name })
  end
end

-- A hook for what an attention gives: a + adapter(a); for a branch beside an MLP the adapter alone.
local function hooks_of(call, place)
  local function after(m, a, i) return m.op.add { a, call(a, place:format(i)) } end
  local function beside(_, x, i) return call(x, place:format(i)) end
  return after, beside
end

local function encoder_hooks(m, c)
  local image, hooks = adapter_of(m, c, adapters.image, c.image_adapter), {}
  function hooks.after_attention(_, a, i)
    local window = c.adapter_fold == "code" and not sam.is_global(c, i) and c.vit_window or nil
    return m.op.add { a, image(a, ("encoder%d.attention"):format(i), window) }
  end
  hooks.beside_mlp = select(2, hooks_of(image, "encoder%d.mlp"))
  if c.depth_position then
    function hooks.position(_, x) return adapters.encoder_position(m, x, "adapters.encoder") end
  end
  return hooks
end

local function decoder_hooks(m, c)
  local image, token = adapter_of(m, c, adapters.image, c.image_adapter), adapter_of(m, c, adapters.token, c.token_adapter)
  return {
    self_attention = hooks_of(token, "decoder%d.self_attention"),
    token_to_image = hooks_of(token, "decoder%d.token_to_image"),
    beside_mlp = select(2, hooks_of(token, "decoder%d.mlp")),
    image_to_token = hooks_of(image, "decoder%d.image_to_token"),
    final = hooks_of(token, "decoder%d.token_to_image"),
  }
end

-- ---- prompts (2.4) -------------------------------------------------------------------------------------

-- Boxes (N Q, D, 4), and whether they learn of a loss of their own.
local function boxes_of(m, c, aux, levels)
  local kind, of_masks = prompts[c.prompts].box, nil
  if kind ~= "learned" then of_masks = m.op.mask_box { aux, soft = c.box_gradient == "soft" } end
  if kind == "mask" then return of_masks, false end
  return m.box_head { levels, of_masks, queries = aux.channels, norm = c.box_norm, name = "box_head" }, true
end

-- Numbers of 0 and 1 as -8 and 8.
local function signed(m, x)
  local one, sixteen = m.op.fill { shape = { 1 }, value = 1 }, m.op.fill { shape = { 1 }, value = 16 }
  return m.op.multiply { m.op.add { x, one, scale = -0.5 }, sixteen }
end

-- What SAM's prompt encoder sees of the auxiliary masks, (N Q, D, 4h, 4w, 1); nil: nothing.
local function masks_of(m, c, aux, grid)
  if not prompts[c.prompts].mask then return nil end
  local logits, high, wide = c.mask_prompt == "logits", 4 * grid[2], 4 * grid[3]
  local x = logits and aux or m.op.activation { aux, kind = "step" }
  if x.grid[2] ~= high or x.grid[3] ~= wide then
    x = m.op.resize { x, size = { grid[1], high, wide }, mode = logits and "linear" or "nearest" }
  end
  x = apart(m, x)
  return c.mask_prompt == "signed" and signed(m, x) or x
end

-- ---- the whole -----------------------------------------------------------------------------------------

local function position_of(m, c, neck)
  local position = sam.dense_position(m, c, neck.grid)
  if not c.depth_position then return position end
  return adapters.decoder_position(m, position, neck.grid[1], c.decoder_position, "adapters.decoder")
end

-- Final masks (N, D, H, W, Q), and classes (N D, Q, labels + 1).
local function decoded(m, c, neck, levels, given)
  local samples, queries = neck.shape[1], given.queries
  local sparse, dense = sam.prompts(m, c, given)
  local classifier = as_streams(m, generator.class_tokens(m, c, levels, queries, c.sam_width))
  local masks, tokens = sam.decoder(m, c, neck, position_of(m, c, neck), m.op.concat { sparse, classifier }, dense, decoder_hooks(m, c))
  local last = m.op.slice { tokens, start = tokens.shape[2] - 1, length = 1 }
  local classes = m.embedding { last, width = c.classes + 1, layers = 1, init = "linear", name = "class_head" }
  if c.final_conv > 0 then masks = refined(m, c, masks) end
  return full(m, masks), of_slices(m, m.op.reshape { classes, shape = { samples * queries, neck.grid[1], 0 } }, samples)
end

local function loss_of(m, c, masks, classes, aux, boxes)
  local seen = prompts[c.prompts].mask and as_slices(m, aux) or nil
  if seen and c.aux_sigmoid == "twice" then seen = m.op.activation { seen, kind = "sigmoid" } end
  local inputs = { as_slices(m, m.labels), as_slices(m, masks), classes }
  inputs[#inputs + 1] = seen
  inputs[#inputs + 1] = boxes and of_slices(m, boxes, m.image.shape[1]) or nil
  local loss, class, bce, dice = m.masksam_loss {
    inputs, class_weight = c.class_weight, bce_weight = c.bce_weight, dice_weight = c.dice_weight, aux_weight = c.aux_weight,
    l1_weight = c.l1_weight, giou_weight = c.giou_weight, none_weight = c.none_weight, loss_scale = c.loss_scale,
    regions = c.regions, slices = c.match_over == "volume" and m.image.grid[1] or 1,
  }
  return { loss = loss, class = class, bce = bce, dice = dice }
end

-- Of a slice: N labels, the background among them.
local function queries_of(c)
  if c.query_count > 0 then return c.query_count end
  return math.max(1, math.floor(c.queries * c.classes + 0.5))
end

local function build(m, c)
  local queries, grid = queries_of(c), m.image.grid
  local neck, globals = sam.encoder(m, c, input_adapter.build(m, c), encoder_hooks(m, c))
  local aux, levels = generator.build(m, c, neck, globals, queries)
  aux = full(m, aux)
  local boxes, learn = boxes_of(m, c, aux, levels)
  local masks, classes = decoded(m, c, neck, levels, {
    queries = queries, grid = neck.grid, boxes = boxes, pixels = { grid[3], grid[2] }, floor = c.box_prompt == "floor",
    masks = masks_of(m, c, aux, neck.grid),
  })
  if m.labels then return loss_of(m, c, masks, classes, aux, learn and boxes or nil) end
  local map = m.class_map { as_slices(m, masks), classes }
  return { map = m.op.reshape { map, shape = { m.image.shape[1], grid[1], grid[2], grid[3], 0 } } }
end

-- ViT-B, L and H, whose weights are published, are not pre-trained here.
local function caution(c)
  if c.sam == "small" or not c.sam_frozen or c.pretrain ~= "none" or c.weights ~= "none" then return nil end
  return ("SAM (sam=%s) is frozen at numbers that were drawn; its own come with weights=FILE (docs/weights.md)"):format(c.sam)
end

local function weight(name) return { name = name, of = "masksam_loss." .. name } end

return {
  doc = "MaskSAM: SAM with adapters and a prompt generator (Table 4 on ACDC, of the public code's defaults)",
  options = {
    sam.options, sam.frozen(true), pretraining.options, adapters.options, generator.options, input_adapter.options,
    { name = "prompts", type = "choice", default = "mask_mean_box", choices = { "mask", "box", "mask_box", "mask_mean_box" },
      doc = "what prompts SAM for each query (Table 4, B1-B4): a mask with its own box; a learned box; both; the mask and the mean "
        .. "of its box and the learned one" },
    { name = "queries", type = "number", default = 2, quick = 1.25, min = 0.1, max = 16,
      doc = "queries of a slice, in multiples of the labels N" },
    { name = "query_count", type = "int", default = 0, min = 0, max = 1024, doc = "or so many; 0: queries x N" },
    { name = "box_norm", of = "box_head.norm", with = WITH_LEARNED_BOX },
    { name = "box_gradient", type = "choice", default = "none", choices = { "none", "soft" }, with = WITH_MASK_BOX,
      doc = "boxes of masks: of the voxels above one half, without gradient (MaskSAM's code), or in expectation, with one" },
    { name = "box_prompt", type = "choice", default = "floor", choices = { "floor", "smooth" },
      doc = "corners that prompt: of whole pixels, through which no gradient passes (MaskSAM's code), or as they are" },
    { name = "mask_prompt", type = "choice", default = "binary", choices = { "binary", "logits", "signed" }, with = WITH_MASK,
      doc = "auxiliary masks that prompt, where SAM was trained with logits: 0 and 1 (MaskSAM's code), logits, or -8 and 8" },
    { name = "aux_sigmoid", type = "choice", default = "once", choices = { "once", "twice" }, with = WITH_MASK,
      doc = "twice: their probabilities are taken for logits by loss and matching (MaskSAM's code)" },
    { name = "final_conv", type = "int", default = 0, before = 0, min = 0, max = 4096,
      doc = "so many channels of convolutions behind SAM's masks, over which queries mix (MaskSAM's code for AMOS and Synapse: 64); "
        .. "0: none (ACDC)" },
    { name = "match_over", type = "choice", default = "slice", choices = { "slice", "volume" },
      doc = "a label has a query for each slice (MaskSAM's code), or one for all slices of a patch" },
    weight "class_weight", weight "bce_weight", weight "dice_weight", weight "none_weight", weight "loss_scale",
    { name = "aux_weight", of = "masksam_loss.aux_weight", with = WITH_MASK },
    { name = "l1_weight", of = "masksam_loss.l1_weight", with = WITH_LEARNED_BOX },
    { name = "giou_weight", of = "masksam_loss.giou_weight", with = WITH_LEARNED_BOX },
  },
  check = function(c) return pretraining.check(c) or sam.check(c, 2 ^ c.input_upsample) or deep.check_masks(c) end,
  caution = caution,
  starts_from = pretraining.start,
  build = build,
  pytorch = function() return require "harness.parts.sam_names" end,
}
