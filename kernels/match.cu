/* Matching on the device, so that a step is one graph: sums over the voxels of each part of a
 * sample, parts added in a fixed order, then one block a sample for costs and assignment.
 *
 * The sums by (class, query) are kept by each thread for its own column in shared memory: no
 * atomics, no two threads in one bank. A column of ones beside the queries counts the voxels of
 * each class, and in place of its sum of p all known ones. The assignment is that of matching.c,
 * in double, each search step by one warp: among equally near columns the lowest wins, as there. */
#include "kernels/cuda/mask_terms.h"
#include "kernels/cuda/partials.h"
#include "kernels/cuda/warp.h"
#include "kernels/plane_box.h"

extern "C" {
#include "kernels/cpu/matching.h"
}

enum { SUM_SOFTPLUS, SUM_P, SUM_LABEL }; /* then (C) sums of x and (C) sums of p by label */
static constexpr int THREADS = 256, AHEAD = 8;
static constexpr size_t SHARED_FREE = 47 << 10, SHARED_MOST = 96 << 10;

namespace {
/* A block's threads cover `tile` columns times `side` voxels at once. */
struct Match {
  int64_t samples, voxels;
  int queries, classes, group, threads, tile, side, parts;
  int width, height; /* of the labels' planes */
  bool regions;      /* labels are sets of classes */
  const int32_t *labels;
};

struct Weights {
  double by_class, bce, dice, aux, l1, giou;
  bool fixed;
};

/* What costs are made of, for all samples; aux and boxes may be NULL. */
struct Terms {
  const float *sums, *aux; /* (N, 2 + 2 C, K + 1) */
  const float *logits;     /* (N, K, C + 1) */
  const float *boxes;      /* (N, K, 4) */
  const int32_t *bounds;   /* (N, C, 4) */
};

/* The search of matching.c in shared memory; columns + 1 of each: the last one is the root. */
struct Search {
  const double *cost;
  int columns;
  double *potential, *distance;
  int *row, *previous, *done;
};
} // namespace

static __host__ __device__ __forceinline__ int sums_width(int queries, int classes) {
  return (SUM_LABEL + 2 * classes) * (queries + 1);
}

/* Whether a voxel's label is, or holds, class c. */
static __device__ __forceinline__ bool is_of(const Match &m, int label, int c) {
  return m.regions ? label >> c & 1 : label == c;
}

/* The sums of a thread's column over voxels row, row + side, ... of its part: by label in `own`,
 * blockDim.x apart. */
template <typename T>
static __device__ __forceinline__ MaskSum column_sums(const Match &m, const T *logits, int column,
                                                      float *own) {
  int64_t n = blockIdx.y, part = blockIdx.x, end = m.voxels * (part + 1) / m.parts;
  const T *x = logits + n * m.voxels * m.queries + column;
  const int32_t *label = m.labels + n * m.voxels;
  MaskSum sum = mask_sum_start();
  int turn = 0;
  for (int64_t first = m.voxels * part / m.parts + (int)threadIdx.x / m.tile; first < end;
       first += AHEAD * m.side) {
    float value[AHEAD];
    int at[AHEAD];
#pragma unroll
    for (int i = 0; i < AHEAD; i++) {
      int64_t v = first + i * m.side;
      at[i] = v < end ? label[v] : -1;
      value[i] = v < end && column < m.queries ? load(x + v * m.queries) : 1;
    }
#pragma unroll
    for (int i = 0; i < AHEAD; i++) {
      if (first + i * m.side >= end) break;
      if (at[i] < 0) continue;
      float p = mask_sum_add(&sum, value[i]);
      int begin = m.regions ? 0 : at[i], past = m.regions ? m.classes : at[i] + 1;
      for (int c = begin; c < past && c < m.classes; c++) {
        if (!is_of(m, at[i], c)) continue;
        own[c * blockDim.x] += value[i];
        own[(m.classes + c) * blockDim.x] += p;
      }
    }
    if (++turn % (MASK_FACTORS / AHEAD) == 0) mask_sum_flush(&sum);
  }
  mask_sum_flush(&sum);
  return sum;
}

