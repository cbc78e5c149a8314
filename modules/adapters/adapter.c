#include "modules/adapters/adapter.h"

enum { DEPTH_RATIO = 4 }; /* D to 4 D slices */

static const int ONE[3] = {1, 1, 1};

static Value *gelu(Graph *graph, Value *x) {
  ActivationOptions gelu = {.kind = ACT_GELU};
  return apply(graph, OP_activation, &gelu, x);
}

/* Starts as nn.Linear does, or at zero. */
static Value *dense(Graph *graph, const char *name, Value *x, int width, Group group, bool zero) {
  if (!x) return NULL;
  Init start = zero ? (Init){0} : init_torch_linear(tensor_last(&x->tensor));
  return linear_layer_init(graph, name, x, width, ACT_NONE, group, start, start);
}

/* ---- what knows of other slices -------------------------------------------------------------- */

static Value *depth_linear(Graph *graph, const char *name, Value *x, int outs, Group group,
                           bool zero) {
  if (!x) return NULL;
  int64_t slices = x->tensor.dim[1];
  Init start = zero ? (Init){0} : init_torch_linear(slices);
  Linear l = linear_params(graph, name, slices, outs, group, start, start);
  return apply(graph, OP_depth_mix, NULL, l.weight, l.bias, x);
}

/* h + D2 GELU D1 h. */
static Value *depth_mlp(Graph *graph, Value *h, Group group, bool zero) {
  if (!h) return NULL;
  int slices = (int)h->tensor.dim[1];
  graph_push(graph, "depth");
  Value *u = gelu(graph, depth_linear(graph, "0", h, DEPTH_RATIO * slices, group, false));
  u = depth_linear(graph, "1", u, slices, group, zero);
  graph_pop(graph);
  return apply(graph, OP_add, NULL, h, u);
}

/* Starts as nn.Conv3d does. */
static Value *depthwise_conv(Graph *graph, Value *x, Group group) {
  int64_t channels = tensor_last(&x->tensor), shape[5] = {channels, 3, 3, 3, 1};
  Init start = init_torch_linear(27);
  GroupedConvOptions conv = {.stride = {3, {ONE[0], ONE[1], ONE[2]}}, .groups = (int)channels};
  Value *w = graph_param(graph, "weight", 5, shape, group, start);
  Value *b = graph_param(graph, "bias", 1, &channels, group, start);
  return apply(graph, OP_grouped_conv, &conv, w, b, x);
}

/* h + GELU LN conv(h). */
static Value *depth_conv(Graph *graph, Value *h, Group group) {
  if (!h) return NULL;
  graph_push(graph, "conv");
  Value *u = depthwise_conv(graph, h, group);
  int64_t width = tensor_last(&h->tensor);
  LayerNormOptions norm = {.epsilon = 1e-6};
  Init one = {INIT_CONSTANT, 1, 0, 0};
  Value *gamma = graph_param_of(graph, ROLE_NORM, "norm.weight", 1, &width, group, one);
  Value *beta = graph_param_of(graph, ROLE_NORM, "norm.bias", 1, &width, group, (Init){0});
  u = gelu(graph, apply(graph, OP_layer_norm, &norm, gamma, beta, u));
  graph_pop(graph);
  return apply(graph, OP_add, NULL, h, u);
}

/* ---- the adapter ----------------------------------------------------------------------------- */

static bool fits(Graph *graph, const Value *x, const AdapterWay *way) {
  int rank = x->tensor.rank;
  if (way->kind == ADAPTER_CONV_MIDDLE ? rank == 5 : rank >= 3) return true;
  module_fail(graph, "an adapter reads maps (N, D, h, w, E)%s, found %s",
              way->kind == ADAPTER_CONV_MIDDLE ? "" : " or tokens (N, D, T, E)",
              tensor_shape_text(&x->tensor));
  return false;
}

