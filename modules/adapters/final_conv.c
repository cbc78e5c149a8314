/* What MaskSAM's code for AMOS and Synapse has behind SAM's masks (the paper does not tell of it):
 * queries are channels and mix. A convolution 3x3x3 with instance norm and LeakyReLU; transposed
 * ones that double the slice's edges, each with instance norm and GELU; a convolution 3x3x3 to as
 * many masks as there were. Theirs: width 64, upsample 2. */
#include "modules/adapters/adapter.h"

typedef struct FinalOptions {
  int width, upsample;
} FinalOptions;

static const Option options_table[] = {{"width", OPTION_INT, offsetof(FinalOptions, width), 64, 1,
                                        4096, NULL, NULL, "channels between"},
                                       {"upsample", OPTION_INT, offsetof(FinalOptions, upsample), 0,
                                        0, 4, NULL, NULL,
                                        "transposed convolutions: each doubles the slice's edges"},
                                       {0}};

static const int ONE[3] = {1, 1, 1}, THREE[3] = {3, 3, 3};

static void build(Graph *graph, const void *options, const Values *in, Values *out) {
  const FinalOptions *o = options;
  int queries = (int)tensor_last(&in->v[0]->tensor);
  graph_block(graph);
  Value *x = conv_block(graph, "conv", in->v[0], NULL, o->width, THREE, ONE);
  for (int i = 1; i <= o->upsample; i++) {
    char name[16];
    snprintf(name, sizeof name, "up%d", i);
    x = doubled(graph, name, x, o->width);
  }
  out->v[out->count++] = convolution(graph, "masks", x, NULL, queries, THREE, ONE, 1);
}

const Module module_final_conv = {
    .name = "final_conv",
    .doc =
        "convolutions over masks whose queries are channels, enlarged on the way (MaskSAM's code "
        "for AMOS and Synapse)",
    .in = "masks",
    .out = "masks",
    .min_in = 1,
    .max_in = 1,
    .options = options_table,
    .options_bytes = sizeof(FinalOptions),
    .build = build,
};
