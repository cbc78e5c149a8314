-- The two-way layer of SAM's mask decoder (Kirillov et al. 2023, appendix A), which QTSeg's first decoders have at every level:
-- tokens among themselves, tokens to image, feed-forward, image to tokens, a norm behind each.
local two_way = {}

-- how: heads, frozen. inputs: as stream_attention's.
function two_way.attend(m, how, name, inner, inputs)
  inputs.name, inputs.heads, inputs.inner, inputs.frozen = name, how.heads, inner, how.frozen
  return m.stream_attention(inputs)
end

-- What a hook makes of x; without one x itself.
function two_way.hooked(hook, m, x, i)
  if hook then return hook(m, x, i) end
  return x
end

-- The positions of an attention, or, where tokens have none, the image with its own added.
local function placed(m, s)
  if s.token_position then return s.image, s.token_position, s.image_position end
  return m.op.add { s.image, s.image_position }
end

-- One layer on s = { tokens, image, token_position, image_position }; token_position may be nil, as in QTSeg's code. how: width,
-- heads, mlp, epsilon, frozen; name: before those of its parts. first: tokens are replaced by their self-attention, without
-- position. hooks(m, a, i): see sam.decoder.
function two_way.layer(m, how, name, s, first, hooks, i)
  local half, hooked = how.width // 2, two_way.hooked
  local function normed(x, k) return m.token_norm { x, name = name .. "norm" .. k, epsilon = how.epsilon, frozen = how.frozen } end
  local function attend(part, inner, inputs) return two_way.attend(m, how, name .. part, inner, inputs) end
  local t, image, of_tokens, of_image = s.tokens, placed(m, s)
  if first then
    t = hooked(hooks.self_attention, m, attend("self_attn", how.width, { t, t, t }), i)
  else
    local a = attend("self_attn", how.width, { t, t, t, of_tokens, of_tokens })
    t = m.op.add { t, hooked(hooks.self_attention, m, a, i) }
  end
  t = normed(t, 1)
  local seen = attend("cross_attn_token_to_image", half, { t, image, s.image, of_tokens, of_image })
  t = normed(m.op.add { t, hooked(hooks.token_to_image, m, seen, i) }, 2)
  local y = m.op.add { t, m.mlp { t, name = name .. "mlp", hidden = how.mlp, activation = "relu", frozen = how.frozen } }
  local beside = hooks.beside_mlp and hooks.beside_mlp(m, t, i)
  t = normed(beside and m.op.add { y, beside, scale = 0.5 } or y, 3)
  local told = attend("cross_attn_image_to_token", half, { image, t, t, of_image, of_tokens })
  return t, normed(m.op.add { s.image, hooked(hooks.image_to_token, m, told, i) }, 4)
end

return two_way
