/* A convolution with its parameters, for a model that is composed in Lua. */
#include "modules/layers.h"

typedef struct ConvolutionOptions {
  int width, bias, groups, transposed, init;
  Ints kernel, stride;
  double slope;
} ConvolutionOptions;

enum { INIT_SLOPE, INIT_TORCH };

static const Option options[] = {
    {"width", OPTION_INT, offsetof(ConvolutionOptions, width), 32, 1, 65536, NULL, NULL,
     "channels of the result"},
    {"kernel", OPTION_INTS, offsetof(ConvolutionOptions, kernel), 0, 1, 16, NULL, "3,3,3",
     "taps along D, H, W"},
    {"stride", OPTION_INTS, offsetof(ConvolutionOptions, stride), 0, 1, 16, NULL, "1,1,1",
     "stride along D, H, W"},
    {"bias", OPTION_BOOL, offsetof(ConvolutionOptions, bias), 1, 0, 1, NULL, NULL,
     "a number is added to each channel; not before a norm that takes it out again"},
    {"groups", OPTION_INT, offsetof(ConvolutionOptions, groups), 1, 0, 65536, NULL, NULL,
     "groups of channels that do not mix; 0: as many as channels (depthwise)"},
    {"transposed", OPTION_BOOL, offsetof(ConvolutionOptions, transposed), 0, 0, 1, NULL, NULL,
     "the transposed convolution, which a stride makes larger: n voxels become s (n - 1) + 1"},
    {"slope", OPTION_FLOAT, offsetof(ConvolutionOptions, slope), .01, 0, 1, NULL, NULL,
     "of the LeakyReLU that follows, for which the weights start; 1: none"},
    {"init", OPTION_CHOICE, offsetof(ConvolutionOptions, init), INIT_SLOPE, 0, 0, "slope|torch",
     NULL,
     "how weights and bias start: slope: normal, for what follows, no bias; torch: both uniform "
     "within 1/sqrt(inputs of a number), as nn.Conv3d"},
    {0}};

static void build(Graph *graph, const void *made, const Values *in, Values *out) {
  const ConvolutionOptions *o = made;
  ConvWay way = {o->width, o->kernel.v, o->stride.v, o->slope, !o->bias, o->init == INIT_TORCH};
  bool plain = o->groups == 1 && !o->transposed;
  if (o->kernel.count != 3 || o->stride.count != 3) {
    module_fail(graph, "convolution: kernel and stride have 3 numbers, found %d and %d",
                o->kernel.count, o->stride.count);
    return;
  }
  if (!plain && in->count > 1) {
    module_fail(graph, "convolution: of several maps it has one group and is not transposed");
    return;
  }
  out->v[out->count++] =
      plain ? convolution_of(graph, NULL, in, &way)
            : grouped_convolution(graph, NULL, in->v[0], &way, o->groups, o->transposed);
}

const Module module_convolution = {
    .name = "convolution",
    .doc = "a convolution of one map or of the concatenation of up to four, or one in groups",
    .in = "map [map ...]",
    .out = "map",
    .min_in = 1,
    .max_in = CONV_PARTS,
    .options = options,
    .options_bytes = sizeof(ConvolutionOptions),
    .build = build,
};
