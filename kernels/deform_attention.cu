/* Multi-scale deformable attention in 3D (formula: deform_attention.c). A group of lanes takes one
 * (token, head): 4 slots, which share the L*P points out among themselves, times the lanes that
 * the head's channels fill with 16-byte loads. A lane turns the offsets of its point into
 * corners and weights in registers, has the point's 8 loads in flight at once, and sums in float;
 * softmax needs no array either: the sum of exponentials is divided out at the end.
 *
 * Backward reads the corners once: their products with dy give the gradients of offsets and
 * weights, which only this group writes, and dy times their weight is added to the values' gradient
 * by 16-byte reductions in memory (sm_90) or four of 4 bytes. In which order those arrive is not
 * fixed, so its last bits vary; with deterministic = 1, or for a process that asked for it
 * (kernels/mode.h), the sums are 64-bit fixed point, where
 * order does not matter, at twice the memory and without vectors. BF16 gradients are summed in
 * float in scratch and rounded once.
 *
 * Bound by L1 and L2: 8 corners of C elements a point, of which DRAM sees each value about once. */
#include "kernels/cuda/deform_bricks.h"

#include <type_traits>

extern "C" {
#include "kernels/mode.h"
}

enum { IN_OFFSETS, IN_WEIGHTS, IN_VALUES };
static constexpr int THREADS = 256, SLOTS = 4;
typedef unsigned long long Fixed; /* two's complement */

/* ---- over the slots of a group of SLOTS * LANES lanes ------------------------------------------
 */

template <int LANES> static __device__ __forceinline__ float slots_sum(float x) {
#pragma unroll
  for (int step = LANES; step < LANES * SLOTS; step *= 2) x += __shfl_xor_sync(WARP_ALL, x, step);
  return x;
}

template <int LANES> static __device__ __forceinline__ float slots_max(float x) {
#pragma unroll
  for (int step = LANES; step < LANES * SLOTS; step *= 2)
    x = fmaxf(x, __shfl_xor_sync(WARP_ALL, x, step));
  return x;
}

/* Calls visit(point, its level, real) for each point of a slot. All slots take as many steps; past
 * the last point they repeat it and `real` is false. */
template <typename F>
static __device__ __forceinline__ void points_walk(const Deform &p, int slot, F visit) {
  int count = p.levels * p.points, level = slot / p.points, point = slot % p.points;
  for (int first = 0, j = slot; first < count; first += SLOTS, j += SLOTS) {
    visit(min(j, count - 1), min(level, p.levels - 1), j < count);
    for (point += SLOTS; point >= p.points; point -= p.points) level++;
  }
}

/* The same without the levels, and without waiting for other slots. */
template <typename F>
static __device__ __forceinline__ void logits_walk(const Deform &p, int slot, F visit) {
  for (int j = slot; j < p.levels * p.points; j += SLOTS) visit(j);
}

/* N channels of a lane at the eight corners, all loads before the first use. */
template <int N, typename T>
static __device__ __forceinline__ void corners_load(const T *values, const Corners &c,
                                                    Floats<N> *corner) {
#pragma unroll
  for (int k = 0; k < 8; k++) corner[k] = load_lanes<N>(values + corner_element(c, k));
}

/* ---- forward
 * --------------------------------------------------------------------------------------- */

