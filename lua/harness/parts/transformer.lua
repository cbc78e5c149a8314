-- The options that bridge and head share: how wide a token is, and what works on it.
return {
  options = {
    { name = "hidden", of = "fsad_bridge.hidden", quick = 48, small = 96 },
    { name = "heads", of = "fsad_bridge.heads" },
    { name = "ffn", of = "fsad_bridge.ffn", quick = 96, small = 384 },
  },
  -- Of what has attention, its own row: a model that takes the widths alone has none.
  attention = {
    { name = "attention_init", of = "query_block.attention_init", default = "packed", before = "separate" },
  },
}
