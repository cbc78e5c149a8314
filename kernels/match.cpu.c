/* Fast match: the sums over voxels in one pass, flat over tiles of 16 voxels (mask_sums.h); each
 * voxel's rows of x and p are added to those of its class or classes. The assignment itself is
 * matching.c's. */
#include "kernels/cpu/mask_sums.h"
#include "kernels/cpu/matching.h"
#include "kernels/cpu/simd.h"

#include <math.h>
#include <omp.h>
#include <string.h>

typedef struct Work {
  MatchSizes sizes;
  int64_t samples, voxels;
  int queries, classes;
  size_t part_doubles, thread_floats;
  char *matching; /* one group's block */
  double *parts;  /* (kinds, N, MASK_PARTS, part_doubles): sums in the order of MatchSums */
  float *threads; /* per thread: MaskSums; (classes, K) sums of x; the same of p */
} Work;

static Work work_make(const Call *call) {
  Work w = {.sizes = match_sizes(call), .samples = call->in[MATCH_IN_CLASS].dim[0]};
  w.queries = w.sizes.queries;
  w.classes = w.sizes.classes;
  w.voxels = (int64_t)w.sizes.depth * w.sizes.height * w.sizes.width;
  w.part_doubles = matching_sums(w.queries, w.classes);
  size_t pairs = (size_t)w.classes * (size_t)w.queries;
  w.thread_floats = mask_sums_floats(w.queries) + (2 * pairs + 15) / 16 * 16;
  w.matching = call->scratch;
  return w;
}

static size_t rounded(size_t bytes) {
  return (bytes + 63) / 64 * 64;
}

static size_t parts_bytes(const Work *w) {
  size_t all = (size_t)w->sizes.kinds * (size_t)w->samples * MASK_PARTS;
  return rounded(all * w->part_doubles * sizeof(double));
}

static bool prepare(Call *call, Error *error) {
  (void)error;
  Work w = work_make(call);
  call->scratch_bytes = rounded(matching_bytes(&w.sizes)) + parts_bytes(&w) +
                        (size_t)omp_get_max_threads() * w.thread_floats * sizeof(float);
  return true;
}

static double *part_sums(const Work *w, int kind, int64_t n, int part) {
  return w->parts + (size_t)((kind * w->samples + n) * MASK_PARTS + part) * w->part_doubles;
}

static void add_row(float *sum, const float *row, int count) {
  int i = 0;
  for (; i + VEC <= count; i += VEC) vec_store(sum + i, vec_load(sum + i) + vec_load(row + i));
  if (i == count) return;
  Vec rest = vec_load_part(sum + i, count - i) + vec_load_part(row + i, count - i);
  vec_store_part(sum + i, rest, count - i);
}

/* Adds the thread's sums to the piece's, and starts them afresh. */
static void flush(const Work *w, MaskSums *running, float *by_label, double *part) {
  size_t pairs = 2 * (size_t)w->classes * (size_t)w->queries;
  double *label = part + 2 * w->queries;
  mask_sums_flush(running, part, part + w->queries);
  for (size_t i = 0; i < pairs; i++) label[i] += (double)by_label[i];
  memset(by_label, 0, pairs * sizeof *by_label);
}

/* label_sums: (2, classes, K), sums of x, then of p. */
static inline void add_class(const Work *w, int32_t c, const float *x, const float *p,
                             double *count, float *label_sums) {
  if (c >= w->classes) return;
  count[c]++;
  add_row(label_sums + c * w->queries, x, w->queries);
  add_row(label_sums + (w->classes + c) * w->queries, p, w->queries);
}