/* The channels [c0, c0 + LANES N) of a head: y = sum of w V / sum of w. */
template <typename T, int N, int LANES>
static __device__ __forceinline__ void gather_chunk(const Deform &p,
                                                    const LevelHere<T, float> *here,
                                                    const Token &token, int head, int c0, T *out) {
  int slot = threadIdx.x / LANES % SLOTS, c = c0 + (int)threadIdx.x % LANES * N;
  bool own = c < p.channels;
  int64_t index = (token.row * p.heads + head) * p.levels * p.points;
  const float *logits = p.logits + index, *offsets = p.offsets + 3 * index;
  float top = -INFINITY, total = 0;
  Floats<N> sum = {};
  logits_walk(p, slot, [&](int j) { top = fmaxf(top, logits[j]); });
  top = slots_max<LANES>(top);
  points_walk(p, slot, [&](int j, int l, bool real) {
    float weight = real ? expf(logits[j] - top) : 0;
    Corners corners = corners_make(here[l], token, p.width, offsets + 3 * j);
    Floats<N> corner[8];
    corners_load<N>(global_pointer(here[l].values) + (own ? c : 0), corners, corner);
    total += weight;
#pragma unroll
    for (int k = 0; k < 8; k++) {
      float w = weight * corner_weight(corners, k);
#pragma unroll
      for (int i = 0; i < N; i++) sum.v[i] += w * corner[k].v[i];
    }
  });
  float scale = 1 / slots_sum<LANES>(total);
#pragma unroll
  for (int i = 0; i < N; i++) sum.v[i] = slots_sum<LANES>(sum.v[i]) * scale;
  if (token.real && own && slot == 0)
    store_lanes<N>(out + token.row * p.width + head * p.channels + c, sum);
}

/* ONE: a head's channels are at most LANES N. */
template <typename T, int N, int LANES, bool ONE>
static __global__ void __launch_bounds__(THREADS, 3) gather(const Deform p, T *out) {
  using Here = LevelHere<T, float>;
  SHARED(Here, here, [DEFORM_LEVELS]);
  Brick brick = brick_find(p);
  int tokens = 1 << (p.shift[0] + p.shift[1] + p.shift[2]);
  levels_place(p, brick, here);
  for (int k = (int)threadIdx.x / (SLOTS * LANES); k < tokens; k += THREADS / (SLOTS * LANES)) {
    Token token = token_at(p, brick, k);
    if (!__any_sync(WARP_ALL, token.real)) continue;
    for (int c0 = 0; c0 < (ONE ? 1 : p.channels); c0 += LANES * N)
      gather_chunk<T, N, LANES>(p, here, token, brick.head, c0, out);
  }
}

/* ---- backward
 * -------------------------------------------------------------------------------------- */

/* Four neighbouring channels, at a 16-byte boundary. */
static __device__ __forceinline__ void add_four(float *at, const float *x, float w, double) {
#ifdef CUDA_EMULATOR
  if ((uintptr_t)at % 16) emulator::fault(__FILE__, __LINE__, "16-byte reduction, not aligned");
#endif
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 900 &&                                              \
    (__CUDACC_VER_MAJOR__ > 12 || __CUDACC_VER_MINOR__ >= 1)
  asm volatile("red.relaxed.gpu.global.add.v4.f32 [%0], {%1, %2, %3, %4};" ::"l"(
                   __cvta_generic_to_global(at)),
               "f"(w * x[0]), "f"(w * x[1]), "f"(w * x[2]), "f"(w * x[3])
               : "memory");
#else
#pragma unroll
  for (int i = 0; i < 4; i++) atomicAdd(at + i, w * x[i]);
#endif
}
static __device__ __forceinline__ void add_one(float *at, float x, double) {
  atomicAdd(at, x);
}
static __device__ __forceinline__ void add_one(Fixed *at, float x, double quanta) {
  atomicAdd(at, (Fixed)llrint((double)x * quanta));
}
static __device__ __forceinline__ void add_four(Fixed *at, const float *x, float w, double quanta) {
#pragma unroll
  for (int i = 0; i < 4; i++) add_one(at + i, w * x[i], quanta);
}

/* dy of a lane's N channels twice: as its loads lie, and as its reductions lie, which go four
 * channels at a time, neighbouring lanes to neighbouring addresses. */
namespace {
template <int N> struct Chunk {
  int c, lanes; /* first channel; lanes in use */
  bool own;
  Floats<N> dy, spread;
};
} // namespace

/* The first channel of piece m of what this lane adds, from the chunk's first. */
template <int N> static __device__ __forceinline__ int piece(int lanes, int lane, int m) {
  return N == 1 ? lane : 4 * (m * lanes + lane);
}

