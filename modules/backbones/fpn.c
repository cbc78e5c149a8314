/* The feature pyramid that MaskFormer and Mask2Former decode with (Lin et al. 2017; MaskMed
 * appendix D.1, adapted to 3D): lateral 1x1x1 projections, trilinear upsampling, addition, then one
 * 3x3x3 convolution block a level. */
#include "modules/layers.h"

typedef struct FpnOptions {
  int width;
} FpnOptions;

static const Option options_table[] = {{"width", OPTION_INT, offsetof(FpnOptions, width), 192, 1,
                                        4096, NULL, NULL, "channels of every level"},
                                       {0}};

static Value *lateral(Graph *graph, Value *stage, int width) {
  Init weight = init_kaiming(tensor_last(&stage->tensor), 0.01);
  return linear_layer_init(graph, "lateral", stage, width, ACT_NONE, GROUP_CNN, weight, (Init){0});
}

static void build(Graph *graph, const void *options, const Values *in, Values *out) {
  static const int one[3] = {1, 1, 1}, three[3] = {3, 3, 3};
  const FpnOptions *o = options;
  Value *x = NULL;
  for (int s = in->count - 1; s >= 0; s--) {
    graph_push(graph, "stage%d", s);
    Value *side = lateral(graph, in->v[s], o->width);
    if (x && side) {
      ResizeOptions size = {.size = {.count = 3}};
      for (int a = 0; a < 3; a++) size.size.v[a] = (int)side->tensor.dim[1 + a];
      side = apply(graph, OP_add, NULL, side, apply(graph, OP_resize, &size, x));
    }
    x = conv_block(graph, "conv", side, NULL, o->width, three, one);
    graph_pop(graph);
    out->v[out->count++] = x;
  }
}

const Module module_fpn_decoder = {
    .name = "fpn_decoder",
    .doc = "Feature pyramid, lowest resolution first (MaskFormer's pixel decoder, in 3D)",
    .in = "stages (highest resolution first)",
    .out = "features",
    .min_in = 1,
    .max_in = 12,
    .list = true,
    .options = options_table,
    .options_bytes = sizeof(FpnOptions),
    .build = build,
};
