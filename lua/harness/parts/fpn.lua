-- The feature pyramid that MaskFormer and Mask2Former decode with (MaskMed appendix D.1).
return {
  options = { { name = "fpn_width", of = "fpn_decoder.width", quick = 32, small = 64 } },
  build = function(m, c, scales) return m.fpn_decoder { scales, name = "fpn", width = c.fpn_width } end,
}