/* partial: (N, parts, 2 + 2 C, K + 1). blockIdx.z: a tile of columns. */
template <typename T>
static __global__ void __launch_bounds__(THREADS)
    match_partials(Match m, const T *logits, float *partial) {
  DYNAMIC_SHARED(float, shared); /* (2 + 2 C, threads) */
  int thread = (int)threadIdx.x, threads = (int)blockDim.x, kinds = SUM_LABEL + 2 * m.classes;
  int column = (int)blockIdx.z * m.tile + thread % m.tile;
  bool own = column <= m.queries && thread / m.tile < m.side;
  for (int kind = 0; kind < kinds; kind++) shared[kind * threads + thread] = 0;
  if (own) {
    MaskSum sum = column_sums(m, logits, column, shared + SUM_LABEL * threads + thread);
    shared[SUM_SOFTPLUS * threads + thread] = mask_softplus(sum);
    shared[SUM_P * threads + thread] = column < m.queries ? sum.p : sum.positive;
  }
  __syncthreads();
  float *out = partial + ((int64_t)blockIdx.y * m.parts + blockIdx.x) * kinds * (m.queries + 1);
  for (int item = thread; item < kinds * m.tile; item += threads) {
    int kind = item / m.tile, at = item % m.tile, to = (int)blockIdx.z * m.tile + at;
    if (to <= m.queries)
      out[kind * (m.queries + 1) + to] = strided_sum(shared + kind * threads + at, m.side, m.tile);
  }
}

/* ---- the assignment, by one warp ------------------------------------------------------------- */

/* Relaxes the columns by the row at `from`, whose path costs *base; returns the nearest column and
 * its distance in *base. */
static __device__ int search_relax(const Search &s, int from, double *base) {
  const double *cost = s.cost + (int64_t)s.row[from] * s.columns;
  double own = from == s.columns ? 0 : cost[from] - s.potential[from], best = INFINITY;
  int nearest = s.columns;
  for (int j = (int)threadIdx.x; j < s.columns; j += WARP) {
    if (s.done[j]) continue;
    double length = *base + cost[j] - s.potential[j] - own;
    if (length < s.distance[j]) {
      s.distance[j] = length;
      s.previous[j] = from;
    }
    if (s.distance[j] < best) {
      best = s.distance[j];
      nearest = j;
    }
  }
#pragma unroll
  for (int step = WARP / 2; step > 0; step /= 2) {
    double other = __shfl_xor_sync(WARP_ALL, best, step);
    int column = __shfl_xor_sync(WARP_ALL, nearest, step);
    if (other < best || (other == best && column < nearest)) {
      best = other;
      nearest = column;
    }
  }
  *base = best;
  return nearest;
}

static __device__ void search_row(const Search &s, int row) {
  int lane = (int)threadIdx.x, root = s.columns, at = root;
  double base = 0;
  for (int j = lane; j <= root; j += WARP) {
    s.distance[j] = INFINITY;
    s.done[j] = 0;
  }
  __syncwarp();
  if (lane == 0) s.row[root] = row;
  __syncwarp();
  while (s.row[at] >= 0) {
    if (lane == 0) s.done[at] = 1;
    __syncwarp();
    at = search_relax(s, at, &base);
    __syncwarp();
  }
  for (int j = lane; j < root; j += WARP)
    if (s.done[j]) s.potential[j] += s.distance[j] - base;
  __syncwarp();
  if (lane == 0) {
    for (int j = at; j != root; j = s.previous[j]) s.row[j] = s.row[s.previous[j]];
    s.row[root] = -1;
  }
  __syncwarp();
}

/* The bounds of each class in a sample: a block. Minima of whole numbers do not hang on an
 * order. */