template <int N, int LANES, typename T>
static __device__ __forceinline__ Chunk<N> chunk_make(const Deform &p, const T *dy, int c0) {
  constexpr int PIECE = N == 1 ? 1 : 4;
  Chunk<N> chunk = {};
  int lane = (int)threadIdx.x % LANES;
  chunk.c = c0 + lane * N;
  chunk.own = chunk.c < p.channels;
  chunk.lanes = min(LANES, (p.channels - c0) / N);
  if (!chunk.own) return chunk;
  chunk.dy = load_lanes<N>(dy + chunk.c);
#pragma unroll
  for (int i = 0; i < N; i++)
    chunk.spread.v[i] = load(dy + c0 + piece<N>(chunk.lanes, lane, i / PIECE) + i % PIECE);
  return chunk;
}

/* Adds this lane's share of dy . s and of its slopes along z, y, x to `product`, s the sampled
 * vector: trilinear axis by axis, with the products of dy and the corners for values. */
template <int N>
static __device__ __forceinline__ void products_add(const Chunk<N> &chunk, const Corners &c,
                                                    const Floats<N> *corner, float *product) {
  float line[2][2], slope[2][2]; /* at (z, y): along x */
#pragma unroll
  for (int k = 0; k < 8; k += 2) {
    float low = 0, high = 0;
#pragma unroll
    for (int i = 0; i < N; i++) {
      low += chunk.dy.v[i] * corner[k].v[i];
      high += chunk.dy.v[i] * corner[k + 1].v[i];
    }
    line[k >> 2][k >> 1 & 1] = c.share[2][0] * low + c.share[2][1] * high;
    slope[k >> 2][k >> 1 & 1] = c.inside[2][1] * high - c.inside[2][0] * low;
  }
#pragma unroll
  for (int z = 0; z < 2; z++) {
    float along = c.share[1][0] * line[z][0] + c.share[1][1] * line[z][1];
    product[0] += c.share[0][z] * along;
    product[1] += (z ? c.inside[0][1] : -c.inside[0][0]) * along;
    product[2] += c.share[0][z] * (c.inside[1][1] * line[z][1] - c.inside[1][0] * line[z][0]);
    product[3] += c.share[0][z] * (c.share[1][0] * slope[z][0] + c.share[1][1] * slope[z][1]);
  }
}

/* Adds a w_k dy to the values' gradient at each corner k inside the level. */
template <int N, int LANES, typename S>
static __device__ __forceinline__ void corners_add(const Chunk<N> &chunk, const Corners &c,
                                                   float weight, S *sums, double quanta) {
  int lane = (int)threadIdx.x % LANES, first = chunk.c - lane * N;
#pragma unroll
  for (int k = 0; k < 8; k++) {
    float w = weight * corner_weight(c, k);
    S *at = sums + corner_element(c, k) + first;
    if (w == 0 || !chunk.own) continue;
    if constexpr (N == 1)
      add_one(at + lane, w * chunk.spread.v[0], quanta);
    else
#pragma unroll
      for (int m = 0; m < N / 4; m++)
        add_four(at + piece<N>(chunk.lanes, lane, m), chunk.spread.v + 4 * m, w, quanta);
  }
}

namespace {
/* What scatter writes, NULL where not wanted; most: bits of the largest |dy|, for fixed point. */
template <typename T> struct Gradients {
  const T *dy;
  float *doffsets, *dlogits;
  const unsigned *most;
};
} // namespace

/* Steps of fixed point a unit: a token adds at most the largest |dy| to an element, as its weights
 * sum up to at most 1, so all of them stay below 2^62. */
static __host__ __device__ __forceinline__ double fixed_quanta(unsigned most, int64_t tokens) {
  int bits = 62 - (int)((most >> 23) - 127 + 1);
  while (tokens > 0) tokens >>= 1, bits--;
  return ldexp(1.0, bits);
}

