/* The feature pyramid that MaskFormer and Mask2Former decode with (Lin et al. 2017; MaskMed
 * appendix D.1, adapted to 3D): lateral 1x1x1 projections, trilinear upsampling, addition, then one
 * 3x3x3 convolution block a level. Options say where the two differ from each other. */
#include "modules/layers.h"

typedef struct FpnOptions {
  int width, lowest, norm, lateral_norm, mask_kernel;
} FpnOptions;

enum { NORM_INSTANCE, NORM_GROUP, GROUPS = 32 };
enum { LOWEST_LATERAL, LOWEST_BLOCK, LOWEST_GIVEN };

static const Option options_table[] = {
    {"width", OPTION_INT, offsetof(FpnOptions, width), 192, 1, 4096, NULL, NULL,
     "channels of every level"},
    {"lowest", OPTION_CHOICE, offsetof(FpnOptions, lowest), LOWEST_LATERAL, 0, 0,
     "lateral|block|given", NULL,
     "how the lowest stage enters: lateral: projected, then a convolution block, as the others; "
     "block: that block alone (MaskFormer); given: as it is, projected where it has another width "
     "(Mask2Former, whose deformable layers made it)"},
    {"norm", OPTION_CHOICE, offsetof(FpnOptions, norm), NORM_INSTANCE, 0, 0, "instance|group", NULL,
     "of convolution blocks: instance: instance norm and LeakyReLU, as the encoder's; group: group "
     "norm, in 32 groups or the next fewer that divide the channels, and ReLU (MaskFormer, "
     "Mask2Former)"},
    {"lateral_norm", OPTION_BOOL, offsetof(FpnOptions, lateral_norm), 0, 0, 1, NULL, NULL,
     "that norm after the lateral projections, too"},
    {"mask_kernel", OPTION_INT, offsetof(FpnOptions, mask_kernel), 0, 0, 7, NULL, NULL,
     "edge of one more convolution, without norm, of the last level: the features that mask "
     "embeddings multiply; 0: none"},
    {0}};

static const int one[3] = {1, 1, 1}, three[3] = {3, 3, 3};

static int most_groups(const FpnOptions *o) {
  return o->norm == NORM_GROUP ? GROUPS : 0;
}

static Value *lateral(Graph *graph, const FpnOptions *o, Value *stage) {
  if (!stage) return NULL;
  Init weight = init_kaiming(tensor_last(&stage->tensor), 0.01);
  graph_push(graph, "lateral");
  Value *x =
      linear_layer_init(graph, NULL, stage, o->width, ACT_NONE, GROUP_CNN, weight, (Init){0});
  if (o->lateral_norm) x = feature_norm(graph, x, most_groups(o), 1);
  graph_pop(graph);
  return x;
}

static Value *block(Graph *graph, const FpnOptions *o, Value *x) {
  if (o->norm == NORM_INSTANCE) return conv_block(graph, "conv", x, NULL, o->width, three, one);
  graph_push(graph, "conv");
  x = convolution(graph, NULL, x, NULL, o->width, three, one, 0);
  x = feature_norm(graph, x, most_groups(o), 0);
  graph_pop(graph);
  return x;
}

static Value *lowest(Graph *graph, const FpnOptions *o, Value *stage) {
  if (!stage) return NULL;
  if (o->lowest == LOWEST_GIVEN)
    return tensor_last(&stage->tensor) == o->width ? stage : lateral(graph, o, stage);
  return block(graph, o, o->lowest == LOWEST_BLOCK ? stage : lateral(graph, o, stage));
}

/* What comes from below, on this stage's grid, is added to it. */
static Value *level(Graph *graph, const FpnOptions *o, Value *stage, Value *below) {
  Value *side = lateral(graph, o, stage);
  if (!side || !below) return NULL;
  ResizeOptions size = {.size = {.count = 3}};
  for (int a = 0; a < 3; a++) size.size.v[a] = (int)side->tensor.dim[1 + a];
  side = apply(graph, OP_add, NULL, side, apply(graph, OP_resize, &size, below));
  return block(graph, o, side);
}

static void build(Graph *graph, const void *options, const Values *in, Values *out) {
  const FpnOptions *o = options;
  Value *x = NULL;
  for (int s = in->count - 1; s >= 0; s--) {
    graph_push(graph, "stage%d", s);
    x = s == in->count - 1 ? lowest(graph, o, in->v[s]) : level(graph, o, in->v[s], x);
    graph_pop(graph);
    out->v[out->count++] = x;
  }
  const int edges[3] = {o->mask_kernel, o->mask_kernel, o->mask_kernel};
  if (o->mask_kernel)
    out->v[out->count++] = convolution(graph, "mask", x, NULL, o->width, edges, one, 1);
}

const Module module_fpn_decoder = {
    .name = "fpn_decoder",
    .doc = "Feature pyramid, lowest resolution first (MaskFormer's pixel decoder, in 3D), and with "
           "mask_kernel the features of masks behind them",
    .in = "stages (highest resolution first)",
    .out = "features",
    .min_in = 1,
    .max_in = 12,
    .list = true,
    .options = options_table,
    .options_bytes = sizeof(FpnOptions),
    .build = build,
};
