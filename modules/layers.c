#include "modules/layers.h"

/* Weight and bias of a convolution that reads `channels`, under the current scope. */
static void conv_params(Graph *graph, const ConvWay *way, int64_t channels, Value *made[2]) {
  const int *k = way->kernel;
  int64_t shape[5] = {way->width, k[0], k[1], k[2], channels}, out[1] = {way->width};
  int64_t fan_in = channels * k[0] * k[1] * k[2];
  Init init = way->torch ? init_torch_linear(fan_in) : init_kaiming(fan_in, way->slope);
  Init bias = way->torch ? init : (Init){0};
  made[0] = graph_param(graph, "weight", 5, shape, GROUP_CNN, init);
  made[1] =
      way->no_bias ? graph_absent(graph) : graph_param(graph, "bias", 1, out, GROUP_CNN, bias);
}

Value *convolution_of(Graph *graph, const char *name, const Values *in, const ConvWay *way) {
  Values all = {.count = 2};
  int64_t channels = 0;
  for (int i = 0; i < in->count; i++) {
    if (!in->v[i]) return NULL;
    channels += tensor_last(&in->v[i]->tensor);
    all.v[all.count++] = in->v[i];
  }
  if (name) graph_push(graph, "%s", name);
  conv_params(graph, way, channels, all.v);
  ConvOptions conv = {.stride = {3, {way->stride[0], way->stride[1], way->stride[2]}}};
  Value *y = graph_op(graph, OP_conv, &conv, all.count, all.v);
  if (name) graph_pop(graph);
  return y;
}

Value *grouped_convolution(Graph *graph, const char *name, Value *x, const ConvWay *way, int groups,
                           bool transposed) {
  if (!x) return NULL;
  int64_t channels = tensor_last(&x->tensor);
  Value *in[3] = {[2] = x};
  GroupedConvOptions conv = {.stride = {3, {way->stride[0], way->stride[1], way->stride[2]}},
                             .groups = groups ? groups : (int)channels,
                             .transposed = transposed};
  if (name) graph_push(graph, "%s", name);
  conv_params(graph, way, channels / conv.groups, in);
  Value *y = graph_op(graph, OP_grouped_conv, &conv, 3, in);
  if (name) graph_pop(graph);
  return y;
}

Value *convolution(Graph *graph, const char *name, Value *x, Value *skip, int width,
                   const int kernel[3], const int stride[3], double slope) {
  ConvWay way = {width, kernel, stride, slope, false, false};
  return convolution_of(graph, name, &(Values){skip ? 2 : 1, {x, skip}}, &way);
}

Value *enlarged(Graph *graph, const char *name, Value *x, int width, const int factor[3]) {
  if (!x) return NULL;
  ConvTransposeOptions up = {.stride = {3, {factor[0], factor[1], factor[2]}}};
  int64_t shape[5] = {tensor_last(&x->tensor), factor[0], factor[1], factor[2], width};
  /* PyTorch's fan-in of a transposed convolution is its output channels times the kernel. */
  int64_t fan_in = (int64_t)width * factor[0] * factor[1] * factor[2];
  if (name) graph_push(graph, "%s", name);
  Value *w = graph_param(graph, "weight", 5, shape, GROUP_CNN, init_kaiming(fan_in, 0.01));
  Value *b = graph_param(graph, "bias", 1, &shape[4], GROUP_CNN, (Init){0});
  Value *y = apply(graph, OP_conv_transpose, &up, w, b, x);
  if (name) graph_pop(graph);
  return y;
}

/* 0 of 0: every channel by itself. */
static int groups_of(const Value *x, int most) {
  while (most && tensor_last(&x->tensor) % most) most--;
  return most;
}

static Value *instance_norm(Graph *graph, Value *x, double start, int most, double slope,
                            NormActivation activation) {
  if (!x) return NULL;
  int64_t channels[1] = {tensor_last(&x->tensor)};
  Value *scale = graph_param_of(graph, ROLE_NORM, "norm.weight", 1, channels, GROUP_CNN,
                                (Init){INIT_CONSTANT, start, 0, 0});
  Value *shift = graph_param_of(graph, ROLE_NORM, "norm.bias", 1, channels, GROUP_CNN, (Init){0});
  InstanceNormOptions norm = {
      .epsilon = 1e-5, .slope = slope, .groups = groups_of(x, most), .activation = activation};
  return apply(graph, OP_instance_norm, &norm, scale, shift, x);
}

Value *feature_norm_from(Graph *graph, Value *x, double gamma, int most, double slope) {
  return instance_norm(graph, x, gamma, most, slope, NORM_LEAKY_RELU);
}

