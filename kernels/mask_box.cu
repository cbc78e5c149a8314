/* Boxes of masks: a block has the profiles of one slice for a tile of queries in shared memory,
 * read column by column and row by row; then a thread for each end of each box walks its line. */
#include "kernels/cuda/vector.h"
#include "kernels/plane_box.h"

static constexpr int THREADS = 256;
static constexpr size_t SHARED_FREE = 47 << 10;

namespace {
struct Slices {
  int64_t depth;
  int width, height, queries, tile;
  bool soft;
};

/* (lines, tile) each: W columns, then H rows. Where gradients are made, slope of each of two
 * ends. */
struct Profiles {
  float *top, *open, *slope[2];
  int *at;
};
} // namespace

static size_t tile_bytes(const Slices &s, bool gradient) {
  return (size_t)(s.width + s.height) *
         (gradient ? 4 * sizeof(float) + sizeof(int) : sizeof(float));
}

static __device__ __forceinline__ Profiles profiles_at(const Slices &s, float *shared) {
  int count = (s.width + s.height) * s.tile;
  return Profiles{shared,
                  shared + count,
                  {shared + 2 * count, shared + 3 * count},
                  reinterpret_cast<int *>(shared + 4 * count)};
}

/* Of this block's slice: its first voxel's first query of the tile. */
template <typename T>
static __device__ __forceinline__ T *slice_of(const Slices &s, T *x, int first) {
  return x + (int64_t)blockIdx.x * s.height * s.width * s.queries + first;
}

/* The largest of each line, and, with at, where it is first. */
template <typename T>
static __device__ void profiles_read(const Slices &s, const T *x, int tile, float *top, int *at) {
  for (int i = (int)threadIdx.x; i < (s.width + s.height) * tile; i += THREADS) {
    int line = i / tile, q = i % tile;
    bool column = line < s.width;
    int64_t step = (column ? (int64_t)s.width : 1) * s.queries;
    const T *from = x + (column ? line : (int64_t)(line - s.width) * s.width) * s.queries + q;
    int count = column ? s.height : s.width, where = 0;
    float most = load(from);
    for (int k = 1; k < count; k++) {
      float value = load(from + k * step);
      if (value > most) {
        most = value;
        where = k;
      }
    }
    top[line * s.tile + q] = most;
    if (at) at[line * s.tile + q] = where;
  }
}

static __device__ __forceinline__ float sigmoid(float x) {
  return 1 / (1 + expf(-x));
}

/* One end, in lines; `stride` from line to line, which go backwards from the last where it is
 * negative. */
static __device__ float hard_end(const float *top, int count, bool last, int stride) {
  for (int i = 0; i < count; i++) {
    int line = last ? count - 1 - i : i;
    if (top[line * stride] > 0) return (float)line;
  }
  return 0;
}

/* Lines are counted from the end that is sought, so that what is far from it weighs nothing. */
static __device__ float soft_end(const float *top, int count, bool last, int stride, float *open,
                                 float *total) {
  float still = 1, sum = 0;
  *total = 0;
  for (int i = 0; i < count; i++) {
    int line = last ? count - 1 - i : i;
    float r = sigmoid(top[line * stride]);
    if (open) open[line * stride] = still;
    sum += (float)i * r * still;
    *total += r * still;
    still *= 1 - r;
  }
  if (!(*total > 0)) return 0;
  return last ? (float)(count - 1) - sum / *total : sum / *total;
}

template <typename T>
static __global__ void __launch_bounds__(THREADS) find_boxes(Slices s, const T *x, float *boxes) {
  DYNAMIC_SHARED(float, top);
  int first = (int)blockIdx.y * s.tile, tile = min(s.tile, s.queries - first);
  int64_t n = blockIdx.x / s.depth, d = blockIdx.x % s.depth;
  profiles_read(s, slice_of(s, x, first), tile, top, nullptr);
  __syncthreads();
  for (int i = (int)threadIdx.x; i < BOUNDS * tile; i += THREADS) {
    int q = i / BOUNDS, side = i % BOUNDS, count = side % 2 ? s.height : s.width;
    const float *own = top + (side % 2 ? s.width * s.tile : 0) + q;
    float total;
    float end = s.soft ? soft_end(own, count, side > 1, s.tile, nullptr, &total)
                       : hard_end(own, count, side > 1, s.tile);
    boxes[((n * s.queries + first + q) * s.depth + d) * BOUNDS + side] = end / (float)count;
  }
}

