/* Instance normalisation (Ulyanov et al. 2016) and what follows, channels last:
 *   m, v = mean and variance of x[n, :, c];  r = 1 / sqrt(v + epsilon);  h = (x - m) r
 * With groups > 0 it is group normalisation (Wu and He 2018): m, v of x[n, :, all of a group].
 *   z = gamma[c] h + beta[c];  y = z where z >= 0, slope z elsewhere; or z s(z), s the sigmoid
 * Backward, g = dz: dx = r (g gamma - mean(g gamma) - h mean(g gamma h)), means over what m is the
 * mean of; z is recomputed. The two statistics are outputs, so their own gradients
 * count too. */
#include "kernels/norm_activation.h"
#include "kernels/options.h"

#include <string.h>

static const Option options[] = {
    {"epsilon", OPTION_FLOAT, offsetof(InstanceNormOptions, epsilon), 1e-5, 0, 1, NULL, NULL,
     "added to the variance"},
    NORM_ACTIVATION_OPTIONS(InstanceNormOptions),
    {"groups", OPTION_INT, offsetof(InstanceNormOptions, groups), 0, 0, 4096, NULL, NULL,
     "group normalisation: so many groups of neighbouring channels are "
     "normalised together; 0: every channel by itself"},
    {0}};

enum { IN_GAMMA, IN_BETA, IN_X };
enum { OUT_Y, OUT_MEAN, OUT_RSTD };
/* What follows is found by computing its argument again. */
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
  int groups = ((const InstanceNormOptions *)call->options)->groups;
  if (groups && channels % groups)
    return fail(error, "instance_norm: groups=%d does not divide the %lld channels of %s", groups,
                (long long)channels, tensor_shape_text(x));
  call->out[OUT_Y] = tensor_make(x->type, x->rank, x->dim);
  call->out[OUT_MEAN] = tensor_make(x->type, 2, (int64_t[]){x->dim[0], channels});
  call->out[OUT_RSTD] = call->out[OUT_MEAN];
  return true;
}

static void cost(const Call *call, Cost *cost) {
  cost->flops = (call->backward ? 14.0 : 7.0) * (double)tensor_count(&call->in[IN_X]);
}

/* One channel of one sample, or a group of them: where it starts and what belongs to it. */
typedef struct Channel {
  int64_t first, step, voxels; /* elements of x */
  int64_t at;                  /* element of mean and rstd */
  int64_t c, width;            /* the first channel, and how many */
} Channel;

static Channel channel_of(const Call *call, int64_t at) {
  const Tensor *x = &call->in[IN_X];
  int64_t channels = tensor_last(x), voxels = tensor_rows(x) / x->dim[0];
  return (Channel){at / channels * voxels * channels + at % channels,
                   channels,
                   voxels,
                   at,
                   at % channels,
                   norm_width(call->options, channels)};
}

static void forward_channel(const Call *call, Channel ch) {
  const InstanceNormOptions *o = call->options;
  const REAL *gamma = call->in[IN_GAMMA].data, *beta = call->in[IN_BETA].data;
  const REAL *x = (const REAL *)call->in[IN_X].data + ch.first;
  REAL *y = (REAL *)call->out[OUT_Y].data + ch.first;
  double mean = 0, variance = 0, count = (double)(ch.voxels * ch.width);
  for (int64_t i = 0; i < ch.voxels; i++)
    for (int64_t k = 0; k < ch.width; k++) mean += x[i * ch.step + k];
  mean /= count;
  for (int64_t i = 0; i < ch.voxels; i++)
    for (int64_t k = 0; k < ch.width; k++)
      variance += (x[i * ch.step + k] - mean) * (x[i * ch.step + k] - mean);
  double rstd = 1 / sqrt(variance / count + o->epsilon);
  for (int64_t i = 0; i < ch.voxels; i++)
    for (int64_t k = 0; k < ch.width; k++) {
      double z = gamma[ch.c + k] * (x[i * ch.step + k] - mean) * rstd + beta[ch.c + k];
      y[i * ch.step + k] = (REAL)norm_activation(o->activation, o->slope, z);
    }
  for (int64_t k = 0; k < ch.width; k++) {
    ((REAL *)call->out[OUT_MEAN].data)[ch.at + k] = (REAL)mean;
    ((REAL *)call->out[OUT_RSTD].data)[ch.at + k] = (REAL)rstd;
  }
}

