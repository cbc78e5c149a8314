/* The head's transformer block (MaskMed 3.2, Fig. 2b): queries attend to the average-pooled decoder
 * feature, masked by the lower stage's prediction, then to each other, then a feed-forward network.
 * Its result, `queries`, goes on to the next stage; `normed` is what the embeddings read. */
#include "modules/layers.h"

typedef struct BlockOptions {
  int heads, ffn, blocks, norm, mask_resize, attention_init;
  Ints key_grid;
} BlockOptions;

enum { MASK_RESIZE_MAX, MASK_RESIZE_TRILINEAR };

static const Option options_table[] = {
    {"heads", OPTION_INT, offsetof(BlockOptions, heads), 6, 1, 64, NULL, NULL, "attention heads"},
    {"ffn", OPTION_INT, offsetof(BlockOptions, ffn), 1024, 1, 16384, NULL, NULL,
     "hidden width of the feed-forward network"},
    {"blocks", OPTION_INT, offsetof(BlockOptions, blocks), 1, 1, 8, NULL, NULL,
     "transformer blocks in this stage"},
    {"norm", OPTION_CHOICE, offsetof(BlockOptions, norm), NORM_POST, 0, 0, NORM_CHOICES, NULL,
     "inside: x + LN(f(x)); post: LN(x + f(x)); pre: x + f(LN(x))"},
    {"mask_resize", OPTION_CHOICE, offsetof(BlockOptions, mask_resize), MASK_RESIZE_MAX, 0, 0,
     "max|trilinear", NULL, "how a mask becomes coarser as attention prior; finer: trilinear"},
    {"key_grid", OPTION_INTS, offsetof(BlockOptions, key_grid), 0, 1, 4096, NULL, "",
     "D,H,W grid to which the feature is average-pooled as key and value; none: as it is"},
    {"attention_init", OPTION_CHOICE, offsetof(BlockOptions, attention_init), ATTENTION_SEPARATE, 0,
     0, ATTENTION_INIT_CHOICES, NULL, ATTENTION_INIT_DOC},
    {0}};

/* How many voxels of x fall into one cell of the grid, per axis; false when it does not divide. */
static bool pool_factor(const Value *x, const Ints *grid, PoolOptions *pool, bool *coarser) {
  pool->factor.count = 3;
  *coarser = false;
  for (int a = 0; a < 3; a++) {
    int64_t size = x->tensor.dim[1 + a];
    int cells = grid->count && grid->v[a] < size ? grid->v[a] : (int)size;
    if (size % cells) return false;
    pool->factor.v[a] = (int)(size / cells);
    *coarser |= pool->factor.v[a] > 1;
  }
  return true;
}

/* The lower stage's masks on the key grid: (N, d, h, w, K) logits; no gradient flows back. */
static Value *prior_on(Graph *graph, const BlockOptions *o, Value *prior, const Value *keys) {
  if (!prior) return NULL;
  ResizeOptions size = {.size = {.count = 3}};
  bool same = true, finer = false, coarser;
  for (int a = 0; a < 3; a++) {
    size.size.v[a] = (int)keys->tensor.dim[1 + a];
    same &= prior->tensor.dim[1 + a] == size.size.v[a];
    finer |= prior->tensor.dim[1 + a] < size.size.v[a];
  }
  if (same) return prior;
  PoolOptions pool;
  bool pools = o->mask_resize == MASK_RESIZE_MAX && !finer &&
               pool_factor(prior, &size.size, &pool, &coarser);
  return pools ? apply(graph, OP_max_pool, &pool, prior) : apply(graph, OP_resize, &size, prior);
}

static Value *block(Graph *graph, const BlockOptions *o, Value *x, Value *x_position, Value *keys,
                    Value *key_position, Value *mask) {
  NormPlace norm = (NormPlace)o->norm;
  AttentionWay way = {.heads = o->heads, .init = (AttentionInit)o->attention_init};
  Value *f = sublayer_in(graph, "cross.norm", norm, x);
  f = attention_layer(graph, "cross", way, f, x_position, keys, key_position, keys, mask);
  x = sublayer_out(graph, "cross.norm", norm, x, f);
  f = sublayer_in(graph, "self.norm", norm, x);
  f = attention_layer(graph, "self", way, f, x_position, f, x_position, f, NULL);
  x = sublayer_out(graph, "self.norm", norm, x, f);
  return feed_forward(graph, "ffn", x, o->ffn, norm);
}

static Value *key_tokens(Graph *graph, const BlockOptions *o, Value *feature, int width) {
  PoolOptions pool;
  bool coarser;
  if (o->key_grid.count != 0 && o->key_grid.count != 3) {
    module_fail(graph, "key_grid has 3 numbers (D, H, W), found %d", o->key_grid.count);
    return NULL;
  }
  if (!pool_factor(feature, &o->key_grid, &pool, &coarser)) {
    module_fail(graph, "key_grid %d,%d,%d does not divide the feature %s", o->key_grid.v[0],
                o->key_grid.v[1], o->key_grid.v[2], tensor_shape_text(&feature->tensor));
    return NULL;
  }
  Value *pooled = coarser ? apply(graph, OP_avg_pool, &pool, feature) : feature;
  return linear_layer(graph, "keys", pooled, width, ACT_NONE);
}

static void build(Graph *graph, const void *options, const Values *in, Values *out) {
  const BlockOptions *o = options;
  Value *feature = in->v[0], *x = in->v[1], *x_position = in->v[2];
  int64_t width[1] = {tensor_last(&x->tensor)};
  Value *keys = key_tokens(graph, o, feature, (int)width[0]);
  if (!keys) return;
  Value *embedding = graph_param_of(graph, ROLE_EMBEDDING, "embedding", 1, width, GROUP_TRANSFORMER,
                                    (Init){INIT_NORMAL, 1, 0, 0});
  Value *sine = sine_position(graph, &keys->tensor.dim[1], (int)width[0]);
  Value *key_position = apply(graph, OP_add, NULL, sine, embedding);
  Value *mask = prior_on(graph, o, in->count > 3 ? in->v[3] : NULL, keys);
  for (int i = 0; i < o->blocks; i++) {
    graph_push(graph, "block%d", i);
    graph_block(graph);
    x = block(graph, o, x, x_position, keys, key_position, mask);
    graph_pop(graph);
  }
  out->v[out->count++] = x;
  out->v[out->count++] = layer_norm(graph, "norm", x);
}

const Module module_query_block = {
    .name = "query_block",
    .doc = "Masked cross-attention, self-attention, feed-forward: f(E_Q, F) of MaskMed Eq. 3-5",
    .in = "feature queries position [prior masks]",
    .out = "queries normed",
    .min_in = 3,
    .max_in = 4,
    .options = options_table,
    .options_bytes = sizeof(BlockOptions),
    .build = build,
};