/* The gradients of the lines' largest logits from one end. */
static __device__ void soft_slope(const float *top, int count, bool last, int stride, float *open,
                                  float scale, float *slope) {
  float total, end = soft_end(top, count, last, stride, open, &total), beyond = 0;
  for (int i = count - 1; i >= 0; i--) {
    int line = last ? count - 1 - i : i;
    float r = sigmoid(top[line * stride]);
    float own = total > 0 ? ((float)line - end) / total : 0;
    slope[line * stride] = scale * open[line * stride] * (own - beyond) * r * (1 - r);
    beyond = own * r + (1 - r) * beyond;
  }
}

/* The two ends of a line after one another, by one thread: both write `open`. */
template <typename T>
static __global__ void __launch_bounds__(THREADS)
    differentiate(Slices s, const T *x, const float *dboxes, T *dx) {
  DYNAMIC_SHARED(float, shared);
  Profiles p = profiles_at(s, shared);
  int first = (int)blockIdx.y * s.tile, tile = min(s.tile, s.queries - first);
  int64_t n = blockIdx.x / s.depth, d = blockIdx.x % s.depth;
  profiles_read(s, slice_of(s, x, first), tile, p.top, p.at);
  __syncthreads();
  for (int i = (int)threadIdx.x; i < 2 * tile; i += THREADS) {
    int q = i / 2, axis = i % 2, count = axis ? s.height : s.width;
    int start = (axis ? s.width * s.tile : 0) + q;
    const float *dbox = dboxes + ((n * s.queries + first + q) * s.depth + d) * BOUNDS + axis;
    for (int last = 0; last < 2; last++)
      soft_slope(p.top + start, count, last, s.tile, p.open + start, dbox[2 * last] / (float)count,
                 p.slope[last] + start);
  }
  __syncthreads();
  T *out = slice_of(s, dx, first);
  for (int64_t i = threadIdx.x; i < (int64_t)s.height * s.width * tile; i += THREADS) {
    int q = (int)(i % tile), u = (int)(i / tile % s.width), v = (int)(i / tile / s.width);
    int column = u * s.tile + q, row = (s.width + v) * s.tile + q;
    float sum = p.at[column] == v ? p.slope[0][column] + p.slope[1][column] : 0;
    sum += p.at[row] == u ? p.slope[0][row] + p.slope[1][row] : 0;
    store(out + ((int64_t)v * s.width + u) * s.queries + q, sum);
  }
}

static Slices slices_of(const Call *call, bool gradient) {
  const int64_t *dim = call->in[0].dim;
  Slices s = {};
  s.depth = dim[1];
  s.height = (int)dim[2];
  s.width = (int)dim[3];
  s.queries = (int)dim[4];
  s.soft = static_cast<const MaskBoxOptions *>(call->options)->soft != 0;
  int fits = (int)(SHARED_FREE / tile_bytes(s, gradient));
  s.tile = fits < s.queries ? fits : s.queries;
  return s;
}

static dim3 grid_of(const Call *call, const Slices &s) {
  return dim3((unsigned)(call->in[0].dim[0] * s.depth),
              (unsigned)((s.queries + s.tile - 1) / s.tile));
}

static bool prepare(Call *call, Error *error) {
  const int64_t *dim = call->in[0].dim;
  if (slices_of(call, true).tile < 1)
    return fail(error, "mask_box: on a GPU H + W is at most %zu, found %lld and %lld",
                SHARED_FREE / (5 * sizeof(float)), (long long)dim[2], (long long)dim[3]);
  return true;
}

static void forward(const Call *call) {
  Slices s = slices_of(call, false);
  with_type(call->in[0].type, [&](auto zero) {
    using T = decltype(zero);
    LAUNCH(find_boxes<T>, grid_of(call, s), THREADS, tile_bytes(s, false) * (size_t)s.tile,
           call->stream, s, data_of<const T>(&call->in[0]), data_of<float>(&call->out[0]));
  });
}

static void backward(const Call *call) {
  Slices s = slices_of(call, true);
  if (!call->din[0].data) return;
  with_type(call->in[0].type, [&](auto zero) {
    using T = decltype(zero);
    LAUNCH(differentiate<T>, grid_of(call, s), THREADS, tile_bytes(s, true) * (size_t)s.tile,
           call->stream, s, data_of<const T>(&call->in[0]), data_of<const float>(&call->dout[0]),
           data_of<T>(&call->din[0]));
  });
}

CUDA_KERNEL(mask_box) = {
    .forward = forward, .backward = backward, .prepare = prepare, .bf16 = SAVES_IN(0)};
