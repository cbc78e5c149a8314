-- The pixel decoders of MaskFormer and Mask2Former: a feature pyramid over the encoder's features (MaskMed appendix D.1).
local fpn = {}

-- Option pixel_decoder, with what it is in a model's public code.
function fpn.options(published)
  return {
    { name = "fpn_width", of = "fpn_decoder.width", quick = 32, small = 64 },
    { name = "pixel_decoder", type = "choice", default = "published", before = "laterals",
      choices = { "published", "laterals" },
      doc = "what makes the features of masks; published: " .. published .. "; laterals: every level alike" },
  }
end

-- Levels, lowest resolution first; where the public code is followed, the features of masks come last.
function fpn.build(m, c, scales, published)
  local options = { scales, name = "fpn", width = c.fpn_width }
  if c.pixel_decoder == "published" then
    for key, value in pairs(published) do options[key] = value end
  end
  return m.fpn_decoder(options)
end

return fpn