template <typename T, int N, int LANES, bool ONE, typename S>
static __device__ __forceinline__ void scatter_token(const Deform &p, const LevelHere<T, S> *here,
                                                     const Token &token, int head,
                                                     const Gradients<T> &g, double quanta) {
  int slot = threadIdx.x / LANES % SLOTS;
  int64_t index = (token.row * p.heads + head) * p.levels * p.points;
  const float *logits = p.logits + index, *offsets = p.offsets + 3 * index;
  const T *dy = g.dy + token.row * p.width + head * p.channels;
  bool writes = token.real && threadIdx.x % LANES == 0;
  float top = -INFINITY, total = 0, mean = 0;
  logits_walk(p, slot, [&](int j) { top = fmaxf(top, logits[j]); });
  top = slots_max<LANES>(top);
  logits_walk(p, slot, [&](int j) { total += expf(logits[j] - top); });
  float scale = 1 / slots_sum<LANES>(total);
  Chunk<N> chunk = chunk_make<N, LANES>(p, dy, 0);
  points_walk(p, slot, [&](int j, int l, bool real) {
    float a = real && token.real ? expf(logits[j] - top) * scale : 0, product[4] = {};
    Corners corners = corners_make(here[l], token, p.width, offsets + 3 * j);
    for (int c0 = 0; c0 < (ONE ? 1 : p.channels); c0 += LANES * N) {
      Floats<N> corner[8];
      if (!ONE) chunk = chunk_make<N, LANES>(p, dy, c0);
      corners_load<N>(global_pointer(here[l].values) + (chunk.own ? chunk.c : 0), corners, corner);
      products_add<N>(chunk, corners, corner, product);
      if (here[l].sums)
        corners_add<N, LANES>(chunk, corners, a, global_pointer(here[l].sums), quanta);
    }
#pragma unroll
    for (int i = 0; i < 4; i++) product[i] = warp_sum<LANES>(product[i]);
    mean += a * product[0];
    if (!real || !writes) return;
    for (int i = 0; g.doffsets && i < 3; i++) g.doffsets[3 * (index + j) + i] = a * product[1 + i];
    if (g.dlogits) g.dlogits[index + j] = product[0];
  });
  mean = slots_sum<LANES>(mean);
  if (writes && g.dlogits) /* what this thread wrote above */
    logits_walk(p, slot, [&](int j) {
      g.dlogits[index + j] = expf(logits[j] - top) * scale * (g.dlogits[index + j] - mean);
    });
}

template <typename T, int N, int LANES, bool ONE, typename S>
static __global__ void __launch_bounds__(THREADS, 2) scatter(const Deform p, const Gradients<T> g) {
  using Here = LevelHere<T, S>;
  SHARED(Here, here, [DEFORM_LEVELS]);
  Brick brick = brick_find(p);
  int tokens = 1 << (p.shift[0] + p.shift[1] + p.shift[2]);
  double quanta = g.most ? fixed_quanta(*g.most, p.tokens) : 1;
  levels_place(p, brick, here);
  for (int k = (int)threadIdx.x / (SLOTS * LANES); k < tokens; k += THREADS / (SLOTS * LANES)) {
    Token token = token_at(p, brick, k);
    if (__any_sync(WARP_ALL, token.real))
      scatter_token<T, N, LANES, ONE, S>(p, here, token, brick.head, g, quanta);
  }
}

/* Bits of a float without its sign are ordered as its size: NaN is above all. */
template <typename T>
static __global__ void __launch_bounds__(THREADS)
    largest(int64_t count, const T *x, unsigned *most) {
  unsigned own = 0;
  for (int64_t i = (int64_t)blockIdx.x * THREADS + threadIdx.x; i < count;
       i += (int64_t)gridDim.x * THREADS)
    own = max(own, __float_as_uint(load(x + i)) & 0x7fffffffu);
  own = warp_max(own);
  if (threadIdx.x % WARP == 0) atomicMax(most, own);
}

