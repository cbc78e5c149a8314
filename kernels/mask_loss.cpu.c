/* Fast mask_loss: one pass over the logits each way, flat over tiles of 16 voxels (mask_sums.h).
 * Few masks have a given class as their target, so the terms with t are added mask by mask, one
 * number a voxel. */
#include "kernels/cpu/mask_sums.h"
#include "kernels/cpu/simd_math.h"
#include "kernels/options.h"

#include <omp.h>
#include <string.h>

enum { IN_LOGITS, IN_LABELS, IN_ASSIGNMENT };
enum { OUT_BCE, OUT_DICE, OUT_SUMS };
enum { SUM_P, SUM_PT, SUM_T, SUM_KNOWN, SUMS };

/* Sums of one piece of one sample: six arrays (K), of the last only the first is used. */
enum { PART_SOFTPLUS, PART_P, PART_PT, PART_T, PART_X, PART_KNOWN, PART_ARRAYS };

typedef struct Work {
  int64_t samples, voxels;
  int queries;
  bool regions;   /* labels are sets of classes */
  int32_t *first; /* (N, K): a query whose target is this class, -1: none */
  int32_t *next;  /* (N, K): the next such query */
  double *parts;  /* (N, MASK_PARTS, PART_ARRAYS, K) */
  float *threads; /* per thread */
} Work;

static size_t rounded(size_t bytes) {
  return (bytes + 63) / 64 * 64;
}

static Work work_make(const Call *call) {
  const Tensor *x = &call->in[IN_LOGITS];
  const MaskLossOptions *o = call->options;
  Work w = {.samples = x->dim[0], .queries = (int)x->dim[4], .regions = o->regions};
  w.voxels = tensor_rows(x) / w.samples;
  size_t masks = (size_t)(w.samples * w.queries);
  char *at = call->scratch;
  w.first = (int32_t *)(void *)at;
  w.next = w.first + masks;
  w.parts = (double *)(void *)(at += rounded(2 * masks * sizeof(int32_t)));
  at += rounded(masks * MASK_PARTS * PART_ARRAYS * sizeof(double));
  w.threads = (float *)(void *)at;
  return w;
}

static bool prepare(Call *call, Error *error) {
  (void)error;
  const Tensor *x = &call->in[IN_LOGITS];
  size_t masks = (size_t)(x->dim[0] * x->dim[4]);
  call->scratch_bytes =
      rounded(2 * masks * sizeof(int32_t)) +
      rounded(masks * MASK_PARTS * PART_ARRAYS * sizeof(double)) +
      (size_t)omp_get_max_threads() * mask_sums_floats((int)x->dim[4]) * sizeof(float);
  return true;
}

/* Lists of queries by class; returns how many masks are matched, at least 1. */
static double lists_make(const Call *call, const Work *w) {
  const int32_t *assignment = call->in[IN_ASSIGNMENT].data;
  int64_t masks = w->samples * w->queries, matched = 0;
  memset(w->first, -1, (size_t)masks * sizeof *w->first);
  for (int64_t i = masks - 1; i >= 0; i--) {
    if (assignment[i] < 0 || assignment[i] >= w->queries) continue;
    int32_t *list = &w->first[i / w->queries * w->queries + assignment[i]];
    w->next[i] = *list;
    *list = (int32_t)(i % w->queries);
    matched++;
  }
  return matched ? (double)matched : 1;
}

static int tile_voxels(int64_t at, int64_t last) {
  return last - at < MASK_TILE ? (int)(last - at) : MASK_TILE;
}

/* The masks of a sample by class. */
typedef struct Lists {
  const int32_t *first, *next;
  int queries;
} Lists;

static inline Lists lists_of(const Work *w, int64_t n) {
  return (Lists){w->first + n * w->queries, w->next + n * w->queries, w->queries};
}

static inline int list_begin(Lists lists, int32_t class) {
  return class < lists.queries ? lists.first[class] : -1;
}

/* Adds the terms with t of a voxel, whose rows are x and p, for the masks of a class. */
static inline void add_class(Lists lists, int32_t class, const float *x, const float *p,
                             double *sum) {
  int queries = lists.queries;
  for (int q = list_begin(lists, class); q >= 0; q = lists.next[q]) {
    sum[PART_PT * queries + q] += (double)p[q];
    sum[PART_X * queries + q] += (double)x[q];
    sum[PART_T * queries + q] += 1;
  }
}

