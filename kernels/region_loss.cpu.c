/* Fast region_loss: one pass over the logits each way, flat over tiles of 16 voxels (mask_sums.h);
 * the terms with t are added for the regions that a voxel is of. */
#include "kernels/cpu/dice_sums.h"
#include "kernels/cpu/mask_sums.h"
#include "kernels/cpu/simd_math.h"
#include "kernels/options.h"

#include <omp.h>
#include <string.h>

enum { IN_LOGITS, IN_LABELS };
enum { OUT_BCE, OUT_DICE, OUT_SUMS };
enum { SUM_KNOWN = SUM_T + 1, SUMS };

/* Sums of one piece of one sample: arrays (C), of the last only the first is used. */
enum { PART_SOFTPLUS, PART_P, PART_PT, PART_T, PART_X, PART_KNOWN, PART_ARRAYS };

typedef struct Work {
  int64_t samples, voxels;
  int regions;
  double *parts;  /* (N, MASK_PARTS, PART_ARRAYS, C) */
  float *threads; /* per thread */
} Work;

static Work work_make(const Call *call) {
  const Tensor *x = &call->in[IN_LOGITS];
  Work w = {.samples = x->dim[0], .regions = (int)x->dim[4], .parts = call->scratch};
  w.voxels = tensor_rows(x) / w.samples;
  size_t doubles = (size_t)(w.samples * w.regions) * MASK_PARTS * PART_ARRAYS;
  w.threads = (float *)(void *)(w.parts + (doubles + 7) / 8 * 8);
  return w;
}

static bool prepare(Call *call, Error *error) {
  (void)error;
  Work w = work_make(call);
  call->scratch_bytes = (size_t)((char *)w.threads - (char *)w.parts) +
                        (size_t)omp_get_max_threads() * mask_sums_floats(w.regions) * sizeof(float);
  return true;
}

static int tile_voxels(int64_t at, int64_t last) {
  return last - at < MASK_TILE ? (int)(last - at) : MASK_TILE;
}

static void part_forward(const Call *call, const Work *w, int64_t n, int part) {
  int regions = w->regions;
  const int32_t *label = (const int32_t *)call->in[IN_LABELS].data + n * w->voxels;
  const float *x = (const float *)call->in[IN_LOGITS].data + n * w->voxels * regions;
  double *sum = w->parts + (n * MASK_PARTS + part) * PART_ARRAYS * regions;
  float *block = w->threads + (size_t)omp_get_thread_num() * mask_sums_floats(regions);
  MaskSums running = mask_sums_make(block, regions);
  int64_t at, last;
  memset(sum, 0, PART_ARRAYS * (size_t)regions * sizeof *sum);
  for (mask_part(w->voxels, part, &at, &last); at < last; at += MASK_TILE) {
    MaskTile tile;
    mask_sums_add(&running, &tile, x + at * regions, label + at, tile_voxels(at, last));
    sum[PART_KNOWN * regions] += tile.voxels;
    for (int v = 0; v < tile.voxels; v++)
      for (uint32_t left = (uint32_t)tile.label[v]; left; left &= left - 1) {
        int c = __builtin_ctz(left);
        if (c >= regions) break;
        sum[PART_PT * regions + c] += (double)running.p[v * regions + c];
        sum[PART_X * regions + c] += (double)tile.x[v * regions + c];
        sum[PART_T * regions + c] += 1;
      }
    if (mask_sums_full(&running))
      mask_sums_flush(&running, sum + PART_SOFTPLUS * regions, sum + PART_P * regions);
  }
  mask_sums_flush(&running, sum + PART_SOFTPLUS * regions, sum + PART_P * regions);
}

/* Sum `array` of region c of sample n over the sample's pieces, in order. */
static double part_sum(const Work *w, int64_t n, int c, int array) {
  double sum = 0;
  for (int part = 0; part < MASK_PARTS; part++)
    sum += w->parts[((n * MASK_PARTS + part) * PART_ARRAYS + array) * w->regions + c];
  return sum;
}

/* Voxels times regions, at least 1. */
static double known_values(const Call *call) {
  const float *sums = call->out[OUT_SUMS].data;
  double known = 0;
  for (int64_t i = 0; i < tensor_rows(&call->out[OUT_SUMS]); i++)
    known += (double)sums[i * SUMS + SUM_KNOWN];
  return fmax(known, 1);
}

