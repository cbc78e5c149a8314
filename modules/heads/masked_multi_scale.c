/* The Masked Multi-Scale Segmentation Head (MaskMed 3.2, Fig. 2b), one decoder stage at a time:
 * object_queries makes the shared set, mask_stage refines it by masked cross-attention on the
 * pooled decoder feature, self-attention and a feed-forward network, and predicts masks and
 * classes. */
#include "modules/layers.h"

typedef struct QueriesOptions {
  int count, hidden;
} QueriesOptions;

static const Option queries_options[] = {
    {"count", OPTION_INT, offsetof(QueriesOptions, count), 0, 1, 1024, NULL, NULL,
     "object queries K; MaskMed: the number of labels, background included"},
    {"hidden", OPTION_INT, offsetof(QueriesOptions, hidden), 192, 6, 4096, NULL, NULL, "width E"},
    {0}};

static void build_queries(Graph *graph, const void *options, const Values *in, Values *out) {
  const QueriesOptions *o = options;
  int64_t shape[2] = {o->count, o->hidden};
  Init normal = {INIT_NORMAL, 1, 0, 0};
  Value *feature = graph_param(graph, "feature", 2, shape, GROUP_TRANSFORMER, normal);
  Value *position = graph_param(graph, "position", 2, shape, GROUP_TRANSFORMER, normal);
  ExpandOptions batch = {.count = (int)in->v[0]->tensor.dim[0]};
  out->v[out->count++] = apply(graph, OP_expand, &batch, feature);
  out->v[out->count++] = position;
}

const Module module_object_queries = {
    .name = "object_queries",
    .doc = "Learned object queries, feature and position (MaskMed 3.2: one shared set)",
    .in = "any feature map (for the batch size)",
    .out = "queries position",
    .min_in = 1,
    .max_in = 1,
    .options = queries_options,
    .options_bytes = sizeof(QueriesOptions),
    .build = build_queries,
};

typedef struct StageOptions {
  int classes, heads, ffn, blocks, norm, mask_layers, class_layers, mask_resize;
  Ints key_grid;
} StageOptions;

enum { MASK_RESIZE_MAX, MASK_RESIZE_TRILINEAR };

static const Option stage_options[] = {
    {"classes", OPTION_INT, offsetof(StageOptions, classes), 0, 2, 1024, NULL, NULL,
     "labels, background included; the class embedding has one more, 'no object'"},
    {"heads", OPTION_INT, offsetof(StageOptions, heads), 6, 1, 64, NULL, NULL, "attention heads"},
    {"ffn", OPTION_INT, offsetof(StageOptions, ffn), 1024, 1, 16384, NULL, NULL,
     "hidden width of the feed-forward network"},
    {"blocks", OPTION_INT, offsetof(StageOptions, blocks), 1, 1, 8, NULL, NULL,
     "transformer blocks in this stage"},
    {"norm", OPTION_CHOICE, offsetof(StageOptions, norm), NORM_POST, 0, 0, NORM_CHOICES, NULL,
     "inside: x + LN(f(x)); post: LN(x + f(x)); pre: x + f(LN(x))"},
    {"mask_layers", OPTION_INT, offsetof(StageOptions, mask_layers), 3, 1, 6, NULL, NULL,
     "linear layers of the mask embedding's MLP"},
    {"class_layers", OPTION_INT, offsetof(StageOptions, class_layers), 1, 1, 6, NULL, NULL,
     "linear layers of the class embedding's MLP"},
    {"mask_resize", OPTION_CHOICE, offsetof(StageOptions, mask_resize), MASK_RESIZE_MAX, 0, 0,
     "max|trilinear", NULL, "how a mask becomes coarser as attention prior; finer: trilinear"},
    {"key_grid", OPTION_INTS, offsetof(StageOptions, key_grid), 0, 1, 4096, NULL, "",
     "D,H,W grid to which the feature is average-pooled as key and value; none: as it is"},
    {0}};

/* How many feature voxels fall into one key cell, per axis; false when the grid does not divide. */
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

/* The lower stage's masks on the key grid: (N, d, h, w, K) logits, no gradient flows back. */
static Value *prior_on(Graph *graph, const StageOptions *o, Value *prior, const Value *keys) {
  if (!prior) return NULL;
  ResizeOptions size = {.size = {.count = 3}};
  PoolOptions pool;
  bool coarser, same = true;
  for (int a = 0; a < 3; a++) {
    size.size.v[a] = (int)keys->tensor.dim[1 + a];
    same &= prior->tensor.dim[1 + a] == size.size.v[a];
  }
  if (same) return prior;
  bool divides = pool_factor(prior, &size.size, &pool, &coarser) && coarser;
  for (int a = 0; a < 3; a++) divides &= prior->tensor.dim[1 + a] >= size.size.v[a];
  if (divides && o->mask_resize == MASK_RESIZE_MAX) return apply(graph, OP_max_pool, &pool, prior);
  return apply(graph, OP_resize, &size, prior);
}

