-- What trials of the first four models are known by, besides what they read. Until options belonged to models, a
-- configuration held those of all models, and stored trials are found by its hash. So to the configuration of one of
-- these models are added the options that it does not read, with the defaults that they had then. This is data, not a
-- table of options: it never changes, whatever becomes of options and defaults, and no other model is ever added.
local MODELS = { bridge = true, mask2former = true, maskformer = true, maskmed = true }

local three = { 3, 3, 3 }
local EVERYWHERE = {
  attention = "tiled", bce_weight = 10, blocks = 1, bridge = "fsad", bridge_norm = "inside", bridge_zero_init = false,
  class_layers = 1, class_weight = 2, convs = 2, decoder_convs = 2, dice_weight = 10, head = "decoupled", head_norm = "post",
  loss_scale = 0.1, mask_layers = 3, mask_resize = "max", masked_attention = true, match = "once", none_weight = 0.1,
  points = 4, points_total = 0, queries = 1, shared_queries = true, value_scales = 0,
}
local AT = {
  paper = {
    bridge_layers = 2, decoder_layers = 6, fpn_width = 192, kernels = { { 1, 3, 3 }, three, three, three, three, three },
    key_grid = { 16, 24, 20 }, query_scales = 4, standard_scales = 3,
  },
  small = {
    bridge_layers = 2, decoder_layers = 3, fpn_width = 64, kernels = { three, three, three, three, three },
    key_grid = { 6, 6, 6 }, query_scales = 3, standard_scales = 2,
  },
  quick = {
    bridge_layers = 1, decoder_layers = 3, fpn_width = 32, kernels = { three, three, three, three },
    key_grid = { 8, 8, 8 }, query_scales = 3, standard_scales = 2,
  },
}

local function add(config, set, model)
  for name, value in pairs(set) do
    if not model.by_name[name] then config[name] = value end
  end
end

-- config: of a cell. model: as harness/model.lua opens it; a file of one's own is called by its name and .lua.
return function(config, model)
  if not MODELS[model.name] then return end
  add(config, EVERYWHERE, model)
  add(config, AT[config.scale], model)
end
