/* The conventional head (MaskMed 3.1, Fig. 1b, Eq. 1): a 1x1x1 convolution C -> N, whose channels
 * are the classes: the class embedding is the identity. Its weight (N, C) is what stands for mask
 * embeddings. */
#include "modules/layers.h"

typedef struct PointWiseOptions {
  int classes;
} PointWiseOptions;

static const Option options_table[] = {{"classes", OPTION_INT, offsetof(PointWiseOptions, classes),
                                        0, 1, 1024, NULL, NULL,
                                        "labels, background included, or regions"},
                                       {0}};

static void build(Graph *graph, const void *options, const Values *in, Values *out) {
  const PointWiseOptions *o = options;
  Init weight = init_kaiming(tensor_last(&in->v[0]->tensor), 0.01);
  Value *logits =
      linear_layer_init(graph, NULL, in->v[0], o->classes, ACT_NONE, GROUP_CNN, weight, (Init){0});
  out->v[out->count++] = logits;
  out->v[out->count++] = logits ? logits->producer->in[0] : NULL;
}

const Module module_point_wise_head = {
    .name = "point_wise_head",
    .doc = "Point-wise convolution C -> N with identity class embedding (MaskMed Eq. 1, Fig. 1b)",
    .in = "feature",
    .out = "logits weight",
    .min_in = 1,
    .max_in = 1,
    .options = options_table,
    .options_bytes = sizeof(PointWiseOptions),
    .build = build,
};
