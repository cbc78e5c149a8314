/* Fast voxel_loss: one pass over the logits each way, by tiles of voxels (softmax_tile.h). Backward
 * takes the exponentials again: they cost less than p would to store and to read. */
#include "kernels/cpu/dice_sums.h"
#include "kernels/cpu/mask_sums.h"
#include "kernels/cpu/softmax_tile.h"
#include "kernels/options.h"

#include <float.h>
#include <omp.h>
#include <string.h>

enum { IN_LOGITS, IN_LABELS };
enum { OUT_CE, OUT_DICE, OUT_SUMS };
enum { SUMS = SUM_T + 1 };

typedef struct Work {
  int64_t samples, voxels;
  int classes;
  double *parts;  /* (N, MASK_PARTS, SUMS C + 1): sums by class, then the cross-entropy */
  float *threads; /* per thread: a tile, and two numbers a class */
} Work;

static size_t part_doubles(const Work *w) {
  return SUMS * (size_t)w->classes + 1;
}

static size_t thread_floats(const Work *w) {
  return (TILE + 2) * (size_t)w->classes;
}

static Work work_make(const Call *call) {
  const Tensor *x = &call->in[IN_LOGITS];
  Work w = {.samples = x->dim[0], .classes = (int)x->dim[4], .parts = call->scratch};
  w.voxels = tensor_rows(x) / w.samples;
  w.threads = (float *)(w.parts + (size_t)w.samples * MASK_PARTS * part_doubles(&w));
  return w;
}

static bool prepare(Call *call, Error *error) {
  (void)error;
  Work w = work_make(call);
  call->scratch_bytes = (size_t)w.samples * MASK_PARTS * part_doubles(&w) * sizeof(double) +
                        (size_t)omp_get_max_threads() * thread_floats(&w) * sizeof(float);
  return true;
}

static float *thread_tile(const Work *w) {
  return w->threads + (size_t)omp_get_thread_num() * thread_floats(w);
}

/* Some voxels of a sample: logits, and a label for each lane, -1 for none. */
typedef struct Voxels {
  const float *x;
  int count;
  int32_t label[TILE];
} Voxels;

static void voxels_read(const Call *call, const Work *w, int64_t first, int64_t last, Voxels *v) {
  v->x = (const float *)call->in[IN_LOGITS].data + first * w->classes;
  v->count = last - first < TILE ? (int)(last - first) : TILE;
  memset(v->label, -1, sizeof v->label);
  memcpy(v->label, (const int32_t *)call->in[IN_LABELS].data + first,
         (size_t)v->count * sizeof *v->label);
  for (int i = 0; i < TILE; i++)
    if (v->label[i] >= w->classes) v->label[i] = -1;
}

/* At least 1. Every known voxel is a target of one class. */
static double known_voxels(const Call *call) {
  const float *sums = call->out[OUT_SUMS].data;
  double known = 0;
  for (int64_t i = 0; i < tensor_rows(&call->out[OUT_SUMS]); i++)
    known += (double)sums[i * SUMS + SUM_T];
  return known > 0 ? known : 1;
}

/* Adds the sums of p, p t and t of a class; e: its e^(x - top), scale: 1 / their sum, or 0. */
static inline void class_sums(const float *restrict e, const float *restrict scale,
                              const int32_t *restrict label, int32_t class, double sums[SUMS]) {
  float p_sum = 0, pt_sum = 0;
  int t_sum = 0;
#pragma omp simd reduction(+ : p_sum, pt_sum, t_sum)
  for (int v = 0; v < TILE; v++) {
    float p = e[v] * scale[v];
    bool t = label[v] == class;
    p_sum += p;
    pt_sum += t ? p : 0;
    t_sum += t;
  }
  sums[SUM_P] += (double)p_sum;
  sums[SUM_PT] += (double)pt_sum;
  sums[SUM_T] += t_sum;
}

/* The logits of the labels, from a tile of logits. */
static inline void own_logits(const float *restrict tile, const int32_t *restrict label,
                              float *restrict own) {
#pragma omp simd
  for (int v = 0; v < TILE; v++) own[v] = tile[(label[v] < 0 ? 0 : label[v]) * TILE + v];
}

/* Sum over the voxels of log sum e^x - x of the label. */
static inline float cross_entropy(const int32_t *restrict label, const float *restrict own,
                                  const float *restrict top, const float *restrict sum) {
  float total = 0;
#pragma omp simd reduction(+ : total)
  for (int v = 0; v < TILE; v++) {
    float loss = simd_log(sum[v]) + (top[v] - own[v]), counts = label[v] < 0 ? 0.f : 1.f;
    total += counts * loss;
  }
  return total;
}

/* ---- binary: each class against the rest ----------------------------------------------------- */

/* No more than one class of a voxel is above it, whatever is rounded; its 1 - p is made of the
 * others. */
static const float LARGE = .75f;

