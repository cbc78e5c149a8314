-- What makes features of the image: of every stage one, highest resolution first. Any bridge, decoder and head takes
-- them. Another encoder is one more function here, with its name among the choices and its own options among the rows.
local adapters = require "harness.parts.adapters"

local encoders = {}

-- nnU-Net's PlainConvUNet.
function encoders.plain(m, c)
  return m.plain_conv_encoder {
    m.image, name = "encoder", widths = c.widths, strides = c.strides, kernels = c.kernels, convs = c.convs,
    norm = c.conv_norm, activation = c.conv_activation,
  }
end

-- nnU-Net's ResEnc (M, L and XL are one network).
function encoders.residual(m, c)
  return m.residual_encoder {
    m.image, name = "encoder", widths = c.widths, strides = c.strides, kernels = c.kernels, blocks = c.encoder_blocks,
    adapter = c.encoder_adapter,
  }
end

-- The pyramid's shape.
local pyramid = {
  { name = "widths", of = "plain_conv_encoder.widths", default = { 32, 64, 128, 256, 320, 320 },
    quick = { 8, 24, 48, 96 }, small = { 32, 64, 128, 256, 320 } },
  { name = "strides", of = "plain_conv_encoder.strides", triples = true,
    default = { { 1, 1, 1 }, { 1, 2, 2 }, { 2, 2, 2 }, { 2, 2, 2 }, { 2, 2, 2 }, { 2, 2, 2 } },
    quick = { { 1, 1, 1 }, { 2, 2, 2 }, { 2, 2, 2 }, { 2, 2, 2 } },
    small = { { 1, 1, 1 }, { 2, 2, 2 }, { 2, 2, 2 }, { 2, 2, 2 }, { 2, 2, 2 } } },
}

return {
  options = {
    { name = "encoder", type = "choice", default = "plain", before = "plain", choices = { "plain", "residual" },
      doc = "what makes features of the image; plain: nnU-Net's PlainConvUNet; residual: its ResEnc" },
    pyramid,
    { name = "kernels", of = "plain_conv_encoder.kernels", triples = true,
      default = { { 1, 3, 3 }, { 3, 3, 3 }, { 3, 3, 3 }, { 3, 3, 3 }, { 3, 3, 3 }, { 3, 3, 3 } },
      quick = { { 3, 3, 3 }, { 3, 3, 3 }, { 3, 3, 3 }, { 3, 3, 3 } },
      small = { { 3, 3, 3 }, { 3, 3, 3 }, { 3, 3, 3 }, { 3, 3, 3 }, { 3, 3, 3 } } },
    { name = "convs", of = "plain_conv_encoder.convs", with = { encoder = "plain" } },
    { name = "encoder_blocks", of = "residual_encoder.blocks", default = { 1, 3, 4, 6, 6, 6 }, quick = { 1, 2, 2, 2 },
      small = { 1, 3, 4, 6, 6 }, with = { encoder = "residual" } },
    adapters.elsewhere("encoder_adapter", "residual_encoder", { encoder = "residual" }),
    { name = "conv_norm", of = "plain_conv_encoder.norm", before = "instance", with = { encoder = "plain" } },
    { name = "conv_activation", of = "plain_conv_encoder.activation", before = "leaky_relu", with = { encoder = "plain" } },
  },
  pyramid = pyramid,
  build = function(m, c) return encoders[c.encoder](m, c) end,
}
