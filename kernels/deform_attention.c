/* Multi-scale deformable attention (Deformable DETR eq. 2-3) in 3D. For sample n, query token t
 * with reference point r (the centre of its cell, 0..1 in z, y, x), head m with its C = E/heads
 * channels: y[n,t,m] = sum over l, p of a[l,p] * V_l[n, :, m](r * size_l - .5 + offset[n,t,m,l,p]),
 *   a = softmax over the L*P logits weights[n,t,m,:];
 * V_l is trilinear between voxel centres and zero outside the grid; along an axis that is still
 * (deform_still) offsets are 0. offset index
 * ((m L + l) P + p) 3 + axis, weight index (m L + l) P + p. FLOP: 2 * 8 C a sample point. */
#include "kernels/options.h"

#include <math.h>
#include <string.h>

static const Option options[] = {
    {"heads", OPTION_INT, offsetof(DeformAttentionOptions, heads), 8, 1, 256, NULL, NULL, "heads"},
    {"points", OPTION_INT, offsetof(DeformAttentionOptions, points), 4, 1, 64, NULL, NULL,
     "sample points of each head on each level"},
    {"query_grids", OPTION_INTS, offsetof(DeformAttentionOptions, query_grids), 0, 1, 4096, NULL,
     NULL, "sizes D, H, W of each grid of query tokens, one after another"},
    {0}};

enum { IN_OFFSETS, IN_WEIGHTS, IN_VALUES };

static bool shape_values(const Call *call, Error *error) {
  const DeformAttentionOptions *o = call->options;
  const Tensor *first = &call->in[IN_VALUES];
  for (int i = IN_VALUES; i < call->n_in; i++) {
    const Tensor *v = &call->in[i];
    if (v->rank != 5 || v->dim[0] != call->in[IN_OFFSETS].dim[0] || v->dim[4] != first->dim[4])
      return fail(error,
                  "deform_attention: values of level %d are (N, D, H, W, E) with N of offsets %s "
                  "and E of level 0 %s, found %s",
                  i - IN_VALUES, tensor_shape_text(&call->in[IN_OFFSETS]), tensor_shape_text(first),
                  tensor_shape_text(v));
    if (tensor_count(v) / v->dim[0] > INT32_MAX)
      return fail(error, "deform_attention: values of level %d, %s, exceed 2^31 elements a sample",
                  i - IN_VALUES, tensor_shape_text(v));
  }
  if (first->dim[4] % o->heads != 0)
    return fail(error, "deform_attention: %d heads do not divide the %lld channels of values %s",
                o->heads, (long long)first->dim[4], tensor_shape_text(first));
  return true;
}

static bool shape(Call *call, Error *error) {
  const DeformAttentionOptions *o = call->options;
  const Tensor *offsets = &call->in[IN_OFFSETS], *weights = &call->in[IN_WEIGHTS];
  int64_t tokens = 0, points = (int64_t)o->heads * (call->n_in - IN_VALUES) * o->points;
  if (o->query_grids.count == 0 || o->query_grids.count % 3 != 0)
    return fail(error, "deform_attention: query_grids has 3 numbers a grid (D, H, W), found %d",
                o->query_grids.count);
  for (int g = 0; g < o->query_grids.count; g += 3)
    tokens += (int64_t)o->query_grids.v[g] * o->query_grids.v[g + 1] * o->query_grids.v[g + 2];
  if (offsets->rank != 3 || offsets->dim[1] != tokens || offsets->dim[2] != 3 * points)
    return fail(error,
                "deform_attention: offsets (N, %lld tokens of query_grids, %d heads * %d levels * "
                "%d points * 3 = %lld) expected, found %s",
                (long long)tokens, o->heads, call->n_in - IN_VALUES, o->points,
                (long long)(3 * points), tensor_shape_text(offsets));
  if (weights->rank != 3 || weights->dim[0] != offsets->dim[0] || weights->dim[1] != tokens ||
      weights->dim[2] != points)
    return fail(error,
                "deform_attention: weights (N, %lld, %lld) expected for offsets %s, found %s",
                (long long)tokens, (long long)points, tensor_shape_text(offsets),
                tensor_shape_text(weights));
  if (!shape_values(call, error)) return false;
  int64_t dim[3] = {offsets->dim[0], tokens, call->in[IN_VALUES].dim[4]};
  call->out[0] = tensor_make(offsets->type, 3, dim);
  return true;
}