Value *adapter(Graph *graph, const char *name, Value *x, Group group, const AdapterWay *way) {
  if (!x || !fits(graph, x, way)) return NULL;
  int width = (int)tensor_last(&x->tensor), narrow = width / way->ratio;
  if (name) graph_push(graph, "%s", name);
  if (way->kind == ADAPTER_MLP_BEFORE) x = depth_mlp(graph, x, group, false);
  x = gelu(graph, dense(graph, "down", x, narrow ? narrow : 1, group, false));
  if (way->kind == ADAPTER_MLP_MIDDLE) x = depth_mlp(graph, x, group, false);
  if (way->kind == ADAPTER_CONV_MIDDLE) x = depth_conv(graph, x, group);
  x = dense(graph, "up", x, width, group, way->zero);
  if (way->kind == ADAPTER_MLP_AFTER) x = depth_mlp(graph, x, group, way->zero);
  if (name) graph_pop(graph);
  return x;
}

Value *adapted(Graph *graph, const char *name, Value *x, Group group, const AdapterWay *way) {
  if (way->kind == ADAPTER_NONE) return x;
  return apply(graph, OP_add, NULL, x, adapter(graph, name, x, group, way));
}

/* ---- m.adapter ------------------------------------------------------------------------------- */

typedef struct Options {
  AdapterWay way;
  int slices, streams, window;
} Options;

static const Option options_table[] = {
    {"kind", OPTION_CHOICE, offsetof(Options, way.kind), 0, 0, 0, ADAPTER_KINDS, NULL,
     ADAPTER_KINDS_DOC},
    {"ratio", OPTION_INT, offsetof(Options, way.ratio), 4, 1, 64, NULL, NULL,
     "its width is the channels / this"},
    {"zero", OPTION_BOOL, offsetof(Options, way.zero), 0, 0, 1, NULL, NULL,
     "its last layer starts at zero, so that what it is added to starts as without it (in "
     "MaskSAM's "
     "code it does not)"},
    {"slices", OPTION_INT, offsetof(Options, slices), 0, 0, 4096, NULL, NULL,
     "of a batch of slices (N slices streams, ...): so many make a volume; 0: axis 1 is the depth"},
    {"streams", OPTION_INT, offsetof(Options, streams), 1, 1, 4096, NULL, NULL,
     "with slices: so many neighbours of the batch are of one slice (MaskSAM's queries)"},
    {"window", OPTION_INT, offsetof(Options, window), 0, 0, 256, NULL, NULL,
     "0: a volume's slices are the depth. Else as in MaskSAM's code where attention has windows of "
     "this edge: as many windows as a volume has slices, one after another in the slice and then "
     "in "
     "the next, are taken for the depth"},
    {0}};

static Value *reshaped(Graph *graph, Value *x, int rank, const int64_t *dim) {
  ReshapeOptions shape = {.shape = {.count = rank}};
  for (int a = 0; a < rank; a++) shape.shape.v[a] = (int)dim[a];
  return apply(graph, OP_reshape, &shape, x);
}

/* A batch (N D Q, h, w, E) as (N, D, Q h w, E), where the adapter reads along the slices alone. */
static Value *of_slices(Graph *graph, Value *x, const Options *o) {
  const Tensor had = x->tensor;
  int64_t width = tensor_last(&had), samples = had.dim[0] / o->slices / o->streams;
  int64_t dim[4] = {samples, o->slices, tensor_count(&had) / samples / o->slices / width, width};
  x = adapter(graph, NULL, reshaped(graph, x, 4, dim), GROUP_TRANSFORMER, &o->way);
  return reshaped(graph, x, had.rank, had.dim);
}

/* And where it has neighbours in the slice, too, as N Q maps (D, h, w, E). */
static Value *of_maps(Graph *graph, Value *x, const Options *o) {
  const Tensor had = x->tensor;
  int64_t samples = had.dim[0] / o->slices / o->streams;
  int64_t slice = tensor_count(&had) / had.dim[0];
  int64_t apart[4] = {samples, o->slices, o->streams, slice};
  int64_t maps[5] = {samples * o->streams, o->slices, had.dim[had.rank - 3], had.dim[had.rank - 2],
                     tensor_last(&had)};
  int64_t back[4] = {samples, o->streams, o->slices, slice};
  SwapOptions swap = {.axes = {2, {1, 2}}};
  x = apply(graph, OP_swap, &swap, reshaped(graph, x, 4, apart));
  x = adapter(graph, NULL, reshaped(graph, x, 5, maps), GROUP_TRANSFORMER, &o->way);
  x = apply(graph, OP_swap, &swap, reshaped(graph, x, 4, back));
  return reshaped(graph, x, had.rank, had.dim);
}

