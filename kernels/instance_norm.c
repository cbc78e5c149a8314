/* Instance normalisation (Ulyanov et al. 2016) and LeakyReLU, channels last:
 *   m, v = mean and variance of x[n, :, c];  r = 1 / sqrt(v + epsilon);  h = (x - m) r
 *   z = gamma[c] h + beta[c];  y = z where z >= 0, slope z elsewhere
 * Backward, g = dz: dx = r (g gamma - mean(g gamma) - h mean(g gamma h)); the sign of z is
 * recomputed. The two statistics are outputs, so their own gradients count too. */
#include "kernels/options.h"

#include <math.h>
#include <string.h>

static const Option options[] = {{"epsilon", OPTION_FLOAT, offsetof(InstanceNormOptions, epsilon),
                                  1e-5, 0, 1, NULL, NULL, "added to the variance"},
                                 {"slope", OPTION_FLOAT, offsetof(InstanceNormOptions, slope), 1, 0,
                                  1, NULL, NULL, "slope of the LeakyReLU that follows; 1: none"},
                                 {0}};

enum { IN_GAMMA, IN_BETA, IN_X };
enum { OUT_Y, OUT_MEAN, OUT_RSTD };
/* LeakyReLU's slope is found by computing its argument again. */
enum { SAVES_ALL = SAVES_ALL_IN | SAVES_OUT(OUT_MEAN) | SAVES_OUT(OUT_RSTD) };

static bool shape(Call *call, Error *error) {
  const Tensor *gamma = &call->in[IN_GAMMA], *beta = &call->in[IN_BETA], *x = &call->in[IN_X];
  if (x->rank < 3)
    return fail(error, "instance_norm: input is (N, D, H, W, C), found %s", tensor_shape_text(x));
  int64_t channels = tensor_last(x);
  if (gamma->rank != 1 || gamma->dim[0] != channels || beta->rank != 1 || beta->dim[0] != channels)
    return fail(error, "instance_norm: gamma and beta are (%lld) for input %s, found %s and %s",
                (long long)channels, tensor_shape_text(x), tensor_shape_text(gamma),
                tensor_shape_text(beta));
  call->out[OUT_Y] = tensor_make(x->type, x->rank, x->dim);
  call->out[OUT_MEAN] = tensor_make(x->type, 2, (int64_t[]){x->dim[0], channels});
  call->out[OUT_RSTD] = call->out[OUT_MEAN];
  return true;
}

static void cost(const Call *call, Cost *cost) {
  cost->flops = (call->backward ? 14.0 : 7.0) * (double)tensor_count(&call->in[IN_X]);
}

/* One channel of one sample: where it starts and what belongs to it. */
typedef struct Channel {
  int64_t first, step, count; /* elements of x */
  int64_t at;                 /* element of mean and rstd */
  int64_t c;
} Channel;

static Channel channel_of(const Call *call, int64_t at) {
  const Tensor *x = &call->in[IN_X];
  int64_t channels = tensor_last(x), voxels = tensor_rows(x) / x->dim[0];
  return (Channel){at / channels * voxels * channels + at % channels, channels, voxels, at,
                   at % channels};
}

static void forward(const Call *call) {
  const InstanceNormOptions *o = call->options;
  const REAL *gamma = call->in[IN_GAMMA].data, *beta = call->in[IN_BETA].data;
  for (int64_t at = 0; at < tensor_count(&call->out[OUT_MEAN]); at++) {
    Channel ch = channel_of(call, at);
    const REAL *x = (const REAL *)call->in[IN_X].data + ch.first;
    REAL *y = (REAL *)call->out[OUT_Y].data + ch.first;
    double mean = 0, variance = 0;
    for (int64_t i = 0; i < ch.count; i++) mean += x[i * ch.step];
    mean /= (double)ch.count;
    for (int64_t i = 0; i < ch.count; i++)
      variance += (x[i * ch.step] - mean) * (x[i * ch.step] - mean);
    double rstd = 1 / sqrt(variance / (double)ch.count + o->epsilon);
    for (int64_t i = 0; i < ch.count; i++) {
      double z = gamma[ch.c] * (x[i * ch.step] - mean) * rstd + beta[ch.c];
      y[i * ch.step] = (REAL)(z < 0 ? o->slope * z : z);
    }
    ((REAL *)call->out[OUT_MEAN].data)[at] = (REAL)mean;
    ((REAL *)call->out[OUT_RSTD].data)[at] = (REAL)rstd;
  }
}

static void backward_channel(const Call *call, Channel ch) {
  double slope = ((const InstanceNormOptions *)call->options)->slope;
  const REAL *x = (const REAL *)call->in[IN_X].data + ch.first;
  const REAL *dy = call->dout[OUT_Y].data;
  const REAL *dmean = call->dout[OUT_MEAN].data, *drstd = call->dout[OUT_RSTD].data;
  REAL *dx = call->din[IN_X].data, *dgamma = call->din[IN_GAMMA].data,
       *dbeta = call->din[IN_BETA].data;
  double gamma = ((const REAL *)call->in[IN_GAMMA].data)[ch.c];
  double beta = ((const REAL *)call->in[IN_BETA].data)[ch.c];
  double mean = ((const REAL *)call->out[OUT_MEAN].data)[ch.at];
  double rstd = ((const REAL *)call->out[OUT_RSTD].data)[ch.at];
  double count = (double)ch.count, sum_g = 0, sum_gh = 0;
  for (int pass = 0; pass < 2; pass++) /* the sums, then the gradient that needs them */
    for (int64_t i = 0; i < ch.count; i++) {
      double h = (x[i * ch.step] - mean) * rstd;
      double g = dy ? dy[ch.first + i * ch.step] : 0;
      if (gamma * h + beta < 0) g *= slope;
      if (pass == 0) {
        sum_g += g;
        sum_gh += g * h;
      } else if (dx) {
        double d = rstd * gamma * (g - sum_g / count - h * sum_gh / count);
        if (dmean) d += dmean[ch.at] / count;
        if (drstd) d -= drstd[ch.at] * rstd * rstd * h / count;
        dx[ch.first + i * ch.step] = (REAL)d;
      }
    }
  if (dgamma) dgamma[ch.c] += (REAL)sum_gh;
  if (dbeta) dbeta[ch.c] += (REAL)sum_g;
}

static void backward(const Call *call) {
  for (int i = IN_GAMMA; i <= IN_BETA; i++)
    if (call->din[i].data) memset(call->din[i].data, 0, tensor_bytes(&call->din[i]));
  for (int64_t at = 0; at < tensor_count(&call->out[OUT_MEAN]); at++)
    backward_channel(call, channel_of(call, at));
}

const Op OP_ROW(instance_norm) = {
    .name = "instance_norm",
    .doc = "instance normalisation with affine and LeakyReLU (nnU-Net's conv block)",
    .min_in = 3,
    .max_in = 3,
    .n_out = 3,
    .flags = OP_AGAIN,
    .saves = {[IN_GAMMA] = SAVES_ALL, [IN_BETA] = SAVES_ALL, [IN_X] = SAVES_ALL},
    .options = options,
    .options_bytes = sizeof(InstanceNormOptions),
    .shape = shape,
    .cost = cost,
    .reference = {.forward = forward, .backward = backward},
};
