/* Binary cross-entropy and soft Dice of a point-wise head over regions that may overlap. With
 * x (N, D, H, W, C), p = sigmoid(x), t_c = bit c of the label, V voxels in the batch whose label is
 * not negative (the others are left out of every sum), smooth s:
 *   bce  = 1/(V C) sum_vc log(1 + e^x) - x t
 *   dice = 1 - mean over the regions (and samples, unless batch) of
 *          (2 sum p t + s) / (sum p + sum t + s)
 * with sums over the voxels of a sample (batch: of all).
 * (nnU-Net, once its data set declares an ignore label, divides by V alone: C times this bce.) */
#include "kernels/cpu/dice_sums.h"
#include "kernels/options.h"

#include <math.h>
#include <string.h>

static const Option options[] = {{"batch", OPTION_BOOL, offsetof(RegionLossOptions, batch), 1, 0, 1,
                                  NULL, NULL, "Dice's sums run over the batch"},
                                 {"smooth", OPTION_FLOAT, offsetof(RegionLossOptions, smooth), 1e-5,
                                  0, 1e6, NULL, NULL, "added above and below in the Dice ratio"},
                                 {0}};

enum { IN_LOGITS, IN_LABELS };
enum { OUT_BCE, OUT_DICE, OUT_SUMS };
enum { SUM_KNOWN = SUM_T + 1, SUMS };
enum { REGIONS_MOST = 30 };

static bool shape(Call *call, Error *error) {
  const Tensor *x = &call->in[IN_LOGITS], *labels = &call->in[IN_LABELS];
  if (x->rank != 5 || x->dim[4] > REGIONS_MOST)
    return fail(error, "region_loss: logits have 5 axes (N, D, H, W, C <= %d), found %s",
                REGIONS_MOST, tensor_shape_text(x));
  if (labels->rank != 4 || labels->type != I32 ||
      memcmp(labels->dim, x->dim, 4 * sizeof x->dim[0]) != 0)
    return fail(error, "region_loss: integer labels (N, D, H, W) expected for logits %s, found %s",
                tensor_shape_text(x), tensor_shape_text(labels));
  call->out[OUT_BCE] = call->out[OUT_DICE] = tensor_make(x->type, 0, NULL);
  call->out[OUT_SUMS] = tensor_make(x->type, 3, (int64_t[]){x->dim[0], x->dim[4], SUMS});
  return true;
}

static void cost(const Call *call, Cost *cost) {
  cost->flops = 20.0 * (double)tensor_count(&call->in[IN_LOGITS]);
}

/* V C, at least 1. */
static double known_values(const Call *call) {
  const REAL *sums = call->out[OUT_SUMS].data;
  double known = 0;
  for (int64_t i = 0; i < tensor_rows(&call->out[OUT_SUMS]); i++)
    known += sums[i * SUMS + SUM_KNOWN];
  return fmax(known, 1);
}

/* Fills the sums of region c of sample n; returns the sum of its cross-entropies. */
static double region_sums(const Call *call, int64_t n, int64_t c, REAL *kept) {
  int64_t regions = tensor_last(&call->in[IN_LOGITS]);
  int64_t voxels = tensor_rows(&call->in[IN_LOGITS]) / call->in[IN_LOGITS].dim[0];
  const REAL *x = (const REAL *)call->in[IN_LOGITS].data + n * voxels * regions + c;
  const int32_t *label = (const int32_t *)call->in[IN_LABELS].data + n * voxels;
  double bce = 0, sums[SUMS] = {0};
  for (int64_t v = 0; v < voxels; v++) {
    if (label[v] < 0) continue;
    double logit = x[v * regions], p = 1 / (1 + exp(-logit)), t = label[v] >> c & 1;
    bce += (logit > 0 ? logit : 0) + log1p(exp(-fabs(logit))) - logit * t;
    sums[SUM_P] += p;
    sums[SUM_PT] += p * t;
    sums[SUM_T] += t;
    sums[SUM_KNOWN] += 1;
  }
  for (int s = 0; s < SUMS; s++) kept[s] = (REAL)sums[s];
  return bce;
}

static void forward(const Call *call) {
  const RegionLossOptions *o = call->options;
  int64_t samples = call->in[IN_LOGITS].dim[0], regions = tensor_last(&call->in[IN_LOGITS]);
  REAL *kept = call->out[OUT_SUMS].data;
  double bce = 0;
  for (int64_t i = 0; i < samples * regions; i++)
    bce += region_sums(call, i / regions, i % regions, kept + i * SUMS);
  *(REAL *)call->out[OUT_BCE].data = (REAL)(bce / known_values(call));
  *(REAL *)call->out[OUT_DICE].data = (REAL)dice_loss(&call->out[OUT_SUMS], o->batch, o->smooth, 0);
}

static double scalar_gradient(const Call *call, int i) {
  return call->dout[i].data ? *(const REAL *)call->dout[i].data : 0;
}

static void region_backward(const Call *call, int64_t n, int64_t c) {
  const RegionLossOptions *o = call->options;
  int64_t samples = call->in[IN_LOGITS].dim[0], regions = tensor_last(&call->in[IN_LOGITS]);
  int64_t voxels = tensor_rows(&call->in[IN_LOGITS]) / samples, at = n * voxels * regions + c;
  const REAL *x = (const REAL *)call->in[IN_LOGITS].data + at;
  REAL *dx = (REAL *)call->din[IN_LOGITS].data + at;
  const int32_t *label = (const int32_t *)call->in[IN_LABELS].data + n * voxels;
  double from_bce = scalar_gradient(call, OUT_BCE) / known_values(call);
  double from_dice = scalar_gradient(call, OUT_DICE) / (double)((o->batch ? 1 : samples) * regions);
  DiceRatio r = dice_ratio(&call->out[OUT_SUMS], o->batch, o->smooth, n, c);
  for (int64_t v = 0; v < voxels; v++) {
    double p = 1 / (1 + exp(-(double)x[v * regions])), t = label[v] >> c & 1;
    double slope = r.above / (r.below * r.below) - 2 * t / r.below;
    dx[v * regions] =
        label[v] < 0 ? 0 : (REAL)(from_bce * (p - t) + from_dice * slope * p * (1 - p));
  }
}

static void backward(const Call *call) {
  int64_t regions = tensor_last(&call->in[IN_LOGITS]), samples = call->in[IN_LOGITS].dim[0];
  if (!call->din[IN_LOGITS].data) return;
  for (int64_t i = 0; i < samples * regions; i++) region_backward(call, i / regions, i % regions);
}

const Op OP_ROW(region_loss) = {
    .name = "region_loss",
    .doc = "binary cross-entropy and soft Dice of a point-wise head over overlapping regions",
    .min_in = 2,
    .max_in = 2,
    .n_out = 3,
    .saves = {[IN_LOGITS] = SAVES_IN(IN_LOGITS) | SAVES_IN(IN_LABELS) | SAVES_OUT(OUT_SUMS)},
    .constant = SAVES_IN(IN_LABELS),
    .options = options,
    .options_bytes = sizeof(RegionLossOptions),
    .shape = shape,
    .cost = cost,
    .reference = {.forward = forward, .backward = backward},
};