/* Per sample point and channel: 8 multiply-adds forward; backward 8 for the values' gradient and 4
 * weighted sums of the 8 corners. Per point about 60 more for the corners' weights. */
static void cost(const Call *call, Cost *cost) {
  const DeformAttentionOptions *o = call->options;
  double points = (double)tensor_count(&call->in[IN_WEIGHTS]);
  double channels = (double)(tensor_last(&call->in[IN_VALUES]) / o->heads);
  cost->flops = points * (call->backward ? 40 * channels + 120 : 16 * channels + 60);
}

/* One sample point: its corners inside the grid, their weights and the weights' slopes. */
typedef struct Point {
  int corners;
  int64_t element[8]; /* first channel of the head in the level's tensor */
  double weight[8], slope[8][3];
} Point;

/* Centre of token t's cell in the voxels of a level. */
static void reference_point(const Call *call, int64_t t, const Tensor *values, double centre[3]) {
  const DeformAttentionOptions *o = call->options;
  const int *grid = o->query_grids.v;
  while (t >= (int64_t)grid[0] * grid[1] * grid[2]) {
    t -= (int64_t)grid[0] * grid[1] * grid[2];
    grid += 3;
  }
  int64_t at[3] = {t / ((int64_t)grid[1] * grid[2]), t / grid[2] % grid[1], t % grid[2]};
  for (int a = 0; a < 3; a++)
    centre[a] = ((double)at[a] + .5) * (double)values->dim[1 + a] / grid[a] - .5;
}

static Point point_make(const Tensor *values, int64_t first_element, int64_t sample,
                        const double position[3]) {
  Point point = {0};
  for (int k = 0; k < 8; k++) {
    int64_t row = sample;
    double share[3], sign[3];
    bool inside = true;
    for (int a = 0; a < 3; a++) {
      double low = floor(position[a]), fraction = position[a] - low;
      bool upper = k >> (2 - a) & 1;
      share[a] = upper ? fraction : 1 - fraction;
      sign[a] = upper ? 1 : -1;
      inside = inside && low + upper >= 0 && low + upper < (double)values->dim[1 + a];
      row = row * values->dim[1 + a] + (inside ? (int64_t)low + upper : 0);
    }
    if (!inside) continue;
    int j = point.corners++;
    point.element[j] = row * values->dim[4] + first_element;
    point.weight[j] = share[0] * share[1] * share[2];
    for (int a = 0; a < 3; a++)
      point.slope[j][a] = sign[a] * share[(a + 1) % 3] * share[(a + 2) % 3];
  }
  return point;
}

/* The P-th point of head m on level l for token row `row` = n T + t, and its weight's index. */
static Point point_at(const Call *call, int64_t row, int m, int level, int p, int64_t *index) {
  const DeformAttentionOptions *o = call->options;
  const Tensor *values = &call->in[IN_VALUES + level];
  int levels = call->n_in - IN_VALUES;
  int64_t tokens = call->in[IN_OFFSETS].dim[1];
  *index = row * tensor_last(&call->in[IN_WEIGHTS]) + ((int64_t)m * levels + level) * o->points + p;
  const REAL *offset = (const REAL *)call->in[IN_OFFSETS].data + 3 * *index;
  double position[3];
  reference_point(call, row % tokens, values, position);
  for (int a = 0; a < 3; a++) position[a] += deform_still(o, values, a) ? 0 : offset[a];
  return point_make(values, m * (values->dim[4] / o->heads), row / tokens, position);
}

/* Largest logit and sum of exponentials of the L*P points of head m. */
static double softmax_sum(const Call *call, int64_t row, int m, double *top) {
  const DeformAttentionOptions *o = call->options;
  int64_t points = (int64_t)(call->n_in - IN_VALUES) * o->points;
  const REAL *x = (const REAL *)call->in[IN_WEIGHTS].data + (row * o->heads + m) * points;
  double sum = 0;
  *top = x[0];
  for (int64_t k = 1; k < points; k++) *top = x[k] > *top ? x[k] : *top;
  for (int64_t k = 0; k < points; k++) sum += exp(x[k] - *top);
  return sum;
}

static double attention(const Call *call, int64_t index, double top, double sum) {
  return exp(((const REAL *)call->in[IN_WEIGHTS].data)[index] - top) / sum;
}

