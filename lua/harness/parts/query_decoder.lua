-- The Transformer decoder of MaskFormer and Mask2Former, and what is made of it: layer by layer the queries go
-- round the features `seen`, guided by the masks of the prediction before where `masked`; every layer's mask
-- embeddings are multiplied with the one feature of highest resolution. In the public code the layers share what reads
-- queries (a norm, a class head, a mask MLP) and what makes tokens of `seen`.
local deep = require "harness.parts.deep_supervision"
local head = require "harness.parts.queries"

local decoder = { check = deep.check_masks }

-- of: a model's start, order and layers.
function decoder.options(of)
  return {
    head.options, head.init(),
    { name = "decoder_layers", type = "int", default = of.layers or 6, quick = 3, small = 3, min = 1, max = 12,
      doc = "transformer decoder layers" },
    { name = "decoder_heads", type = "choice", default = "shared", before = "own", choices = { "shared", "own" },
      doc = "shared: all layers have one last norm, class head, mask MLP and one projection of each feature that they see "
        .. "(public code); own: each has its own" },
    { name = "decoder_start", of = "object_queries.start", default = of.start, before = "learned" },
    { name = "decoder_order", of = "query_block.order", default = of.order, before = "cross_first" },
    deep.options,
  }
end

-- how: masked; embedding: tokens have a learned vector of their level; first: queries predict before the first layer, too.
function decoder.build(m, c, finest, seen, how)
  local shared, masks, classes, tokens = c.decoder_heads == "shared", {}, {}, {}
  local queries, position = m.object_queries {
    finest, count = c.queries * c.classes, hidden = c.hidden, start = c.decoder_start, name = "queries",
  }
  local function scope(i, name) return shared and name or ("layer%d.%s"):format(i, name) end
  local function predict(i, normed)
    masks[#masks + 1] = m.op.matmul {
      finest,
      m.embedding {
        normed, width = finest.channels, layers = c.mask_layers, init = c.head_init, name = scope(i, "mask_embedding"),
        share = shared,
      },
    }
    classes[#classes + 1] = m.embedding {
      normed, width = c.classes + 1, layers = c.class_layers, init = c.head_init, name = scope(i, "class_embedding"),
      share = shared,
    }
  end
  local function norm(i) return m.token_norm { queries, name = scope(i, "norm"), share = shared } end
  for i, feature in ipairs(shared and seen or {}) do
    tokens[i] = m.level_tokens {
      feature, width = c.hidden, embedding = how.embedding, key_grid = c.key_grid, name = "level" .. i,
    }
  end

  if how.first then predict(0, norm(0)) end
  for i = 1, c.decoder_layers do
    local level = (i - 1) % #seen + 1
    local call = {
      tokens[level] or seen[level], queries, position, how.masked and masks[#masks] or nil, name = "layer" .. i,
      heads = c.heads, ffn = c.ffn, norm = c.head_norm, order = c.decoder_order, mask_resize = "trilinear",
      attention_init = c.attention_init,
    }
    if shared then
      queries = m.query_layer(call)
      predict(i, norm(i))
    else
      local normed
      call.key_grid = c.key_grid
      queries, normed = m.query_block(call)
      predict(i, normed)
    end
  end
  return deep.mask_classification(m, c, masks, classes, { supervision = "equal" })
end

return decoder
