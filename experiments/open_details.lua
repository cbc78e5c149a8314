-- What MaskMed leaves open, or says in two ways: the full model with one detail the other way in each row, and a control.
-- Which of them moves the figure by more than the seeds do? Each is compared with the first row, whatever its defaults are.
local details = {
  { "loss_scale", 1, 0.1, "Table 7 gives ratios; whether the loss has that size is not said (MaskSAM and 3D-TransUNet make it smaller)" },
  { "none_weight", 0.1, 1, "Eq. 6 shows no weight of 'no object'; MaskFormer, which section 3.5 follows, has 0.1" },
  { "mask_loss_at", "every", "final", "Eq. 6 sums over the stages a mask loss that it calls final; section 3.2 supervises every stage" },
  { "drop_lowest", "own", "yes", "Eq. 6 weights every stage; nnU-Net, whose training appendix C takes, drops the lowest" },
  { "match", "once", "per_stage", "section 3.5 matches once, at the final stage; Mask2Former, from which it comes, at every stage" },
  { "head_init", "linear", "xavier", "nowhere said; Mask2Former, MaskFormer leave the embeddings' layers as nn.Linear starts" },
  { "attention_init", "packed", "separate", "nowhere said; PyTorch's attention starts query, key and value as one matrix" },
  { "class_layers", 1, 3, "section 3.2: 'two lightweight MLP branches'; how many layers is not said" },
  { "mask_resize", "max", "trilinear", "section 3.2 takes lower stages' masks as priors; how they meet the pooled keys is not said" },
  { "query_scales", 3, 4, "section 3.3 takes queries from the lowest four scales, appendix B from the smallest three" },
  { "bridge_norm", "inside", "post", "appendix B: 'followed by a LayerNorm and a residual connection'; Deformable DETR: LN(x + f(x))" },
  { "bridge_zero_init", false, true, "nowhere said; whether the bridge starts as plain skips" },
  { "bridge_input_norm", "none", "group", "nowhere said; Deformable DETR, Mask2Former norm what they project" },
}

-- The value that the default is not.
local function other(value, a, b) return tostring(value) == tostring(a) and b or a end

local function scaled(list, factor)
  local grid = {}
  for i, n in ipairs(list) do grid[i] = math.max(1, math.floor(n * factor)) end
  return grid
end

local function written(value) return type(value) == "table" and table.concat(value, ",") or tostring(value) end

local function row(key, option, value, note)
  return { key = key, label = option .. " " .. written(value), set = { [option] = value }, note = note }
end

return {
  title = "What the paper leaves open",
  against = "first",
  rows = function(c)
    local rows = { { key = "default", label = "MaskMed", set = {} } }
    for _, detail in ipairs(details) do
      local option, a, b, note = table.unpack(detail)
      rows[#rows + 1] = row(option, option, other(c[option], a, b), note)
    end
    local pooled = "section 3.2: pooled 'to reduce its spatial dimensions'; to what is not said"
    rows[#rows + 1] = row("coarser", "key_grid", scaled(c.key_grid, 0.5), pooled)
    rows[#rows + 1] = row("finer", "key_grid", scaled(c.key_grid, 2), pooled)
    rows[#rows + 1] = {
      key = "rate", label = "rate x 2", set = { lr_cnn = 2 * c.lr_cnn, lr_transformer = 2 * c.lr_transformer },
      note = "a control: what a rate that nobody tuned to a row would do",
    }
    return rows
  end,
}
