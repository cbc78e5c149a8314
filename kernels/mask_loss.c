/* Binary cross-entropy and Dice of the matched masks. With x the mask logits (N, D, H, W, K),
 * p = sigmoid(x), t = (label == assignment of (n, q)), with `regions` whether the label holds it, V
 * voxels of the sample whose label is not negative (the others are left out of every sum) and M
 * matched masks in the batch:
 *   bce  = 1/M sum over matched (n, q) of 1/V sum_v log(1 + e^x) - x t
 *   dice = 1/M sum over matched (n, q) of 1 - (2 sum_v p t + 1) / (sum_v p + sum_v t + 1).
 * M and V count as 1 when they are 0. Unmatched masks get no gradient. */
#include "kernels/options.h"

#include <math.h>
#include <string.h>

static const Option options[] = {{"regions", OPTION_BOOL, offsetof(MaskLossOptions, regions), 0, 0,
                                  1, NULL, NULL, "labels are sets of classes, as bits"},
                                 {0}};

enum { IN_LOGITS, IN_LABELS, IN_ASSIGNMENT };
enum { OUT_BCE, OUT_DICE, OUT_SUMS };
enum { SUM_P, SUM_PT, SUM_T, SUM_KNOWN, SUMS };

static bool shape(Call *call, Error *error) {
  const Tensor *x = &call->in[IN_LOGITS], *labels = &call->in[IN_LABELS];
  const Tensor *assignment = &call->in[IN_ASSIGNMENT];
  if (x->rank != 5)
    return fail(error, "mask_loss: mask logits have 5 axes (N, D, H, W, K), found %s",
                tensor_shape_text(x));
  if (labels->rank != 4 || labels->type != I32 ||
      memcmp(labels->dim, x->dim, 4 * sizeof x->dim[0]) != 0)
    return fail(error, "mask_loss: integer labels (N, D, H, W) expected for logits %s, found %s",
                tensor_shape_text(x), tensor_shape_text(labels));
  if (assignment->rank != 2 || assignment->type != I32 || assignment->dim[0] != x->dim[0] ||
      assignment->dim[1] != x->dim[4])
    return fail(error, "mask_loss: integer assignment (N, K) expected for logits %s, found %s",
                tensor_shape_text(x), tensor_shape_text(assignment));
  call->out[OUT_BCE] = call->out[OUT_DICE] = tensor_make(x->type, 0, NULL);
  call->out[OUT_SUMS] = tensor_make(x->type, 3, (int64_t[]){x->dim[0], x->dim[4], SUMS});
  return true;
}

static void cost(const Call *call, Cost *cost) {
  cost->flops = 20.0 * (double)tensor_count(&call->in[IN_LOGITS]);
}

static double matched_count(const Call *call) {
  const int32_t *assignment = call->in[IN_ASSIGNMENT].data;
  int64_t count = 0;
  for (int64_t i = 0; i < tensor_count(&call->in[IN_ASSIGNMENT]); i++) count += assignment[i] >= 0;
  return count ? (double)count : 1;
}

static bool is_target(const Call *call, int32_t label, int32_t class) {
  const MaskLossOptions *o = call->options;
  return o->regions ? class < 31 && label >> class & 1 : label == class;
}

/* Sums of mask (n, q) over the voxels; returns its BCE. */
static double mask_sums(const Call *call, int64_t n, int64_t q, double *sums) {
  int64_t queries = call->in[IN_LOGITS].dim[4], samples = call->in[IN_LOGITS].dim[0];
  int64_t voxels = tensor_rows(&call->in[IN_LOGITS]) / samples;
  const REAL *x = (const REAL *)call->in[IN_LOGITS].data + n * voxels * queries + q;
  const int32_t *label = (const int32_t *)call->in[IN_LABELS].data + n * voxels;
  int32_t assigned = ((const int32_t *)call->in[IN_ASSIGNMENT].data)[n * queries + q];
  double bce = 0;
  for (int64_t v = 0; v < voxels; v++) {
    if (label[v] < 0) continue;
    double logit = x[v * queries], p = 1 / (1 + exp(-logit)),
           t = is_target(call, label[v], assigned);
    bce += (logit > 0 ? logit : 0) + log1p(exp(-fabs(logit))) - logit * t;
    sums[SUM_P] += p;
    sums[SUM_PT] += p * t;
    sums[SUM_T] += t;
    sums[SUM_KNOWN] += 1;
  }
  return bce / fmax(sums[SUM_KNOWN], 1);
}

