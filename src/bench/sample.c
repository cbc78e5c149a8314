#include "src/bench/sample.h"
#include "base/rng.h"
#include "kernels/norm_activation.h"
#include "src/bench/sample_element.h"

#include <math.h>

enum { MANY = 4096, SOME = 1024, FEW = 64 };

/* ---- the table ------------------------------------------------------------------------------- */

typedef struct Target {
  SampleElement *evaluate; /* NULL: not compared */
  int samples;
} Target;

/* din of the operands beyond the last are computed as the last. */
typedef struct Sampler {
  OpId id;
  Target out[2], din[4];
} Sampler;

static const Sampler samplers[] = {
    {OP_conv,
     {{sample_conv_y, MANY}},
     {{sample_conv_dw, FEW}, {sample_sum_db, FEW}, {sample_conv_dx, MANY}}},
    {OP_conv_transpose,
     {{sample_transpose_y, MANY}},
     {{sample_transpose_dw, FEW}, {sample_sum_db, FEW}, {sample_transpose_dx, MANY}}},
    {OP_linear,
     {{sample_linear_y, MANY}},
     {{sample_linear_dw, FEW}, {sample_linear_db, FEW}, {sample_linear_dx, MANY}}},
    {OP_matmul, {{sample_matmul_y, MANY}}, {{sample_matmul_da, MANY}, {sample_matmul_db, FEW}}},
    {OP_attention,
     {{sample_attention_y, SOME}, {sample_attention_kept, FEW}},
     {{sample_attention_dq, FEW}, {sample_attention_dkv, FEW}, {sample_attention_dkv, FEW}, {0}}},
    {OP_deform_attention,
     {{sample_deform_y, MANY}},
     {{sample_deform_points, MANY}, {sample_deform_points, MANY}, {sample_deform_values, FEW}}},
    {OP_instance_norm,
     {{sample_norm_y, FEW}},
     {{sample_norm_parameter, 4}, {sample_norm_parameter, 4}, {sample_norm_dx, FEW}}},
};

static const Sampler *sampler_of(OpId id) {
  for (size_t i = 0; i < sizeof samplers / sizeof *samplers; i++)
    if (samplers[i].id == id) return &samplers[i];
  return NULL;
}

bool sample_knows(OpId id) {
  return sampler_of(id) != NULL;
}

/* A quarter of the samples at either end, the others anywhere. */
static int64_t sample_place(int64_t count, int samples, int i) {
  Rng rng = rng_make(1, RNG_TEST, (uint64_t)i);
  if (count <= samples) return i;
  if (i < samples / 4) return i;
  if (i < samples / 2) return count - 1 - (i - samples / 4);
  return (int64_t)(rng_between(&rng, 0, 1) * (double)(count - 1));
}

static double compare(const Call *call, const Tensor *found, const Target *target, int operand) {
  int64_t count = found->data && target->evaluate ? tensor_count(found) : 0;
  int samples = count < target->samples ? (int)count : target->samples;
  double worst = 0, largest = 0;
#pragma omp parallel for schedule(dynamic) reduction(max : worst, largest)
  for (int i = 0; i < samples; i++) {
    int64_t at = sample_place(count, samples, i);
    double expected = target->evaluate(call, operand, at),
           apart = fabs(sample_value(found, at) - expected);
    worst = fmax(worst, isnan(apart) ? INFINITY : apart);
    largest = fmax(largest, fabs(expected));
  }
  return worst / (largest > 1e-12 ? largest : 1);
}

double sample_error_out(OpId id, const Call *call, int i) {
  return i < 2 ? compare(call, &call->out[i], &sampler_of(id)->out[i], i) : 0;
}

double sample_error_din(OpId id, const Call *call, int i) {
  const Sampler *s = sampler_of(id);
  int last = 3;
  while (!s->din[last].evaluate) last--;
  return compare(call, &call->din[i], &s->din[i < last ? i : last], i);
}

/* ---- attention: a query of a head (formula: kernels/attention.c) ----------------------------- */

enum { IN_Q, IN_K, IN_V, IN_MASK };

typedef struct Query {
  int64_t sample, query, first, size, keys, queries, width; /* first: channel of the head */
  double scale;
  bool masked; /* some key is open, so that the mask counts */
} Query;

static double mask_at(const Call *call, const Query *q, int64_t key) {
  return sample_value(&call->in[IN_MASK], (q->sample * q->keys + key) * q->queries + q->query);
}

static Query query_at(const Call *call, int64_t sample, int64_t query, int64_t head) {
  int heads = ((const AttentionOptions *)call->options)->heads;
  const Tensor *in = call->in;
  Query q = {.sample = sample, .query = query, .width = tensor_last(&in[IN_Q])};
  q.queries = tensor_rows(&in[IN_Q]) / in[IN_Q].dim[0];
  q.keys = tensor_rows(&in[IN_K]) / in[IN_K].dim[0];
  q.size = q.width / heads;
  q.first = head * q.size;
  q.scale = 1 / sqrt((double)q.size);
  for (int64_t t = 0; call->n_in > IN_MASK && t < q.keys && !q.masked; t++)
    q.masked = mask_at(call, &q, t) >= 0;
  return q;
}

