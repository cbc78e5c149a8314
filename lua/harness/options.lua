-- The options of every experiment: data and training. Those of a model stand in its file (models/, parts/). The only
-- place of a default; the same rows serve overrides on the command line, help, and the configuration whose hash is a
-- trial's identity.
--
-- A row: name, type (int, number, bool, choice, list of whole numbers, numbers, text), default, doc; min, max or choices;
-- `words` that may stand in place of a number. `of`: a building
-- block's option, whose C table (modules/) has all of these, unless the row says otherwise. `quick`, `small`,
-- `paper` replace the default at that scale (the paper's own values are the plain defaults; a smaller scale says
-- what it shrinks). `before`, of an option that came later than stored trials: the value that means what was done
-- before there was a choice. It stays out of the configuration, so that those trials keep their identity; a model
-- reads it all the same, and C takes its absence for it. `with = { option = value }`: it is read only where that option
-- has this value, or one of a list; elsewhere it is no part of a trial, and to set it is a mistake. `default_with`, likewise:
-- the default is meant for that value; with another the option must be set. `default_where = { option = { word = value } }`: the
-- default where that option is this word. `evaluation = true`: it says how a trained network is
-- scored and changes nothing of its training; trials that differ in such options alone share one training.
-- `ascending`, of a list: each number is above the last; `most`, `length`: so many numbers it has at most, or always.
local choices = require "harness.choices"
local rows = {
  -- What is trained on.
  { name = "data", type = "text", default = "phantom", doc = "data set folder (MSD or nnU-Net), phantom, phantom2d or scenes" },
  { name = "plan", type = "choice", default = "auto", choices = { "auto", "none" },
    doc = "auto: where data/plan.json is (`harness data plan`), train on volumes prepared by it, with its patch, batch, "
      .. "strides, kernels, key_grid, batch_dice and number of stages where the experiment sets none; none: on the files as they are" },
  { name = "fit", type = "choice", default = "none", before = "none", choices = { "none", "stretch", "pad" },
    doc = "pictures (D = 1) are brought to the patch's H,W, so that a network sees all of one at once, and labels go back to its "
      .. "own pixels; stretch: each axis by itself; pad: the longest side, with zeros to the right and below; none: patches and "
      .. "windows of its own pixels. Where they are fitted no plan is read" },
  { name = "colour", type = "choice", default = "rgb", before = "rgb", choices = { "rgb", "ycrcb" },
    doc = "colours of pictures: as stored, or Y, Cr, Cb of 8 bits" },
  { name = "normalise", type = "choice", default = "channel", before = "channel", choices = { "channel", "unit", "symmetric" },
    doc = "without a plan; channel: as each channel's name says (docs/data.md); unit, symmetric: 0 .. 1, -1 .. 1 by the least and "
      .. "most of all channels of an image together, after fit" },
  { name = "score_pad", type = "choice", evaluation = true, default = "no", before = "no", choices = { "no", "yes" },
    with = { fit = { "stretch", "pad" } },
    doc = "yes: scores what the network sees, H x W pixels with the padding, as some papers' code does, in place of the picture as it is" },
  { name = "fold", type = "int", default = 0, min = 0, max = 99, doc = "which fold validates" },
  { name = "phantom_size", type = "list", default = { 96, 160, 160 }, quick = { 44, 44, 44 }, small = { 80, 80, 80 },
    length = 3, min = 16, max = 512, doc = "phantom volumes: D,H,W voxels" },
  { name = "phantom_cases", type = "int", default = 60, quick = 32, small = 40, min = 2, max = 1000,
    doc = "phantom volumes, validation included" },
  { name = "phantom_validation", type = "int", default = 12, quick = 8, small = 8, min = 1, max = 500,
    doc = "phantom volumes held out" },
  { name = "phantom_organs", type = "int", default = 15, quick = 12, min = 1, max = 15, doc = "labelled organs, largest first" },
  { name = "phantom_anatomy", type = "int", default = 2, before = 1, min = 1, max = 2,
    doc = "1: the first phantom; 2: its small organs are large, clear and inside enough to be learnt" },
  { name = "phantom_noise", type = "number", default = 15, quick = 30, min = 0, max = 500, doc = "noise, sd in HU" },
  { name = "phantom_seed", type = "int", default = 1, min = 0, max = 2147483647, doc = "phantom volumes' seed" },

  { name = "phantom2d", type = "choice", default = "lesion", choices = { "lesion", "nuclei", "vessels" },
    with = { data = "phantom2d" }, doc = "what the 2D phantom's pictures show: one blob of unclear border, many bodies that "
      .. "touch, thin lines" },
  { name = "phantom2d_variant", type = "int", default = 1, min = 1, max = 2, with = { data = "phantom2d" },
    doc = "1: the first 2D phantom; 2: weaker contrast, more noise, and what looks alike but is not labelled; its nuclei are numbered" },
  { name = "phantom2d_size", type = "list", default = { 512, 512 }, quick = { 128, 128 }, small = { 256, 256 }, length = 2,
    min = 32, max = 4096, with = { data = "phantom2d" }, doc = "2D phantom: H,W pixels" },
  { name = "phantom2d_cases", type = "int", default = 200, min = 2, max = 999, with = { data = "phantom2d" },
    doc = "2D phantom: pictures, validation included" },
  { name = "phantom2d_validation", type = "int", default = 60, min = 1, max = 900, with = { data = "phantom2d" },
    doc = "2D phantom: pictures held out" },
  { name = "phantom2d_seed", type = "int", default = 1, min = 0, max = 2147483647, with = { data = "phantom2d" },
    doc = "2D phantom: seed" },

  { name = "scenes_size", type = "list", default = { 64, 40, 40 }, length = 3, min = 1, max = 1024, with = { data = "scenes" },
    doc = "scenes with prompts: scenes a case, H,W pixels" },
  { name = "scenes_cases", type = "int", default = 52, min = 2, max = 999, with = { data = "scenes" },
    doc = "scenes with prompts: cases, validation included" },
  { name = "scenes_validation", type = "int", default = 4, min = 1, max = 900, with = { data = "scenes" },
    doc = "scenes with prompts: cases held out" },
  { name = "scenes_seed", type = "int", default = 1, min = 0, max = 2147483647, with = { data = "scenes" },
    doc = "scenes with prompts: seed" },

  { name = "model", type = "model", default = "maskmed",
    doc = "a file of lua/harness/models (`harness help models`), or one of your own: a path that ends in .lua, from the "
      .. "experiment's folder; it has options of its own (`harness help MODEL`)" },

  -- The training (MaskMed appendix C).
  { name = "patch", type = "list", default = { 64, 192, 160 }, quick = { 24, 24, 24 }, small = { 48, 48, 48 }, length = 3,
    min = 1, max = 4096, doc = "D,H,W training patch" },
  { name = "batch", type = "int", default = 2, min = 1, max = 65536, doc = "patches a step" },
  { name = "steps", type = "int", default = 250000, quick = 750, small = 4000, min = 1, max = 100000000, doc = "training steps" },
  { name = "optimizer", type = "choice", default = "sgd", before = "sgd", choices = choices.optimizer.names,
    doc = choices.optimizer.doc },
  { name = "lr", type = "number", default = 1e-3, quick = 0.15, small = 0.02, min = 0, max = 100, words = { "tuned" },
    default_with = { optimizer = "sgd" }, doc = "learning rate, of which warmup and schedule make each step's; tuned: each "
      .. "row's own, the best of lr_tries on an inner split of its training cases (docs/statistics.md)" },
  { name = "lr_tries", type = "numbers", default = {}, ascending = true, most = 20, min = 1e-9, max = 100, with = { lr = "tuned" },
    doc = "the rates that every row tries; none: half, once and twice lr's default at this scale" },
  { name = "lr_seeds", type = "int", default = 1, min = 1, max = 100, with = { lr = "tuned" },
    doc = "how often each is tried, with seeds from 1000 on; the mean decides" },
  { name = "momentum", of = "sgd.momentum", quick = 0.9 },
  { name = "beta1", of = "adamw.beta1" },
  { name = "beta2", of = "adamw.beta2" },
  { name = "eps", of = "adamw.eps" },
  { name = "weight_decay", type = "number", default = 3e-5, min = 0, max = 1, doc = "on every parameter that decays" },
  { name = "decay_norms", type = "bool", default = true, before = true, doc = "norms' scales and shifts decay" },
  { name = "decay_biases", type = "bool", default = true, before = true, doc = "biases of convolutions and linear layers decay" },
  { name = "decay_embeddings", type = "bool", default = true, before = true, doc = "queries, positions and other embeddings decay" },
  { name = "recompute", type = "bool", default = false, before = false,
    doc = "keep of every block (an encoder's or decoder's stage, a transformer's layer) what leaves it, and compute the rest "
      .. "again for the gradient: the same numbers in less memory, with up to a third more work" },
  { name = "freeze", type = "text", default = "none", before = "none",
    doc = "parameters that do not train, by name or scope, with commas: encoder,*.norm.*; behind a minus: but not "
      .. "those: encoder,-*.adapter; they take no gradient and no "
      .. "state of the optimiser, and nothing is kept for them where nothing before them trains" },
  { name = "freeze_steps", type = "int", default = 0, before = 0, min = 0, max = 100000000,
    doc = "steps at first that freeze= is for; behind them its parameters train, too, with the optimiser's states from 0 on. "
      .. "What batch norm runs along moves from the first step; 0: all steps" },
  { name = "clip", type = "number", default = 12, min = 0, max = 1e9, doc = "joint gradient norm; 0: none" },
  { name = "average", type = "number", default = 0, quick = 0.98, small = 0.99, before = 0, min = 0, max = 0.999999,
    doc = "decay of an exponential moving average (EMA) of the weights (0.98: over the last 50 updates or so), which is validated, "
      .. "evaluated, kept and predicted with in their place, while training goes on from the weights themselves; 0: none" },
  { name = "schedule", type = "choice", default = "poly", before = "poly", choices = choices.schedule.names,
    doc = "how the rate goes after the warm-up. " .. choices.schedule.doc },
  { name = "warmup", type = "number", default = 0, quick = 0.1, small = 0.05, before = 0, min = 0, max = 100000000,
    doc = "steps at first in which the rate rises to lr in a line; below 1: their share of all steps" },
  { name = "lr_min", type = "number", default = 0, before = 0, min = 0, max = 100, doc = "below this the rate does not fall" },
  { name = "step_every", of = "step.step_every" },
  { name = "step_factor", of = "step.step_factor" },
  { name = "restarts", of = "cosine.restarts", default = {}, ascending = true },
  { name = "restart_percent", of = "cosine.restart_percent", default = {} },
  { name = "lr_cnn", type = "number", default = 1, min = 0, max = 100, doc = "learning-rate factor of the CNN" },
  { name = "lr_transformer", type = "number", default = 0.1, min = 0, max = 100, doc = "learning-rate factor of head and bridge" },
  { name = "foreground", type = "number", default = 0.33, min = 0, max = 1, doc = "share of patches forced onto foreground" },
  { name = "augment", type = "choice", default = "nnunet", quick = "none", small = "intensity",
    choices = { "none", "intensity", "nnunet", "qtseg" },
    doc = "random changes of training patches: none; noise, blur, brightness, contrast, low resolution and gamma; these after "
      .. "rotation, scale and mirroring, each as nnU-Net v2 (in-plane only where a patch edge is over 3 times shorter than the longest); "
      .. "of pictures none to four of QTSeg's ten" },
  { name = "mirror", type = "choice", default = "dhw", choices = { "none", "d", "h", "w", "dh", "dw", "hw", "dhw" },
    doc = "axes that augment=nnunet flips with probability 1/2 (nnU-Net: all, though it makes left organs right ones)" },
  { name = "collapse_dice", type = "number", default = 0.1, min = 0, max = 1,
    doc = "a trial is collapsed when its training patches' Dice (inference graph on the batch just trained, mean over the "
      .. "structures in it, exponential mean of the last looks) is below this at collapse_at of its steps, or the validation "
      .. "cases' mean Dice at the end; 0: never" },
  { name = "collapse_at", type = "number", default = 0.2, quick = 0.4, min = 0, max = 1,
    doc = "share of the steps after which collapse_dice is asked; trials judged before step 40 are not" },
  { name = "window_step", type = "number", evaluation = true, default = 0.5, min = 0.1, max = 1,
    doc = "sliding window: step as share of the patch" },
  { name = "mirror_tta", type = "bool", evaluation = true, default = true, quick = false, small = false,
    doc = "predict with every subset of the flips of the training (augment, mirror) and average: up to 8 times the work" },
  { name = "merge", type = "choice", evaluation = true, default = "probabilities", before = "probabilities",
    choices = { "probabilities", "logits" },
    doc = "what windows are averaged and resampled as; logits: as nnU-Net v2, the softmax comes last (heads with one alone)" },
  { name = "weights", type = "text", default = "none", before = "none",
    doc = "safetensors file whose numbers a trial starts from; none: it draws them all. A trial is known by the file's content" },
  { name = "weights_map", type = "text", default = "own", before = "own",
    doc = "whose names weights= has: own; pytorch: what the model says that PyTorch's implementation calls them; or a file of "
      .. "rows that ends in .lua (docs/weights.md)" },
  { name = "weights_scope", type = "text", default = "all", before = "all",
    doc = "what weights= fills: all parameters, or those whose names begin so: encoder, or encoder,bridge; behind a minus: but "
      .. "not those: encoder,-*.adapter" },
  { name = "largest_component", type = "choice", evaluation = true, default = "no", before = "no",
    choices = { "no", "foreground", "each" },
    doc = "of what is predicted only the largest connected part stays: of the foreground, or of each structure (not of regions)" },
  { name = "select", type = "choice", default = "last", before = "last", choices = { "last", "best_validation" },
    doc = "which weights are kept; last: those of the last step; best_validation: those of twenty looks that had the best Dice on "
      .. "patches of every fifth training case, which is held out for that (never on the fold's validation cases)" },
  { name = "save_every", type = "int", default = 500, min = 1, max = 100000000, doc = "steps between checkpoints" },
  { name = "dtype", type = "choice", default = "float32", choices = { "float32", "bf16" },
    doc = "storage of activations and their gradients; bf16: where the kernels allow it, with float weights, sums and "
      .. "losses; wants a processor with avx512_bf16 (harness doctor)" },
  { name = "tf32", type = "choice", default = "conv", choices = { "off", "conv", "on" },
    doc = "on a GPU: float32 products that may round their operands to TF32 (10 bits); none, convolutions (as PyTorch), "
      .. "or matrix products too; no part of a trial on the CPU" },
  { name = "threads", type = "int", default = 2, quick = 1, min = 1, max = 1024,
    doc = "CPU threads of a trial; part of its identity: sums may differ in the last bit" },
}

return require "harness.rows"(rows, "options.lua")