static __global__ void __launch_bounds__(THREADS) match_bounds(Match m, int32_t *bounds) {
  DYNAMIC_SHARED(int32_t, own); /* (C, 4) */
  const int32_t *label = m.labels + blockIdx.x * m.voxels;
  for (int c = (int)threadIdx.x; c < m.classes; c += THREADS)
    bounds_start(own + BOUNDS * c, m.width, m.height);
  __syncthreads();
  for (int64_t v = threadIdx.x; v < m.voxels; v += THREADS) {
    int begin = m.regions ? 0 : label[v], past = m.regions ? m.classes : label[v] + 1;
    int x = (int)(v % m.width), y = (int)(v / m.width % m.height);
    for (int c = begin; label[v] >= 0 && c < past && c < m.classes; c++) {
      if (!is_of(m, label[v], c)) continue;
      atomicMin(own + BOUNDS * c + BOUND_X1, x);
      atomicMin(own + BOUNDS * c + BOUND_Y1, y);
      atomicMax(own + BOUNDS * c + BOUND_X2, x);
      atomicMax(own + BOUNDS * c + BOUND_Y2, y);
    }
  }
  __syncthreads();
  for (int i = (int)threadIdx.x; i < BOUNDS * m.classes; i += THREADS)
    bounds[blockIdx.x * BOUNDS * m.classes + i] = own[i];
}

static __device__ double mask_cost(const Match &m, const float *sums, int c, int q, double by_bce,
                                   double by_dice) {
  int width = m.queries + 1;
  double label_x = sums[(SUM_LABEL + c) * width + q];
  double label_p = sums[(SUM_LABEL + m.classes + c) * width + q];
  double count = sums[(SUM_LABEL + c) * width + m.queries];
  double bce = (sums[SUM_SOFTPLUS * width + q] - label_x) / (double)sums[SUM_P * width + m.queries];
  double dice = 1 - (2 * label_p + 1) / (sums[SUM_P * width + q] + count + 1);
  return by_bce * bce + by_dice * dice;
}

static __device__ double box_cost(const Match &m, const Weights &w, const Terms &t, int64_t n,
                                  int c, int q) {
  double box[BOUNDS], target[BOUNDS];
  for (int i = 0; i < BOUNDS; i++) box[i] = t.boxes[(n * m.queries + q) * BOUNDS + i];
  bounds_box(t.bounds + (n * m.classes + c) * BOUNDS, m.width, m.height, target);
  return w.l1 * box_distance(box, target) - w.giou * box_giou(box, target, nullptr);
}

static __device__ double pair_cost(const Match &m, const Weights &w, const Terms &t, int64_t n,
                                   int c, int q, double probability) {
  int64_t at = n * sums_width(m.queries, m.classes);
  double cost = mask_cost(m, t.sums + at, c, q, w.bce, w.dice) - w.by_class * probability;
  if (t.aux) cost += mask_cost(m, t.aux + at, c, q, w.aux, w.aux);
  if (t.boxes) cost += box_cost(m, w, t, n, c, q);
  return isfinite(cost) ? cost : 1e6;
}

static __device__ bool has_class(const Match &m, const Terms &t, int64_t n, int c) {
  int width = m.queries + 1;
  return t.sums[n * sums_width(m.queries, m.classes) + (SUM_LABEL + c) * width + m.queries] > 0;
}

/* Adds the costs of query q in sample n to those of the rows, whose classes are given. */
static __device__ void query_costs(const Match &m, const Weights &w, const Terms &t, int64_t n,
                                   int q, int rows, const int *class_of_row, double *cost) {
  const float *x = t.logits + (n * m.queries + q) * (m.classes + 1);
  double top = x[0], total = 0;
  for (int c = 1; c <= m.classes; c++) top = x[c] > top ? x[c] : top;
  for (int c = 0; c <= m.classes; c++) total += exp(x[c] - top);
  for (int r = 0; r < rows; r++) {
    int c = class_of_row[r];
    if (has_class(m, t, n, c))
      cost[(int64_t)r * m.queries + q] += pair_cost(m, w, t, n, c, q, exp(x[c] - top) / total);
  }
}

/* The classes of a group's samples, in order; returns how many. */
static __device__ int group_classes(const Match &m, const Terms &t, int64_t first,
                                    int *class_of_row) {
  int found = 0;
  for (int c = 0; c < m.classes; c++) {
    bool any = false;
    for (int i = 0; i < m.group; i++) any = any || has_class(m, t, first + i, c);
    if (any) class_of_row[found++] = c;
  }
  return found;
}

