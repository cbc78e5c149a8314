/* Attention of SAM's two-way decoder (Kirillov et al. 2023, appendix A): q, k and v are projected
 * to an inner width, each by its own layer, the result back. Positions are added to q and k before
 * their projection; one that is the same for several samples is projected by itself and added
 * behind, W (x + p) + b = (W x + b) + W p: it is smaller, and where it is constant and the layer
 * frozen that is computed once.
 *
 * Tokens are (A, B, T, C), maps (A, B, h, w, C); both attend within each of the A B samples. */
#include "modules/layers.h"

typedef struct StreamOptions {
  int heads, inner;
} StreamOptions;

static const Option options_table[] = {
    {"heads", OPTION_INT, offsetof(StreamOptions, heads), 8, 1, 64, NULL, NULL, "attention heads"},
    {"inner", OPTION_INT, offsetof(StreamOptions, inner), 128, 1, 4096, NULL, NULL,
     "width of the projections; SAM: half where tokens and image meet"},
    {0}};

static Linear layer(Graph *graph, const char *name, const Value *x, int width) {
  int64_t ins = x ? tensor_last(&x->tensor) : 1;
  Init init = init_torch_linear(ins);
  return linear_params(graph, name, ins, width, GROUP_TRANSFORMER, init, init);
}

/* (A, B, ...) as (A B, ...). */
static Value *as_samples(Graph *graph, Value *x) {
  if (!x) return NULL;
  const int64_t *dim = x->tensor.dim;
  ReshapeOptions to = {.shape = {.count = x->tensor.rank - 1, .v = {(int)(dim[0] * dim[1])}}};
  for (int a = 2; a < x->tensor.rank; a++) to.shape.v[a - 1] = (int)dim[a];
  return apply(graph, OP_reshape, &to, x);
}

/* Back to the axes of `like`, with x's channels. */
static Value *as_streams(Graph *graph, Value *x, const Value *like) {
  if (!x) return NULL;
  ReshapeOptions to = {.shape = {.count = like->tensor.rank}};
  for (int a = 0; a < like->tensor.rank; a++) to.shape.v[a] = (int)like->tensor.dim[a];
  to.shape.v[to.shape.count - 1] = (int)tensor_last(&x->tensor);
  return apply(graph, OP_reshape, &to, x);
}

static Value *project(Graph *graph, const char *name, Value *x, Value *position, int width) {
  Linear l = layer(graph, name, x, width);
  bool own = position && tensor_count(&position->tensor) == tensor_count(&x->tensor);
  if (own) x = apply(graph, OP_add, NULL, x, position);
  Value *y = apply(graph, OP_linear, NULL, l.weight, l.bias, x);
  if (position && !own)
    y = apply(graph, OP_add, NULL, y,
              apply(graph, OP_linear, NULL, l.weight, graph_absent(graph), position));
  return as_samples(graph, y);
}

static bool fits(Graph *graph, const Values *in) {
  bool good = in->count == 3 || in->count == 5;
  if (!good) module_fail(graph, "stream_attention takes q, k, v and both positions or none");
  for (int i = 0; good && i < 3; i++) {
    good = in->v[i] && in->v[i]->tensor.rank >= 4;
    if (!good)
      module_fail(graph,
                  "stream_attention: tokens are (A, B, T, C), maps (A, B, h, w, C); found %s",
                  in->v[i] ? tensor_shape_text(&in->v[i]->tensor) : "nothing");
  }
  return good;
}

static void build(Graph *graph, const void *options, const Values *in, Values *out) {
  const StreamOptions *o = options;
  if (!fits(graph, in)) return;
  AttentionOptions attention = {.heads = o->heads};
  Value *q = in->v[0], *q_position = in->count > 3 ? in->v[3] : NULL;
  Value *k_position = in->count > 3 ? in->v[4] : NULL;
  Value *context =
      apply(graph, OP_attention, &attention, project(graph, "q_proj", q, q_position, o->inner),
            project(graph, "k_proj", in->v[1], k_position, o->inner),
            project(graph, "v_proj", in->v[2], NULL, o->inner));
  Linear back = layer(graph, "out_proj", context, (int)tensor_last(&q->tensor));
  out->v[out->count++] =
      as_streams(graph, apply(graph, OP_linear, NULL, back.weight, back.bias, context), q);
}

const Module module_stream_attention = {
    .name = "stream_attention",
    .doc = "attention between tokens and maps of many samples, projected to an inner width (SAM's "
           "two-way decoder)",
    .in = "q k v [q_position k_position]",
    .out = "as q",
    .min_in = 3,
    .max_in = 5,
    .options = options_table,
    .options_bytes = sizeof(StreamOptions),
    .build = build,
};
