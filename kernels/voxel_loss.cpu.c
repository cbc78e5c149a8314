/* Fast voxel_loss: one pass over the logits each way. Rows of C logits are padded to whole vectors;
 * log(sum e^x) costs a logarithm only every FLUSH voxels, as the sums are multiplied first. */
#include "kernels/mask_sums.h"
#include "kernels/options.h"
#include "kernels/simd_math.h"

#include <omp.h>
#include <string.h>

enum { IN_LOGITS, IN_LABELS };
enum { OUT_CE, OUT_DICE, OUT_SUMS };
enum { SUM_P, SUM_PT, SUM_T, SUMS };
enum { LANES = 16, FLUSH = 60 /* 65536^60 is a double */ };

typedef struct Work {
  int64_t samples, voxels;
  int classes, padded;
  double *parts;  /* (N, MASK_PARTS, SUMS C + 1): sums by class, then the cross-entropy */
  float *threads; /* per thread: row, p, and two more rows */
} Work;

enum { ROW_X, ROW_P, ROW_A, ROW_B, ROWS };

static size_t part_doubles(const Work *w) {
  return SUMS * (size_t)w->classes + 1;
}

static Work work_make(const Call *call) {
  const Tensor *x = &call->in[IN_LOGITS];
  Work w = {.samples = x->dim[0], .classes = (int)x->dim[4], .threads = call->scratch};
  w.voxels = tensor_rows(x) / w.samples;
  w.padded = (w.classes + LANES - 1) / LANES * LANES;
  size_t floats = (size_t)omp_get_max_threads() * ROWS * (size_t)w.padded;
  w.parts = (double *)(void *)(w.threads + floats);
  return w;
}

static bool prepare(Call *call, Error *error) {
  Work w = work_make(call);
  if (w.classes > 65536)
    return fail(error, "voxel_loss: at most 65536 classes, found %d", w.classes);
  call->scratch_bytes = (size_t)omp_get_max_threads() * ROWS * (size_t)w.padded * sizeof(float) +
                        (size_t)w.samples * MASK_PARTS * part_doubles(&w) * sizeof(double);
  return true;
}

static float *thread_rows(const Work *w) {
  float *rows = w->threads + (size_t)omp_get_thread_num() * ROWS * (size_t)w->padded;
  memset(rows, 0, ROWS * (size_t)w->padded * sizeof *rows);
  for (int c = w->classes; c < w->padded; c++) rows[ROW_X * w->padded + c] = -INFINITY;
  return rows;
}

/* x as it lies, or copied before the padding. */
static const float *row_padded(const Work *w, const float *x, float *rows) {
  if (w->padded == w->classes) return x;
  return memcpy(rows + ROW_X * w->padded, x, (size_t)w->classes * sizeof *x);
}

/* p = softmax(x); returns the sum of e^(x - top). */
static inline float row_softmax(const float *restrict x, float *restrict p, int padded,
                                float *top) {
  float largest = x[0], sum = 0;
  for (int j = 0; j < padded; j += LANES)
#pragma omp simd reduction(max : largest)
    for (int c = j; c < j + LANES; c++) largest = x[c] > largest ? x[c] : largest;
  for (int j = 0; j < padded; j += LANES)
#pragma omp simd reduction(+ : sum)
    for (int c = j; c < j + LANES; c++) {
      p[c] = simd_exp(x[c] - largest);
      sum += p[c];
    }
  float scale = 1.f / sum;
  for (int j = 0; j < padded; j += LANES)
#pragma omp simd
    for (int c = j; c < j + LANES; c++) p[c] *= scale;
  *top = largest;
  return sum;
}

/* Adds the float sums of p of one block of voxels to the part's. */
static void flush(const Work *w, float *sum_p, double *part, double *product) {
  for (int c = 0; c < w->classes; c++) part[c * SUMS + SUM_P] += (double)sum_p[c];
  memset(sum_p, 0, (size_t)w->padded * sizeof *sum_p);
  part[SUMS * w->classes] += log(*product);
  *product = 1;
}

static void part_forward(const Call *call, const Work *w, int64_t n, int piece) {
  const int32_t *label = (const int32_t *)call->in[IN_LABELS].data + n * w->voxels;
  const float *logits = (const float *)call->in[IN_LOGITS].data + n * w->voxels * w->classes;
  double *part = w->parts + (size_t)(n * MASK_PARTS + piece) * part_doubles(w), product = 1;
  float *rows = thread_rows(w), *p = rows + ROW_P * w->padded, *sum_p = rows + ROW_A * w->padded;
  int64_t first, last;
  memset(part, 0, part_doubles(w) * sizeof *part);
  mask_part(w->voxels, piece, &first, &last);
  for (int64_t v = first; v < last; v++) {
    float top;
    const float *x = row_padded(w, logits + v * w->classes, rows);
    double sum = (double)row_softmax(x, p, w->padded, &top);
    for (int j = 0; j < w->padded; j += LANES)
#pragma omp simd
      for (int c = j; c < j + LANES; c++) sum_p[c] += p[c];
    int32_t l = label[v];
    if (l >= 0 && l < w->classes) {
      part[l * SUMS + SUM_PT] += (double)p[l];
      part[l * SUMS + SUM_T] += 1;
      part[SUMS * w->classes] += (double)(top - x[l]);
      product *= sum;
    }
    if ((v - first) % FLUSH == FLUSH - 1) flush(w, sum_p, part, &product);
  }
  flush(w, sum_p, part, &product);
}

