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

enum { IN_CLASS, IN_MASK, IN_LABELS };
enum { SUM_SOFTPLUS, SUM_P, SUM_LABEL }; /* then (C) sums of x and (C) sums of p by label */
static constexpr int THREADS = 256, AHEAD = 8;
static constexpr size_t SHARED_FREE = 47 << 10, SHARED_MOST = 96 << 10;

namespace {
/* A block's threads cover `tile` columns times `side` voxels at once. */
struct Match {
  int64_t samples, voxels;
  int queries, classes, threads, tile, side, parts;
  bool regions; /* labels are sets of classes */
  const int32_t *labels;
};

struct Weights {
  double by_class, bce, dice;
  bool fixed;
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

static __device__ double pair_cost(const Match &m, const Weights &w, const float *sums, int c,
                                   int q, double probability) {
  int width = m.queries + 1;
  double label_x = sums[(SUM_LABEL + c) * width + q];
  double label_p = sums[(SUM_LABEL + m.classes + c) * width + q];
  double count = sums[(SUM_LABEL + c) * width + m.queries];
  double bce = (sums[SUM_SOFTPLUS * width + q] - label_x) / (double)sums[SUM_P * width + m.queries];
  double dice = 1 - (2 * label_p + 1) / (sums[SUM_P * width + q] + count + 1);
  double cost = w.bce * bce + w.dice * dice - w.by_class * probability;
  return isfinite(cost) ? cost : 1e6;
}

/* Costs of query q and the classes of the rows. */
static __device__ void query_costs(const Match &m, const Weights &w, const float *sums,
                                   const float *logits, int q, int rows, const int *class_of_row,
                                   double *cost) {
  const float *x = logits + (int64_t)q * (m.classes + 1);
  double top = x[0], total = 0;
  for (int c = 1; c <= m.classes; c++) top = x[c] > top ? x[c] : top;
  for (int c = 0; c <= m.classes; c++) total += exp(x[c] - top);
  for (int r = 0; r < rows; r++) {
    int c = class_of_row[r];
    cost[(int64_t)r * m.queries + q] = pair_cost(m, w, sums, c, q, exp(x[c] - top) / total);
  }
}

/* One block a sample. wide: (N, C K) doubles for costs that shared memory does not hold, or
 * NULL. */
static __global__ void __launch_bounds__(THREADS)
    match_solve(Match m, Weights w, const float *all_sums, const float *logits, double *wide,
                int32_t *assignment) {
  DYNAMIC_SHARED(double, shared);
  SHARED(int, rows);
  int thread = (int)threadIdx.x, columns = m.queries;
  int64_t n = blockIdx.x;
  const float *sums = all_sums + n * sums_width(m.queries, m.classes);
  double *cost = wide ? wide + n * m.classes * columns : shared + 2 * (columns + 1);
  Search s = {cost, columns, shared, shared + columns + 1, nullptr, nullptr, nullptr};
  s.row = reinterpret_cast<int *>(shared + 2 * (columns + 1) + (wide ? 0 : m.classes * columns));
  s.previous = s.row + columns + 1;
  s.done = s.previous + columns + 1;
  int *class_of_row = s.done + columns + 1;
  const float *count = sums + SUM_LABEL * (columns + 1) + columns;
  for (int j = thread; j <= columns; j += THREADS) {
    s.potential[j] = 0;
    s.row[j] = -1;
  }
  if (thread == 0) {
    int found = 0;
    for (int c = 0; c < m.classes; c++)
      if (count[c * (columns + 1)] > 0) class_of_row[found++] = c;
    rows = found;
  }
  __syncthreads();
  for (int q = thread; q < columns && !w.fixed; q += THREADS)
    query_costs(m, w, sums, logits + n * columns * (m.classes + 1), q, rows, class_of_row, cost);
  __syncthreads();
  for (int r = 0; thread < WARP && !w.fixed && r < rows; r++) search_row(s, r);
  __syncthreads();
  for (int q = thread; q < columns; q += THREADS) {
    int found = s.row[q] >= 0 ? class_of_row[s.row[q]] : -1;
    if (w.fixed) found = q < m.classes && count[q * (columns + 1)] > 0 ? q : -1;
    assignment[n * columns + q] = found;
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
  const int64_t *dim = call->in[IN_CLASS].dim;
  Match m = {};
  m.samples = dim[0];
  m.voxels = tensor_rows(&call->in[IN_MASK]) / m.samples;
  m.queries = (int)dim[1];
  m.classes = (int)dim[2] - 1;
  m.threads = THREADS;
  while (m.threads > WARP && partials_shared(m.classes, m.threads) > SHARED_FREE) m.threads /= 2;
  m.tile = m.queries + 1 < m.threads ? m.queries + 1 : m.threads;
  m.side = m.threads / m.tile;
  m.parts = parts_count(m.samples, m.voxels, m.side);
  m.labels = data_of<const int32_t>(&call->in[IN_LABELS]);
  m.regions = static_cast<const MatchOptions *>(call->options)->regions != 0;
  return m;
}

static bool is_wide(const Match *m) {
  return solve_shared(m, false) > SHARED_FREE;
}

/* Scratch: costs where they are wide, sums, partial sums. */
static size_t wide_count(const Match *m) {
  return is_wide(m) ? (size_t)m->samples * (size_t)m->classes * (size_t)m->queries : 0;
}

static bool prepare(Call *call, Error *error) {
  Match m = match_make(call);
  size_t width = (size_t)m.samples * (size_t)sums_width(m.queries, m.classes);
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
      wide_count(&m) * sizeof(double) + width * (size_t)(m.parts + 1) * sizeof(float);
  return true;
}

static void forward(const Call *call) {
  const MatchOptions *o = static_cast<const MatchOptions *>(call->options);
  const Tensor *x = &call->in[IN_MASK];
  Match m = match_make(call);
  Weights weights = {o->class_weight, o->bce_weight, o->dice_weight, o->fixed != 0};
  double *wide = static_cast<double *>(call->scratch);
  float *sums = reinterpret_cast<float *>(wide + wide_count(&m));
  int width = sums_width(m.queries, m.classes);
  float *partial = sums + m.samples * width;
  dim3 grid((unsigned)m.parts, (unsigned)m.samples, (unsigned)(m.queries / m.tile + 1));
  with_type(x->type, [&](auto zero) {
    using T = decltype(zero);
    LAUNCH(match_partials<T>, grid, (unsigned)m.threads, partials_shared(m.classes, m.threads),
           call->stream, m, data_of<const T>(x), partial);
  });
  partials_sum(call->stream, m.samples, m.parts, width, partial, sums);
  LAUNCH(match_solve, (unsigned)m.samples, THREADS, solve_shared(&m, is_wide(&m)), call->stream, m,
         weights, sums, data_of<const float>(&call->in[IN_CLASS]), is_wide(&m) ? wide : nullptr,
         data_of<int32_t>(&call->out[0]));
}

CUDA_KERNEL(match) = {.forward = forward, .prepare = prepare, .bf16 = SAVES_IN(IN_MASK)};
