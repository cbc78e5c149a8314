-- What the modules of dynamic_network_architectures, which nnU-Net trains, call our parameters: rows of a map
-- (harness/weights.lua). A convolution and its norm stand there by their own names and in all_modules, the whole encoder
-- once more in the decoder.
local parts = {
  { "", "conv", "all_modules.0", { "weight", "bias" } },
  { "norm.", "norm", "all_modules.1", { "weight", "bias", "running_mean", "running_var" } },
}

local function block(rows, ours, ...)
  for _, part in ipairs(parts) do
    for _, what in ipairs(part[4]) do
      local row = { ours .. "." .. part[1] .. what }
      for _, theirs in ipairs { ... } do
        row[#row + 1] = ("%s.%s.%s"):format(theirs, part[2], what)
        row[#row + 1] = ("%s.%s.%s"):format(theirs, part[3], what)
      end
      rows[#rows + 1] = row
    end
  end
end

local function encoder_block(rows, ours, theirs) block(rows, "encoder." .. ours, "encoder." .. theirs, "decoder.encoder." .. theirs) end

local encoders = {}

-- PlainConvEncoder.
function encoders.plain(rows) encoder_block(rows, "stage{s}.conv{i}", "stages.{s}.0.convs.{i}") end

-- ResidualEncoder. A skip's projection stands behind its pooling, where there is one.
function encoders.residual(rows, c)
  encoder_block(rows, "stem", "stem.convs.0")
  encoder_block(rows, "stage{s}.block{b}.conv{i}", "stages.{s}.blocks.{b}.conv{i}")
  for s, stride in ipairs(c.strides) do
    local pools = math.max(table.unpack(stride)) > 1
    encoder_block(rows, ("stage%d.block0.skip"):format(s - 1), ("stages.%d.blocks.0.skip.%d"):format(s - 1, pools and 1 or 0))
  end
end

-- UNetDecoder, whose stages are counted from the lowest resolution, ours from the highest.
local function decoder(rows, stages, heads)
  for theirs = 0, stages - 2 do
    local ours = "decoder.stage" .. stages - 2 - theirs
    for _, what in ipairs { "weight", "bias" } do
      rows[#rows + 1] = { ours .. ".up." .. what, ("decoder.transpconvs.%d.%s"):format(theirs, what) }
      local head = ("head.stage%d.mask_embedding.%s"):format(theirs + 1, what)
      local seg_layer = ("decoder.seg_layers.%d.%s"):format(theirs, what)
      if heads then rows[#rows + 1] = { head, seg_layer, convolution = what == "weight" } end
    end
    block(rows, ours .. ".conv{i}", ("decoder.stages.%d.convs.{i}"):format(theirs))
  end
end

-- A U-Net's, of a configuration with an encoder's options (parts/encoder.lua). heads: whether head.stageN.mask_embedding,
-- counted from the lowest resolution, are projections, which are its seg_layers.
local function unet(c, heads)
  local rows = { unused = { "*.num_batches_tracked" } } -- batch norm's counter, which nothing is computed of
  if encoders[c.encoder] then encoders[c.encoder](rows, c) end
  decoder(rows, #c.widths, heads)
  return rows
end

return { unet = unet }
