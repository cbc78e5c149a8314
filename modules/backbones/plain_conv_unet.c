/* PlainConvUNet, nnU-Net's encoder and decoder (Isensee et al. 2021; the paper keeps them as they
 * are): per stage `convs` blocks of conv -> instance norm -> LeakyReLU (or another norm and
 * activation: BlockWay), the first with the stage's stride; decoder: transposed convolution with
 * kernel = stride, then blocks over (up, skip). */
#include "modules/backbones/stages.h"
#include "modules/layers.h"

#include <limits.h>
#include <math.h>

typedef struct EncoderOptions {
  Stages stages;
  int convs;
  BlockWay block;
} EncoderOptions;

static const Option encoder_options[] = {STAGES_OPTIONS(EncoderOptions),
                                         {"convs", OPTION_INT, offsetof(EncoderOptions, convs), 2,
                                          1, 8, NULL, NULL, "convolutions an encoder stage"},
                                         BLOCK_OPTIONS(EncoderOptions),
                                         {0}};

static const int ONE[3] = {1, 1, 1};

/* first: channels of the first convolution; width: of the others. */
static Value *stage_blocks(Graph *graph, int stage, int convs, Value *x, Value *skip, int first,
                           int width, const int kernel[3], const int stride[3], BlockWay way) {
  graph_push(graph, "stage%d", stage);
  graph_block(graph);
  for (int i = 0; i < convs; i++) {
    char name[16];
    snprintf(name, sizeof name, "conv%d", i);
    x = conv_block_of(graph, name, x, i ? NULL : skip, i ? width : first, kernel, i ? ONE : stride,
                      way);
  }
  graph_pop(graph);
  return x;
}

static void build_encoder(Graph *graph, const void *options, const Values *in, Values *out) {
  const EncoderOptions *o = options;
  if (!stages_check(graph, &o->stages)) return;
  Value *x = in->v[0];
  for (int s = 0; s < o->stages.widths.count; s++) {
    int width = o->stages.widths.v[s];
    x = stage_blocks(graph, s, o->convs, x, NULL, width, width, stage_kernel(&o->stages.kernels, s),
                     stage_stride(&o->stages, s), o->block);
    out->v[out->count++] = x;
  }
}

const Module module_plain_conv_encoder = {
    .name = "plain_conv_encoder",
    .doc = "nnU-Net's PlainConvUNet encoder: the features of every stage, highest resolution first",
    .in = "image",
    .out = "stages",
    .min_in = 1,
    .max_in = 1,
    .list = true,
    .options = encoder_options,
    .options_bytes = sizeof(EncoderOptions),
    .build = build_encoder,
};

typedef struct DecoderOptions {
  Ints kernels;
  int convs, extra;
  BlockWay block;
} DecoderOptions;

static const Option decoder_options[] = {
    {"kernels", OPTION_INTS, offsetof(DecoderOptions, kernels), 0, 1, 7, NULL, "",
     "D,H,W kernel of each stage; default 3,3,3"},
    {"convs", OPTION_INT, offsetof(DecoderOptions, convs), 2, 1, 8, NULL, NULL,
     "convolutions a decoder stage"},
    BLOCK_OPTIONS(DecoderOptions),
    {"extra", OPTION_INT, offsetof(DecoderOptions, extra), 0, 0, INT_MAX, NULL, NULL,
     "parameters more, as near as channels allow: every stage's first convolution is wider"},
    {0}};

enum { MAX_STAGES = 12 };

/* Parameters that one channel more of a stage's first convolution costs: there over what comes up
 * and the skip, with bias and norm; and in the second, which reads it. */
static double channel_cost(const DecoderOptions *o, int stage, double width) {
  const int *kernel = stage_kernel(&o->kernels, stage);
  return 3 * width * kernel[0] * kernel[1] * kernel[2] + 3;
}

/* Channels more of each stage's first convolution, in multiples of `unit`, which together come near
 * o->extra parameters: all by one factor; what rounding leaves, or takes too much, goes to the next
 * higher resolution. Returns what is left at the end. */
static double widen(const DecoderOptions *o, const Values *in, int unit, int *more) {
  int stages = in->count - 1;
  double width[MAX_STAGES], cost[MAX_STAGES], whole = 0, left = 0;
  for (int s = 0; s < stages; s++) {
    width[s] = (double)tensor_last(&in->v[s]->tensor);
    cost[s] = channel_cost(o, s, width[s]);
    whole += cost[s] * width[s];
  }
  for (int s = stages - 1; s >= 0; s--) {
    left += o->extra / whole * width[s] * cost[s];
    more[s] = (int)rint(fmax(left, 0) / (cost[s] * unit)) * unit;
    left -= more[s] * cost[s];
  }
  return left;
}

/* In the widest unit that comes within 1 % of o->extra: vectors and matrix units like multiples of
 * 8. */
static void widen_stages(const DecoderOptions *o, const Values *in, int *more) {
  for (int unit = 8; unit >= 1; unit /= 2)
    if (fabs(widen(o, in, unit, more)) <= 0.01 * o->extra) return;
}

static Value *upsample(Graph *graph, int stage, Value *x, const Value *skip) {
  char name[32];
  int factor[3];
  snprintf(name, sizeof name, "stage%d.up", stage);
  for (int a = 0; a < 3; a++) factor[a] = (int)(skip->tensor.dim[1 + a] / x->tensor.dim[1 + a]);
  return enlarged(graph, name, x, (int)tensor_last(&skip->tensor), factor);
}

static void build_decoder(Graph *graph, const void *options, const Values *in, Values *out) {
  const DecoderOptions *o = options;
  if (o->kernels.count && o->kernels.count < 3 * (in->count - 1)) {
    module_fail(graph, "kernels: three numbers for each of %d stages, found %d", in->count - 1,
                o->kernels.count);
    return;
  }
  if (o->extra && o->convs < 2) {
    module_fail(graph, "extra = %d widens the first of two convolutions a stage or more, found %d",
                o->extra, o->convs);
    return;
  }
  int more[MAX_STAGES];
  widen_stages(o, in, more);
  Value *x = in->v[in->count - 1];
  for (int s = in->count - 2; s >= 0 && x; s--) {
    Value *skip = in->v[s];
    int width = (int)tensor_last(&skip->tensor);
    x = upsample(graph, s, x, skip);
    x = stage_blocks(graph, s, o->convs, x, skip, width + more[s], width,
                     stage_kernel(&o->kernels, s), ONE, o->block);
    out->v[out->count++] = x;
  }
}

const Module module_plain_conv_decoder = {
    .name = "plain_conv_decoder",
    .doc =
        "nnU-Net's PlainConvUNet decoder: the features of every decoder stage, lowest resolution "
        "first",
    .in = "stages (highest resolution first; the last is the bottleneck)",
    .out = "features",
    .min_in = 2,
    .max_in = MAX_STAGES,
    .list = true,
    .options = decoder_options,
    .options_bytes = sizeof(DecoderOptions),
    .build = build_decoder,
};