static void head_forward(const Call *call, int64_t row, int m) {
  const DeformAttentionOptions *o = call->options;
  int64_t channels = call->out[0].dim[2] / o->heads, index;
  REAL *y = (REAL *)call->out[0].data + (row * o->heads + m) * channels;
  double top, sum = softmax_sum(call, row, m, &top);
  for (int64_t c = 0; c < channels; c++) {
    double total = 0;
    for (int i = IN_VALUES; i < call->n_in; i++)
      for (int p = 0; p < o->points; p++) {
        Point point = point_at(call, row, m, i - IN_VALUES, p, &index);
        double a = attention(call, index, top, sum);
        for (int k = 0; k < point.corners; k++)
          total += a * point.weight[k] * ((const REAL *)call->in[i].data)[point.element[k] + c];
      }
    y[c] = (REAL)total;
  }
}

static void forward(const Call *call) {
  const DeformAttentionOptions *o = call->options;
  for (int64_t row = 0; row < tensor_rows(&call->out[0]); row++)
    for (int m = 0; m < o->heads; m++) head_forward(call, row, m);
}

/* Adds a point's share to the values' gradient, writes its offsets' gradient, and returns the
 * gradient of its attention weight: the product of dy and the sampled vector. */
static double point_backward(const Call *call, const Point *point, int i, double a, int64_t index,
                             const REAL *dy, int64_t channels) {
  const REAL *values = call->in[i].data;
  REAL *dvalues = call->din[i].data, *doffsets = call->din[IN_OFFSETS].data;
  double sampled = 0, slope[3] = {0};
  for (int k = 0; k < point->corners; k++) {
    double product = 0;
    for (int64_t c = 0; c < channels; c++) {
      product += (double)dy[c] * values[point->element[k] + c];
      if (dvalues) dvalues[point->element[k] + c] += (REAL)(a * point->weight[k] * dy[c]);
    }
    sampled += point->weight[k] * product;
    for (int x = 0; x < 3; x++) slope[x] += point->slope[k][x] * product;
  }
  for (int x = 0; doffsets && x < 3; x++) {
    bool still = deform_still(call->options, &call->in[i], x);
    doffsets[3 * index + x] = still ? 0 : (REAL)(a * slope[x]);
  }
  return sampled;
}

static void head_backward(const Call *call, int64_t row, int m) {
  const DeformAttentionOptions *o = call->options;
  int64_t channels = call->out[0].dim[2] / o->heads, index = 0;
  int64_t points = (int64_t)(call->n_in - IN_VALUES) * o->points;
  const REAL *dy = (const REAL *)call->dout[0].data + (row * o->heads + m) * channels;
  REAL *dweights = call->din[IN_WEIGHTS].data;
  double top, sum = softmax_sum(call, row, m, &top), mean = 0;
  for (int i = IN_VALUES; i < call->n_in; i++)
    for (int p = 0; p < o->points; p++) {
      Point point = point_at(call, row, m, i - IN_VALUES, p, &index);
      double a = attention(call, index, top, sum);
      double da = point_backward(call, &point, i, a, index, dy, channels);
      if (dweights) dweights[index] = (REAL)da;
      mean += a * da;
    }
  for (int64_t k = index - points + 1; dweights && k <= index; k++)
    dweights[k] = (REAL)(attention(call, k, top, sum) * (dweights[k] - mean));
}

static void backward(const Call *call) {
  const DeformAttentionOptions *o = call->options;
  for (int i = IN_VALUES; i < call->n_in; i++)
    if (call->din[i].data) memset(call->din[i].data, 0, tensor_bytes(&call->in[i]));
  for (int64_t row = 0; row < tensor_rows(&call->out[0]); row++)
    for (int m = 0; m < o->heads; m++) head_backward(call, row, m);
}

#define FOUR_ALL SAVES_ALL_IN, SAVES_ALL_IN, SAVES_ALL_IN, SAVES_ALL_IN
const Op OP_ROW(deform_attention) = {
    .name = "deform_attention",
    .doc = "multi-scale deformable attention in 3D (the papers' bridge)",
    .min_in = 3,
    .max_in = MAX_IN,
    .n_out = 1,
    .saves = {FOUR_ALL, FOUR_ALL, FOUR_ALL, FOUR_ALL},
    .options = options,
    .options_bytes = sizeof(DeformAttentionOptions),
    .shape = shape,
    .cost = cost,
    .reference = {.forward = forward, .backward = backward},
};
