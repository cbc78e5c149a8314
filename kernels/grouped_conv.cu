/* Convolution in groups, and its transposed form, by kernels of ours. A thread has a voxel and a
 * channel, or where every channel is a group a vector of them, and walks the taps; of depthwise
 * weights a copy (taps, channels) is made first, so that a vector of them is one load. Bound by the
 * first-level cache. The weights' gradient is column_sums.h's: columns are the weights of a tap,
 * its samples the planes and lines of the kernel, its functions the taps along W. */
#include "kernels/cuda/column_sums.h"
#include "kernels/cuda/scratch_blocks.h"

enum { IN_W, IN_B, IN_X };

static constexpr int THREADS = 256;

namespace {
/* Voxel u of the small map and voxel u s + t - p of the big one are joined by tap t. */
struct Grouped {
  int small[3], big[3], kernel[3], stride[3], before[3];
  int64_t small_rows, big_rows;
  int small_width, big_width; /* channels of a group */
  int small_channels, big_channels, taps;
  bool transposed; /* the small map is x */
};

struct Voxel {
  int n, at[3];
};
} // namespace

static Grouped grouped_of(const Call *call) {
  const GroupedConvOptions *o = static_cast<const GroupedConvOptions *>(call->options);
  const Tensor *w = &call->in[IN_W];
  GroupedSides sides = grouped_sides(call);
  Grouped g = {};
  for (int a = 0; a < 3; a++) {
    g.small[a] = (int)sides.small.dim[1 + a];
    g.big[a] = (int)sides.big.dim[1 + a];
    g.kernel[a] = (int)w->dim[1 + a];
    g.stride[a] = o->stride.v[a];
    g.before[a] = (g.kernel[a] - 1) / 2;
  }
  g.small_rows = tensor_rows(&sides.small);
  g.big_rows = tensor_rows(&sides.big);
  g.small_channels = (int)sides.small.dim[4];
  g.big_channels = (int)sides.big.dim[4];
  g.small_width = g.small_channels / o->groups;
  g.big_width = g.big_channels / o->groups;
  g.taps = g.kernel[0] * g.kernel[1] * g.kernel[2];
  g.transposed = o->transposed;
  return g;
}

static bool is_depthwise(const Grouped &g) {
  return g.small_width == 1 && g.big_width == 1;
}

static __device__ __forceinline__ Voxel voxel_of(const int *size, int64_t row) {
  unsigned at = (unsigned)row, x = at % (unsigned)size[2], rest = at / (unsigned)size[2];
  unsigned y = rest % (unsigned)size[1];
  rest /= (unsigned)size[1];
  unsigned z = rest % (unsigned)size[0];
  return Voxel{(int)(rest / (unsigned)size[0]), {(int)z, (int)y, (int)x}};
}

static __device__ __forceinline__ int64_t row_of(const int *size, const Voxel &v) {
  return (((int64_t)v.n * size[0] + v.at[0]) * size[1] + v.at[1]) * size[2] + v.at[2];
}

/* visit(row of the big map, tap) for the taps of a voxel of the small one. */
template <typename F>
static __device__ __forceinline__ void visit_big(const Grouped &g, int64_t row, F visit) {
  Voxel v = voxel_of(g.small, row), big = v;
  for (int kd = 0; kd < g.kernel[0]; kd++) {
    big.at[0] = v.at[0] * g.stride[0] + kd - g.before[0];
    if (big.at[0] < 0 || big.at[0] >= g.big[0]) continue;
    for (int kh = 0; kh < g.kernel[1]; kh++) {
      big.at[1] = v.at[1] * g.stride[1] + kh - g.before[1];
      if (big.at[1] < 0 || big.at[1] >= g.big[1]) continue;
      int tap = (kd * g.kernel[1] + kh) * g.kernel[2];
      for (int kw = 0; kw < g.kernel[2]; kw++) {
        big.at[2] = v.at[2] * g.stride[2] + kw - g.before[2];
        if (big.at[2] >= 0 && big.at[2] < g.big[2]) visit(row_of(g.big, big), tap + kw);
      }
    }
  }
}

/* Where along one axis of the small map tap k of the big one's place u lies; negative: nowhere. */
static __device__ __forceinline__ int place_under(const Grouped &g, int a, int u, int k) {
  int at = u + g.before[a] - k;
  return at < 0 || at % g.stride[a] || at / g.stride[a] >= g.small[a] ? -1 : at / g.stride[a];
}