static void sum_part(const Call *call, const Work *w, int kind, int64_t n, int part) {
  int queries = w->queries, pairs = w->classes * queries;
  const Tensor *logits = &call->in[kind ? MATCH_IN_AUX : MATCH_IN_MASK];
  const int32_t *label = (const int32_t *)call->in[MATCH_IN_LABELS].data + n * w->voxels;
  const float *x = (const float *)logits->data + n * w->voxels * queries;
  float *block = w->threads + (size_t)omp_get_thread_num() * w->thread_floats;
  float *label_sums = block + mask_sums_floats(queries);
  double *sums = part_sums(w, kind, n, part);
  double *count = sums + 2 * queries + 2 * pairs, *known = count + w->classes;
  MaskSums running = mask_sums_make(block, queries);
  const bool regions = w->sizes.regions;
  int64_t at, last;
  memset(sums, 0, w->part_doubles * sizeof *sums);
  memset(label_sums, 0, 2 * (size_t)pairs * sizeof *label_sums);
  for (mask_part(w->voxels, part, &at, &last); at < last; at += MASK_TILE) {
    MaskTile tile;
    mask_sums_add(&running, &tile, x + at * queries, label + at,
                  last - at < MASK_TILE ? (int)(last - at) : MASK_TILE);
    *known += tile.voxels;
    for (int v = 0; v < tile.voxels; v++) {
      const float *row = tile.x + v * queries, *p = running.p + v * queries;
      if (!regions) add_class(w, tile.label[v], row, p, count, label_sums);
      for (uint32_t set = regions ? (uint32_t)tile.label[v] : 0; set; set &= set - 1)
        add_class(w, __builtin_ctz(set), row, p, count, label_sums);
    }
    if (mask_sums_full(&running)) flush(w, &running, label_sums, sums);
  }
  flush(w, &running, label_sums, sums);
}

static void class_probabilities(const Matching *m, const float *logits) {
  int classes = m->sizes.classes;
  for (int q = 0; q < m->sizes.queries; q++, logits += classes + 1) {
    double top = (double)logits[0], sum = 0;
    for (int c = 1; c <= classes; c++) top = fmax(top, (double)logits[c]);
    for (int c = 0; c <= classes; c++) sum += exp((double)logits[c] - top);
    for (int c = 0; c < classes; c++)
      m->probability[q * classes + c] = exp((double)logits[c] - top) / sum;
  }
}

/* Sample n, one of matching's group. */
static void add_sample(const Call *call, const Work *w, const Matching *m, int64_t n) {
  matching_clear(m);
  for (int kind = 0; kind < w->sizes.kinds; kind++)
    for (int part = 0; part < MASK_PARTS; part++) {
      const double *from = part_sums(w, kind, n, part);
      for (size_t i = 0; i < w->part_doubles; i++) m->sums[kind].softplus[i] += from[i];
    }
  class_probabilities(m, (const float *)call->in[MATCH_IN_CLASS].data +
                             n * w->queries * (w->classes + 1));
  for (int i = 0; w->sizes.boxes && i < w->queries * 4; i++)
    m->box[i] = (double)((const float *)call->in[MATCH_IN_BOXES].data)[n * w->queries * 4 + i];
  matching_add(m, call->options, (int)(n % w->sizes.group),
               (const int32_t *)call->in[MATCH_IN_LABELS].data + n * w->voxels);
}

static void forward(const Call *call) {
  Work w = work_make(call);
  w.parts = (double *)(void *)(w.matching + rounded(matching_bytes(&w.sizes)));
  w.threads = (float *)(void *)((char *)w.parts + parts_bytes(&w));
  int64_t parts = w.samples * MASK_PARTS;
#pragma omp parallel for schedule(static)
  for (int64_t i = 0; i < w.sizes.kinds * parts; i++)
    sum_part(call, &w, (int)(i / parts), i % parts / MASK_PARTS, (int)(i % MASK_PARTS));
  for (int64_t n = 0; n < w.samples; n += w.sizes.group) {
    Matching matching = matching_make(w.matching, &w.sizes);
    for (int i = 0; i < w.sizes.group; i++) add_sample(call, &w, &matching, n + i);
    matching_solve(&matching, call->options, (int32_t *)call->out[0].data + n * w.queries);
  }
}

const Kernel match_cpu = {.forward = forward, .prepare = prepare, .float_only = true};
