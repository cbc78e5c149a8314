/* MaskSAM's classifier tokens (2.4): for each query of each slice an auxiliary one out of the
 * prompt generator's levels, plus a learned one that all share; the decoder's last token. In its
 * code the levels are pooled to a grid of as many cells as a token has channels, one 3x3x3
 * convolution of all of them gives each query a channel, with instance norm and GELU, and its cells
 * are the token. In its text each level is pooled to one cell and projected. */
#include "modules/layers.h"

#include <math.h>

enum { FROM_GRID, FROM_MEAN };

typedef struct TokenOptions {
  int queries, width, from, shared;
} TokenOptions;

static const Option options_table[] = {
    {"queries", OPTION_INT, offsetof(TokenOptions, queries), 8, 1, 1024, NULL, NULL,
     "tokens of a slice"},
    {"width", OPTION_INT, offsetof(TokenOptions, width), 256, 1, 4096, NULL, NULL,
     "channels of a token"},
    {"from", OPTION_CHOICE, offsetof(TokenOptions, from), FROM_GRID, 0, 0, "grid|pooled", NULL,
     "grid: the cells of a square grid become a token's channels (MaskSAM's code); pooled: the "
     "mean "
     "of each level, projected (its text)"},
    {"shared", OPTION_BOOL, offsetof(TokenOptions, shared), 1, 0, 1, NULL, NULL,
     "plus one learned token for all queries (the global one)"},
    {0}};

static const int ONE[3] = {1, 1, 1}, THREE[3] = {3, 3, 3};

/* All levels on a grid of the slice, beside each other: (N, D, side, side, sum of channels). */
static Value *joined(Graph *graph, const Values *in, int side) {
  Value *list[MAX_VALUES];
  AdaptivePoolOptions pool = {.size = {3, {(int)in->v[0]->tensor.dim[1], side, side}}};
  ConcatOptions channels = {.axis = CONCAT_CHANNELS};
  for (int i = 0; i < in->count; i++) list[i] = apply(graph, OP_adaptive_avg_pool, &pool, in->v[i]);
  return in->count > 1 ? graph_op(graph, OP_concat, &channels, in->count, list) : list[0];
}

/* (N, D, ..) as (N, D, a, b). */
static Value *as_slices(Graph *graph, Value *x, int a, int b) {
  if (!x) return NULL;
  ReshapeOptions shape = {.shape = {4, {(int)x->tensor.dim[0], (int)x->tensor.dim[1], a, b}}};
  return apply(graph, OP_reshape, &shape, x);
}

static Value *of_grid(Graph *graph, const TokenOptions *o, const Values *in) {
  int side = (int)lround(sqrt(o->width));
  ActivationOptions gelu = {.kind = ACT_GELU};
  SwapOptions swap = {.axes = {2, {2, 3}}};
  if (side * side != o->width) {
    module_fail(graph,
                "from = grid: a token's channels are the cells of a square, found width = %d",
                o->width);
    return NULL;
  }
  graph_push(graph, "grid");
  Value *x = convolution(graph, NULL, joined(graph, in, side), NULL, o->queries, THREE, ONE, 1);
  x = apply(graph, OP_activation, &gelu, feature_norm(graph, x, 0, 1));
  graph_pop(graph);
  return apply(graph, OP_swap, &swap, as_slices(graph, x, o->width, o->queries));
}

static Value *of_means(Graph *graph, const TokenOptions *o, const Values *in) {
  Value *x = joined(graph, in, 1);
  if (!x) return NULL;
  Init start = init_torch_linear(tensor_last(&x->tensor));
  x = linear_layer_init(graph, "mean", x, o->queries * o->width, ACT_NONE, GROUP_TRANSFORMER, start,
                        start);
  return as_slices(graph, x, o->queries, o->width);
}

static void build(Graph *graph, const void *options, const Values *in, Values *out) {
  const TokenOptions *o = options;
  int64_t width[1] = {o->width};
  if (in->v[0]->tensor.rank != 5) {
    module_fail(graph, "a level is a map (N, D, h, w, C), found %s",
                tensor_shape_text(&in->v[0]->tensor));
    return;
  }
  Value *x = o->from == FROM_GRID ? of_grid(graph, o, in) : of_means(graph, o, in);
  if (o->shared)
    x = apply(graph, OP_add, NULL, x,
              graph_param_of(graph, ROLE_EMBEDDING, "token", 1, width, GROUP_TRANSFORMER,
                             (Init){INIT_NORMAL, 1, 0, 0}));
  out->v[out->count++] = x;
}

const Module module_class_token = {
    .name = "class_token",
    .doc = "MaskSAM's classifier tokens, auxiliary and global (2.4): (N, D, queries, width)",
    .in = "levels of the prompt generator",
    .out = "tokens",
    .min_in = 1,
    .max_in = MAX_IN,
    .options = options_table,
    .options_bytes = sizeof(TokenOptions),
    .build = build,
};
