/* Cross-entropy and soft Dice of a point-wise head. With x (N, D, H, W, C), p = softmax(x) over C,
 * t = (label == c), V voxels in the batch whose label is a class (the others are left out of every
 * sum), smooth s:
 *   ce   = 1/V sum_v log sum_c e^{x_vc} - x_{v,label}
 *   dice = 1 - mean over classes c >= 1 (and samples, unless batch) of
 *          (2 sum p t + s) / (sum p + sum t + s)
 * with sums over the voxels of a sample (batch: of all). binary: each class against the rest,
 *   ce   = -1/(V C) sum_vc t log p + (1 - t) log(1 - p)     (MaskMed Eq. 1-4: BCE of the softmax)
 * where 1 - p is summed of the others, and is at least the smallest float. */
#include "kernels/cpu/dice_sums.h"
#include "kernels/options.h"

#include <float.h>
#include <math.h>
#include <string.h>

static const Option options[] = {{"batch", OPTION_BOOL, offsetof(VoxelLossOptions, batch), 1, 0, 1,
                                  NULL, NULL, "Dice's sums run over the batch"},
                                 {"smooth", OPTION_FLOAT, offsetof(VoxelLossOptions, smooth), 1e-5,
                                  0, 1e6, NULL, NULL, "added above and below in the Dice ratio"},
                                 {"binary", OPTION_BOOL, offsetof(VoxelLossOptions, binary), 0, 0,
                                  1, NULL, NULL,
                                  "binary cross-entropy of every class's softmax, mean over the "
                                  "classes, in place of cross-entropy"},
                                 {0}};

enum { IN_LOGITS, IN_LABELS };
enum { OUT_CE, OUT_DICE, OUT_SUMS };
enum { SUMS = SUM_T + 1 };

static bool shape(Call *call, Error *error) {
  const Tensor *x = &call->in[IN_LOGITS], *labels = &call->in[IN_LABELS];
  if (x->rank != 5 || x->dim[4] < 2)
    return fail(error, "voxel_loss: logits have 5 axes (N, D, H, W, C >= 2), found %s",
                tensor_shape_text(x));
  if (labels->rank != 4 || labels->type != I32 ||
      memcmp(labels->dim, x->dim, 4 * sizeof x->dim[0]) != 0)
    return fail(error, "voxel_loss: integer labels (N, D, H, W) expected for logits %s, found %s",
                tensor_shape_text(x), tensor_shape_text(labels));
  call->out[OUT_CE] = call->out[OUT_DICE] = tensor_make(x->type, 0, NULL);
  call->out[OUT_SUMS] = tensor_make(x->type, 3, (int64_t[]){x->dim[0], x->dim[4], SUMS});
  return true;
}

static void cost(const Call *call, Cost *cost) {
  cost->flops = 20.0 * (double)tensor_count(&call->in[IN_LOGITS]);
}

static double log_sum_exp(const REAL *x, int64_t columns) {
  double top = x[0], sum = 0;
  for (int64_t c = 1; c < columns; c++) top = x[c] > top ? x[c] : top;
  for (int64_t c = 0; c < columns; c++) sum += exp(x[c] - top);
  return top + log(sum);
}

static bool is_known(int32_t label, int64_t classes) {
  return label >= 0 && label < classes;
}

/* V, at least 1. */
static double known_voxels(const Call *call) {
  const REAL *sums = call->out[OUT_SUMS].data;
  double known = 0;
  for (int64_t i = 0; i < tensor_rows(&call->out[OUT_SUMS]); i++) known += sums[i * SUMS + SUM_T];
  return known > 0 ? known : 1;
}

/* Sums of one class of one sample, with the voxels' log-sum-exp recomputed: plain, not fast. */
static void class_sums(const Call *call, int64_t n, int64_t c, double *sums) {
  int64_t classes = tensor_last(&call->in[IN_LOGITS]);
  int64_t voxels = tensor_rows(&call->in[IN_LOGITS]) / call->in[IN_LOGITS].dim[0];
  const REAL *x = (const REAL *)call->in[IN_LOGITS].data + n * voxels * classes;
  const int32_t *label = (const int32_t *)call->in[IN_LABELS].data + n * voxels;
  for (int64_t v = 0; v < voxels; v++, x += classes) {
    if (!is_known(label[v], classes)) continue;
    double p = exp(x[c] - log_sum_exp(x, classes)), t = label[v] == c;
    sums[SUM_P] += p;
    sums[SUM_PT] += p * t;
    sums[SUM_T] += t;
  }
}

/* 1 - p of class c. */
static double of_others(const REAL *x, int64_t classes, int64_t c, double log_sum) {
  double sum = 0;
  for (int64_t k = 0; k < classes; k++) sum += k == c ? 0 : exp(x[k] - log_sum);
  return fmax(sum, (double)FLT_MIN);
}