static void forward(const Call *call) {
  int64_t masks = tensor_count(&call->in[IN_ASSIGNMENT]), queries = call->in[IN_LOGITS].dim[4];
  const int32_t *assignment = call->in[IN_ASSIGNMENT].data;
  REAL *kept = call->out[OUT_SUMS].data;
  double bce = 0, dice = 0;
  for (int64_t i = 0; i < masks; i++, kept += SUMS) {
    double sums[SUMS] = {0};
    if (assignment[i] >= 0) {
      bce += mask_sums(call, i / queries, i % queries, sums);
      dice += 1 - (2 * sums[SUM_PT] + 1) / (sums[SUM_P] + sums[SUM_T] + 1);
    }
    for (int s = 0; s < SUMS; s++) kept[s] = (REAL)sums[s];
  }
  *(REAL *)call->out[OUT_BCE].data = (REAL)(bce / matched_count(call));
  *(REAL *)call->out[OUT_DICE].data = (REAL)(dice / matched_count(call));
}

static double scalar_gradient(const Call *call, int i) {
  return call->dout[i].data ? *(const REAL *)call->dout[i].data : 0;
}

static void mask_backward(const Call *call, int64_t n, int64_t q) {
  int64_t queries = call->in[IN_LOGITS].dim[4], samples = call->in[IN_LOGITS].dim[0];
  int64_t voxels = tensor_rows(&call->in[IN_LOGITS]) / samples;
  const REAL *x = (const REAL *)call->in[IN_LOGITS].data + n * voxels * queries + q;
  const int32_t *label = (const int32_t *)call->in[IN_LABELS].data + n * voxels;
  const REAL *sums = (const REAL *)call->out[OUT_SUMS].data + (n * queries + q) * SUMS;
  int32_t assigned = ((const int32_t *)call->in[IN_ASSIGNMENT].data)[n * queries + q];
  double matched = matched_count(call), below = sums[SUM_P] + sums[SUM_T] + 1;
  double from_bce = scalar_gradient(call, OUT_BCE) / (matched * fmax(sums[SUM_KNOWN], 1));
  double from_dice = scalar_gradient(call, OUT_DICE) / matched;
  REAL *dx = (REAL *)call->din[IN_LOGITS].data + n * voxels * queries + q;
  for (int64_t v = 0; v < voxels; v++) {
    if (label[v] < 0) continue; /* stays 0 */
    double p = 1 / (1 + exp(-(double)x[v * queries])), t = is_target(call, label[v], assigned);
    double dice_slope = (2 * sums[SUM_PT] + 1) / (below * below) - 2 * t / below;
    dx[v * queries] = (REAL)(from_bce * (p - t) + from_dice * dice_slope * p * (1 - p));
  }
}

static void backward(const Call *call) {
  int64_t masks = tensor_count(&call->in[IN_ASSIGNMENT]), queries = call->in[IN_LOGITS].dim[4];
  const int32_t *assignment = call->in[IN_ASSIGNMENT].data;
  if (!call->din[IN_LOGITS].data) return;
  memset(call->din[IN_LOGITS].data, 0, tensor_bytes(&call->in[IN_LOGITS]));
  for (int64_t i = 0; i < masks; i++)
    if (assignment[i] >= 0) mask_backward(call, i / queries, i % queries);
}

const Op OP_ROW(mask_loss) = {
    .name = "mask_loss",
    .doc = "binary cross-entropy and Dice of the matched masks",
    .min_in = 3,
    .max_in = 3,
    .n_out = 3,
    .saves = {[IN_LOGITS] = SAVES_IN(IN_LOGITS) | SAVES_IN(IN_LABELS) | SAVES_IN(IN_ASSIGNMENT) |
                            SAVES_OUT(OUT_SUMS)},
    .constant = SAVES_IN(IN_LABELS) | SAVES_IN(IN_ASSIGNMENT),
    .options = options,
    .options_bytes = sizeof(MaskLossOptions),
    .shape = shape,
    .cost = cost,
    .reference = {.forward = forward, .backward = backward},
};