static __device__ __forceinline__ float sum_value(float sum, unsigned, double) {
  return sum;
}
static __device__ __forceinline__ float sum_value(Fixed sum, unsigned most, double quanta) {
  return most < 0x7f800000u ? (float)((double)(long long)sum / quanta) : __uint_as_float(most);
}

/* Sums in scratch to the gradient as it is stored. */
template <typename T, typename S>
static __global__ void __launch_bounds__(THREADS)
    finish(int64_t count, const S *sums, const unsigned *most, int64_t tokens, T *out) {
  double quanta = most ? fixed_quanta(*most, tokens) : 1;
  for (int64_t i = (int64_t)blockIdx.x * THREADS + threadIdx.x; i < count;
       i += (int64_t)gridDim.x * THREADS)
    store(out + i, sum_value(sums[i], most ? *most : 0, quanta));
}

/* ---- on the host
 * ----------------------------------------------------------------------------------- */

static bool deterministic(const Call *call) {
  return kernel_mode.deterministic ||
         static_cast<const DeformAttentionOptions *>(call->options)->deterministic;
}

/* Calls launch(zero of the storage type, elements a load, lanes, whether the head is one chunk). */
template <typename F> static void with_heads(const Call *call, F launch) {
  const DeformAttentionOptions *o = static_cast<const DeformAttentionOptions *>(call->options);
  const Tensor *first = &call->in[IN_VALUES];
  int64_t channels = tensor_last(first) / o->heads;
  bool fit = vectors_fit(channels, dtype_bytes(first->type), call->out[0].data, call->dout[0].data);
  for (int i = IN_VALUES; i < call->n_in; i++)
    fit = fit && vectors_fit(0, 0, call->in[i].data, call->din[i].data);
  with_type(first->type, [&](auto zero) {
    constexpr int N = Lanes<decltype(zero)>::COUNT;
    std::integral_constant<int, N> n;
    if (!fit)
      launch(zero, std::integral_constant<int, 1>(), std::integral_constant<int, 8>(),
             std::false_type());
    else if (channels <= N)
      launch(zero, n, std::integral_constant<int, 1>(), std::true_type());
    else if (channels <= 2 * N)
      launch(zero, n, std::integral_constant<int, 2>(), std::true_type());
    else if (channels <= 4 * N)
      launch(zero, n, std::integral_constant<int, 4>(), std::true_type());
    else if (channels <= 8 * N)
      launch(zero, n, std::integral_constant<int, 8>(), std::true_type());
    else
      launch(zero, n, std::integral_constant<int, 8>(), std::false_type());
  });
}

static unsigned blocks(const Deform *p, const Call *call) {
  int64_t count = call->in[IN_OFFSETS].dim[0] * p->heads * p->bricks;
  CHECK(count <= INT32_MAX, "deform_attention: %lld blocks", (long long)count);
  return (unsigned)count;
}

static void forward(const Call *call) {
  with_heads(call, [&](auto zero, auto n, auto lanes, auto one) {
    using T = decltype(zero);
    constexpr int N = decltype(n)::value, LANES = decltype(lanes)::value;
    constexpr bool ONE = decltype(one)::value;
    auto kernel = gather<T, N, LANES, ONE>;
    Deform p = deform_make(call, THREADS / (SLOTS * LANES), resident_blocks(kernel, THREADS, 0));
    LAUNCH(kernel, blocks(&p, call), THREADS, 0, call->stream, p, data_of<T>(&call->out[0]));
  });
}

/* Element sums of the values' gradients, one level after another; then the bits of the largest
 * |dy|. None for float gradients, which are summed where they are wanted. */
static size_t sum_bytes(const Call *call) {
  if (deterministic(call)) return sizeof(Fixed);
  return call->in[IN_VALUES].type == F32 ? 0 : sizeof(float);
}

static size_t sums_bytes(const Call *call) {
  size_t bytes = 0;
  for (int i = IN_VALUES; i < call->n_in; i++)
    bytes += ((size_t)tensor_count(&call->in[i]) * sum_bytes(call) + 15) / 16 * 16;
  return bytes;
}

