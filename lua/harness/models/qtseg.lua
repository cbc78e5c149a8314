-- QTSeg (Tran et al. 2025), and the settings 2 to 6 of its Table III: YOLOv8's encoder, Multi-Level Feature Distribution, query
-- tokens that mix with each level's features, and a mask of each token. Pictures, D = 1; there are as many tokens as classes,
-- the background's first. Defaults are the public code's.
local deep = require "harness.parts.deep_supervision"
local dual_mix = require "harness.parts.dual_mix"
local mlfd = require "harness.parts.mlfd"
local qtseg_names = require "harness.parts.qtseg_names"
local yolo = require "harness.parts.yolo"

local function build(m, c)
  local levels = yolo.build(m, c, m.image)
  if c.mlfd then levels = mlfd(m, c, levels) end
  local logits = m.op.resize { dual_mix.build(m, c, levels, c.classes), size = m.image.grid }
  return deep.voxel_classification(m, c, { logits }, { smooth = 1e-6 })
end

return {
  doc = "QTSeg on pictures, and settings 2 to 6 of its Table III",
  options = {
    yolo.options,
    { name = "mlfd", type = "bool", default = true, doc = "Multi-Level Feature Distribution between encoder and decoder" },
    dual_mix.options,
  },
  check = function(c)
    local d, h, w = table.unpack(c.patch)
    if d ~= 1 or h % 32 ~= 0 or w % 32 ~= 0 then
      return ("has pictures whose edges are multiples of 32, patch=1,H,W; found %d,%d,%d"):format(d, h, w)
    end
    return dual_mix.check(c)
  end,
  build = build,
  pytorch = qtseg_names,
}
