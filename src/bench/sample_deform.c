/* Single elements of deformable attention (formula: kernels/deform_attention.c). */
#include "src/bench/sample_element.h"

#include <math.h>

enum { IN_OFFSETS, IN_WEIGHTS, IN_VALUES };

static const DeformAttentionOptions *options_of(const Call *call) {
  return call->options;
}

/* The points of a head: of all levels together. */
static int64_t points_of(const Call *call) {
  return (int64_t)(call->n_in - IN_VALUES) * options_of(call)->points;
}

/* Index of the first point of a token's head. */
static int64_t first_point(const Call *call, int64_t row, int64_t head) {
  return (row * options_of(call)->heads + head) * points_of(call);
}

static double total_of(const Call *call, int64_t first) {
  double sum = 0;
  for (int64_t k = 0; k < points_of(call); k++)
    sum += exp(sample_value(&call->in[IN_WEIGHTS], first + k));
  return sum;
}

static double share_of(const Call *call, int64_t point, double total) {
  return exp(sample_value(&call->in[IN_WEIGHTS], point)) / total;
}

static void centre(const Call *call, int64_t token, const Tensor *level, double position[3]) {
  const int *grid = options_of(call)->query_grids.v;
  for (; token >= (int64_t)grid[0] * grid[1] * grid[2]; grid += 3)
    token -= (int64_t)grid[0] * grid[1] * grid[2];
  int64_t at[3] = {token / ((int64_t)grid[1] * grid[2]), token / grid[2] % grid[1],
                   token % grid[2]};
  for (int a = 0; a < 3; a++)
    position[a] = ((double)at[a] + .5) * (double)level->dim[1 + a] / grid[a] - .5;
}

static int level_of(const Call *call, int64_t point) {
  return IN_VALUES + (int)(point % points_of(call) / options_of(call)->points);
}

static void position_of(const Call *call, int64_t row, int64_t point, double position[3]) {
  centre(call, row % call->in[IN_OFFSETS].dim[1], &call->in[level_of(call, point)], position);
  for (int a = 0; a < 3; a++) position[a] += sample_value(&call->in[IN_OFFSETS], 3 * point + a);
}

/* Weight of voxel `at` for a point along one axis. */
static double tent(double position, int64_t at) {
  double apart = fabs(position - (double)at);
  return apart < 1 ? 1 - apart : 0;
}

/* A voxel beside a point: its row in the level. */
typedef struct Corner {
  int64_t row;
  double weight, slope[3];
} Corner;

static int corners_of(const Tensor *level, int64_t sample, const double position[3],
                      Corner corner[8]) {
  int count = 0;
  for (int k = 0; k < 8; k++) {
    double weight[3], slope[3];
    bool inside = true;
    int64_t row = sample;
    for (int a = 0; a < 3; a++) {
      int64_t at = (int64_t)floor(position[a]) + (k >> (2 - a) & 1);
      double low = position[a] - floor(position[a]);
      inside = inside && at >= 0 && at < level->dim[1 + a];
      weight[a] = k >> (2 - a) & 1 ? low : 1 - low;
      slope[a] = k >> (2 - a) & 1 ? 1 : -1;
      row = row * level->dim[1 + a] + at;
    }
    if (!inside) continue;
    corner[count++] = (Corner){row,
                               weight[0] * weight[1] * weight[2],
                               {slope[0] * weight[1] * weight[2], weight[0] * slope[1] * weight[2],
                                weight[0] * weight[1] * slope[2]}};
  }
  return count;
}

double sample_deform_y(const Call *call, int operand, int64_t at) {
  int64_t width = tensor_last(&call->out[operand]), row = at / width, tokens = call->out[0].dim[1];
  int64_t head = at % width / (width / options_of(call)->heads);
  int64_t first = first_point(call, row, head);
  double total = total_of(call, first), sum = 0;
  for (int64_t p = first; p < first + points_of(call); p++) {
    const Tensor *level = &call->in[level_of(call, p)];
    double position[3];
    Corner corner[8];
    position_of(call, row, p, position);
    for (int k = corners_of(level, row / tokens, position, corner); k-- > 0;)
      sum += share_of(call, p, total) * corner[k].weight *
             sample_value(level, corner[k].row * width + at % width);
  }
  return sum;
}

/* dy times the sampled vector (axis -1), or times its slope along an axis. */
static double product_of(const Call *call, int64_t row, int64_t point, int axis) {
  const Tensor *level = &call->in[level_of(call, point)], *dy = &call->dout[0];
  int64_t width = tensor_last(level), size = width / options_of(call)->heads;
  int64_t first = point / points_of(call) % options_of(call)->heads * size;
  double position[3], sum = 0;
  Corner corner[8];
  position_of(call, row, point, position);
  for (int k = corners_of(level, row / call->out[0].dim[1], position, corner); k-- > 0;) {
    double weight = axis < 0 ? corner[k].weight : corner[k].slope[axis];
    for (int64_t c = first; c < first + size; c++)
      sum += weight * sample_value(dy, row * width + c) *
             sample_value(level, corner[k].row * width + c);
  }
  return sum;
}

/* The gradient of an offset or of a logit. */
double sample_deform_points(const Call *call, int operand, int64_t at) {
  int64_t point = operand == IN_OFFSETS ? at / 3 : at;
  int64_t row = point / (options_of(call)->heads * points_of(call));
  int64_t first = point / points_of(call) * points_of(call);
  double total = total_of(call, first), own = share_of(call, point, total);
  if (operand == IN_OFFSETS) return own * product_of(call, row, point, (int)(at % 3));
  double mean = 0;
  for (int64_t p = first; p < first + points_of(call); p++)
    mean += share_of(call, p, total) * product_of(call, row, p, -1);
  return own * (product_of(call, row, point, -1) - mean);
}

/* Every point of the level that comes near the voxel adds to it. */
double sample_deform_values(const Call *call, int operand, int64_t at) {
  const Tensor *level = &call->in[operand], *dy = &call->dout[0];
  int64_t width = tensor_last(level), row = at / width, size = width / options_of(call)->heads;
  int64_t head = at % width / size, tokens = call->out[0].dim[1], points = options_of(call)->points;
  const int64_t *d = level->dim;
  int64_t voxel[3] = {row / (d[2] * d[3]) % d[1], row / d[3] % d[2], row % d[3]};
  int64_t sample = row / (d[1] * d[2] * d[3]);
  double sum = 0;
  for (int64_t token = sample * tokens; token < (sample + 1) * tokens; token++) {
    int64_t first = first_point(call, token, head), own = first + (operand - IN_VALUES) * points;
    for (int64_t p = own; p < own + points; p++) {
      double position[3], weight = 1;
      position_of(call, token, p, position);
      for (int a = 0; a < 3 && weight > 0; a++) weight *= tent(position[a], voxel[a]);
      if (weight > 0)
        sum += weight * share_of(call, p, total_of(call, first)) *
               sample_value(dy, token * width + at % width);
    }
  }
  return sum;
}
