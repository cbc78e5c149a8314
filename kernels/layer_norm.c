/* Layer normalisation (Ba et al. 2016) over the last axis:
 *   m, v = mean and variance of a row;  r = 1 / sqrt(v + epsilon);  h = (x - m) r
 *   y = gamma h + beta
 * Backward: dx = r (g - mean(g) - h mean(g h)) with g = dy gamma. The two statistics are outputs,
 * so their own gradients count too. */
#include "kernels/options.h"

#include <math.h>
#include <string.h>

static const Option options[] = {{"epsilon", OPTION_FLOAT, offsetof(LayerNormOptions, epsilon),
                                  1e-5, 0, 1, NULL, NULL, "added to the variance"},
                                 {0}};

enum { IN_GAMMA, IN_BETA, IN_X };
enum { OUT_Y, OUT_MEAN, OUT_RSTD };
enum { SAVES_X = SAVES_IN(IN_X) | SAVES_OUT(OUT_MEAN) | SAVES_OUT(OUT_RSTD) };

static bool shape(Call *call, Error *error) {
  const Tensor *gamma = &call->in[IN_GAMMA], *beta = &call->in[IN_BETA], *x = &call->in[IN_X];
  if (x->rank < 2)
    return fail(error, "layer_norm: input is (..., E), found %s", tensor_shape_text(x));
  int64_t width = tensor_last(x);
  if (gamma->rank != 1 || gamma->dim[0] != width || beta->rank != 1 || beta->dim[0] != width)
    return fail(error, "layer_norm: gamma and beta are (%lld) for input %s, found %s and %s",
                (long long)width, tensor_shape_text(x), tensor_shape_text(gamma),
                tensor_shape_text(beta));
  call->out[OUT_Y] = tensor_make(x->type, x->rank, x->dim);
  call->out[OUT_MEAN] = tensor_make(x->type, 1, (int64_t[]){tensor_rows(x)});
  call->out[OUT_RSTD] = call->out[OUT_MEAN];
  return true;
}

static void cost(const Call *call, Cost *cost) {
  cost->flops = (call->backward ? 14.0 : 7.0) * (double)tensor_count(&call->in[IN_X]);
}

static void forward(const Call *call) {
  double epsilon = ((const LayerNormOptions *)call->options)->epsilon;
  const REAL *gamma = call->in[IN_GAMMA].data, *beta = call->in[IN_BETA].data;
  const REAL *x = call->in[IN_X].data;
  REAL *y = call->out[OUT_Y].data;
  int64_t width = tensor_last(&call->in[IN_X]);
  for (int64_t row = 0; row < tensor_rows(&call->in[IN_X]); row++, x += width, y += width) {
    double mean = 0, variance = 0;
    for (int64_t c = 0; c < width; c++) mean += x[c];
    mean /= (double)width;
    for (int64_t c = 0; c < width; c++) variance += (x[c] - mean) * (x[c] - mean);
    double rstd = 1 / sqrt(variance / (double)width + epsilon);
    for (int64_t c = 0; c < width; c++) y[c] = (REAL)(gamma[c] * (x[c] - mean) * rstd + beta[c]);
    ((REAL *)call->out[OUT_MEAN].data)[row] = (REAL)mean;
    ((REAL *)call->out[OUT_RSTD].data)[row] = (REAL)rstd;
  }
}

static void backward_row(const Call *call, int64_t row) {
  int64_t width = tensor_last(&call->in[IN_X]);
  const REAL *gamma = call->in[IN_GAMMA].data;
  const REAL *x = (const REAL *)call->in[IN_X].data + row * width;
  const REAL *dy = call->dout[OUT_Y].data;
  const REAL *dmean = call->dout[OUT_MEAN].data, *drstd = call->dout[OUT_RSTD].data;
  REAL *dx = call->din[IN_X].data, *dgamma = call->din[IN_GAMMA].data,
       *dbeta = call->din[IN_BETA].data;
  double mean = ((const REAL *)call->out[OUT_MEAN].data)[row];
  double rstd = ((const REAL *)call->out[OUT_RSTD].data)[row];
  double sum_g = 0, sum_gh = 0;
  for (int pass = 0; pass < 2; pass++) /* the sums, then the gradient that needs them */
    for (int64_t c = 0; c < width; c++) {
      double h = (x[c] - mean) * rstd, dz = dy ? dy[row * width + c] : 0;
      double g = dx ? dz * gamma[c] : 0;
      if (pass == 0) {
        sum_g += g / (double)width;
        sum_gh += g * h / (double)width;
        if (dgamma) dgamma[c] += (REAL)(dz * h);
        if (dbeta) dbeta[c] += (REAL)dz;
      } else if (dx) {
        double d = rstd * (g - sum_g - h * sum_gh);
        if (dmean) d += dmean[row] / (double)width;
        if (drstd) d -= drstd[row] * rstd * rstd * h / (double)width;
        dx[row * width + c] = (REAL)d;
      }
    }
}

static void backward(const Call *call) {
  for (int i = IN_GAMMA; i <= IN_BETA; i++)
    if (call->din[i].data) memset(call->din[i].data, 0, tensor_bytes(&call->din[i]));
  for (int64_t row = 0; row < tensor_rows(&call->in[IN_X]); row++) backward_row(call, row);
}

const Op OP_ROW(layer_norm) = {
    .name = "layer_norm",
    .doc = "layer normalisation over the channels, with affine",
    .min_in = 3,
    .max_in = 3,
    .n_out = 3,
    .saves = {[IN_GAMMA] = SAVES_X,
              [IN_BETA] = SAVES_X, /* without need: it is asked for with gamma's, or not at all */
              [IN_X] = SAVES_X | SAVES_IN(IN_GAMMA)},
    .options = options,
    .options_bytes = sizeof(LayerNormOptions),
    .shape = shape,
    .cost = cost,
    .reference = {.forward = forward, .backward = backward},
};
