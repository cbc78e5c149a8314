#include "modules/backbones/residual.h"

#include <string.h>

static const int ONE[3] = {1, 1, 1};

static Value *branch(Graph *graph, Value *x, const ResidualWay *way) {
  double start = way->skip == SKIP_POOLED ? 0 : 1;
  x = conv_block(graph, "conv1", x, NULL, way->width, way->kernel, way->stride);
  graph_push(graph, "conv2");
  x = convolution(graph, NULL, x, NULL, way->width, way->kernel, ONE, LEAKY_SLOPE);
  x = feature_norm_from(graph, x, start, 0, 1);
  graph_pop(graph);
  return x;
}

static Value *pooled(Graph *graph, Value *x, const ResidualWay *way) {
  PoolOptions window = {.factor = {3, {way->stride[0], way->stride[1], way->stride[2]}}};
  if (memcmp(way->stride, ONE, sizeof ONE) != 0) x = apply(graph, OP_avg_pool, &window, x);
  if (!x || tensor_last(&x->tensor) == way->width) return x;
  ConvWay project = {way->width, ONE, ONE, .slope = LEAKY_SLOPE, .no_bias = true};
  graph_push(graph, "skip");
  x = convolution_of(graph, NULL, &(Values){1, {x}}, &project);
  x = feature_norm(graph, x, 0, 1);
  graph_pop(graph);
  return x;
}

static Value *plain(Graph *graph, Value *x, const ResidualWay *way) {
  if (tensor_last(&x->tensor) == way->width && memcmp(way->stride, ONE, sizeof ONE) == 0) return x;
  return convolution(graph, "skip", x, NULL, way->width, ONE, way->stride, LEAKY_SLOPE);
}

Value *residual_block(Graph *graph, const char *name, Value *x, const ResidualWay *way) {
  if (!x) return NULL;
  ActivationOptions leaky = {.kind = ACT_LEAKY_RELU, .slope = LEAKY_SLOPE};
  if (name) graph_push(graph, "%s", name);
  graph_block(graph);
  Value *skip = way->skip == SKIP_POOLED ? pooled(graph, x, way) : plain(graph, x, way);
  Value *sum = apply(graph, OP_add, NULL, branch(graph, x, way), skip);
  Value *y = apply(graph, OP_activation, &leaky, sum);
  if (name) graph_pop(graph);
  return y;
}

typedef struct BlockOptions {
  int width, skip;
  Ints kernel, stride;
} BlockOptions;

static const Option options_table[] = {{"width", OPTION_INT, offsetof(BlockOptions, width), 0, 0,
                                        4096, NULL, NULL,
                                        "channels of what comes out; 0: as many as go in"},
                                       {"kernel", OPTION_INTS, offsetof(BlockOptions, kernel), 0, 1,
                                        7, NULL, "3,3,3", "D,H,W kernel of both convolutions"},
                                       {"stride", OPTION_INTS, offsetof(BlockOptions, stride), 0, 1,
                                        8, NULL, "1,1,1", "D,H,W stride of the first"},
                                       {"skip", OPTION_CHOICE, offsetof(BlockOptions, skip),
                                        SKIP_POOLED, 0, 0, SKIP_CHOICES, NULL, SKIP_DOC},
                                       {0}};

static void build(Graph *graph, const void *options, const Values *in, Values *out) {
  const BlockOptions *o = options;
  if (o->kernel.count != 3 || o->stride.count != 3) {
    module_fail(graph, "kernel and stride: three numbers each, D,H,W; found %d and %d",
                o->kernel.count, o->stride.count);
    return;
  }
  int width = o->width ? o->width : (int)tensor_last(&in->v[0]->tensor);
  ResidualWay way = {width, o->kernel.v, o->stride.v, (ResidualSkip)o->skip};
  out->v[out->count++] = residual_block(graph, NULL, in->v[0], &way);
}

const Module module_residual_block = {
    .name = "residual_block",
    .doc = "two convolutions with norms beside a skip, added (ResNet-D, nnU-Net's ResEnc, STU-Net)",
    .in = "feature",
    .out = "feature",
    .min_in = 1,
    .max_in = 1,
    .options = options_table,
    .options_bytes = sizeof(BlockOptions),
    .build = build,
};
