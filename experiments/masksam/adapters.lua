-- MaskSAM's Table 4: which prompts does the frozen SAM get (B1 to B4), does it learn where a slice lies (B5), and where do its
-- adapters mix slices (B6 to B9)? At quick the frozen SAM is a small one, pre-trained here on scenes with prompts; with SAM's own
-- weights (docs/weights.md), on ACDC in data/ACDC:
--   harness run experiments/masksam/adapters.lua scale=paper weights=FILE weights_map=pytorch \
--     weights_scope=image_encoder,prompt_encoder,mask_decoder
-- On MRI at quick: acdc.lua.
local function row(key, label, prompts, depth_position, token_adapter, image_adapter)
  return {
    key = key, label = label,
    set = { prompts = prompts, depth_position = depth_position, token_adapter = token_adapter, image_adapter = image_adapter },
  }
end

return {
  title = "Prompts and adapters",
  paper = "masksam",
  table = 4,
  base = { model = "masksam", lr_transformer = 1 }, -- SAM and its adapters learn at lr
  at = {
    -- With the class term's .2 of the public code classes are not learnt in so few steps; nor is much where a mask prompts as 0
    -- and 1, SAM having been trained with logits, or where queries are told apart by pooled maps alone, match slice by slice, and
    -- boxes have mean 0 (prompts.lua and details.lua have rows of the public code's ways).
    quick = {
      phantom_size = { 40, 40, 40 }, phantom_organs = 5, patch = { 4, 40, 40 }, batch = 1, steps = 500, optimizer = "adamw", lr = 4e-3,
      class_weight = 1, mask_prompt = "logits", class_token = "pooled", match_over = "volume", box_norm = "none", foreground = 0.67,
      collapse_at = 0.7,
    },
    paper = { data = "data/ACDC", patch = { 4, 256, 256 } },
  },
  rows = {
    row("mask", "B1 SAM + MaskPG + vAdapter", "mask", false, "vanilla", "vanilla"),
    row("box", "B2 SAM + BBoxPG + vAdapter", "box", false, "vanilla", "vanilla"),
    row("mask_box", "B3 SAM + MaskBBoxPG + vAdapter", "mask_box", false, "vanilla", "vanilla"),
    row("mask_mean_box", "B4 SAM + MaskAvgBBoxPG + vAdapter", "mask_mean_box", false, "vanilla", "vanilla"),
    row("depth_position", "B5 B4 + DPosEmbed", "mask_mean_box", true, "vanilla", "vanilla"),
    row("mlp_after", "B6 B5, vAdapter w/ D-MLP after FC-Up", "mask_mean_box", true, "mlp_after", "mlp_after"),
    row("mlp_before", "B7 B5, vAdapter w/ D-MLP before FC-Down", "mask_mean_box", true, "mlp_before", "mlp_before"),
    row("mlp_middle", "B8 B5, DMLPAdapter for vAdapter", "mask_mean_box", true, "mlp_middle", "mlp_middle"),
    row("full", "B9 B8 + DConvAdapter (full model)", "mask_mean_box", true, "mlp_middle", "conv_middle"),
  },
}
