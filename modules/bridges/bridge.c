#include "modules/bridges/bridge.h"

const int64_t *bridge_grid(const Bridge *b, int scale) {
  return &b->level[scale]->tensor.dim[1];
}

/* A stage that only gives values is read through two linear layers; with nothing between them,
 * where it has fewer channels than tokens have, they are one, and the tokens are not made. */
static void enter(Graph *graph, Bridge *b, int scale, Value *stage) {
  if (!stage) return;
  char name[32];
  int64_t channels = tensor_last(&stage->tensor);
  int width = b->o->hidden;
  snprintf(name, sizeof name, "scale%d.in", scale);
  b->level[scale] = stage;
  if (scale < b->query_first && channels < width && b->o->input_norm == INPUT_NORM_NONE)
    b->in[scale] = linear_params(graph, name, channels, width, GROUP_TRANSFORMER,
                                 init_xavier(channels, width), (Init){0});
  else
    b->level[scale] = linear_layer(graph, name, stage, width, ACT_NONE);
  if (b->o->input_norm == INPUT_NORM_NONE) return;
  snprintf(name, sizeof name, "scale%d.norm", scale);
  b->level[scale] = group_norm(graph, name, b->level[scale], INPUT_GROUPS);
}

Value *bridge_values(Graph *graph, const Bridge *b, int scale) {
  int width = b->o->hidden;
  return b->in[scale].weight
             ? linear_layer_after(graph, "value", b->in[scale], b->level[scale], width)
             : linear_layer(graph, "value", b->level[scale], width, ACT_NONE);
}

/* Also of a single scale: its grid becomes a list of tokens, (N, T, E). */
static Value *join(Graph *graph, Value *const *list, int count) {
  ConcatOptions tokens = {.axis = CONCAT_TOKENS};
  return graph_op(graph, OP_concat, &tokens, count, list);
}

/* Sine encoding plus a learned embedding of the scale, all query tokens: (1, T, E). */
static Value *positions(Graph *graph, const Bridge *b) {
  Value *list[MAX_SCALES];
  int count = 0;
  int64_t width[1] = {b->o->hidden};
  for (int s = b->query_first; s < b->scales; s++) {
    char name[32];
    snprintf(name, sizeof name, "scale%d.embedding", s);
    Value *embedding = graph_param_of(graph, ROLE_EMBEDDING, name, 1, width, GROUP_TRANSFORMER,
                                      (Init){INIT_NORMAL, 1, 0, 0});
    Value *sine = sine_position(graph, bridge_grid(b, s), b->o->hidden);
    list[count++] = apply(graph, OP_add, NULL, sine, embedding);
  }
  return join(graph, list, count);
}

/* The tokens of one scale out of all queries', as its grid. */
static Value *take(Graph *graph, const Bridge *b, Value *x, int scale) {
  SliceOptions slice = {.length = (int)b->tokens[scale], .grid = {.count = 3}};
  for (int s = b->query_first; s < scale; s++) slice.start += (int)b->tokens[s];
  for (int a = 0; a < 3; a++) slice.grid.v[a] = (int)bridge_grid(b, scale)[a];
  return apply(graph, OP_slice, &slice, x);
}

/* An adapter reads a scale's tokens as the grid that they are. */
static Value *adapted_tokens(Graph *graph, const Bridge *b, Value *x) {
  Value *list[MAX_SCALES];
  int count = 0;
  if (b->o->adapter.kind == ADAPTER_NONE) return x;
  for (int s = b->query_first; s < b->scales; s++) {
    char name[32];
    snprintf(name, sizeof name, "scale%d.adapter", s);
    list[count++] = adapter(graph, name, take(graph, b, x, s), GROUP_TRANSFORMER, &b->o->adapter);
  }
  return apply(graph, OP_add, NULL, x, join(graph, list, count));
}

static bool setup(Graph *graph, Bridge *b, int value_scales, const Values *in) {
  const BridgeOptions *o = b->o;
  b->scales = in->count;
  b->query_first = in->count - o->query_scales;
  b->value_first = value_scales ? in->count - value_scales : 0;
  if (o->hidden % o->heads || b->query_first < 0 || b->value_first < 0 ||
      b->value_first > b->query_first) {
    module_fail(graph,
                "hidden (%d) must be a multiple of heads (%d), and of %d scales query_scales (%d) "
                "<= value_scales (%d; 0: all)",
                o->hidden, o->heads, in->count, o->query_scales, value_scales);
    return false;
  }
  for (int s = b->value_first; s < in->count; s++) {
    enter(graph, b, s, in->v[s]);
    if (!b->level[s]) return false;
    b->tokens[s] = tensor_rows(&b->level[s]->tensor) / b->level[s]->tensor.dim[0];
  }
  return true;
}

static Value *layer(Graph *graph, const void *options, const Bridge *b, Mix *mix, Value *x,
                    Value *position) {
  NormPlace norm = (NormPlace)b->o->norm;
  Value *f = sublayer_in(graph, "attention.norm", norm, x);
  graph_push(graph, "attention");
  f = adapted_tokens(graph, b, mix(graph, options, b, f, position));
  graph_pop(graph);
  x = sublayer_out(graph, "attention.norm", norm, x, f);
  return feed_forward(graph, "ffn", x, b->o->ffn, norm);
}

/* E -> C_s of every rewritten scale, added to the encoder's feature. */
static Value *project_back(Graph *graph, const Bridge *b, int scale, Value *feature) {
  int width = (int)tensor_last(&feature->tensor);
  Init start = b->o->zero_init ? (Init){0} : init_xavier(b->o->hidden, width);
  char name[32];
  snprintf(name, sizeof name, "scale%d.out", scale);
  Value *back = linear_layer_init(graph, name, b->level[scale], width, ACT_NONE, GROUP_TRANSFORMER,
                                  start, (Init){0});
  return apply(graph, OP_add, NULL, feature, back);
}

void bridge_build(Graph *graph, const void *options, int value_scales, Mix *mix, const Values *in,
                  Values *out) {
  Bridge b = {.o = options};
  if (!setup(graph, &b, value_scales, in)) return;
  Value *x = join(graph, &b.level[b.query_first], b.scales - b.query_first);
  Value *position = positions(graph, &b);
  for (int l = 0; l < b.o->layers; l++) {
    graph_push(graph, "layer%d", l);
    graph_block(graph);
    x = layer(graph, options, &b, mix, x, position);
    graph_pop(graph);
    if (!x) return;
    for (int s = b.query_first; s < b.scales; s++) b.level[s] = take(graph, &b, x, s);
  }
  for (int s = 0; s < b.scales; s++)
    out->v[out->count++] = s < b.query_first              ? in->v[s]
                           : b.o->result == BRIDGE_TOKENS ? b.level[s]
                                                          : project_back(graph, &b, s, in->v[s]);
}