/* Of element `at` of q, y or dq. */
static Query query_of(const Call *call, int64_t at) {
  int heads = ((const AttentionOptions *)call->options)->heads;
  int64_t width = tensor_last(&call->in[IN_Q]), row = at / width;
  int64_t queries = tensor_rows(&call->in[IN_Q]) / call->in[IN_Q].dim[0];
  return query_at(call, row / queries, row % queries, at % width / (width / heads));
}

static double dot(const Tensor *a, int64_t i, const Tensor *b, int64_t k, int64_t count) {
  double sum = 0;
  for (int64_t c = 0; c < count; c++) sum += sample_value(a, i + c) * sample_value(b, k + c);
  return sum;
}

static int64_t query_row(const Query *q) {
  return (q->sample * q->queries + q->query) * q->width + q->first;
}

static int64_t key_row(const Query *q, int64_t key) {
  return (q->sample * q->keys + key) * q->width + q->first;
}

static double score(const Call *call, const Query *q, int64_t key) {
  if (q->masked && mask_at(call, q, key) < 0) return -INFINITY;
  return q->scale * dot(&call->in[IN_Q], query_row(q), &call->in[IN_K], key_row(q, key), q->size);
}

/* Sum over the keys of exp(s - top) times f(key), divided by that without f; top: the largest s. */
double sample_attention_y(const Call *call, int operand, int64_t at) {
  Query q = query_of(call, at);
  const Tensor *v = &call->in[IN_V];
  int64_t c = at % q.width - q.first;
  double top = -INFINITY, sum = 0, total = 0;
  (void)operand;
  for (int64_t t = 0; t < q.keys; t++) {
    double s = score(call, &q, t);
    if (s > top) {
      double shrink = exp(top - s);
      sum *= shrink, total *= shrink, top = s;
    }
    if (!isfinite(s)) continue;
    sum += exp(s - top) * sample_value(v, key_row(&q, t) + c);
    total += exp(s - top);
  }
  return sum / total;
}

static double log_sum_exp(const Call *call, const Query *q) {
  double top = -INFINITY, total = 0;
  for (int64_t t = 0; t < q->keys; t++) top = fmax(top, score(call, q, t));
  for (int64_t t = 0; t < q->keys; t++) total += exp(score(call, q, t) - top);
  return top + log(total);
}

/* What forward keeps: the log-sum-exp of (sample, head, query), naive: p of each key too. */
double sample_attention_kept(const Call *call, int operand, int64_t at) {
  const AttentionOptions *o = call->options;
  const int64_t *dim = call->out[operand].dim, keys = o->naive ? dim[3] : 1, row = at / keys;
  Query q = query_at(call, row / dim[2] / o->heads, row % dim[2], row / dim[2] % o->heads);
  double lse = log_sum_exp(call, &q);
  return o->naive ? exp(score(call, &q, at % keys) - lse) : lse;
}

/* p and the gradient of s, with what forward was found to keep. */
static double score_gradient(const Call *call, const Query *q, int64_t key, double *p) {
  const Tensor *y = &call->out[0], *dy = &call->dout[0], *v = &call->in[IN_V];
  int64_t row = query_row(q), head = q->first / q->size, heads = q->width / q->size;
  int64_t kept = (q->sample * heads + head) * q->queries + q->query;
  if (((const AttentionOptions *)call->options)->naive)
    *p = sample_value(&call->out[1], kept * q->keys + key);
  else
    *p = exp(score(call, q, key) - sample_value(&call->out[1], kept));
  return *p * (dot(v, key_row(q, key), dy, row, q->size) - dot(y, row, dy, row, q->size)) *
         q->scale;
}

double sample_attention_dq(const Call *call, int operand, int64_t at) {
  Query q = query_of(call, at);
  int64_t c = at % q.width - q.first;
  double sum = 0, p;
  (void)operand;
  for (int64_t t = 0; t < q.keys; t++)
    sum += score_gradient(call, &q, t, &p) * sample_value(&call->in[IN_K], key_row(&q, t) + c);
  return sum;
}

double sample_attention_dkv(const Call *call, int operand, int64_t at) {
  int heads = ((const AttentionOptions *)call->options)->heads;
  const Tensor *k = &call->in[IN_K], *q_in = &call->in[IN_Q];
  int64_t width = tensor_last(k), keys = tensor_rows(k) / k->dim[0], row = at / width;
  int64_t queries = tensor_rows(q_in) / q_in->dim[0], head = at % width / (width / heads);
  double sum = 0, p;
  for (int64_t i = 0; i < queries; i++) {
    Query q = query_at(call, row / keys, i, head);
    int64_t from = query_row(&q) + at % width - q.first;
    double ds = score_gradient(call, &q, row % keys, &p);
    sum += operand == IN_K ? ds * sample_value(q_in, from) : p * sample_value(&call->dout[0], from);
  }
  return sum;
}