/* One block a group of samples. wide: (N / group, C K) doubles for costs that shared memory does
 * not hold, or NULL. */
static __global__ void __launch_bounds__(THREADS)
    match_solve(Match m, Weights w, Terms t, double *wide, int32_t *assignment) {
  DYNAMIC_SHARED(double, shared);
  SHARED(int, rows);
  int thread = (int)threadIdx.x, columns = m.queries;
  int64_t first = (int64_t)blockIdx.x * m.group;
  double *cost =
      wide ? wide + blockIdx.x * (int64_t)(m.classes * columns) : shared + 2 * (columns + 1);
  Search s = {cost, columns, shared, shared + columns + 1, nullptr, nullptr, nullptr};
  s.row = reinterpret_cast<int *>(shared + 2 * (columns + 1) + (wide ? 0 : m.classes * columns));
  s.previous = s.row + columns + 1;
  s.done = s.previous + columns + 1;
  int *class_of_row = s.done + columns + 1;
  for (int j = thread; j <= columns; j += THREADS) {
    s.potential[j] = 0;
    s.row[j] = -1;
  }
  if (thread == 0) rows = group_classes(m, t, first, class_of_row);
  __syncthreads();
  for (int q = thread; q < columns && !w.fixed; q += THREADS) {
    for (int r = 0; r < rows; r++) cost[(int64_t)r * columns + q] = 0;
    for (int i = 0; i < m.group; i++) query_costs(m, w, t, first + i, q, rows, class_of_row, cost);
  }
  __syncthreads();
  for (int r = 0; thread < WARP && !w.fixed && r < rows; r++) search_row(s, r);
  __syncthreads();
  for (int at = thread; at < m.group * columns; at += THREADS) {
    int q = at % columns, c = s.row[q] >= 0 ? class_of_row[s.row[q]] : -1;
    if (w.fixed) c = q < m.classes ? q : -1;
    bool there = c >= 0 && has_class(m, t, first + at / columns, c);
    assignment[first * columns + at] = there ? c : -1;
  }
}

/* ---- on the host ----------------------------------------------------------------------------- */

static size_t partials_shared(int classes, int threads) {
  return (size_t)(SUM_LABEL + 2 * classes) * (size_t)threads * sizeof(float);
}

static size_t solve_shared(const Match *m, bool wide) {
  size_t columns = (size_t)m->queries + 1, classes = (size_t)m->classes;
  size_t costs = wide ? 0 : classes * (size_t)m->queries;
  return (2 * columns + costs) * sizeof(double) + (3 * columns + classes) * sizeof(int);
}

static Match match_make(const Call *call) {
  const int64_t *dim = call->in[MATCH_IN_CLASS].dim;
  Match m = {};
  m.samples = dim[0];
  m.voxels = tensor_rows(&call->in[MATCH_IN_MASK]) / m.samples;
  MatchSizes sizes = match_sizes(call);
  m.queries = sizes.queries;
  m.classes = sizes.classes;
  m.group = sizes.group;
  m.width = sizes.width;
  m.height = sizes.height;
  m.threads = THREADS;
  while (m.threads > WARP && partials_shared(m.classes, m.threads) > SHARED_FREE) m.threads /= 2;
  m.tile = m.queries + 1 < m.threads ? m.queries + 1 : m.threads;
  m.side = m.threads / m.tile;
  m.parts = parts_count(m.samples, m.voxels, m.side);
  m.labels = data_of<const int32_t>(&call->in[MATCH_IN_LABELS]);
  m.regions = static_cast<const MatchOptions *>(call->options)->regions != 0;
  return m;
}

static bool is_wide(const Match *m) {
  return solve_shared(m, false) > SHARED_FREE;
}

namespace {
/* The scratch: costs where they are wide, sums of masks and auxiliary masks, partial sums,
 * bounds. */
struct Areas {
  size_t wide, sums, partial, bounds; /* how many of each */
  bool aux, boxes;
};
} // namespace

