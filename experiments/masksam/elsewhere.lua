-- MaskSAM's adapters where the paper does not have them: in MaskMed's FSAD bridge, its head and a ResEnc encoder, each beside
-- the same network without. Nothing is frozen here and the adapters start at zero, so a row begins as the one it is held
-- against. The paper has no such row: every claim is a question. For an adapter of a trained network a row sets, beside the adapter,
--   weights = FILE, weights_scope = "all,-*.adapter", freeze = "encoder,-*.adapter"
return {
  title = "MaskSAM's adapters elsewhere",
  rows = {
    { key = "maskmed", label = "MaskMed", against = "maskmed", set = {} },
    { key = "bridge", label = "depth MLP in the FSAD bridge", against = "maskmed", set = { bridge_adapter = "mlp_middle" } },
    { key = "head", label = "depthwise convolution in the head", against = "maskmed", set = { head_adapter = "conv_middle" } },
    { key = "residual", label = "MaskMed on ResEnc", against = "maskmed", set = { encoder = "residual" } },
    { key = "encoder", label = "depthwise convolution in ResEnc", against = "residual",
      set = { encoder = "residual", encoder_adapter = "conv_middle" } },
  },
}