Value *feature_norm(Graph *graph, Value *x, int most, double slope) {
  return feature_norm_from(graph, x, 1, most, slope);
}

static Value *block_norm(Graph *graph, Value *x, BlockWay way, double slope) {
  BatchNormOptions norm = {.epsilon = 1e-5,
                           .momentum = .1,
                           .slope = slope,
                           .activation =
                               way.activation == BLOCK_SILU ? NORM_SILU : NORM_LEAKY_RELU};
  return way.norm == BLOCK_BATCH ? batch_norm(graph, "norm", x, &norm)
                                 : instance_norm(graph, x, 1, 0, slope, norm.activation);
}

Value *conv_block_of(Graph *graph, const char *name, Value *x, Value *skip, int width,
                     const int kernel[3], const int stride[3], BlockWay way) {
  double slope = way.activation == BLOCK_LEAKY_RELU ? LEAKY_SLOPE : 0;
  graph_push(graph, "%s", name);
  x = convolution(graph, NULL, x, skip, width, kernel, stride, slope);
  x = block_norm(graph, x, way, slope);
  graph_pop(graph);
  return x;
}

Value *conv_block(Graph *graph, const char *name, Value *x, Value *skip, int width,
                  const int kernel[3], const int stride[3]) {
  return conv_block_of(graph, name, x, skip, width, kernel, stride, (BlockWay){0});
}

Linear linear_params(Graph *graph, const char *name, int64_t ins, int width, Group group,
                     Init weight, Init bias) {
  int64_t shape[2] = {width, ins};
  if (name) graph_push(graph, "%s", name);
  Linear linear = {graph_param(graph, "weight", 2, shape, group, weight),
                   graph_param(graph, "bias", 1, shape, group, bias)};
  if (name) graph_pop(graph);
  return linear;
}

Value *linear_layer_init(Graph *graph, const char *name, Value *x, int width, Activation activation,
                         Group group, Init weight, Init bias) {
  if (!x) return NULL;
  LinearOptions options = {.activation = activation};
  Linear l = linear_params(graph, name, tensor_last(&x->tensor), width, group, weight, bias);
  if (name) graph_push(graph, "%s", name);
  Value *y = apply(graph, OP_linear, &options, l.weight, l.bias, x);
  if (name) graph_pop(graph);
  return y;
}

Value *linear_layer_after(Graph *graph, const char *name, Linear first, Value *x, int width) {
  if (!x || !first.weight) return NULL;
  int64_t between = first.weight->tensor.dim[0];
  Linear second = linear_params(graph, name, between, width, GROUP_TRANSFORMER,
                                init_xavier(between, width), (Init){0});
  LinearOptions none = {.activation = ACT_NONE};
  MatmulOptions plain = {.transpose = 0};
  graph_push(graph, "%s", name);
  Value *w = apply(graph, OP_matmul, &plain, second.weight, first.weight);
  Value *b = apply(graph, OP_linear, &none, second.weight, second.bias, first.bias);
  Value *y = apply(graph, OP_linear, &none, w, b, x);
  graph_pop(graph);
  return y;
}

Value *linear_layer(Graph *graph, const char *name, Value *x, int width, Activation activation) {
  if (!x) return NULL;
  Init weight = init_xavier(tensor_last(&x->tensor), width);
  return linear_layer_init(graph, name, x, width, activation, GROUP_TRANSFORMER, weight, (Init){0});
}

/* A norm's op on x with its scale and shift, in the Transformer group. */
static Value *norm_layer(Graph *graph, const char *name, OpId op, const void *options, Value *x) {
  if (name) graph_push(graph, "%s", name);
  int64_t shape[1] = {tensor_last(&x->tensor)};
  Init one = {INIT_CONSTANT, 1, 0, 0};
  Value *gamma = graph_param_of(graph, ROLE_NORM, "weight", 1, shape, GROUP_TRANSFORMER, one);
  Value *beta = graph_param_of(graph, ROLE_NORM, "bias", 1, shape, GROUP_TRANSFORMER, (Init){0});
  Value *y = apply(graph, op, options, gamma, beta, x);
  if (name) graph_pop(graph);
  return y;
}

Value *layer_norm_of(Graph *graph, const char *name, Value *x, double epsilon) {
  LayerNormOptions options = {.epsilon = epsilon};
  return x ? norm_layer(graph, name, OP_layer_norm, &options, x) : NULL;
}

