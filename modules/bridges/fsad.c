/* The FSAD-Transformer (MaskMed 3.3, Fig. 2c, appendix B): queries are the tokens of the lowest
 * `query_scales` encoder stages; values are the stages at every scale; each query gathers `points`
 * samples per head and scale by deformable attention. Per layer:
 *   x <- x + LN(FSAD-Attention(x + position, values)),  x <- x + LN(FFN(x))
 * The result is projected back to each stage's width and added to the encoder feature. In layers
 * after the first the values of the query scales are the previous layer's result. */
#include "modules/layers.h"

typedef struct FsadOptions {
  int hidden, heads, points, layers, query_scales, value_scales, ffn, norm, zero_init;
} FsadOptions;

static const Option options_table[] = {
    {"hidden", OPTION_INT, offsetof(FsadOptions, hidden), 192, 6, 4096, NULL, NULL,
     "token width E; a multiple of heads and of 6"},
    {"heads", OPTION_INT, offsetof(FsadOptions, heads), 6, 1, 64, NULL, NULL, "attention heads"},
    {"points", OPTION_INT, offsetof(FsadOptions, points), 4, 1, 16, NULL, NULL,
     "sampling points per head and scale"},
    {"layers", OPTION_INT, offsetof(FsadOptions, layers), 2, 1, 12, NULL, NULL, "depth"},
    {"query_scales", OPTION_INT, offsetof(FsadOptions, query_scales), 4, 1, 8, NULL, NULL,
     "lowest scales whose tokens are queries"},
    {"value_scales", OPTION_INT, offsetof(FsadOptions, value_scales), 0, 0, 8, NULL, NULL,
     "lowest scales that are sampled; 0: all (FSAD); = query_scales: a plain deformable bridge"},
    {"ffn", OPTION_INT, offsetof(FsadOptions, ffn), 1024, 1, 16384, NULL, NULL,
     "hidden width of the feed-forward network"},
    {"norm", OPTION_CHOICE, offsetof(FsadOptions, norm), NORM_INSIDE, 0, 0, NORM_CHOICES, NULL,
     "inside: x + LN(f(x)), the paper's words; post: LN(x + f(x)); pre: x + f(LN(x))"},
    {"zero_init", OPTION_BOOL, offsetof(FsadOptions, zero_init), 0, 0, 1, NULL, NULL,
     "start the projection back at zero: the bridge starts as plain skips"},
    {0}};

enum { MAX_SCALES = 8 };

/* Scales are counted in the encoder's order; those from `value_first` on are sampled, those from
 * `query_first` on also ask. */
typedef struct Bridge {
  const FsadOptions *o;
  int scales, query_first, value_first;
  Value *level[MAX_SCALES];   /* (N, D, H, W, E): what is sampled */
  int64_t tokens[MAX_SCALES]; /* D*H*W */
} Bridge;

static const int64_t *grid(const Value *feature) {
  return &feature->tensor.dim[1];
}

/* Also of a single scale: its grid becomes a list of tokens, (N, T, E). */
static Value *join(Graph *graph, Value *const *list, int count) {
  return graph_op(graph, OP_concat, NULL, count, list);
}

/* Sine encoding plus a learned embedding of the scale, all query tokens: (1, T, E). */
static Value *positions(Graph *graph, const Bridge *b) {
  Value *list[MAX_SCALES];
  int count = 0;
  int64_t width[1] = {b->o->hidden};
  for (int s = b->query_first; s < b->scales; s++) {
    char name[32];
    snprintf(name, sizeof name, "scale%d.embedding", s);
    Value *embedding =
        graph_param(graph, name, 1, width, GROUP_TRANSFORMER, (Init){INIT_NORMAL, 1, 0, 0});
    Value *sine = sine_position(graph, grid(b->level[s]), b->o->hidden);
    list[count++] = apply(graph, OP_add, NULL, sine, embedding);
  }
  return join(graph, list, count);
}

