-- Does MaskMed's head pay on a stronger encoder, too? nnU-Net's plain encoder and its residual one (ResEnc, whose decoder
-- has one convolution a stage), each under nnU-Net's point-wise head and under the decoupled one; no bridge. nnU-Net asks
-- to be compared with ResEnc (Isensee et al. 2024), and the paper has no such row: no numbers, so every claim is a question.
-- Three seeds take 9 min 22 s at quick on two cores of an AMD EPYC with AVX2; a verdict wants five (seeds=5). The plain rows are
-- trials of Tables 3 and 4.
return {
  title = "Encoders and heads",
  base = { bridge = "none" },
  rows = {
    { key = "plain", label = "nnU-Net", against = "plain", set = { encoder = "plain", head = "point_wise" } },
    { key = "residual", label = "nnU-Net ResEnc", against = "plain", set = { encoder = "residual", head = "point_wise" } },
    { key = "plain_decoupled", label = "nnU-Net, decoupled head", against = "plain", set = { encoder = "plain" } },
    { key = "residual_decoupled", label = "nnU-Net ResEnc, decoupled head", against = "plain_decoupled",
      set = { encoder = "residual" } },
  },
}
