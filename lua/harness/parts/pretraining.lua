-- What a model with a frozen SAM starts from where nobody gives it SAM's own weights: a small SAM trained here as SAM was, on
-- synthetic scenes with prompts, or its image encoder alone without any, as a trial of its own (harness/starts.lua).
local sam = require "harness.parts.sam"
local sam_names = require "harness.parts.sam_names"

local pretraining = {}

-- SAM at its own size takes weeks of a cluster, and its weights are published.
local sizes_with_weights = { sam = { B = "none", L = "none", H = "none" } }

-- The trials that SAM may start from. drawn: what of SAM they do not train.
local KINDS = {
  scenes = { model = "sam_promptable", set = {}, unused = {} },
  mae = { model = "sam_masked", set = { collapse_dice = 0 }, unused = { "hidden.*", "reconstruction.*" },
    drawn = { "prompt_encoder.*", "mask_decoder.*" } },
}
local TRAINED = { pretrain = { "scenes", "mae" } }

pretraining.options = {
  { name = "pretrain", type = "choice", default = "scenes", paper = "none", default_where = sizes_with_weights,
    choices = { "scenes", "mae", "none" },
    doc = "what SAM starts from; scenes: a trial of sam_promptable on data=scenes, trained first and shared by all that ask for "
      .. "the same; mae: one of sam_masked on the pictures alone, of the image encoder, while prompts and decoder are drawn; none: "
      .. "drawn numbers, or those of weights=FILE; of sam=B, L and H, which are published, trials only where told" },
  { name = "pretrain_steps", type = "int", default = 600, min = 1, max = 100000000, with = TRAINED,
    doc = "steps of that trial, of 8 scenes" },
  { name = "pretrain_cases", type = "int", default = 52, min = 5, max = 999, with = TRAINED,
    doc = "its cases, of 64 scenes, 4 of them held out" },
  { name = "pretrain_seed", type = "int", default = 0, min = 0, max = 2147483647, with = TRAINED,
    doc = "its seed, whatever the seeds of those that start from it" },
}

-- How SAM is used, not what it is.
local NOT_ITS = { frame = true, vit_padding = true, sam_frozen = true }

-- A model's starts_from. c: with sam.options and these.
function pretraining.start(c)
  local kind = KINDS[c.pretrain]
  if not kind then return nil end
  local side = c.vit_side * c.vit_patch
  local set = {
    model = kind.model, data = "scenes", scenes_size = { 64, side, side }, scenes_cases = c.pretrain_cases,
    patch = { 1, side, side }, batch = 8, steps = c.pretrain_steps, optimizer = "adamw", lr = 1e-3, lr_transformer = 1,
    weight_decay = 1e-4, clip = 12, schedule = "poly", augment = "none", foreground = 0, threads = 1, save_every = 500,
  }
  for name, value in pairs(kind.set) do set[name] = value end
  for _, option in ipairs(sam.options) do
    if not NOT_ITS[option.name] then set[option.name] = c[option.name] end
  end
  local unused = table.move(kind.unused, 1, #kind.unused, 1, {})
  table.move(sam_names.unused, 1, #sam_names.unused, #unused + 1, unused)
  return { key = c.pretrain, set = set, seed = c.pretrain_seed, unused = unused, drawn = kind.drawn }
end

function pretraining.check(c)
  if c.pretrain ~= "none" and c.weights ~= "none" then
    return ("would start twice: with weights=%s set pretrain=none"):format(c.weights)
  end
end

return pretraining
