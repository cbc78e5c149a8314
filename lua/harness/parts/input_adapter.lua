-- What makes SAM's three channels of a scan's (MaskSAM 2.6).
return {
  options = {
    { name = "input_widths", of = "input_adapter.widths", default = { 16, 16, 32, 32 }, quick = { 8 }, small = { 8 } },
    { name = "input_upsample", of = "input_adapter.upsample", default = 2, quick = 0, small = 0 },
  },
  build = function(m, c)
    return m.input_adapter { m.image, widths = c.input_widths, upsample = c.input_upsample, name = "input_adapter" }
  end,
}
