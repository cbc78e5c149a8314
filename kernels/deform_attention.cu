/* Multi-scale deformable attention in 3D (formula: deform_attention.c). A group of lanes takes one
 * (token, head): 4 slots, which share the L*P points out among themselves, times the lanes that
 * the head's channels fill with 16-byte loads. A lane turns the offsets of its point into
 * corners and weights in registers, has the point's 8 loads in flight at once, and sums in float;
 * softmax needs no array either: the sum of exponentials is divided out at the end.
 *
 * Backward reads the corners once more: their products with dy give the gradients of offsets and
 * weights, which only this group writes. The gradient of the values is summed from the points that
 * reach a voxel, which are sorted for that (cuda/deform_sort.h, cuda/deform_values.h): written
 * once, without atomic sums, and the same bits each time.
 *
 * Bound by L1 and L2: 8 corners of C elements a point, of which DRAM sees each value about once. */
#include "kernels/cuda/deform_values.h"

enum { IN_OFFSETS, IN_WEIGHTS, IN_VALUES };
static constexpr int THREADS = 256, SLOTS = 4;

/* ---- over the slots of a group of SLOTS * LANES lanes ---------------------------------------- */

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

/* ---- forward --------------------------------------------------------------------------------- */

/* The channels [c0, c0 + LANES N) of a head: y = sum of w V / sum of w. */
template <typename T, int N, int LANES>
static __device__ __forceinline__ void gather_chunk(const Deform &p, const LevelHere<T> *here,
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
  using Here = LevelHere<T>;
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

/* ---- backward -------------------------------------------------------------------------------- */

/* dy of a lane's N channels; beyond the head, zero. */
namespace {
template <int N> struct Chunk {
  int c; /* first channel */
  bool own;
  Floats<N> dy;
};
} // namespace

template <int N, int LANES, typename T>
static __device__ __forceinline__ Chunk<N> chunk_make(const Deform &p, const T *dy, int c0) {
  Chunk<N> chunk = {};
  chunk.c = c0 + (int)threadIdx.x % LANES * N;
  chunk.own = chunk.c < p.channels;
  if (chunk.own) chunk.dy = load_lanes<N>(dy + chunk.c);
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

namespace {
/* What `products` writes, NULL where not wanted. */
template <typename T> struct Gradients {
  const T *dy;
  float *doffsets, *dlogits;
  float2 *softmax; /* of each token and head: largest logit, 1 / sum */
};
} // namespace

template <typename T, int N, int LANES, bool ONE>
static __device__ __forceinline__ void products_token(const Deform &p, const LevelHere<T> *here,
                                                      const Token &token, int head,
                                                      const Gradients<T> &g) {
  int slot = threadIdx.x / LANES % SLOTS;
  int64_t row = token.row * p.heads + head, index = row * p.levels * p.points;
  const float *logits = p.logits + index, *offsets = p.offsets + 3 * index;
  const T *dy = g.dy + token.row * p.width + head * p.channels;
  bool writes = token.real && threadIdx.x % LANES == 0;
  float top = -INFINITY, total = 0, mean = 0;
  logits_walk(p, slot, [&](int j) { top = fmaxf(top, logits[j]); });
  top = slots_max<LANES>(top);
  logits_walk(p, slot, [&](int j) { total += expf(logits[j] - top); });
  float scale = 1 / slots_sum<LANES>(total);
  if (g.softmax && writes && slot == 0) g.softmax[row] = make_float2(top, scale);
  if (!g.doffsets && !g.dlogits) return;
  Chunk<N> chunk = chunk_make<N, LANES>(p, dy, 0);
  points_walk(p, slot, [&](int j, int l, bool real) {
    float a = real ? expf(logits[j] - top) * scale : 0, product[4] = {};
    Corners corners = corners_make(here[l], token, p.width, offsets + 3 * j);
    for (int c0 = 0; c0 < (ONE ? 1 : p.channels); c0 += LANES * N) {
      Floats<N> corner[8];
      if (!ONE) chunk = chunk_make<N, LANES>(p, dy, c0);
      corners_load<N>(global_pointer(here[l].values) + (chunk.own ? chunk.c : 0), corners, corner);
      products_add<N>(chunk, corners, corner, product);
    }
#pragma unroll
    for (int i = 0; i < 4; i++) product[i] = warp_sum<LANES>(product[i]);
    mean += a * product[0];
    if (!real || !writes) return;
    for (int i = 0; g.doffsets && i < 3; i++)
      g.doffsets[3 * (index + j) + i] = here[l].still[i] ? 0 : a * product[1 + i];
    if (g.dlogits) g.dlogits[index + j] = product[0];
  });
  mean = slots_sum<LANES>(mean);
  if (writes && g.dlogits) /* what this thread wrote above */
    logits_walk(p, slot, [&](int j) {
      g.dlogits[index + j] = expf(logits[j] - top) * scale * (g.dlogits[index + j] - mean);
    });
}

template <typename T, int N, int LANES, bool ONE>
static __global__ void __launch_bounds__(THREADS, ONE ? 3 : 2)
    products(const Deform p, const Gradients<T> g) {
  using Here = LevelHere<T>;
  SHARED(Here, here, [DEFORM_LEVELS]);
  Brick brick = brick_find(p);
  int tokens = 1 << (p.shift[0] + p.shift[1] + p.shift[2]);
  levels_place(p, brick, here);
  for (int k = (int)threadIdx.x / (SLOTS * LANES); k < tokens; k += THREADS / (SLOTS * LANES)) {
    Token token = token_at(p, brick, k);
    if (__any_sync(WARP_ALL, token.real))
      products_token<T, N, LANES, ONE>(p, here, token, brick.head, g);
  }
}

/* ---- on the host ----------------------------------------------------------------------------- */

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

/* Elements of a level are counted in 32 bits within a sample, points within a segment. */
static bool prepare(Call *call, Error *error) {
  for (int i = IN_VALUES; i < call->n_in; i++)
    if (tensor_count(&call->in[i]) / call->in[i].dim[0] > INT32_MAX)
      return fail(error,
                  "deform_attention: on a GPU a level of one sample has at most 2^31 - 1 elements, "
                  "found %s",
                  tensor_shape_text(&call->in[i]));
  if (!call->backward) return true;
  Deform p = deform_make(call, 1, 1);
  if (p.tokens * p.points > INT32_MAX)
    return fail(error,
                "deform_attention: on a GPU a head has at most 2^31 - 1 points on a level of one "
                "sample, found %lld tokens * %d points",
                (long long)p.tokens, p.points);
  Sort s = sort_make(call, &p, values_wide(p.channels));
  call->scratch_bytes = s.bytes;
  with_type(call->in[IN_VALUES].type, [&](auto zero) { values_allow<decltype(zero)>(p, s); });
  return true;
}

static bool values_wanted(const Call *call) {
  bool wanted = false;
  for (int i = IN_VALUES; i < call->n_in; i++) wanted = wanted || call->din[i].data;
  return wanted;
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
    auto kernel = products<T, N, LANES, ONE>;
    Deform p = deform_make(call, THREADS / (SLOTS * LANES), resident_blocks(kernel, THREADS, 0));
    Sort s = sort_make(call, &p, values_wide(p.channels));
    Gradients<T> g = {data_of<const T>(&call->dout[0]), data_of<float>(&call->din[IN_OFFSETS]),
                      data_of<float>(&call->din[IN_WEIGHTS]),
                      values_wanted(call) ? s.softmax : NULL};
    LAUNCH(kernel, blocks(&p, call), THREADS, 0, call->stream, p, g);
    if (!values_wanted(call)) return;
    sort_points(call, p, s);
    values_choose(s, N > 1, [&](auto v, auto fits) {
      values_launch<T, decltype(v)::value, decltype(fits)::value>(call, p, s);
    });
  });
}

CUDA_KERNEL(deform_attention) = {.forward = forward,
                                 .backward = backward,
                                 .prepare = prepare,
                                 .bf16 = (SAVES_ALL_IN & ~3u) | SAVES_OUT(0),
                                 .bf16_together = true};