/* e becomes p; of each voxel the sum of those that are not large. */
static inline void tile_probabilities(float *restrict tile, int classes, const float *restrict sum,
                                      float *restrict small) {
  float scale[TILE];
#pragma omp simd
  for (int v = 0; v < TILE; v++) scale[v] = 1.f / sum[v], small[v] = 0;
  for (int c = 0; c < classes; c++)
#pragma omp simd
    for (int v = 0; v < TILE; v++) {
      float p = tile[c * TILE + v] * scale[v];
      tile[c * TILE + v] = p;
      small[v] += p > LARGE ? 0.f : p;
    }
}

/* 1 - p out of p and the small classes' share. */
SIMD_INLINE float others_of(float p, float small) {
  float q = p > LARGE ? small : 1.f - p;
  return q > FLT_MIN ? q : FLT_MIN;
}

/* -log(1 - p), to a float's own precision for small p, too. */
SIMD_INLINE float others_loss(float p, float small) {
  float q = others_of(p, small), step = 1.f - q;
  float exact = -simd_log(q) * (p / (step > 0.f ? step : 1.f));
  return p > LARGE ? -simd_log(q) : step > 0.f ? exact : p;
}

/* Sum over the voxels of -log(1 - p) of all classes but the label's; e in the tile becomes p. */
static inline float others_entropy(float *restrict tile, int classes, const int32_t *restrict label,
                                   const float *restrict sum) {
  float small[TILE], loss[TILE], total = 0;
  tile_probabilities(tile, classes, sum, small);
#pragma omp simd
  for (int v = 0; v < TILE; v++) loss[v] = 0;
  for (int c = 0; c < classes; c++)
#pragma omp simd
    for (int v = 0; v < TILE; v++) {
      float l = others_loss(tile[c * TILE + v], small[v]);
      loss[v] += label[v] == c ? 0.f : l;
    }
#pragma omp simd reduction(+ : total)
  for (int v = 0; v < TILE; v++) total += label[v] < 0 ? 0.f : loss[v];
  return total;
}

static void part_forward(const Call *call, const Work *w, int64_t n, int piece) {
  double *part = w->parts + (size_t)(n * MASK_PARTS + piece) * part_doubles(w);
  bool binary = ((const VoxelLossOptions *)call->options)->binary;
  float *tile = thread_tile(w);
  int64_t at, last;
  memset(part, 0, part_doubles(w) * sizeof *part);
  for (mask_part(w->voxels, piece, &at, &last); at < last; at += TILE) {
    Voxels voxels;
    float own[TILE], top[TILE], sum[TILE], scale[TILE];
    voxels_read(call, w, n * w->voxels + at, n * w->voxels + last, &voxels);
    tile_load(tile, voxels.x, voxels.count, w->classes);
    own_logits(tile, voxels.label, own);
    tile_exp(tile, w->classes, top, sum);
    for (int v = 0; v < TILE; v++) scale[v] = voxels.label[v] < 0 ? 0.f : 1.f / sum[v];
    for (int c = 0; c < w->classes; c++)
      class_sums(tile + c * TILE, scale, voxels.label, c, part + c * SUMS);
    double ce = (double)cross_entropy(voxels.label, own, top, sum);
    if (binary)
      ce = (ce + (double)others_entropy(tile, w->classes, voxels.label, sum)) / w->classes;
    part[SUMS * w->classes] += ce;
  }
}

/* Entry `entry` of sample n, summed over its pieces in order. */
static double part_sum(const Work *w, int64_t n, int entry) {
  double sum = 0;
  for (int piece = 0; piece < MASK_PARTS; piece++)
    sum += w->parts[(size_t)(n * MASK_PARTS + piece) * part_doubles(w) + (size_t)entry];
  return sum;
}

static void forward(const Call *call) {
  const VoxelLossOptions *o = call->options;
  Work w = work_make(call);
  double ce = 0;
#pragma omp parallel for schedule(static)
  for (int64_t i = 0; i < w.samples * MASK_PARTS; i++)
    part_forward(call, &w, i / MASK_PARTS, (int)(i % MASK_PARTS));
  for (int64_t n = 0; n < w.samples; n++) {
    float *sums = (float *)call->out[OUT_SUMS].data + n * w.classes * SUMS;
    for (int i = 0; i < SUMS * w.classes; i++) sums[i] = (float)part_sum(&w, n, i);
    ce += part_sum(&w, n, SUMS * w.classes);
  }
  *(float *)call->out[OUT_CE].data = (float)(ce / known_voxels(call));
  *(float *)call->out[OUT_DICE].data =
      (float)dice_loss(&call->out[OUT_SUMS], o->batch, o->smooth, 1);
}

/* Derivative of the Dice loss with respect to p_c: a[c] - t b[c]. */
static void dice_slopes(const Call *call, const Work *w, int64_t n, float *a, float *b) {
  const VoxelLossOptions *o = call->options;
  const float *ddice = call->dout[OUT_DICE].data;
  double groups = o->batch ? 1 : (double)w->samples;
  double scale = ddice ? (double)*ddice / (groups * (w->classes - 1)) : 0;
  a[0] = b[0] = 0;
  for (int c = 1; c < w->classes; c++) {
    DiceRatio r = dice_ratio(&call->out[OUT_SUMS], o->batch, o->smooth, n, c);
    a[c] = (float)(scale * r.above / (r.below * r.below));
    b[c] = (float)(scale * 2 / r.below);
  }
}

