-- MaskMed Table 4, Figure 2c: what fuses the encoder's features on their way to the decoder.
return function(m, c, scales)
  if c.bridge == "none" then return scales end
  local options = {
    scales, name = "bridge", hidden = c.hidden, heads = c.heads, layers = c.bridge_layers, query_scales = c.query_scales,
    ffn = c.ffn, norm = c.bridge_norm, zero_init = c.bridge_zero_init,
  }
  if c.bridge == "standard" then
    options.query_scales, options.attention = c.standard_scales, c.attention
    return m.standard_bridge(options)
  end
  options.points, options.points_total = c.points, c.points_total
  options.value_scales = c.bridge == "deformable" and c.query_scales or c.value_scales
  return m.fsad_bridge(options)
end
