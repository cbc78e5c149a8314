-- nnU-Net's encoder on the image: the features of every stage, highest resolution first.
return function(m, c)
  return m.plain_conv_encoder {
    m.image, name = "encoder", widths = c.widths, strides = c.strides, kernels = c.kernels, convs = c.convs,
  }
end