static void forward(const Call *call) {
  const RegionLossOptions *o = call->options;
  Work w = work_make(call);
  double bce = 0;
#pragma omp parallel for schedule(static)
  for (int64_t i = 0; i < w.samples * MASK_PARTS; i++)
    part_forward(call, &w, i / MASK_PARTS, (int)(i % MASK_PARTS));
  for (int64_t i = 0; i < w.samples * w.regions; i++) {
    int64_t n = i / w.regions;
    int c = (int)(i % w.regions);
    float *kept = (float *)call->out[OUT_SUMS].data + i * SUMS;
    kept[SUM_P] = (float)part_sum(&w, n, c, PART_P);
    kept[SUM_PT] = (float)part_sum(&w, n, c, PART_PT);
    kept[SUM_T] = (float)part_sum(&w, n, c, PART_T);
    kept[SUM_KNOWN] = (float)part_sum(&w, n, 0, PART_KNOWN);
    bce += part_sum(&w, n, c, PART_SOFTPLUS) - part_sum(&w, n, c, PART_X);
  }
  *(float *)call->out[OUT_BCE].data = (float)(bce / known_values(call));
  *(float *)call->out[OUT_DICE].data =
      (float)dice_loss(&call->out[OUT_SUMS], o->batch, o->smooth, 0);
}

/* dx = a p + b p (1 - p) - t (a + c p (1 - p)); b repeated for the voxels of a tile. */
typedef struct Slopes {
  float a, *b, *p; /* (MASK_TILE, C) */
  float *c;        /* (C) */
} Slopes;

static Slopes slopes_make(const Call *call, const Work *w, int64_t n) {
  const RegionLossOptions *o = call->options;
  size_t regions = (size_t)w->regions, tile = MASK_TILE * regions;
  const float *dbce = call->dout[OUT_BCE].data, *ddice = call->dout[OUT_DICE].data;
  double groups = o->batch ? 1 : (double)w->samples;
  double scale = ddice ? (double)*ddice / (groups * w->regions) : 0;
  Slopes s = {.a = dbce ? (float)((double)*dbce / known_values(call)) : 0};
  s.b = w->threads + (size_t)omp_get_thread_num() * mask_sums_floats(w->regions);
  s.p = s.b + tile;
  s.c = s.p + tile;
  for (int c = 0; c < w->regions; c++) {
    DiceRatio r = dice_ratio(&call->out[OUT_SUMS], o->batch, o->smooth, n, c);
    s.b[c] = (float)(scale * r.above / (r.below * r.below));
    s.c[c] = (float)(scale * 2 / r.below);
  }
  for (size_t i = regions; i < tile; i++) s.b[i] = s.b[i - regions];
  return s;
}

static void tile_backward(const Slopes *s, const float *restrict x, float *restrict dx, int count) {
  const float *restrict b = s->b;
  float *restrict kept = s->p, a = s->a;
#pragma omp simd
  for (int i = 0; i < count; i++) {
    float e = simd_exp(-fabsf(x[i])), r = 1.f / (1.f + e);
    float p = x[i] < 0.f ? e * r : r, slope = e * r * r; /* p (1 - p) without cancellation */
    dx[i] = a * p + b[i] * slope;
    kept[i] = slope;
  }
}

static void part_backward(const Call *call, const Work *w, int64_t n, int part) {
  int regions = w->regions;
  const int32_t *label = (const int32_t *)call->in[IN_LABELS].data + n * w->voxels;
  const float *x = (const float *)call->in[IN_LOGITS].data + n * w->voxels * regions;
  float *dx = (float *)call->din[IN_LOGITS].data + n * w->voxels * regions;
  Slopes s = slopes_make(call, w, n);
  int64_t at, last;
  for (mask_part(w->voxels, part, &at, &last); at < last; at += MASK_TILE) {
    int voxels = tile_voxels(at, last);
    tile_backward(&s, x + at * regions, dx + at * regions, voxels * regions);
    for (int v = 0; v < voxels; v++) {
      float *row = dx + (at + v) * regions;
      if (label[at + v] < 0) memset(row, 0, (size_t)regions * sizeof *row);
      for (uint32_t left = label[at + v] < 0 ? 0 : (uint32_t)label[at + v]; left;
           left &= left - 1) {
        int c = __builtin_ctz(left);
        if (c >= regions) break;
        row[c] -= s.a + s.c[c] * s.p[v * regions + c];
      }
    }
  }
}

static void backward(const Call *call) {
  Work w = work_make(call);
  if (!call->din[IN_LOGITS].data) return;
#pragma omp parallel for schedule(static)
  for (int64_t i = 0; i < w.samples * MASK_PARTS; i++)
    part_backward(call, &w, i / MASK_PARTS, (int)(i % MASK_PARTS));
}

const Kernel region_loss_cpu = {
    .forward = forward, .backward = backward, .prepare = prepare, .float_only = true};
