/* A layer of the decoders of MaskFormer and Mask2Former alone: queries attend to tokens that were
 * made elsewhere (level_tokens) and to each other. Its last norm, and what reads it, are the
 * caller's: there they are shared by all layers. */
#include "modules/heads/query_layer.h"

enum { ORDER_CROSS_FIRST, ORDER_SELF_FIRST };
enum { MASK_RESIZE_MAX, MASK_RESIZE_TRILINEAR };

/* ---- what a layer reads of a feature --------------------------------------------------------- */

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

/* The grid that a feature is pooled to: along an axis as many cells as key_grid has, or the most
 * below it that divide the feature evenly, but no fewer than half; false where there are none. */
static bool fit_grid(const Value *feature, const Ints *key_grid, Ints *grid) {
  *grid = *key_grid;
  for (int a = 0; a < key_grid->count; a++) {
    int64_t size = feature->tensor.dim[1 + a];
    if (size <= key_grid->v[a]) continue;
    while (size % grid->v[a]) grid->v[a]--;
    if (2 * grid->v[a] < key_grid->v[a]) return false;
  }
  return true;
}

Value *pooled_feature(Graph *graph, const Ints *key_grid, Value *feature) {
  PoolOptions pool;
  Ints grid;
  bool coarser;
  if (!feature) return NULL;
  if (key_grid->count != 0 && key_grid->count != 3) {
    module_fail(graph, "key_grid has 3 numbers (D, H, W), found %d", key_grid->count);
    return NULL;
  }
  if (!fit_grid(feature, key_grid, &grid) || !pool_factor(feature, &grid, &pool, &coarser)) {
    module_fail(
        graph,
        "key_grid %d,%d,%d does not divide the feature %s, nor does anything from its half on",
        key_grid->v[0], key_grid->v[1], key_grid->v[2], tensor_shape_text(&feature->tensor));
    return NULL;
  }
  return coarser ? apply(graph, OP_avg_pool, &pool, feature) : feature;
}

Value *query_prior(Graph *graph, const QueryLayer *o, Value *prior, const Value *keys) {
  if (!prior || !keys) return NULL;
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

/* ---- the layer ------------------------------------------------------------------------------- */

static AttentionWay way(const QueryLayer *o) {
  return (AttentionWay){.heads = o->heads, .init = (AttentionInit)o->attention_init};
}

static Value *cross(Graph *graph, const QueryLayer *o, Value *x, Value *x_position, Value *keys,
                    Value *key_position, Value *mask) {
  NormPlace norm = (NormPlace)o->norm;
  Value *f = sublayer_in(graph, "cross.norm", norm, x);
  f = attention_layer(graph, "cross", way(o), f, x_position, keys, key_position, keys, mask);
  return sublayer_out(graph, "cross.norm", norm, x, f);
}

static Value *among(Graph *graph, const QueryLayer *o, Value *x, Value *x_position) {
  NormPlace norm = (NormPlace)o->norm;
  Value *f = sublayer_in(graph, "self.norm", norm, x);
  f = attention_layer(graph, "self", way(o), f, x_position, f, x_position, f, NULL);
  return sublayer_out(graph, "self.norm", norm, x, f);
}

Value *query_layer(Graph *graph, const QueryLayer *o, Value *x, Value *x_position, Value *keys,
                   Value *key_position, Value *mask) {
  bool self_first = o->order == ORDER_SELF_FIRST;
  if (self_first) x = among(graph, o, x, x_position);
  x = cross(graph, o, x, x_position, keys, key_position, mask);
  if (!self_first) x = among(graph, o, x, x_position);
  return feed_forward(graph, "ffn", x, o->ffn, (NormPlace)o->norm);
}

typedef struct LayerOptions {
  QueryLayer layer;
} LayerOptions;

static const Option options_table[] = {QUERY_LAYER_OPTIONS(LayerOptions), {0}};

static void build(Graph *graph, const void *options, const Values *in, Values *out) {
  const QueryLayer *o = &((const LayerOptions *)options)->layer;
  Value *keys = in->v[0], *x = in->v[1], *x_position = in->v[2];
  if (!keys || !x) return;
  graph_block(graph);
  Value *sine = sine_position(graph, &keys->tensor.dim[1], (int)tensor_last(&x->tensor));
  Value *mask = query_prior(graph, o, in->count > 3 ? in->v[3] : NULL, keys);
  out->v[out->count++] = query_layer(graph, o, x, x_position, keys, sine, mask);
}

const Module module_query_layer = {
    .name = "query_layer",
    .doc = "One layer of MaskFormer's and Mask2Former's decoders: cross-attention to tokens, "
           "self-attention, feed-forward",
    .in = "tokens queries position [prior masks]",
    .out = "queries",
    .min_in = 3,
    .max_in = 4,
    .options = options_table,
    .options_bytes = sizeof(LayerOptions),
    .build = build,
};