static inline void add_classes(Lists lists, uint32_t set, const float *x, const float *p,
                               double *sum) {
  for (; set; set &= set - 1) add_class(lists, __builtin_ctz(set), x, p, sum);
}

static void part_forward(const Call *call, const Work *w, int64_t n, int part) {
  int queries = w->queries;
  const int32_t *label = (const int32_t *)call->in[IN_LABELS].data + n * w->voxels;
  const float *x = (const float *)call->in[IN_LOGITS].data + n * w->voxels * queries;
  double *sum = w->parts + (n * MASK_PARTS + part) * PART_ARRAYS * queries;
  float *block = w->threads + (size_t)omp_get_thread_num() * mask_sums_floats(queries);
  MaskSums running = mask_sums_make(block, queries);
  const Lists lists = lists_of(w, n);
  const bool regions = w->regions;
  int64_t at, last;
  memset(sum, 0, PART_ARRAYS * (size_t)queries * sizeof *sum);
  for (mask_part(w->voxels, part, &at, &last); at < last; at += MASK_TILE) {
    MaskTile tile;
    mask_sums_add(&running, &tile, x + at * queries, label + at, tile_voxels(at, last));
    sum[PART_KNOWN * queries] += tile.voxels;
    for (int v = 0; v < tile.voxels; v++) {
      const float *row = tile.x + v * queries, *p = running.p + v * queries;
      if (regions)
        add_classes(lists, (uint32_t)tile.label[v], row, p, sum);
      else
        add_class(lists, tile.label[v], row, p, sum);
    }
    if (mask_sums_full(&running))
      mask_sums_flush(&running, sum + PART_SOFTPLUS * queries, sum + PART_P * queries);
  }
  mask_sums_flush(&running, sum + PART_SOFTPLUS * queries, sum + PART_P * queries);
}

/* Sum `array` of mask i = n K + q over the sample's pieces, in order. */
static double part_sum(const Work *w, int64_t i, int array) {
  double sum = 0;
  for (int part = 0; part < MASK_PARTS; part++)
    sum += w->parts[((i / w->queries * MASK_PARTS + part) * PART_ARRAYS + array) * w->queries +
                    i % w->queries];
  return sum;
}

static void forward(const Call *call) {
  Work w = work_make(call);
  double matched = lists_make(call, &w), bce = 0, dice = 0;
  const int32_t *assignment = call->in[IN_ASSIGNMENT].data;
#pragma omp parallel for schedule(static)
  for (int64_t i = 0; i < w.samples * MASK_PARTS; i++)
    part_forward(call, &w, i / MASK_PARTS, (int)(i % MASK_PARTS));
  for (int64_t i = 0; i < w.samples * w.queries; i++) {
    double p = part_sum(&w, i, PART_P), pt = part_sum(&w, i, PART_PT), t = part_sum(&w, i, PART_T);
    double known = part_sum(&w, i / w.queries * w.queries, PART_KNOWN);
    bool counts = assignment[i] >= 0;
    float *kept = (float *)call->out[OUT_SUMS].data + i * SUMS;
    kept[SUM_P] = counts ? (float)p : 0;
    kept[SUM_PT] = counts ? (float)pt : 0;
    kept[SUM_T] = counts ? (float)t : 0;
    kept[SUM_KNOWN] = counts ? (float)known : 0;
    if (!counts) continue;
    bce += (part_sum(&w, i, PART_SOFTPLUS) - part_sum(&w, i, PART_X)) / fmax(known, 1);
    dice += 1 - (2 * pt + 1) / (p + t + 1);
  }
  *(float *)call->out[OUT_BCE].data = (float)(bce / matched);
  *(float *)call->out[OUT_DICE].data = (float)(dice / matched);
}

/* dx = a p + b p (1 - p) - t (a + c p (1 - p)); a, b repeated for the voxels of a tile. */
typedef struct Slopes {
  float *a, *b, *p; /* (MASK_TILE, K) */
  float *c;         /* (K) */
} Slopes;