/* Entry `entry` of sample n, summed over its pieces in order. */
static double part_sum(const Work *w, int64_t n, int entry) {
  double sum = 0;
  for (int piece = 0; piece < MASK_PARTS; piece++)
    sum += w->parts[(size_t)(n * MASK_PARTS + piece) * part_doubles(w) + (size_t)entry];
  return sum;
}

/* Sum `s` of class c: of sample n, or of the batch. */
static double dice_sum(const Call *call, int64_t n, int c, int s) {
  const VoxelLossOptions *o = call->options;
  int64_t classes = tensor_last(&call->in[IN_LOGITS]), samples = call->in[IN_LOGITS].dim[0];
  const float *sums = call->out[OUT_SUMS].data;
  double sum = 0;
  for (int64_t i = o->batch ? 0 : n; i < (o->batch ? samples : n + 1); i++)
    sum += (double)sums[(i * classes + c) * SUMS + s];
  return sum;
}

static void forward(const Call *call) {
  const VoxelLossOptions *o = call->options;
  Work w = work_make(call);
  double ce = 0, ratio = 0;
  int64_t groups = o->batch ? 1 : w.samples;
#pragma omp parallel for schedule(static)
  for (int64_t i = 0; i < w.samples * MASK_PARTS; i++)
    part_forward(call, &w, i / MASK_PARTS, (int)(i % MASK_PARTS));
  for (int64_t n = 0; n < w.samples; n++) {
    float *sums = (float *)call->out[OUT_SUMS].data + n * w.classes * SUMS;
    for (int i = 0; i < SUMS * w.classes; i++) sums[i] = (float)part_sum(&w, n, i);
    ce += part_sum(&w, n, SUMS * w.classes);
  }
  for (int64_t n = 0; n < groups; n++)
    for (int c = 1; c < w.classes; c++)
      ratio += (2 * dice_sum(call, n, c, SUM_PT) + o->smooth) /
               (dice_sum(call, n, c, SUM_P) + dice_sum(call, n, c, SUM_T) + o->smooth);
  *(float *)call->out[OUT_CE].data = (float)(ce / (double)(w.samples * w.voxels));
  *(float *)call->out[OUT_DICE].data = (float)(1 - ratio / (double)(groups * (w.classes - 1)));
}

/* Derivative of the Dice loss with respect to p_c: a[c] - t b[c]. */
static void dice_slopes(const Call *call, const Work *w, int64_t n, float *a, float *b) {
  const VoxelLossOptions *o = call->options;
  const float *ddice = call->dout[OUT_DICE].data;
  double groups = o->batch ? 1 : (double)w->samples;
  double scale = ddice ? (double)*ddice / (groups * (w->classes - 1)) : 0;
  for (int c = 1; c < w->classes; c++) {
    double above = 2 * dice_sum(call, n, c, SUM_PT) + o->smooth;
    double below = dice_sum(call, n, c, SUM_P) + dice_sum(call, n, c, SUM_T) + o->smooth;
    a[c] = (float)(scale * above / (below * below));
    b[c] = (float)(scale * 2 / below);
  }
}

/* dx_c = p_c (ce + a_c - mean) - t_c (ce + p_c b_c), mean = sum_c p_c (a_c - t_c b_c). */
static void part_backward(const Call *call, const Work *w, int64_t n, int piece) {
  const int32_t *label = (const int32_t *)call->in[IN_LABELS].data + n * w->voxels;
  const float *logits = (const float *)call->in[IN_LOGITS].data + n * w->voxels * w->classes;
  float *dlogits = (float *)call->din[IN_LOGITS].data + n * w->voxels * w->classes;
  float *rows = thread_rows(w), *p = rows + ROW_P * w->padded;
  float *a = rows + ROW_A * w->padded, *b = rows + ROW_B * w->padded, top;
  const float *dce = call->dout[OUT_CE].data;
  float from_ce = dce ? (float)((double)*dce / (double)(w->samples * w->voxels)) : 0;
  int64_t v, last;
  dice_slopes(call, w, n, a, b);
  for (mask_part(w->voxels, piece, &v, &last); v < last; v++) {
    float mean = 0, *dx = dlogits + v * w->classes;
    row_softmax(row_padded(w, logits + v * w->classes, rows), p, w->padded, &top);
    for (int j = 0; j < w->padded; j += LANES)
#pragma omp simd reduction(+ : mean)
      for (int c = j; c < j + LANES; c++) mean += p[c] * a[c];
    int32_t l = label[v];
    bool known = l >= 0 && l < w->classes;
    float target = known ? from_ce + p[l] * b[l] : 0;
    float shift = known ? from_ce - (mean - p[l] * b[l]) : -mean;
#pragma omp simd
    for (int c = 0; c < w->classes; c++) dx[c] = p[c] * (a[c] + shift);
    if (known) dx[l] -= target;
  }
}

static void backward(const Call *call) {
  Work w = work_make(call);
  if (!call->din[IN_LOGITS].data) return;
#pragma omp parallel for schedule(static)
  for (int64_t i = 0; i < w.samples * MASK_PARTS; i++)
    part_backward(call, &w, i / MASK_PARTS, (int)(i % MASK_PARTS));
}

const Kernel voxel_loss_cpu = {.forward = forward, .backward = backward, .prepare = prepare};