static Value *fsad_attention(Graph *graph, const Bridge *b, Value *x, Value *position) {
  const FsadOptions *o = b->o;
  int samples = o->heads * (b->scales - b->value_first) * o->points;
  Value *query = apply(graph, OP_add, NULL, x, position);
  Init zero = {0};
  Init directions = {INIT_OFFSETS, o->heads, b->scales - b->value_first, o->points};
  DeformAttentionOptions deform = {.heads = o->heads, .points = o->points};
  for (int s = b->query_first; s < b->scales; s++)
    for (int a = 0; a < 3; a++)
      deform.query_grids.v[deform.query_grids.count++] = (int)grid(b->level[s])[a];
  Value *in[2 + MAX_SCALES];
  in[0] = linear_layer_init(graph, "offsets", query, 3 * samples, ACT_NONE, GROUP_TRANSFORMER, zero,
                            directions);
  in[1] =
      linear_layer_init(graph, "weights", query, samples, ACT_NONE, GROUP_TRANSFORMER, zero, zero);
  int count = 2;
  for (int s = b->value_first; s < b->scales; s++)
    in[count++] = linear_layer(graph, "value", b->level[s], o->hidden, ACT_NONE);
  Value *context = graph_op(graph, OP_deform_attention, &deform, count, in);
  return linear_layer(graph, "output", context, o->hidden, ACT_NONE);
}

static Value *take(Graph *graph, const Bridge *b, Value *x, int scale) {
  SliceOptions slice = {.length = (int)b->tokens[scale], .grid = {.count = 3}};
  for (int s = b->query_first; s < scale; s++) slice.start += (int)b->tokens[s];
  for (int a = 0; a < 3; a++) slice.grid.v[a] = (int)grid(b->level[scale])[a];
  return apply(graph, OP_slice, &slice, x);
}

static Value *layer(Graph *graph, Bridge *b, Value *x, Value *position) {
  Value *f = sublayer_in(graph, "attention.norm", (NormPlace)b->o->norm, x);
  graph_push(graph, "attention");
  f = fsad_attention(graph, b, f, position);
  graph_pop(graph);
  x = sublayer_out(graph, "attention.norm", (NormPlace)b->o->norm, x, f);
  return feed_forward(graph, "ffn", x, b->o->ffn, (NormPlace)b->o->norm);
}

static bool setup(Graph *graph, Bridge *b, const Values *in) {
  const FsadOptions *o = b->o;
  b->scales = in->count;
  b->query_first = in->count - o->query_scales;
  b->value_first = o->value_scales ? in->count - o->value_scales : 0;
  if (o->hidden % o->heads || b->query_first < 0 || b->value_first < 0 ||
      b->value_first > b->query_first) {
    module_fail(graph,
                "hidden (%d) must be a multiple of heads (%d), and of %d scales query_scales (%d) "
                "<= value_scales (%d; 0: all)",
                o->hidden, o->heads, in->count, o->query_scales, o->value_scales);
    return false;
  }
  for (int s = b->value_first; s < in->count; s++) {
    char name[32];
    snprintf(name, sizeof name, "scale%d.in", s);
    b->level[s] = linear_layer(graph, name, in->v[s], o->hidden, ACT_NONE);
    if (!b->level[s]) return false;
    b->tokens[s] = tensor_rows(&b->level[s]->tensor) / b->level[s]->tensor.dim[0];
  }
  return true;
}

static void build(Graph *graph, const void *options, const Values *in, Values *out) {
  Bridge b = {.o = options};
  if (!setup(graph, &b, in)) return;
  Value *x = join(graph, &b.level[b.query_first], b.scales - b.query_first);
  Value *position = positions(graph, &b);
  for (int l = 0; l < b.o->layers; l++) {
    graph_push(graph, "layer%d", l);
    x = layer(graph, &b, x, position);
    graph_pop(graph);
    if (!x) return;
    for (int s = b.query_first; s < b.scales; s++) b.level[s] = take(graph, &b, x, s);
  }
  for (int s = 0; s < b.scales; s++) {
    out->v[out->count++] = in->v[s];
    if (s < b.query_first || !b.level[s]) continue;
    int width = (int)tensor_last(&in->v[s]->tensor);
    Init start = b.o->zero_init ? (Init){0} : init_xavier(b.o->hidden, width);
    char name[32];
    snprintf(name, sizeof name, "scale%d.out", s);
    Value *back = linear_layer_init(graph, name, b.level[s], width, ACT_NONE, GROUP_TRANSFORMER,
                                    start, (Init){0});
    out->v[s] = apply(graph, OP_add, NULL, in->v[s], back);
  }
}

const Module module_fsad_bridge = {
    .name = "fsad_bridge",
    .doc = "FSAD-Transformer between encoder and decoder (MaskMed 3.3, appendix B)",
    .in = "stages (highest resolution first)",
    .out = "stages",
    .min_in = 1,
    .max_in = MAX_SCALES,
    .list = true,
    .options = options_table,
    .options_bytes = sizeof(FsadOptions),
    .build = build,
};