/* visit(row of the small map, tap) for the taps of a voxel of the big one. */
template <typename F>
static __device__ __forceinline__ void visit_small(const Grouped &g, int64_t row, F visit) {
  Voxel v = voxel_of(g.big, row), small = v;
  for (int kd = 0; kd < g.kernel[0]; kd++) {
    small.at[0] = place_under(g, 0, v.at[0], kd);
    if (small.at[0] < 0) continue;
    for (int kh = 0; kh < g.kernel[1]; kh++) {
      small.at[1] = place_under(g, 1, v.at[1], kh);
      if (small.at[1] < 0) continue;
      int tap = (kd * g.kernel[1] + kh) * g.kernel[2];
      for (int kw = 0; kw < g.kernel[2]; kw++) {
        small.at[2] = place_under(g, 2, v.at[2], kw);
        if (small.at[2] >= 0) visit(row_of(g.small, small), tap + kw);
      }
    }
  }
}

/* ---- the two directions ---------------------------------------------------------------------- */

/* w (Cout, taps, Cg) of a channel of each map. */
static __device__ __forceinline__ int64_t weight_at(const Grouped &g, int small, int big, int tap) {
  int out = g.transposed ? big : small, in = g.transposed ? small : big;
  int width = g.transposed ? g.small_width : g.big_width;
  return ((int64_t)out * g.taps + tap) * width + in % width;
}

static __global__ void __launch_bounds__(THREADS)
    turn_weights(int channels, int taps, const float *w, float *turned) {
  int step = (int)gridDim.x * THREADS;
  for (int i = (int)blockIdx.x * THREADS + (int)threadIdx.x; i < channels * taps; i += step)
    turned[i] = w[i % channels * taps + i / channels];
}

template <int N> static __device__ __forceinline__ Floats<N> weights_load(const float *at) {
  Floats<N> w;
#pragma unroll
  for (int i = 0; i < N; i += N == 1 ? 1 : 4) {
    Floats<N == 1 ? 1 : 4> some = load_lanes < N == 1 ? 1 : 4 > (at + i);
#pragma unroll
    for (int k = 0; k < (N == 1 ? 1 : 4); k++) w.v[i + k] = some.v[k];
  }
  return w;
}

/* to (rows, channels): the small map (BIG false) from the big one, or the other way. w: turned. */
template <typename T, int N, bool BIG>
static __global__ void __launch_bounds__(THREADS)
    depthwise(Grouped g, const T *from, const float *w, const float *bias, bool adds, T *to) {
  int channels = g.small_channels, lanes = channels / N;
  int64_t step = (int64_t)gridDim.x * THREADS;
  int64_t items = (BIG ? g.big_rows : g.small_rows) * lanes;
  for (int64_t i = (int64_t)blockIdx.x * THREADS + threadIdx.x; i < items; i += step) {
    int64_t row = i / lanes;
    int c = (int)(i - row * lanes) * N;
    Floats<N> sum = {};
    if (bias) sum = weights_load<N>(bias + c);
    if (adds) sum = load_lanes<N>(to + row * channels + c);
    auto tap = [&](int64_t other, int t) {
      Floats<N> x = load_lanes<N>(from + other * channels + c);
      Floats<N> weight = weights_load<N>(w + t * channels + c);
#pragma unroll
      for (int k = 0; k < N; k++) sum.v[k] += weight.v[k] * x.v[k];
    };
    if constexpr (BIG)
      visit_small(g, row, tap);
    else
      visit_big(g, row, tap);
    store_lanes<N>(to + row * channels + c, sum);
  }
}

/* The same of groups of several channels. */
template <typename T, bool BIG>
static __global__ void __launch_bounds__(THREADS)
    grouped(Grouped g, const T *from, const float *w, const float *bias, bool adds, T *to) {
  int channels = BIG ? g.big_channels : g.small_channels, own = BIG ? g.big_width : g.small_width;
  int width = BIG ? g.small_width : g.big_width, others = BIG ? g.small_channels : g.big_channels;
  int64_t step = (int64_t)gridDim.x * THREADS;
  int64_t items = (BIG ? g.big_rows : g.small_rows) * channels;
  for (int64_t i = (int64_t)blockIdx.x * THREADS + threadIdx.x; i < items; i += step) {
    int64_t row = i / channels;
    int c = (int)(i - row * channels), first = c / own * width;
    float sum = adds ? load(to + i) : bias ? bias[c] : 0;
    auto tap = [&](int64_t other, int t) {
      for (int k = first; k < first + width; k++)
        sum += w[weight_at(g, BIG ? k : c, BIG ? c : k, t)] * load(from + other * others + k);
    };
    if constexpr (BIG)
      visit_small(g, row, tap);
    else
      visit_big(g, row, tap);
    store(to + i, sum);
  }
}