static void forward(const Call *call) {
  int64_t width = norm_width(call->options, tensor_last(&call->in[IN_X]));
  for (int64_t at = 0; at < tensor_count(&call->out[OUT_MEAN]); at += width)
    forward_channel(call, channel_of(call, at));
}

/* Of an element, channel k of the group: h and the gradient before what follows. */
typedef struct Through {
  double h, g;
} Through;

static Through through(const Call *call, const Channel *ch, int64_t i, int64_t k) {
  const InstanceNormOptions *o = call->options;
  int64_t at = ch->first + i * ch->step + k;
  const REAL *dy = call->dout[OUT_Y].data;
  double mean = ((const REAL *)call->out[OUT_MEAN].data)[ch->at];
  double rstd = ((const REAL *)call->out[OUT_RSTD].data)[ch->at];
  double gamma = ((const REAL *)call->in[IN_GAMMA].data)[ch->c + k];
  double beta = ((const REAL *)call->in[IN_BETA].data)[ch->c + k];
  Through t = {.h = (((const REAL *)call->in[IN_X].data)[at] - mean) * rstd, .g = dy ? dy[at] : 0};
  t.g *= norm_activation_slope(o->activation, o->slope, gamma * t.h + beta);
  return t;
}

/* The sums over a channel of g and g h; added to the gradients of its gamma and beta. */
static Through channel_sums(const Call *call, const Channel *ch, int64_t k) {
  REAL *dgamma = call->din[IN_GAMMA].data, *dbeta = call->din[IN_BETA].data;
  Through sum = {0, 0};
  for (int64_t i = 0; i < ch->voxels; i++) {
    Through t = through(call, ch, i, k);
    sum.g += t.g;
    sum.h += t.g * t.h;
  }
  if (dgamma) dgamma[ch->c + k] += (REAL)sum.h;
  if (dbeta) dbeta[ch->c + k] += (REAL)sum.g;
  return sum;
}

static void backward_channel(const Call *call, Channel ch) {
  const REAL *dmean = call->dout[OUT_MEAN].data, *drstd = call->dout[OUT_RSTD].data;
  const REAL *gammas = (const REAL *)call->in[IN_GAMMA].data + ch.c;
  REAL *dx = call->din[IN_X].data;
  double rstd = ((const REAL *)call->out[OUT_RSTD].data)[ch.at];
  double count = (double)(ch.voxels * ch.width), of_mean = 0, of_rstd = 0;
  bool alone = ch.width == 1;
  Through sum = {0, 0}; /* in a group weighted by gamma */
  for (int64_t k = 0; k < ch.width; k++) {
    Through s = channel_sums(call, &ch, k);
    sum.g += (alone ? 1 : gammas[k]) * s.g;
    sum.h += (alone ? 1 : gammas[k]) * s.h;
    of_mean += dmean ? dmean[ch.at + k] : 0;
    of_rstd += drstd ? drstd[ch.at + k] : 0;
  }
  for (int64_t i = 0; dx && i < ch.voxels; i++)
    for (int64_t k = 0; k < ch.width; k++) {
      Through t = through(call, &ch, i, k);
      double g = alone ? t.g : gammas[k] * t.g, factor = alone ? rstd * gammas[k] : rstd;
      double d = factor * (g - sum.g / count - t.h * sum.h / count);
      d += of_mean / count;
      d -= of_rstd * rstd * rstd * t.h / count;
      dx[ch.first + i * ch.step + k] = (REAL)d;
    }
}

static void backward(const Call *call) {
  int64_t width = norm_width(call->options, tensor_last(&call->in[IN_X]));
  for (int i = IN_GAMMA; i <= IN_BETA; i++)
    if (call->din[i].data) memset(call->din[i].data, 0, tensor_bytes(&call->din[i]));
  for (int64_t at = 0; at < tensor_count(&call->out[OUT_MEAN]); at += width)
    backward_channel(call, channel_of(call, at));
}

const Op OP_ROW(instance_norm) = {
    .name = "instance_norm",
    .doc =
        "instance or group normalisation with affine and LeakyReLU (nnU-Net's conv block) or SiLU",
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
