/* Single elements of instance norm: each walks its channel twice. */
#include "src/bench/sample_element.h"

#include <math.h>

/* ---- instance norm ------------------------------------------------------------------------------
 */

enum { IN_GAMMA, IN_BETA, IN_MAP };

typedef struct Channel {
  int64_t first, count, step; /* elements of one sample's channel */
  double mean, rstd;
} Channel;

static Channel channel_of(const Call *call, int64_t at) {
  const Tensor *x = &call->in[IN_MAP];
  Channel c = {.count = tensor_rows(x) / x->dim[0], .step = tensor_last(x)};
  c.first = at / (c.count * c.step) * c.count * c.step + at % c.step;
  double square = 0;
  for (int64_t i = 0; i < c.count; i++) c.mean += sample_value(x, c.first + i * c.step);
  c.mean /= (double)c.count;
  for (int64_t i = 0; i < c.count; i++) {
    double apart = sample_value(x, c.first + i * c.step) - c.mean;
    square += apart * apart;
  }
  double epsilon = ((const InstanceNormOptions *)call->options)->epsilon;
  c.rstd = 1 / sqrt(square / (double)c.count + epsilon);
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
  double z = affine(call, normal_at(call, &c, at), at % c.step);
  (void)operand;
  return z < 0 ? z * ((const InstanceNormOptions *)call->options)->slope : z;
}

/* dy before the LeakyReLU. */
static double norm_g(const Call *call, const Channel *c, int64_t at) {
  double slope = ((const InstanceNormOptions *)call->options)->slope;
  double z = affine(call, normal_at(call, c, at), at % c->step),
         dy = sample_value(&call->dout[0], at);
  return z < 0 ? slope * dy : dy;
}

double sample_norm_dx(const Call *call, int operand, int64_t at) {
  Channel c = channel_of(call, at);
  double mean = 0, along = 0;
  (void)operand;
  for (int64_t i = 0; i < c.count; i++) {
    int64_t k = c.first + i * c.step;
    double g = norm_g(call, &c, k);
    mean += g / (double)c.count;
    along += g * normal_at(call, &c, k) / (double)c.count;
  }
  double inner = norm_g(call, &c, at) - mean - normal_at(call, &c, at) * along;
  return sample_value(&call->in[IN_GAMMA], at % c.step) * c.rstd * inner;
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