static Slopes slopes_make(const Call *call, const Work *w, int64_t n, double matched) {
  int queries = w->queries;
  size_t tile = (size_t)MASK_TILE * (size_t)queries;
  Slopes s = {.a = w->threads + (size_t)omp_get_thread_num() * mask_sums_floats(queries)};
  s.b = s.a + tile;
  s.p = s.b + tile;
  s.c = s.p + tile;
  const float *dbce = call->dout[OUT_BCE].data, *ddice = call->dout[OUT_DICE].data;
  for (int q = 0; q < queries; q++) {
    const float *sums = (const float *)call->out[OUT_SUMS].data + (n * queries + q) * SUMS;
    double below = (double)sums[SUM_P] + (double)sums[SUM_T] + 1;
    double scale = ddice ? (double)*ddice / matched : 0;
    bool counts = ((const int32_t *)call->in[IN_ASSIGNMENT].data)[n * queries + q] >= 0;
    double a = dbce ? (double)*dbce / (matched * fmax((double)sums[SUM_KNOWN], 1)) : 0;
    s.a[q] = counts ? (float)a : 0;
    s.b[q] = counts ? (float)(scale * (2 * (double)sums[SUM_PT] + 1) / (below * below)) : 0;
    s.c[q] = (float)(scale * 2 / below);
  }
  for (size_t i = (size_t)queries; i < tile; i++) {
    s.a[i] = s.a[i - (size_t)queries];
    s.b[i] = s.b[i - (size_t)queries];
  }
  return s;
}

static void tile_backward(const Slopes *s, const float *restrict x, float *restrict dx, int count) {
  const float *restrict a = s->a, *restrict b = s->b;
  float *restrict kept = s->p;
#pragma omp simd
  for (int i = 0; i < count; i++) {
    float e = simd_exp(-fabsf(x[i])), r = 1.f / (1.f + e);
    float p = x[i] < 0.f ? e * r : r, slope = e * r * r; /* p (1 - p) without cancellation */
    dx[i] = a[i] * p + b[i] * slope;
    kept[i] = slope;
  }
}

/* Takes the terms with t of a voxel off its gradients, for the masks of a class. */
static inline void take_class(Lists lists, int32_t class, const Slopes *s, const float *p,
                              float *dx) {
  for (int q = list_begin(lists, class); q >= 0; q = lists.next[q])
    dx[q] -= s->a[q] + s->c[q] * p[q];
}

static inline void take_classes(Lists lists, uint32_t set, const Slopes *s, const float *p,
                                float *dx) {
  for (; set; set &= set - 1) take_class(lists, __builtin_ctz(set), s, p, dx);
}

static void part_backward(const Call *call, const Work *w, int64_t n, int part, double matched) {
  int queries = w->queries;
  const int32_t *label = (const int32_t *)call->in[IN_LABELS].data + n * w->voxels;
  const float *x = (const float *)call->in[IN_LOGITS].data + n * w->voxels * queries;
  float *dx = (float *)call->din[IN_LOGITS].data + n * w->voxels * queries;
  const Lists lists = lists_of(w, n);
  const bool regions = w->regions;
  Slopes s = slopes_make(call, w, n, matched);
  int64_t at, last;
  for (mask_part(w->voxels, part, &at, &last); at < last; at += MASK_TILE) {
    int voxels = tile_voxels(at, last);
    tile_backward(&s, x + at * queries, dx + at * queries, voxels * queries);
    for (int v = 0; v < voxels; v++) {
      int32_t l = label[at + v];
      float *row = dx + (at + v) * queries;
      const float *p = s.p + v * queries;
      if (l < 0)
        memset(row, 0, (size_t)queries * sizeof *row);
      else if (regions)
        take_classes(lists, (uint32_t)l, &s, p, row);
      else
        take_class(lists, l, &s, p, row);
    }
  }
}

static void backward(const Call *call) {
  Work w = work_make(call);
  double matched = lists_make(call, &w);
  if (!call->din[IN_LOGITS].data) return;
#pragma omp parallel for schedule(static)
  for (int64_t i = 0; i < w.samples * MASK_PARTS; i++)
    part_backward(call, &w, i / MASK_PARTS, (int)(i % MASK_PARTS), matched);
}

const Kernel mask_loss_cpu = {
    .forward = forward, .backward = backward, .prepare = prepare, .float_only = true};
