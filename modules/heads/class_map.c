/* Inference of mask classification: sum over queries of softmax(class), "no object" left out, times
 * sigmoid(mask) (MaskFormer 3.4; Mask2Former and MaskSAM do the same). */
#include "modules/layers.h"

static const Option options_table[] = {{0}};

static void build(Graph *graph, const void *options, const Values *in, Values *out) {
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
    .options = options_table,
    .options_bytes = 0,
    .build = build,
};
