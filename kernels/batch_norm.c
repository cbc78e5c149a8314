/* Batch normalisation (Ioffe and Szegedy 2015; torch.nn.BatchNorm2d, 3d) and what follows, channels
 * last, over all R rows of x, which are its samples' voxels:
 *   m, v = mean and variance of x[:, c];  r = 1 / sqrt(v + epsilon);  h = (x - m) r
 *   z = gamma[c] h + beta[c];  y = z where z >= 0, slope z elsewhere; or z s(z), s the sigmoid
 * train: the running mean and variance, two buffers, take their share of the batch's:
 *   M <- (1 - momentum) M + momentum m;  V <- (1 - momentum) V + momentum v R / (R - 1)
 * evaluate: m = M, v = V.  batch: there are no running ones.
 * Backward, g = dz: dx = r gamma (g - mean(g) - h mean(g h)); in evaluate, where m and v are no
 * part of x, r gamma g. */
#include "kernels/norm_activation.h"
#include "kernels/options.h"

#include <math.h>
#include <string.h>

static const Option options[] = {
    {"mode", OPTION_CHOICE, offsetof(BatchNormOptions, mode), BATCH_NORM_TRAIN, 0, 0,
     "train|evaluate|batch", NULL,
     "train: by the batch's mean and variance, of which the running ones take their share; "
     "evaluate: by the running ones, as a frozen norm in training, too; batch: by the batch's "
     "alone, without running ones"},
    {"epsilon", OPTION_FLOAT, offsetof(BatchNormOptions, epsilon), 1e-5, 0, 1, NULL, NULL,
     "added to the variance"},
    {"momentum", OPTION_FLOAT, offsetof(BatchNormOptions, momentum), .1, 0, 1, NULL, NULL,
     "share of a batch in the running mean and variance"},
    NORM_ACTIVATION_OPTIONS(BatchNormOptions),
    {0}};

enum { IN_GAMMA, IN_BETA, IN_X, IN_MEAN, IN_VARIANCE };
enum { OUT_Y, OUT_MEAN, OUT_RSTD };
/* What follows is found by computing its argument again. */
enum {
  SAVES_ALL = SAVES_IN(IN_GAMMA) | SAVES_IN(IN_BETA) | SAVES_IN(IN_X) | SAVES_OUT(OUT_MEAN) |
              SAVES_OUT(OUT_RSTD),
  RUNNING = SAVES_IN(IN_MEAN) | SAVES_IN(IN_VARIANCE)
};

static int mode_of(const Call *call) {
  return ((const BatchNormOptions *)call->options)->mode;
}

static bool check_operands(const Call *call, Error *error) {
  static const char *const name[] = {"gamma", "beta", "", "running mean", "running variance"};
  const Tensor *x = &call->in[IN_X];
  for (int i = 0; i < call->n_in; i++)
    if (i != IN_X && (call->in[i].rank != 1 || call->in[i].dim[0] != tensor_last(x)))
      return fail(error, "batch_norm: %s is (%lld) for input %s, found %s", name[i],
                  (long long)tensor_last(x), tensor_shape_text(x), tensor_shape_text(&call->in[i]));
  return true;
}

static bool shape(Call *call, Error *error) {
  const Tensor *x = &call->in[IN_X];
  int expected = mode_of(call) == BATCH_NORM_BATCH ? IN_X + 1 : IN_VARIANCE + 1;
  if (x->rank < 3)
    return fail(error, "batch_norm: input is (N, D, H, W, C), found %s", tensor_shape_text(x));
  if (call->n_in != expected)
    return fail(error,
                "batch_norm: mode=batch takes gamma, beta and x, the others also the running mean "
                "and variance; found %d inputs",
                call->n_in);
  if (mode_of(call) != BATCH_NORM_EVALUATE && tensor_rows(x) < 2)
    return fail(error,
                "batch_norm: %s has one value a channel, of which there is no variance; in "
                "training it takes more voxels or a larger batch",
                tensor_shape_text(x));
  if (!check_operands(call, error)) return false;
  call->out[OUT_Y] = tensor_make(x->type, x->rank, x->dim);
  call->out[OUT_MEAN] = tensor_make(x->type, 1, (int64_t[]){tensor_last(x)});
  call->out[OUT_RSTD] = call->out[OUT_MEAN];
  return true;
}

static unsigned updates(const Call *call) {
  return mode_of(call) == BATCH_NORM_TRAIN ? RUNNING : 0;
}

static void cost(const Call *call, Cost *cost) {
  cost->flops = (call->backward ? 14.0 : 7.0) * (double)tensor_count(&call->in[IN_X]);
}

static REAL *numbers(const Tensor *tensor) {
  return tensor->data;
}

/* ---- forward --------------------------------------------------------------------------------- */

static void update(REAL *running, int64_t c, double share, double found) {
  running[c] = (REAL)((1 - share) * running[c] + share * found);
}