Value *layer_norm(Graph *graph, const char *name, Value *x) {
  return layer_norm_of(graph, name, x, 1e-5);
}

Value *group_norm(Graph *graph, const char *name, Value *x, int most) {
  if (!x) return NULL;
  InstanceNormOptions options = {.epsilon = 1e-5, .slope = 1, .groups = groups_of(x, most)};
  return norm_layer(graph, name, OP_instance_norm, &options, x);
}

Value *batch_norm(Graph *graph, const char *name, Value *x, const BatchNormOptions *options) {
  if (!x) return NULL;
  int64_t shape[1] = {tensor_last(&x->tensor)};
  Init one = {INIT_CONSTANT, 1, 0, 0}, zero = {0};
  BatchNormOptions norm = *options;
  Value *in[5] = {[2] = x};
  bool tracks = norm.mode != BATCH_NORM_BATCH;
  if (name) graph_push(graph, "%s", name);
  in[0] = graph_param_of(graph, ROLE_NORM, "weight", 1, shape, GROUP_CNN, one);
  in[1] = graph_param_of(graph, ROLE_NORM, "bias", 1, shape, GROUP_CNN, zero);
  if (tracks) {
    in[3] = graph_buffer(graph, "running_mean", 1, shape, zero);
    in[4] = graph_buffer(graph, "running_var", 1, shape, one);
    bool learns = graph->training && in[0] && in[0]->param->as.kind == PARAM_TRAINED;
    norm.mode = learns ? BATCH_NORM_TRAIN : BATCH_NORM_EVALUATE;
  }
  Value *y = graph_op(graph, OP_batch_norm, &norm, tracks ? 5 : 3, in);
  if (name) graph_pop(graph);
  return y;
}

Value *sublayer_in(Graph *graph, const char *name, NormPlace norm, Value *x) {
  return norm == NORM_PRE ? layer_norm(graph, name, x) : x;
}

Value *sublayer_out(Graph *graph, const char *name, NormPlace norm, Value *x, Value *f) {
  if (norm == NORM_INSIDE) f = layer_norm(graph, name, f);
  Value *sum = apply(graph, OP_add, NULL, x, f);
  return norm == NORM_POST ? layer_norm(graph, name, sum) : sum;
}

static Value *with_position(Graph *graph, Value *x, Value *position) {
  return position ? apply(graph, OP_add, NULL, x, position) : x;
}

/* One of attention's three projections, E -> E. */
static Value *projection(Graph *graph, const char *name, AttentionInit init, Value *x, int width) {
  if (!x) return NULL;
  Init weight = init_xavier(tensor_last(&x->tensor), init == ATTENTION_PACKED ? 3 * width : width);
  return linear_layer_init(graph, name, x, width, ACT_NONE, GROUP_TRANSFORMER, weight, (Init){0});
}

Value *attention_layer(Graph *graph, const char *name, AttentionWay way, Value *q,
                       Value *q_position, Value *k, Value *k_position, Value *v, Value *mask) {
  if (!q) return NULL;
  int width = (int)tensor_last(&q->tensor);
  graph_push(graph, "%s", name);
  q = projection(graph, "query", way.init, with_position(graph, q, q_position), width);
  k = projection(graph, "key", way.init, with_position(graph, k, k_position), width);
  v = projection(graph, "value", way.init, v, width);
  AttentionOptions options = {.heads = way.heads, .naive = way.naive};
  Value *in[] = {q, k, v, mask};
  Value *context = graph_op(graph, OP_attention, &options, mask ? 4 : 3, in);
  context = linear_layer(graph, "output", context, width, ACT_NONE);
  graph_pop(graph);
  return context;
}

Value *feed_forward(Graph *graph, const char *name, Value *x, int hidden, NormPlace norm) {
  if (!x) return NULL;
  graph_push(graph, "%s", name);
  Value *f = sublayer_in(graph, "norm", norm, x);
  f = linear_layer(graph, "0", f, hidden, ACT_RELU);
  f = linear_layer(graph, "1", f, (int)tensor_last(&x->tensor), ACT_NONE);
  x = sublayer_out(graph, "norm", norm, x, f);
  graph_pop(graph);
  return x;
}

Value *sine_position(Graph *graph, const int64_t grid[3], int width) {
  SinePositionOptions sine = {
      .grid = {3, {(int)grid[0], (int)grid[1], (int)grid[2]}}, .width = width, .temperature = 1e4};
  Value *position = graph_op(graph, OP_sine_position, &sine, 0, NULL);
  ExpandOptions one = {.count = 1};
  return apply(graph, OP_expand, &one, position);
}