static Areas areas_of(const Call *call, const Match *m) {
  MatchSizes sizes = match_sizes(call);
  size_t width = (size_t)m->samples * (size_t)sums_width(m->queries, m->classes);
  size_t pairs = (size_t)m->classes * (size_t)m->queries;
  Areas a = {};
  a.aux = sizes.kinds > 1;
  a.boxes = sizes.boxes;
  a.wide = is_wide(m) ? (size_t)(m->samples / m->group) * pairs : 0;
  a.sums = width * (a.aux ? 2 : 1);
  a.partial = width * (size_t)m->parts;
  a.bounds = a.boxes ? (size_t)m->samples * (size_t)m->classes * BOUNDS : 0;
  return a;
}

static bool prepare(Call *call, Error *error) {
  Match m = match_make(call);
  Areas a = areas_of(call, &m);
  size_t sums = partials_shared(m.classes, m.threads), search = solve_shared(&m, is_wide(&m));
  if (sums > SHARED_MOST || search > SHARED_MOST)
    return fail(error, "match: on a GPU at most %d classes and 3000 queries, found %d and %d",
                (int)(SHARED_MOST / sizeof(float) / WARP - SUM_LABEL) / 2, m.classes, m.queries);
  if (sums > SHARED_FREE) {
    allow_shared(match_partials<float>, sums);
    allow_shared(match_partials<bf16>, sums);
  }
  if (search > SHARED_FREE) allow_shared(match_solve, search);
  call->scratch_bytes =
      a.wide * sizeof(double) + (a.sums + a.partial) * sizeof(float) + a.bounds * sizeof(int32_t);
  return true;
}

/* The sums of one kind of masks. */
static void mask_sums(const Call *call, const Match &m, const Tensor *x, float *partial,
                      float *sums) {
  dim3 grid((unsigned)m.parts, (unsigned)m.samples, (unsigned)(m.queries / m.tile + 1));
  with_type(x->type, [&](auto zero) {
    using T = decltype(zero);
    LAUNCH(match_partials<T>, grid, (unsigned)m.threads, partials_shared(m.classes, m.threads),
           call->stream, m, data_of<const T>(x), partial);
  });
  partials_sum(call->stream, m.samples, m.parts, sums_width(m.queries, m.classes), partial, sums);
}

static void forward(const Call *call) {
  const MatchOptions *o = static_cast<const MatchOptions *>(call->options);
  Match m = match_make(call);
  Areas a = areas_of(call, &m);
  Weights weights = {o->class_weight, o->bce_weight,  o->dice_weight, o->aux_weight,
                     o->l1_weight,    o->giou_weight, o->fixed != 0};
  double *wide = static_cast<double *>(call->scratch);
  float *sums = reinterpret_cast<float *>(wide + a.wide), *partial = sums + a.sums;
  int32_t *bounds = reinterpret_cast<int32_t *>(partial + a.partial);
  Terms t = {};
  t.sums = sums;
  t.aux = a.aux ? sums + a.sums / 2 : nullptr;
  t.logits = data_of<const float>(&call->in[MATCH_IN_CLASS]);
  t.boxes = a.boxes ? data_of<const float>(&call->in[MATCH_IN_BOXES]) : nullptr;
  t.bounds = bounds;
  mask_sums(call, m, &call->in[MATCH_IN_MASK], partial, sums);
  if (a.aux) mask_sums(call, m, &call->in[MATCH_IN_AUX], partial, sums + a.sums / 2);
  if (a.boxes)
    LAUNCH(match_bounds, (unsigned)m.samples, THREADS, (size_t)m.classes * BOUNDS * sizeof(int32_t),
           call->stream, m, bounds);
  LAUNCH(match_solve, (unsigned)(m.samples / m.group), THREADS, solve_shared(&m, is_wide(&m)),
         call->stream, m, weights, t, a.wide ? wide : nullptr, data_of<int32_t>(&call->out[0]));
}

CUDA_KERNEL(match) = {.forward = forward,
                      .prepare = prepare,
                      .bf16 = SAVES_IN(MATCH_IN_MASK) | SAVES_IN(MATCH_IN_AUX)};