template <typename T, bool BIG>
static void run_as(const Call *call, const Grouped &g, const Tensor *from, const float *bias,
                   bool adds, const Tensor *to) {
  const float *w = data_of<const float>(&call->in[IN_W]);
  float *turned = static_cast<float *>(call->scratch);
  int64_t count = tensor_count(to), blocks = count / THREADS + 1;
  if (!is_depthwise(g)) {
    LAUNCH((grouped<T, BIG>), grid_blocks(grouped<T, BIG>, THREADS, 0, blocks), THREADS, 0,
           call->stream, g, data_of<const T>(from), w, bias, adds, data_of<T>(to));
    return;
  }
  LAUNCH(turn_weights,
         grid_blocks(turn_weights, THREADS, 0, tensor_count(&call->in[IN_W]) / THREADS + 1),
         THREADS, 0, call->stream, g.small_channels, g.taps, w, turned);
  with_lanes(from, from->data, to->data, bias, [&](auto, auto lanes) {
    constexpr int N = decltype(lanes)::value == 1 ? 1 : Lanes<T>::COUNT;
    LAUNCH((depthwise<T, N, BIG>),
           grid_blocks(depthwise<T, N, BIG>, THREADS, 0, count / N / THREADS + 1), THREADS, 0,
           call->stream, g, data_of<const T>(from), turned, bias, adds, data_of<T>(to));
  });
}

/* big: the result is the big map. */
static void run(const Call *call, bool big, const Tensor *from, const float *bias, bool adds,
                const Tensor *to) {
  Grouped g = grouped_of(call);
  with_type(from->type, [&](auto zero) {
    using T = decltype(zero);
    if (big)
      run_as<T, true>(call, g, from, bias, adds, to);
    else
      run_as<T, false>(call, g, from, bias, adds, to);
  });
}

/* ---- the gradient of the weights ------------------------------------------------------------- */

namespace {
/* Terms of K taps along W; a sample is the rest of a tap. */
template <typename T, int K> struct WeightTerms {
  Grouped g;
  const T *small, *big;
  template <int N>
  __device__ __forceinline__ void at(int64_t sample, int64_t row, int column,
                                     Floats<N> *term) const {
    int64_t voxel = row - sample * g.small_rows;
    int tap = (int)sample * K, width = g.transposed ? g.small_width : g.big_width;
    int out = column / width, in = column % width, i = out, j = out;
    if (g.transposed)
      i = out / g.big_width * width + in;
    else
      j = out / g.small_width * width + in;
    Voxel v = voxel_of(g.small, voxel);
    int k[3] = {tap / (g.kernel[1] * g.kernel[2]), tap / g.kernel[2] % g.kernel[1],
                tap % g.kernel[2]};
    for (int a = 0; a < 3; a++) v.at[a] = v.at[a] * g.stride[a] + k[a] - g.before[a];
    bool inside = v.at[0] >= 0 && v.at[0] < g.big[0] && v.at[1] >= 0 && v.at[1] < g.big[1];
    Floats<N> s = load_lanes<N>(small + voxel * g.small_channels + i);
#pragma unroll
    for (int t = 0; t < K; t++, v.at[2]++) {
      Floats<N> b = {};
      if (inside && v.at[2] >= 0 && v.at[2] < g.big[2])
        b = load_lanes<N>(big + row_of(g.big, v) * g.big_channels + j);
#pragma unroll
      for (int l = 0; l < N; l++) term[t].v[l] = s.v[l] * b.v[l];
    }
  }
};

template <int K> struct WeightOut {
  int width, group, taps; /* weights of a tap; those of an output among them */
  float *dw;
  __device__ __forceinline__ void done(int64_t at, const float (&value)[K]) const {
    int column = (int)(at % width), tap = (int)(at / width) * K;
    float *to = dw + ((int64_t)(column / group) * taps + tap) * group + column % group;
#pragma unroll
    for (int t = 0; t < K; t++) to[t * group] = value[t];
  }
};
} // namespace

/* Taps along W that one walk takes. */
static int taps_at_once(const Grouped &g) {
  int k = g.kernel[2];
  return k == 3 || k == 5 || k == 7 ? k : 1;
}

static int weight_blocks(const Grouped &g) {
  int64_t wanted = (g.small_rows + 31) / 32, most = COLUMN_BLOCKS * taps_at_once(g) / g.taps;
  return (int)(wanted < most ? wanted : most < 1 ? 1 : most);
}