/* The first `length` along axis 1 of x as (rows, had, rest), by which it becomes shorter. */
static Value *cut(Graph *graph, Value *x, int64_t rows, int64_t had, int64_t length) {
  if (!x || had == length) return x;
  int64_t dim[3] = {rows, had, tensor_count(&x->tensor) / rows / had};
  SliceOptions slice = {.length = (int)length};
  return apply(graph, OP_slice, &slice, reshaped(graph, x, 3, dim));
}

/* (N, D, h, w, E) in windows, N times as many maps (D, edge, edge, E): D neighbouring windows each.
 * What is padded is zero. */
static Value *of_windows(Graph *graph, Value *x, const Options *o) {
  const int64_t *had = x->tensor.dim, edge = o->window;
  int64_t rows = had[0] * had[1],
          across[2] = {(had[2] + edge - 1) / edge, (had[3] + edge - 1) / edge};
  PlaceOptions pad = {.size = {3, {(int)had[1], (int)(across[0] * edge), (int)(across[1] * edge)}},
                      .before = {3, {0}},
                      .stride = {3, {1, 1, 1}}};
  PatchesOptions windows = {.patch = {3, {1, o->window, o->window}}};
  int64_t maps[5] = {had[0] * across[0] * across[1], had[1], edge, edge, had[4]};
  int64_t apart[5] = {had[0], had[1], across[0], across[1], edge * edge * had[4]};
  Value *y = apply(graph, OP_patches, &windows, apply(graph, OP_place, &pad, x));
  y = adapter(graph, NULL, reshaped(graph, y, 5, maps), GROUP_TRANSFORMER, &o->way);
  windows.inverse = 1;
  y = apply(graph, OP_patches, &windows, reshaped(graph, y, 5, apart));
  y = cut(graph, y, rows * across[0] * edge, across[1] * edge, had[3]);
  y = cut(graph, y, rows, across[0] * edge, had[2]);
  return reshaped(graph, y, 5, had);
}

static bool batch_fits(Graph *graph, const Value *x, const Options *o) {
  int rank = x->tensor.rank, least = o->way.kind == ADAPTER_CONV_MIDDLE ? 4 : 2;
  bool one = rank < 5 || least < 4 || x->tensor.dim[1] == 1; /* (N D Q, 1, h, w, E) */
  if (rank >= least && one && x->tensor.dim[0] % (o->slices * o->streams) == 0) return true;
  module_fail(graph, "a batch of slices = %d with streams = %d each: found %s", o->slices,
              o->streams, tensor_shape_text(&x->tensor));
  return false;
}

static void build(Graph *graph, const void *options, const Values *in, Values *out) {
  Options o = *(const Options *)options;
  Value *x = in->v[0];
  o.way.kind += ADAPTER_VANILLA; /* a choice less: none */
  if (o.slices && !batch_fits(graph, x, &o)) return;
  if (o.window && (o.slices || x->tensor.rank != 5)) {
    module_fail(graph, "window: of a map (N, D, h, w, E) and without slices, found %s",
                tensor_shape_text(&x->tensor));
    return;
  }
  if (o.window)
    x = of_windows(graph, x, &o);
  else if (!o.slices)
    x = adapter(graph, NULL, x, GROUP_TRANSFORMER, &o.way);
  else if (o.way.kind == ADAPTER_CONV_MIDDLE)
    x = of_maps(graph, x, &o);
  else
    x = of_slices(graph, x, &o);
  out->v[out->count++] = x;
}

const Module module_adapter = {
    .name = "adapter",
    .doc =
        "MaskSAM's adapters, vanilla, with a depth MLP or a depthwise convolution (2.5, Fig. 3); "
        "without the skip around it",
    .in = "map (N, D, h, w, E), or tokens (N, D, T, E)",
    .out = "what is added to something",
    .min_in = 1,
    .max_in = 1,
    .options = options_table,
    .options_bytes = sizeof(Options),
    .build = build,
};
