-- What a model with a frozen SAM starts from where nobody gives it SAM's own weights: a small SAM trained here as SAM was, on
-- synthetic scenes with prompts, as a trial of its own (harness/starts.lua).
local sam = require "harness.parts.sam"

local pretraining = {}

-- SAM at its own size takes weeks of a cluster, and its weights are published.
local sizes_with_weights = { sam = { B = "none", L = "none", H = "none" } }

pretraining.options = {
  { name = "pretrain", type = "choice", default = "scenes", paper = "none", default_where = sizes_with_weights,
    choices = { "scenes", "none" },
    doc = "what SAM starts from; scenes: a trial of sam_promptable on data=scenes, trained first and shared by all that ask for "
      .. "the same; none: drawn numbers, or those of weights=FILE; of sam=B, L and H, which are published, scenes only where told" },
  { name = "pretrain_steps", type = "int", default = 600, min = 1, max = 100000000, with = { pretrain = "scenes" },
    doc = "steps of that trial, of 8 scenes" },
  { name = "pretrain_cases", type = "int", default = 52, min = 5, max = 999, with = { pretrain = "scenes" },
    doc = "its cases, of 64 scenes, 4 of them held out" },
  { name = "pretrain_seed", type = "int", default = 0, min = 0, max = 2147483647, with = { pretrain = "scenes" },
    doc = "its seed, whatever the seeds of those that start from it" },
}

-- How SAM is used, not what it is.
local NOT_ITS = { frame = true, vit_padding = true, sam_frozen = true }

-- A model's starts_from. c: with sam.options and these.
function pretraining.start(c)
  if c.pretrain == "none" then return nil end
  local side = c.vit_side * c.vit_patch
  local set = {
    model = "sam_promptable", data = "scenes", scenes_size = { 64, side, side }, scenes_cases = c.pretrain_cases,
    patch = { 1, side, side }, batch = 8, steps = c.pretrain_steps, optimizer = "adamw", lr = 1e-3, lr_transformer = 1,
    weight_decay = 1e-4, clip = 12, schedule = "poly", augment = "none", foreground = 0, threads = 1, save_every = 500,
  }
  for _, option in ipairs(sam.options) do
    if not NOT_ITS[option.name] then set[option.name] = c[option.name] end
  end
  return { key = "scenes", set = set, seed = c.pretrain_seed, unused = require("harness.parts.sam_names").unused }
end

function pretraining.check(c)
  if c.pretrain ~= "none" and c.weights ~= "none" then
    return ("would start twice: with weights=%s set pretrain=none"):format(c.weights)
  end
end

return pretraining
