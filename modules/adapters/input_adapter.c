/* What makes the three channels that SAM reads of a scan's (MaskSAM 2.6): convolutions 3x3x3 with
 * instance norm and LeakyReLU, the last to three channels; between the first and the others, where
 * the image is smaller than SAM's, transposed convolutions that double it in the slice, each with
 * instance norm and GELU. Of MaskSAM's code: ACDC widths 16,16,32,32 upsample 2; AMOS widths 8. */
#include "modules/adapters/adapter.h"

typedef struct InputOptions {
  Ints widths;
  int upsample, channels;
} InputOptions;

static const Option options_table[] = {
    {"widths", OPTION_INTS, offsetof(InputOptions, widths), 0, 1, 4096, NULL, "8",
     "channels of each convolution but the last, transposed ones included"},
    {"upsample", OPTION_INT, offsetof(InputOptions, upsample), 0, 0, 4, NULL, NULL,
     "transposed convolutions behind the first: each doubles the slice's edges"},
    {"channels", OPTION_INT, offsetof(InputOptions, channels), 3, 1, 64, NULL, NULL,
     "of what comes out"},
    {0}};

static const int ONE[3] = {1, 1, 1}, THREE[3] = {3, 3, 3}, SLICE[3] = {1, 2, 2};

Value *doubled(Graph *graph, const char *name, Value *x, int width) {
  ActivationOptions gelu = {.kind = ACT_GELU};
  graph_push(graph, "%s", name);
  x = enlarged(graph, NULL, x, width, SLICE);
  x = apply(graph, OP_activation, &gelu, feature_norm(graph, x, 0, 1));
  graph_pop(graph);
  return x;
}

static void build(Graph *graph, const void *options, const Values *in, Values *out) {
  const InputOptions *o = options;
  Value *x = in->v[0];
  if (o->widths.count <= o->upsample) {
    module_fail(graph, "widths: one for the first convolution and each of upsample = %d, found %d",
                o->upsample, o->widths.count);
    return;
  }
  graph_block(graph);
  for (int i = 0; i <= o->widths.count; i++) {
    char name[16];
    bool doubles = i > 0 && i <= o->upsample;
    int width = i < o->widths.count ? o->widths.v[i] : o->channels;
    snprintf(name, sizeof name, "%s%d", doubles ? "up" : "conv", i);
    x = doubles ? doubled(graph, name, x, width)
                : conv_block(graph, name, x, NULL, width, THREE, ONE);
  }
  out->v[out->count++] = x;
}

const Module module_input_adapter = {
    .name = "input_adapter",
    .doc =
        "Convolutions from a scan's channels to SAM's three, the slice enlarged on the way where "
        "SAM's is larger (MaskSAM 2.6)",
    .in = "image",
    .out = "picture",
    .min_in = 1,
    .max_in = 1,
    .options = options_table,
    .options_bytes = sizeof(InputOptions),
    .build = build,
};
