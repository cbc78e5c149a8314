/* The gradients of a linear layer of few rows (queries, not voxels), all in one launch: dx = g w,
 * dw = g^T x, db = the sums of g, where g is dy, or with y dy where y is positive. Products of the
 * library take a launch each, a microsecond of work in several of waiting. The first blocks compute
 * tiles of dw and db, the others of dx. Sums are in float, in a fixed order. */
#ifndef KERNELS_CUDA_FEW_ROWS_H
#define KERNELS_CUDA_FEW_ROWS_H

#include "kernels/cuda/vector.h"

enum {
  FEW_ROWS = 128, /* most that pay */
  FEW_THREADS = 256,
  FEW_WARPS = FEW_THREADS / 32,
  FEW_OUTS = 64,
  FEW_DEPTH = 64, /* of a tile of dw: its outs; rows read at once */
  FEW_TILE = 16,
  FEW_RUN = 256 /* of a tile of dx: its rows; outs read at once */
};

namespace {
/* x (rows, ins), dy and y (rows, outs), w (outs, ins). NULL: y, no ReLU; dx, dw, db, not wanted. */
template <typename T, typename X> struct FewRows {
  int rows, outs, ins;
  const T *dy, *y;
  const X *x;
  const float *w;
  X *dx;
  float *dw, *db;
  bool adds_x, adds_w, adds_b; /* to what is there */
  int weight_blocks;

  __device__ __forceinline__ float gradient(int row, int out) const {
    if (row >= rows || out >= outs) return 0;
    int64_t at = (int64_t)row * outs + out;
    return !y || load(y + at) > 0 ? load(dy + at) : 0;
  }
};
} // namespace

/* FEW_OUTS outs of 32 ins: a lane an in, a warp eight outs. `shared`: (FEW_DEPTH, FEW_OUTS) of
 * g. */
template <typename T, typename X>
static __device__ __forceinline__ void few_weights(const FewRows<T, X> &f, int block,
                                                   float *shared) {
  constexpr int EACH = FEW_OUTS / FEW_WARPS;
  int lane = (int)threadIdx.x % 32, warp = (int)threadIdx.x / 32, across = (f.ins + 31) / 32;
  int in = block % across * 32 + lane, first = block / across * FEW_OUTS;
  float sum[EACH] = {}, bias = 0;
  for (int start = 0; start < f.rows; start += FEW_DEPTH) {
    int depth = min((int)FEW_DEPTH, f.rows - start);
    for (int i = (int)threadIdx.x; i < depth * FEW_OUTS; i += FEW_THREADS)
      shared[i] = f.gradient(start + i / FEW_OUTS, first + i % FEW_OUTS);
    __syncthreads();
    for (int r = 0; r < depth; r++) {
      float x = f.dw && in < f.ins ? load(f.x + (int64_t)(start + r) * f.ins + in) : 0;
#pragma unroll
      for (int k = 0; k < EACH; k++) sum[k] += shared[r * FEW_OUTS + warp * EACH + k] * x;
    }
    if ((int)threadIdx.x < FEW_OUTS)
      for (int r = 0; r < depth; r++) bias += shared[r * FEW_OUTS + threadIdx.x];
    __syncthreads();
  }
  for (int k = 0; k < EACH; k++) {
    int out = first + warp * EACH + k;
    float *to = f.dw + (int64_t)out * f.ins + in;
    if (f.dw && out < f.outs && in < f.ins) *to = f.adds_w ? *to + sum[k] : sum[k];
  }
  int out = first + (int)threadIdx.x;
  if (!f.db || block % across || (int)threadIdx.x >= FEW_OUTS || out >= f.outs) return;
  f.db[out] = f.adds_b ? f.db[out] + bias : bias;
}

/* FEW_TILE rows of 32 ins: a lane an in, a warp its share of the outs. `shared`: (FEW_RUN,
 * FEW_TILE) of g, then the warps' sums. */
template <typename T, typename X>
static __device__ __forceinline__ void few_inputs(const FewRows<T, X> &f, int block,
                                                  float *shared) {
  constexpr int EACH = FEW_RUN / FEW_WARPS;
  int lane = (int)threadIdx.x % 32, warp = (int)threadIdx.x / 32, across = (f.ins + 31) / 32;
  int in = block % across * 32 + lane, first = block / across * FEW_TILE;
  float sum[FEW_TILE] = {};
  for (int start = 0; start < f.outs; start += FEW_RUN) {
    for (int i = (int)threadIdx.x; i < FEW_RUN * FEW_TILE; i += FEW_THREADS) /* along the outs */
      shared[i % FEW_RUN * FEW_TILE + i / FEW_RUN] =
          f.gradient(first + i / FEW_RUN, start + i % FEW_RUN);
    __syncthreads();
#pragma unroll 4
    for (int k = 0; k < EACH; k++) {
      int at = warp * EACH + k, out = start + at;
      float w = out < f.outs && in < f.ins ? f.w[(int64_t)out * f.ins + in] : 0;
#pragma unroll
      for (int r = 0; r < FEW_TILE; r++) sum[r] += shared[at * FEW_TILE + r] * w;
    }
    __syncthreads();
  }
#pragma unroll
  for (int r = 0; r < FEW_TILE; r++) shared[(warp * FEW_TILE + r) * 32 + lane] = sum[r];
  __syncthreads();
  for (int r = warp; r < FEW_TILE; r += FEW_WARPS) {
    float total = 0;
    for (int k = 0; k < FEW_WARPS; k++) total += shared[(k * FEW_TILE + r) * 32 + lane];
    X *to = f.dx + (int64_t)(first + r) * f.ins + in;
    if (first + r < f.rows && in < f.ins) store(to, f.adds_x ? load(to) + total : total);
  }
}

template <typename T, typename X>
static __global__ void __launch_bounds__(FEW_THREADS) few_rows(FewRows<T, X> f) {
  SHARED(float, shared, [FEW_DEPTH * FEW_OUTS]);
  int block = (int)blockIdx.x;
  if (block < f.weight_blocks)
    few_weights(f, block, shared);
  else
    few_inputs(f, block - f.weight_blocks, shared);
}

static inline bool few_rows_fit(int64_t rows, int64_t outs, int64_t ins) {
  return rows <= FEW_ROWS && outs <= 1 << 14 && ins <= 1 << 14;
}

template <typename T, typename X> static inline void few_rows_run(void *stream, FewRows<T, X> f) {
  static_assert(FEW_RUN * FEW_TILE == FEW_DEPTH * FEW_OUTS &&
                    FEW_WARPS * FEW_TILE * 32 == FEW_RUN * FEW_TILE,
                "one array for all");
  int across = (f.ins + 31) / 32;
  f.weight_blocks = f.dw || f.db ? across * ((f.outs + FEW_OUTS - 1) / FEW_OUTS) : 0;
  int input_blocks = f.dx ? across * ((f.rows + FEW_TILE - 1) / FEW_TILE) : 0;
  if (f.weight_blocks + input_blocks)
    LAUNCH((few_rows<T, X>), (unsigned)(f.weight_blocks + input_blocks), FEW_THREADS, 0, stream, f);
}

#endif