/* Elements of a level are counted in 32 bits within a sample, in 64 from sample to sample. */
static bool prepare(Call *call, Error *error) {
  for (int i = IN_VALUES; i < call->n_in; i++)
    if (tensor_count(&call->in[i]) / call->in[i].dim[0] > INT32_MAX)
      return fail(error,
                  "deform_attention: on a GPU a level of one sample has at most 2^31 - 1 elements, "
                  "found %s",
                  tensor_shape_text(&call->in[i]));
  if (call->backward && sum_bytes(call)) call->scratch_bytes = sums_bytes(call) + sizeof(unsigned);
  return true;
}

/* Points p at the sums, all zero. */
static void sums_start(const Call *call, Deform *p) {
  char *at = static_cast<char *>(call->scratch);
  if (sum_bytes(call)) zero_bytes(call, at, sums_bytes(call) + sizeof(unsigned));
  for (int i = IN_VALUES; i < call->n_in; i++) {
    const Tensor *dx = &call->din[i];
    size_t bytes = ((size_t)tensor_count(dx) * sum_bytes(call) + 15) / 16 * 16;
    if (dx->data && !bytes) zero_bytes(call, dx->data, tensor_bytes(dx));
    p->level[i - IN_VALUES].sums = !dx->data ? NULL : bytes ? at : dx->data;
    at += bytes;
  }
}

template <typename T, typename S>
static void sums_finish(const Call *call, const Deform *p, const unsigned *most) {
  if constexpr (!std::is_same_v<T, S>) /* else summed where they are wanted */
    for (int i = IN_VALUES; i < call->n_in; i++) {
      int64_t count = tensor_count(&call->in[i]);
      if (!call->din[i].data) continue;
      unsigned grid = grid_blocks(finish<T, S>, THREADS, 0, count / THREADS + 1);
      LAUNCH((finish<T, S>), grid, THREADS, 0, call->stream, count,
             static_cast<const S *>(p->level[i - IN_VALUES].sums), most, p->tokens,
             data_of<T>(&call->din[i]));
    }
}

template <typename T, int N, int LANES, bool ONE, typename S>
static void backward_as(const Call *call, const unsigned *most) {
  auto kernel = scatter<T, N, LANES, ONE, S>;
  Deform p = deform_make(call, THREADS / (SLOTS * LANES), resident_blocks(kernel, THREADS, 0));
  Gradients<T> g = {data_of<const T>(&call->dout[0]), data_of<float>(&call->din[IN_OFFSETS]),
                    data_of<float>(&call->din[IN_WEIGHTS]), most};
  sums_start(call, &p);
  if (most) {
    int64_t count = tensor_count(&call->dout[0]);
    unsigned grid = grid_blocks(largest<T>, THREADS, 0, count / THREADS + 1);
    LAUNCH(largest<T>, grid, THREADS, 0, call->stream, count, g.dy, const_cast<unsigned *>(most));
  }
  LAUNCH(kernel, blocks(&p, call), THREADS, 0, call->stream, p, g);
  sums_finish<T, S>(call, &p, most);
}

static void backward(const Call *call) {
  if (!call->dout[0].data) {
    zero_gradients(call);
    return;
  }
  with_heads(call, [&](auto zero, auto n, auto lanes, auto one) {
    using T = decltype(zero);
    constexpr int N = decltype(n)::value, LANES = decltype(lanes)::value;
    constexpr bool ONE = decltype(one)::value;
    const char *end = static_cast<const char *>(call->scratch) + sums_bytes(call);
    if (deterministic(call))
      backward_as<T, N, LANES, ONE, Fixed>(call, reinterpret_cast<const unsigned *>(end));
    else
      backward_as<T, N, LANES, ONE, float>(call, NULL);
  });
}

CUDA_KERNEL(deform_attention) = {.forward = forward,
                                 .backward = backward,
                                 .prepare = prepare,
                                 .bf16 = (SAVES_ALL_IN & ~3u) | SAVES_OUT(0),
                                 .bf16_together = true};
