/* MaskSAM's learned boxes (2.4): each level of the prompt generator is pooled to 2x2 cells a slice,
 * one projection of all of them gives each query a channel, with instance norm and sigmoid; its
 * four cells are the box's corner and size (op box), or their mean with the boxes of masks. */
#include "modules/layers.h"

enum { NORM_INSTANCE, NORM_NONE };

typedef struct BoxHeadOptions {
  int queries, norm;
  double weight;
} BoxHeadOptions;

static const Option options_table[] = {{"queries", OPTION_INT, offsetof(BoxHeadOptions, queries), 8,
                                        1, 1024, NULL, NULL, "boxes of a slice"},
                                       {"norm", OPTION_CHOICE, offsetof(BoxHeadOptions, norm),
                                        NORM_INSTANCE, 0, 0, "instance|none", NULL,
                                        "before the sigmoid; instance (MaskSAM's code): over the "
                                        "slices' cells, so that the four numbers "
                                        "of a query have mean 0 over its volume; none"},
                                       {"weight", OPTION_FLOAT, offsetof(BoxHeadOptions, weight),
                                        .5, 0, 1, NULL, NULL,
                                        "share of the masks' boxes where those are given"},
                                       {0}};

/* All levels beside each other, (N, D, 2, 2, sum of channels). */
static Value *pooled(Graph *graph, const Values *levels) {
  Value *list[MAX_VALUES];
  AdaptivePoolOptions pool = {.size = {3, {(int)levels->v[0]->tensor.dim[1], 2, 2}}};
  ConcatOptions channels = {.axis = CONCAT_CHANNELS};
  for (int i = 0; i < levels->count; i++)
    list[i] = apply(graph, OP_adaptive_avg_pool, &pool, levels->v[i]);
  return levels->count > 1 ? graph_op(graph, OP_concat, &channels, levels->count, list) : list[0];
}

/* Without a bias, which the norm would take out again. */
static Value *normed_projection(Graph *graph, Value *x, int width, Init start) {
  int64_t shape[2] = {width, tensor_last(&x->tensor)};
  Value *weight = graph_param(graph, "weight", 2, shape, GROUP_CNN, start);
  x = apply(graph, OP_linear, NULL, weight, graph_absent(graph), x);
  return feature_norm(graph, x, 0, 1);
}

static void build(Graph *graph, const void *options, const Values *in, Values *out) {
  const BoxHeadOptions *o = options;
  Values levels = *in;
  Value *masks = NULL;
  if (levels.v[levels.count - 1]->tensor.rank == 3) masks = levels.v[--levels.count];
  for (int i = 0; i < levels.count || i == 0; i++)
    if (!levels.count || levels.v[i]->tensor.rank != 5) {
      module_fail(graph, "levels are maps (N, D, h, w, C), found %s",
                  tensor_shape_text(&in->v[i]->tensor));
      return;
    }
  ActivationOptions sigmoid = {.kind = ACT_SIGMOID};
  BoxOptions box = {.weight = o->weight};
  Value *x = pooled(graph, &levels);
  if (!x) return;
  Init start = init_torch_linear(tensor_last(&x->tensor));
  x = o->norm == NORM_INSTANCE
          ? normed_projection(graph, x, o->queries, start)
          : linear_layer_init(graph, NULL, x, o->queries, ACT_NONE, GROUP_CNN, start, start);
  x = apply(graph, OP_activation, &sigmoid, x);
  out->v[out->count++] = apply(graph, OP_box, &box, x, masks ? masks : graph_absent(graph));
}

const Module module_box_head = {
    .name = "box_head",
    .doc = "MaskSAM's learned boxes, alone or with those of masks (2.4): (N queries, D, 4)",
    .in = "levels of the prompt generator [boxes of masks]",
    .out = "boxes",
    .min_in = 1,
    .max_in = MAX_IN,
    .options = options_table,
    .options_bytes = sizeof(BoxHeadOptions),
    .build = build,
};
