/* The patches of an image as tokens: a convolution whose kernel is its stride, without padding, by
 * gathering the voxels of each patch and one linear layer. weight (E, kd, kh, kw, C), a
 * convolution's, bias (E). */
#include "modules/layers.h"

typedef struct PatchOptions {
  int width;
  Ints patch;
} PatchOptions;

static const Option options_table[] = {{"width", OPTION_INT, offsetof(PatchOptions, width), 768, 1,
                                        65536, NULL, NULL, "channels E of a token"},
                                       {"patch", OPTION_INTS, offsetof(PatchOptions, patch), 0, 1,
                                        64, NULL, "1,16,16", "voxels of a patch along D, H, W"},
                                       {0}};

static void build(Graph *graph, const void *options, const Values *in, Values *out) {
  const PatchOptions *o = options;
  PatchesOptions cells = {.patch = o->patch};
  Value *x = apply(graph, OP_patches, &cells, in->v[0]);
  if (!x) return;
  int fan_in = (int)tensor_last(&x->tensor);
  int64_t shape[5] = {o->width, o->patch.v[0], o->patch.v[1], o->patch.v[2],
                      tensor_last(&in->v[0]->tensor)};
  Init init = init_torch_linear(fan_in);
  Value *weight = graph_param(graph, "weight", 5, shape, GROUP_TRANSFORMER, init);
  Value *bias = graph_param(graph, "bias", 1, shape, GROUP_TRANSFORMER, init);
  ReshapeOptions flat = {.shape = {2, {o->width, fan_in}}};
  weight = apply(graph, OP_reshape, &flat, weight);
  out->v[out->count++] = apply(graph, OP_linear, NULL, weight, bias, x);
}

const Module module_patch_embedding = {
    .name = "patch_embedding",
    .doc = "an image's patches as tokens on a grid (ViT): a convolution whose kernel is its stride",
    .in = "image",
    .out = "tokens",
    .min_in = 1,
    .max_in = 1,
    .options = options_table,
    .options_bytes = sizeof(PatchOptions),
    .build = build,
};