/* One block: masked cross-attention, self-attention, feed-forward (Fig. 2b). */
static Value *block(Graph *graph, const StageOptions *o, Value *x, Value *x_position, Value *keys,
                    Value *key_position, Value *mask) {
  NormPlace norm = (NormPlace)o->norm;
  Value *f = sublayer_in(graph, "cross.norm", norm, x);
  f = attention_layer(graph, "cross", o->heads, f, x_position, keys, key_position, keys, mask);
  x = sublayer_out(graph, "cross.norm", norm, x, f);
  f = sublayer_in(graph, "self.norm", norm, x);
  f = attention_layer(graph, "self", o->heads, f, x_position, f, x_position, f, NULL);
  x = sublayer_out(graph, "self.norm", norm, x, f);
  return feed_forward(graph, "ffn", x, o->ffn, norm);
}

static Value *key_tokens(Graph *graph, const StageOptions *o, Value *feature, int width) {
  PoolOptions pool;
  bool coarser;
  if (!pool_factor(feature, &o->key_grid, &pool, &coarser)) {
    module_fail(graph, "key_grid %d,%d,%d does not divide the feature %s", o->key_grid.v[0],
                o->key_grid.v[1], o->key_grid.v[2], tensor_shape_text(&feature->tensor));
    return NULL;
  }
  Value *pooled = coarser ? apply(graph, OP_avg_pool, &pool, feature) : feature;
  return linear_layer(graph, "keys", pooled, width, ACT_NONE);
}

static void build_stage(Graph *graph, const void *options, const Values *in, Values *out) {
  const StageOptions *o = options;
  Value *feature = in->v[0], *x = in->v[1], *x_position = in->v[2];
  if (!feature || !x || !x_position) {
    module_fail(graph, "mask_stage wants a feature map, queries and their position");
    return;
  }
  int width = (int)tensor_last(&x->tensor);
  Value *keys = key_tokens(graph, o, feature, width);
  if (!keys) return;
  int64_t shape[1] = {width};
  Value *embedding =
      graph_param(graph, "embedding", 1, shape, GROUP_TRANSFORMER, (Init){INIT_NORMAL, 1, 0, 0});
  Value *sine = sine_position(graph, &keys->tensor.dim[1], width);
  Value *key_position = apply(graph, OP_add, NULL, sine, embedding);
  Value *mask = prior_on(graph, o, in->count > 3 ? in->v[3] : NULL, keys);
  for (int i = 0; i < o->blocks; i++) {
    graph_push(graph, "block%d", i);
    x = block(graph, o, x, x_position, keys, key_position, mask);
    graph_pop(graph);
  }
  Value *normed = layer_norm(graph, "norm", x);
  Value *classes = mlp(graph, "class_embedding", normed, o->class_layers, o->classes + 1);
  Value *embeddings =
      mlp(graph, "mask_embedding", normed, o->mask_layers, (int)tensor_last(&feature->tensor));
  MatmulOptions product = {.transpose = 1};
  out->v[out->count++] = x;
  out->v[out->count++] = apply(graph, OP_matmul, &product, feature, embeddings);
  out->v[out->count++] = classes;
}

const Module module_mask_stage = {
    .name = "mask_stage",
    .doc = "One stage of the Masked Multi-Scale Segmentation Head (MaskMed 3.2, Fig. 2b)",
    .in = "feature queries position [prior masks]",
    .out = "queries masks classes",
    .min_in = 3,
    .max_in = 4,
    .options = stage_options,
    .options_bytes = sizeof(StageOptions),
    .build = build_stage,
};

typedef struct MapOptions {
  int unused;
} MapOptions;

static const Option map_options[] = {{0}};

/* sum over queries of softmax(class) without "no object" x sigmoid(mask) (peers: MaskFormer's
 * semantic inference). */
static void build_map(Graph *graph, const void *options, const Values *in, Values *out) {
  (void)options;
  SoftmaxOptions softmax = {.drop = 1};
  ActivationOptions sigmoid = {.kind = ACT_SIGMOID};
  MatmulOptions product = {.transpose = 0};
  Value *p = apply(graph, OP_softmax, &softmax, in->v[1]);
  Value *m = apply(graph, OP_activation, &sigmoid, in->v[0]);
  out->v[out->count++] = apply(graph, OP_matmul, &product, m, p);
}

const Module module_class_map = {
    .name = "class_map",
    .doc = "Inference: class probabilities per voxel out of masks and classes (MaskFormer 3.4)",
    .in = "masks classes",
    .out = "map",
    .min_in = 2,
    .max_in = 2,
    .options = map_options,
    .options_bytes = sizeof(MapOptions),
    .build = build_map,
};