/* ---- instance norm: each element walks its channel, or its group's, twice -------------------- */

enum { IN_GAMMA, IN_BETA, IN_MAP };

typedef struct Channel {
  int64_t first, count, step; /* elements of one sample's channel */
  int64_t group, width; /* the first element of its group, whose channels stand side by side */
  double mean, rstd;
} Channel;

/* The i-th element of what is normalised together. */
static int64_t grouped(const Channel *c, int64_t i) {
  return c->group + i / c->width * c->step + i % c->width;
}

static Channel channel_of(const Call *call, int64_t at) {
  const Tensor *x = &call->in[IN_MAP];
  Channel c = {.count = tensor_rows(x) / x->dim[0], .step = tensor_last(x)};
  c.first = at / (c.count * c.step) * c.count * c.step + at % c.step;
  c.width = norm_width(call->options, c.step);
  c.group = c.first - at % c.step % c.width;
  double square = 0;
  for (int64_t i = 0; i < c.count * c.width; i++) c.mean += sample_value(x, grouped(&c, i));
  c.mean /= (double)(c.count * c.width);
  for (int64_t i = 0; i < c.count * c.width; i++) {
    double apart = sample_value(x, grouped(&c, i)) - c.mean;
    square += apart * apart;
  }
  double epsilon = ((const InstanceNormOptions *)call->options)->epsilon;
  c.rstd = 1 / sqrt(square / (double)(c.count * c.width) + epsilon);
  return c;
}

static double normal_at(const Call *call, const Channel *c, int64_t at) {
  return (sample_value(&call->in[IN_MAP], at) - c->mean) * c->rstd;
}

static double affine(const Call *call, double normal, int64_t channel) {
  return normal * sample_value(&call->in[IN_GAMMA], channel) +
         sample_value(&call->in[IN_BETA], channel);
}

double sample_norm_y(const Call *call, int operand, int64_t at) {
  Channel c = channel_of(call, at);
  const InstanceNormOptions *o = call->options;
  (void)operand;
  return norm_activation(o->activation, o->slope,
                         affine(call, normal_at(call, &c, at), at % c.step));
}

/* dy before what follows the norm. */
static double norm_g(const Call *call, const Channel *c, int64_t at) {
  const InstanceNormOptions *o = call->options;
  double z = affine(call, normal_at(call, c, at), at % c->step);
  return sample_value(&call->dout[0], at) * norm_activation_slope(o->activation, o->slope, z);
}

double sample_norm_dx(const Call *call, int operand, int64_t at) {
  Channel c = channel_of(call, at);
  double mean = 0, along = 0;
  (void)operand;
  for (int64_t i = 0; i < c.count * c.width; i++) {
    int64_t k = grouped(&c, i);
    double g = norm_g(call, &c, k) * sample_value(&call->in[IN_GAMMA], k % c.step);
    mean += g / (double)(c.count * c.width);
    along += g * normal_at(call, &c, k) / (double)(c.count * c.width);
  }
  double g = norm_g(call, &c, at) * sample_value(&call->in[IN_GAMMA], at % c.step);
  return c.rstd * (g - mean - normal_at(call, &c, at) * along);
}

double sample_norm_parameter(const Call *call, int operand, int64_t at) {
  const Tensor *x = &call->in[IN_MAP];
  double sum = 0;
  for (int64_t n = 0; n < x->dim[0]; n++) {
    Channel c = channel_of(call, n * (tensor_count(x) / x->dim[0]) + at);
    for (int64_t i = 0; i < c.count; i++) {
      int64_t k = c.first + i * c.step;
      sum += norm_g(call, &c, k) * (operand == IN_GAMMA ? normal_at(call, &c, k) : 1);
    }
  }
  return sum;
}

/* ---- deformable attention (formula: kernels/deform_attention.c) ------------------------------ */

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

static bool still(const Call *call, int64_t point, int axis) {
  return deform_still(options_of(call), &call->in[level_of(call, point)], axis);
}

static void position_of(const Call *call, int64_t row, int64_t point, double position[3]) {
  centre(call, row % call->in[IN_OFFSETS].dim[1], &call->in[level_of(call, point)], position);
  for (int a = 0; a < 3; a++)
    if (!still(call, point, a)) position[a] += sample_value(&call->in[IN_OFFSETS], 3 * point + a);
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
  if (operand == IN_OFFSETS && still(call, point, (int)(at % 3))) return 0;
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