/* p_c in the tile becomes dx_c = p_c (ce + a_c - mean) - t_c (ce + p_c b_c), with
 * mean = sum_c p_c (a_c - t_c b_c). Without a label ce, all p and t are 0. */
static inline void tile_backward(float *restrict tile, const float *restrict sum,
                                 const int32_t *restrict label, int classes, const float *a,
                                 const float *b, float ce) {
  float scale[TILE], shift[TILE];
#pragma omp simd
  for (int v = 0; v < TILE; v++) {
    scale[v] = (label[v] < 0 ? 0.f : 1.f) / sum[v];
    shift[v] = label[v] < 0 ? 0.f : ce;
  }
  for (int c = 0; c < classes; c++) {
    float slope = a[c], with_t = a[c] - b[c], *restrict p = tile + c * TILE;
#pragma omp simd
    for (int v = 0; v < TILE; v++) {
      p[v] *= scale[v];
      shift[v] -= p[v] * (label[v] == c ? with_t : slope);
    }
  }
  for (int c = 0; c < classes; c++) {
    float slope = a[c], with_t = b[c], *restrict p = tile + c * TILE;
#pragma omp simd
    for (int v = 0; v < TILE; v++) {
      float target = label[v] == c ? ce + p[v] * with_t : 0.f;
      p[v] = p[v] * (slope + shift[v]) - target;
    }
  }
}

/* tile_backward for binary. With g_c, -1 of the label and p / (1 - p) of others, the cross-entropy
 * gives g_k - p_k sum g: for a large class only by what the others have, since its g may be
 * huge. ce: per class. */
static inline void binary_backward(float *restrict tile, const float *restrict sum,
                                   const int32_t *restrict label, int classes, const float *a,
                                   const float *b, float ce) {
  float small[TILE], large[TILE], rest[TILE], mean[TILE];
  tile_probabilities(tile, classes, sum, small);
#pragma omp simd
  for (int v = 0; v < TILE; v++) large[v] = rest[v] = mean[v] = 0;
  for (int c = 0; c < classes; c++) {
    float *restrict p = tile + c * TILE;
#pragma omp simd
    for (int v = 0; v < TILE; v++) {
      bool target = label[v] == c;
      float g = target ? -1.f : p[v] / others_of(p[v], small[v]);
      large[v] += p[v] > LARGE ? g : 0.f;
      rest[v] += p[v] > LARGE ? 0.f : g;
      mean[v] += p[v] * (a[c] - (target ? b[c] : 0.f));
    }
  }
  for (int c = 0; c < classes; c++) {
    float *restrict p = tile + c * TILE;
#pragma omp simd
    for (int v = 0; v < TILE; v++) {
      bool target = label[v] == c;
      float q = others_of(p[v], small[v]), g = target ? -1.f : p[v] / q;
      float from_others = p[v] > LARGE ? rest[v] : large[v] + (rest[v] - g);
      float slope = ce * ((target ? -q : p[v]) - p[v] * from_others) +
                    p[v] * (a[c] - (target ? b[c] : 0.f) - mean[v]);
      p[v] = label[v] < 0 ? 0.f : slope;
    }
  }
}

static void part_backward(const Call *call, const Work *w, int64_t n, int piece) {
  float *dx = call->din[IN_LOGITS].data, *tile = thread_tile(w);
  float *a = tile + TILE * (size_t)w->classes, *b = a + w->classes;
  const float *dce = call->dout[OUT_CE].data;
  bool binary = ((const VoxelLossOptions *)call->options)->binary;
  float ce = dce ? (float)((double)*dce / known_voxels(call)) : 0;
  int64_t at, last;
  dice_slopes(call, w, n, a, b);
  for (mask_part(w->voxels, piece, &at, &last); at < last; at += TILE) {
    int64_t first = n * w->voxels + at;
    Voxels voxels;
    float top[TILE], sum[TILE];
    voxels_read(call, w, first, n * w->voxels + last, &voxels);
    tile_load(tile, voxels.x, voxels.count, w->classes);
    tile_exp(tile, w->classes, top, sum);
    if (binary)
      binary_backward(tile, sum, voxels.label, w->classes, a, b, ce / (float)w->classes);
    else
      tile_backward(tile, sum, voxels.label, w->classes, a, b, ce);
    tile_store(tile, dx + first * w->classes, voxels.count, w->classes);
  }
}

static void backward(const Call *call) {
  Work w = work_make(call);
  if (!call->din[IN_LOGITS].data) return;
#pragma omp parallel for schedule(static)
  for (int64_t i = 0; i < w.samples * MASK_PARTS; i++)
    part_backward(call, &w, i / MASK_PARTS, (int)(i % MASK_PARTS));
}

const Kernel voxel_loss_cpu = {
    .forward = forward, .backward = backward, .prepare = prepare, .float_only = true};