/* A voxel's share of V ce. */
static double cross_entropy(const REAL *x, int64_t classes, int32_t label, bool binary) {
  double log_sum = log_sum_exp(x, classes), own = log_sum - x[label], others = 0;
  for (int64_t c = 0; binary && c < classes; c++)
    others -= c == label ? 0 : log(of_others(x, classes, c, log_sum));
  return binary ? (own + others) / (double)classes : own;
}

static void forward(const Call *call) {
  const VoxelLossOptions *o = call->options;
  const int32_t *label = call->in[IN_LABELS].data;
  const REAL *x = call->in[IN_LOGITS].data;
  int64_t classes = tensor_last(&call->in[IN_LOGITS]);
  int64_t rows = tensor_rows(&call->in[IN_LOGITS]), samples = call->in[IN_LOGITS].dim[0];
  double ce = 0;
  for (int64_t v = 0; v < rows; v++)
    if (is_known(label[v], classes))
      ce += cross_entropy(x + v * classes, classes, label[v], o->binary);
  for (int64_t i = 0; i < samples * classes; i++) {
    double sums[SUMS] = {0};
    class_sums(call, i / classes, i % classes, sums);
    for (int s = 0; s < SUMS; s++) ((REAL *)call->out[OUT_SUMS].data)[i * SUMS + s] = (REAL)sums[s];
  }
  *(REAL *)call->out[OUT_CE].data = (REAL)(ce / known_voxels(call));
  *(REAL *)call->out[OUT_DICE].data = (REAL)dice_loss(&call->out[OUT_SUMS], o->batch, o->smooth, 1);
}

static double scalar_gradient(const Call *call, int i) {
  return call->dout[i].data ? *(const REAL *)call->dout[i].data : 0;
}

/* Derivative of the Dice loss with respect to p of class c at a voxel of sample n. */
static double dice_slope(const Call *call, int64_t n, int64_t c, bool target) {
  const VoxelLossOptions *o = call->options;
  if (c == 0) return 0;
  int64_t groups = o->batch ? 1 : call->in[IN_LOGITS].dim[0];
  DiceRatio r = dice_ratio(&call->out[OUT_SUMS], o->batch, o->smooth, n, c);
  double count = (double)(groups * (tensor_last(&call->in[IN_LOGITS]) - 1));
  return (r.above / (r.below * r.below) - 2 * target / r.below) / count;
}

/* Derivative of V ce with respect to x_k. With g_c = p_c times that with respect to p_c, -1 for the
 * label and p_c / (1 - p_c) for others: g_k - p_k sum g. */
static double ce_slope(const REAL *x, int64_t classes, int64_t k, int32_t label, bool binary) {
  double log_sum = log_sum_exp(x, classes), p = exp(x[k] - log_sum);
  if (!binary) return p - (k == label);
  double others = of_others(x, classes, k, log_sum), slope = k == label ? -others : p;
  for (int64_t c = 0; c < classes; c++)
    if (c != k)
      slope -= c == label ? -p : p * (exp(x[c] - log_sum) / of_others(x, classes, c, log_sum));
  return slope / (double)classes;
}

static void backward(const Call *call) {
  const int32_t *label = call->in[IN_LABELS].data;
  const REAL *x = call->in[IN_LOGITS].data;
  REAL *dx = call->din[IN_LOGITS].data;
  int64_t classes = tensor_last(&call->in[IN_LOGITS]);
  int64_t rows = tensor_rows(&call->in[IN_LOGITS]), voxels = rows / call->in[IN_LOGITS].dim[0];
  double from_ce = scalar_gradient(call, OUT_CE) / known_voxels(call);
  double from_dice = scalar_gradient(call, OUT_DICE);
  bool binary = ((const VoxelLossOptions *)call->options)->binary;
  for (int64_t v = 0; dx && v < rows; v++, x += classes, dx += classes) {
    double log_sum = log_sum_exp(x, classes), mean = 0;
    bool known = is_known(label[v], classes);
    for (int64_t c = 0; c < classes; c++)
      mean += exp(x[c] - log_sum) * dice_slope(call, v / voxels, c, label[v] == c);
    for (int64_t c = 0; c < classes; c++) {
      double p = exp(x[c] - log_sum), slope = dice_slope(call, v / voxels, c, label[v] == c);
      double ce = known ? ce_slope(x, classes, c, label[v], binary) : 0;
      dx[c] = (REAL)(known * (from_ce * ce + from_dice * p * (slope - mean)));
    }
  }
}

const Op OP_ROW(voxel_loss) = {
    .name = "voxel_loss",
    .doc = "cross-entropy and soft Dice of a point-wise head",
    .min_in = 2,
    .max_in = 2,
    .n_out = 3,
    .saves = {[IN_LOGITS] = SAVES_IN(IN_LOGITS) | SAVES_IN(IN_LABELS) | SAVES_OUT(OUT_SUMS)},
    .constant = SAVES_IN(IN_LABELS),
    .options = options,
    .options_bytes = sizeof(VoxelLossOptions),
    .shape = shape,
    .cost = cost,
    .reference = {.forward = forward, .backward = backward},
};