static void statistics(const Call *call, int64_t c) {
  const BatchNormOptions *o = call->options;
  int64_t rows = tensor_rows(&call->in[IN_X]), channels = tensor_last(&call->in[IN_X]);
  const REAL *x = call->in[IN_X].data;
  double mean = 0, variance = 0, count = (double)rows;
  for (int64_t i = 0; i < rows; i++) mean += x[i * channels + c] / count;
  for (int64_t i = 0; i < rows; i++)
    variance += (x[i * channels + c] - mean) * (x[i * channels + c] - mean) / count;
  if (o->mode == BATCH_NORM_TRAIN) {
    update(call->in[IN_MEAN].data, c, o->momentum, mean);
    update(call->in[IN_VARIANCE].data, c, o->momentum, variance * count / (count - 1));
  }
  if (o->mode == BATCH_NORM_EVALUATE) {
    mean = numbers(&call->in[IN_MEAN])[c];
    variance = numbers(&call->in[IN_VARIANCE])[c];
  }
  numbers(&call->out[OUT_MEAN])[c] = (REAL)mean;
  numbers(&call->out[OUT_RSTD])[c] = (REAL)(1 / sqrt(variance + o->epsilon));
}

/* What an element is in its channel. */
typedef struct Norm {
  double h, z;
} Norm;

static Norm norm_of(const Call *call, int64_t i, int64_t c) {
  double mean = numbers(&call->out[OUT_MEAN])[c], rstd = numbers(&call->out[OUT_RSTD])[c];
  double h = (numbers(&call->in[IN_X])[i] - mean) * rstd;
  return (Norm){h, numbers(&call->in[IN_GAMMA])[c] * h + numbers(&call->in[IN_BETA])[c]};
}

static void forward(const Call *call) {
  const BatchNormOptions *o = call->options;
  int64_t channels = tensor_last(&call->in[IN_X]);
  for (int64_t c = 0; c < channels && !call->again; c++) statistics(call, c);
  for (int64_t i = 0; i < tensor_count(&call->in[IN_X]); i++)
    numbers(&call->out[OUT_Y])[i] =
        (REAL)norm_activation(o->activation, o->slope, norm_of(call, i, i % channels).z);
}

/* ---- backward -------------------------------------------------------------------------------- */

/* The gradient before what follows the norm. */
static double before(const Call *call, int64_t i, const Norm *norm) {
  const BatchNormOptions *o = call->options;
  return numbers(&call->dout[OUT_Y])[i] * norm_activation_slope(o->activation, o->slope, norm->z);
}

static void backward_channel(const Call *call, int64_t c) {
  int64_t channels = tensor_last(&call->in[IN_X]), count = tensor_count(&call->in[IN_X]);
  REAL *dgamma = call->din[IN_GAMMA].data, *dbeta = call->din[IN_BETA].data;
  REAL *dx = call->din[IN_X].data;
  double sum_g = 0, sum_gh = 0, rows = (double)tensor_rows(&call->in[IN_X]);
  double scale = numbers(&call->in[IN_GAMMA])[c] * numbers(&call->out[OUT_RSTD])[c];
  for (int64_t i = c; i < count; i += channels) {
    Norm norm = norm_of(call, i, c);
    double g = before(call, i, &norm);
    sum_g += g;
    sum_gh += g * norm.h;
  }
  if (dgamma) dgamma[c] = (REAL)sum_gh;
  if (dbeta) dbeta[c] = (REAL)sum_g;
  if (mode_of(call) == BATCH_NORM_EVALUATE) sum_g = sum_gh = 0;
  for (int64_t i = c; dx && i < count; i += channels) {
    Norm norm = norm_of(call, i, c);
    dx[i] = (REAL)(scale * (before(call, i, &norm) - sum_g / rows - norm.h * sum_gh / rows));
  }
}

static void backward(const Call *call) {
  if (call->dout[OUT_Y].data) {
    for (int64_t c = 0; c < tensor_last(&call->in[IN_X]); c++) backward_channel(call, c);
    return;
  }
  for (int i = 0; i < call->n_in; i++)
    if (call->din[i].data) memset(call->din[i].data, 0, tensor_bytes(&call->din[i]));
}

const Op OP_ROW(batch_norm) = {
    .name = "batch_norm",
    .doc = "batch normalisation with affine and LeakyReLU or SiLU; its running mean and variance "
           "are buffers (m.buffer), which mode=train updates",
    .min_in = 3,
    .max_in = 5,
    .n_out = 3,
    .flags = OP_AGAIN,
    .saves = {[IN_GAMMA] = SAVES_ALL, [IN_BETA] = SAVES_ALL, [IN_X] = SAVES_ALL},
    .constant = RUNNING,
    .updates = updates,
    .options = options,
    .options_bytes = sizeof(BatchNormOptions),
    .shape = shape,
    .cost = cost,
    .reference = {.forward = forward, .backward = backward},
};