static size_t weight_scratch(const Call *call, const Grouped &g) {
  return (size_t)weight_blocks(g) * (size_t)tensor_count(&call->in[IN_W]) * sizeof(float);
}

template <typename T, int K, int N>
static void weight_walk(const Call *call, const Grouped &g, const T *small, const T *big) {
  int width = (int)(tensor_count(&call->in[IN_W]) / g.taps), blocks = weight_blocks(g);
  unsigned samples = (unsigned)(g.taps / K);
  WeightTerms<T, K> terms = {g, small, big};
  WeightOut<K> out = {width, g.transposed ? g.small_width : g.big_width, g.taps,
                      data_of<float>(&call->din[IN_W])};
  float *partial = blocks == 1 ? NULL : static_cast<float *>(call->scratch);
  unsigned tiles = (unsigned)((width / N + COLUMN_THREADS - 1) / COLUMN_THREADS);
  LAUNCH((column_partials<K, N, WeightTerms<T, K>, WeightOut<K>>),
         dim3((unsigned)blocks, tiles, samples), COLUMN_THREADS, 0, call->stream, g.small_rows,
         width, terms, partial, out);
  if (partial)
    LAUNCH((column_finish<K, WeightOut<K>>), dim3((unsigned)(width + 31) / 32, samples),
           32 * COLUMN_GROUPS, 0, call->stream, blocks, width, partial, out);
}

/* A block's sums stand in 48 KiB of shared memory. */
template <typename T, int K>
static void weight_lanes(const Call *call, const Grouped &g, const Tensor *small,
                         const Tensor *big) {
  constexpr int MOST = 48 << 10, COUNT = Lanes<T>::COUNT;
  constexpr int N = K * COUNT * COLUMN_THREADS * (int)sizeof(float) <= MOST ? COUNT : 1;
  const T *s = data_of<const T>(small), *b = data_of<const T>(big);
  if (is_depthwise(g) && vectors_fit(g.small_channels, sizeof(T), s, b))
    weight_walk<T, K, N>(call, g, s, b);
  else
    weight_walk<T, K, 1>(call, g, s, b);
}

static void weight_gradient(const Call *call, const Grouped &g) {
  const Tensor *x = &call->in[IN_X], *dy = &call->dout[0];
  const Tensor *small = g.transposed ? x : dy, *big = g.transposed ? dy : x;
  with_type(x->type, [&](auto zero) {
    using T = decltype(zero);
    switch (taps_at_once(g)) {
    case 3:
      weight_lanes<T, 3>(call, g, small, big);
      break;
    case 5:
      weight_lanes<T, 5>(call, g, small, big);
      break;
    case 7:
      weight_lanes<T, 7>(call, g, small, big);
      break;
    default:
      weight_lanes<T, 1>(call, g, small, big);
    }
  });
}

/* ---- the call -------------------------------------------------------------------------------- */

static bool prepare(Call *call, Error *error) {
  (void)error;
  Grouped g = grouped_of(call);
  size_t bytes = is_depthwise(g) ? (size_t)tensor_count(&call->in[IN_W]) * sizeof(float) : 0,
         more = 0;
  if (call->backward && wants_of(call, IN_W)) more = weight_scratch(call, g);
  if (more > bytes) bytes = more;
  if (call->backward && wants_of(call, IN_B))
    more = column_sums_scratch(tensor_last(&call->out[0]), 1);
  call->scratch_bytes = more > bytes ? more : bytes;
  return true;
}

static void forward(const Call *call) {
  run(call, grouped_of(call).transposed, &call->in[IN_X],
      static_cast<const float *>(input_data(call, IN_B)), false, &call->out[0]);
}

static void backward(const Call *call) {
  const Tensor *dy = &call->dout[0], *dx = &call->din[IN_X];
  Grouped g = grouped_of(call);
  bias_gradient(call->stream, dy->type, tensor_rows(dy), tensor_last(dy), dy->data, call->scratch,
                data_of<float>(&call->din[IN_B]));
  if (dx->data) run(call, !g.transposed, dy, NULL, adds_to(call, IN_X), dx);
  if (call->din[IN_W].data) weight_gradient(call, g);
}

CUDA_KERNEL(grouped_conv) = {.forward = forward,
                             .backward = backward,
                             .prepare = prepare,
                             .bf16 = SAVES_IN(IN_X) | SAVES_OUT(0),
                             .bf16_together = true,
                             .adds = SAVES_IN(IN_X)};
