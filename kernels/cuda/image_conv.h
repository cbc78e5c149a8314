/* 3D convolution of an image: one to four channels, kernels of one or three a side, channels last.
 * cuDNN's engines want eight channels and then read and multiply seven of zeros; here both ways are
 * bound by moving y or dy once. Products in float from operands as they are stored: no copy of x or
 * w in another type.
 *
 *   forward          a thread: four voxels of a row times a vector of outputs; the weights in
 *                    shared memory
 *   weight gradient  a thread: a vector of outputs times the nine taps of one plane of the kernel,
 *                    over runs of eight voxels; blocks are summed in a fixed order
 *                    (column_sums.h) */
#ifndef KERNELS_CUDA_IMAGE_CONV_H
#define KERNELS_CUDA_IMAGE_CONV_H

#include "kernels/cuda/column_sums.h"

#include <string.h>

namespace {
struct ImageConv {
  int channels, outs, taps; /* taps: of all channels, those the last axis of w */
  int kernel[3], stride[3], padding[3], in[3], out[3];
  int rows; /* of y: N D H */
};
} // namespace

static constexpr int IMAGE_THREADS = 256, IMAGE_QUAD = 4, IMAGE_RUN = 8, IMAGE_PLANE = 9;

static inline ImageConv image_conv_of(const Call *call) {
  const Tensor *w = &call->in[0], *x = &call->in[2], *y = &call->out[0];
  ImageConv s = {};
  s.channels = (int)w->dim[4];
  s.outs = (int)w->dim[0];
  s.taps = (int)(w->dim[1] * w->dim[2] * w->dim[3] * w->dim[4]);
  for (int a = 0; a < 3; a++) {
    s.kernel[a] = (int)w->dim[1 + a];
    s.stride[a] = static_cast<const ConvOptions *>(call->options)->stride.v[a];
    s.padding[a] = (s.kernel[a] - 1) / 2;
    s.in[a] = (int)x->dim[1 + a];
    s.out[a] = (int)y->dim[1 + a];
  }
  s.rows = (int)(y->dim[0] * y->dim[1] * y->dim[2]);
  return s;
}

/* Whether both kernels take it; the gradient of x they do not know. */
static inline bool image_conv_takes(const Call *call) {
  const Tensor *w = &call->in[0], *x = &call->in[2], *y = &call->out[0];
  bool sides = true;
  for (int a = 1; a < 4; a++) sides = sides && (w->dim[a] == 1 || w->dim[a] == 3);
  return call->n_in == 3 && sides && w->dim[4] <= 4 && w->dim[0] % 8 == 0 && w->dim[0] <= 64 &&
         w->dim[1] * w->dim[2] * w->dim[3] > 1 && tensor_count(x) < INT32_MAX &&
         tensor_count(y) / 4 < INT32_MAX;
}

template <int N, typename X, typename Y>
static __global__ void __launch_bounds__(IMAGE_THREADS)
    image_conv_forward_kernel(ImageConv s, const X *x, const float *w, const float *bias, Y *y) {
  DYNAMIC_SHARED(float, weights); /* (taps, outs), then the bias */
  for (int i = (int)threadIdx.x; i < s.outs * (s.taps + 1); i += IMAGE_THREADS)
    weights[i] = i < s.outs * s.taps ? w[i % s.outs * s.taps + i / s.outs]
                 : bias              ? bias[i - s.outs * s.taps]
                                     : 0;
  __syncthreads();
  unsigned groups = (unsigned)(s.outs / N),
           quads = (unsigned)(s.out[2] + IMAGE_QUAD - 1) / IMAGE_QUAD;
  unsigned items = (unsigned)s.rows * quads * groups;
  for (unsigned item = blockIdx.x * IMAGE_THREADS + threadIdx.x; item < items;
       item += gridDim.x * IMAGE_THREADS) {
    int first = (int)(item % groups) * N, left = (int)(item / groups % quads) * IMAGE_QUAD;
    int row = (int)(item / groups / quads);
    int h = row % s.out[1] * s.stride[1] - s.padding[1], sample = row / s.out[1] / s.out[0];
    int d = row / s.out[1] % s.out[0] * s.stride[0] - s.padding[0], t = 0;
    float sum[IMAGE_QUAD][N];
#pragma unroll
    for (int v = 0; v < IMAGE_QUAD; v++)
#pragma unroll
      for (int i = 0; i < N; i++) sum[v][i] = weights[s.outs * s.taps + first + i];
    for (int kd = 0; kd < s.kernel[0]; kd++)
      for (int kh = 0; kh < s.kernel[1]; kh++) {
        int z = d + kd, r = h + kh;
        bool inside = z >= 0 && z < s.in[0] && r >= 0 && r < s.in[1];
        const X *line = x + (int64_t)((sample * s.in[0] + z) * s.in[1] + r) * s.in[2] * s.channels;
        for (int k = 0; k < s.kernel[2] * s.channels; k++, t++) {
          if (!inside) continue;
          int c = k % s.channels, from = left * s.stride[2] + k / s.channels - s.padding[2];
          float weight[N];
#pragma unroll
          for (int i = 0; i < N; i++) weight[i] = weights[t * s.outs + first + i];
#pragma unroll
          for (int v = 0; v < IMAGE_QUAD; v++) {
            int at = from + v * s.stride[2];
            float value = at >= 0 && at < s.in[2] ? load(line + at * s.channels + c) : 0;
#pragma unroll
            for (int i = 0; i < N; i++) sum[v][i] += weight[i] * value;
          }
        }
      }
#pragma unroll
    for (int v = 0; v < IMAGE_QUAD; v++) {
      Floats<N> result;
#pragma unroll
      for (int i = 0; i < N; i++) result.v[i] = sum[v][i];
      if (left + v < s.out[2])
        store_lanes<N>(y + ((int64_t)row * s.out[2] + left + v) * s.outs + first, result);
    }
  }
}

/* blockIdx.y: plane kd of the kernel and channel c. partial (gridDim.x, outs, taps). */
template <int N, typename X, typename Y>
static __global__ void __launch_bounds__(IMAGE_THREADS)
    image_conv_weight_kernel(ImageConv s, const X *x, const Y *dy, float *partial) {
  SHARED(float, shared, [N][IMAGE_THREADS]);
  int groups = s.outs / N, side = IMAGE_THREADS / groups, thread = (int)threadIdx.x;
  int first = thread % groups * N, slot = thread / groups;
  int kd = (int)blockIdx.y / s.channels, c = (int)blockIdx.y % s.channels;
  int runs = (s.out[2] + IMAGE_RUN - 1) / IMAGE_RUN, items = slot < side ? s.rows * runs : 0;
  float sum[IMAGE_PLANE][N] = {};
  for (int item = (int)blockIdx.x * side + slot; item < items; item += (int)gridDim.x * side) {
    int row = item / runs, left = item % runs * IMAGE_RUN;
    int h = row % s.out[1] * s.stride[1] - s.padding[1], sample = row / s.out[1] / s.out[0];
    int z = row / s.out[1] % s.out[0] * s.stride[0] - s.padding[0] + kd;
    if (z < 0 || z >= s.in[0]) continue;
    const X *plane = x + (int64_t)(sample * s.in[0] + z) * s.in[1] * s.in[2] * s.channels + c;
    const Y *from = dy + ((int64_t)row * s.out[2] + left) * s.outs + first;
    int end = min(IMAGE_RUN, s.out[2] - left);
#pragma unroll 2
    for (int v = 0; v < end; v++) {
      Floats<N> g = load_lanes<N>(from + v * s.outs);
      int across = (left + v) * s.stride[2] - s.padding[2];
#pragma unroll
      for (int k = 0; k < IMAGE_PLANE; k++) {
        int r = h + k / 3, at = across + k % 3;
        bool inside = k / 3 < s.kernel[1] && k % 3 < s.kernel[2] && r >= 0 && r < s.in[1] &&
                      at >= 0 && at < s.in[2];
        float value = inside ? load(plane + (r * s.in[2] + at) * s.channels) : 0;
#pragma unroll
        for (int i = 0; i < N; i++) sum[k][i] += g.v[i] * value;
      }
    }
  }
#pragma unroll
  for (int k = 0; k < IMAGE_PLANE; k++) {
    __syncthreads();
#pragma unroll
    for (int i = 0; i < N; i++) shared[i][thread] = sum[k][i];
    __syncthreads();
    int kh = k / 3, kw = k % 3;
    if (kh >= s.kernel[1] || kw >= s.kernel[2] || thread >= s.outs) continue;
    float total = 0;
    for (int i = 0; i < side; i++) total += shared[thread % N][i * groups + thread / N];
    int tap = ((kd * s.kernel[1] + kh) * s.kernel[2] + kw) * s.channels + c;
    partial[((int64_t)blockIdx.x * s.outs + thread) * s.taps + tap] = total;
  }
}

template <typename F>
static inline void image_conv_types(const Tensor *x, const Tensor *y, F launch) {
  with_type(x->type,
            [&](auto x_zero) { with_type(y->type, [&](auto y_zero) { launch(x_zero, y_zero); }); });
}

static inline void image_conv_forward(const Call *call) {
  ImageConv s = image_conv_of(call);
  const Tensor *x = &call->in[2], *y = &call->out[0];
  size_t shared = (size_t)(s.outs * (s.taps + 1)) * sizeof(float);
  image_conv_types(x, y, [&](auto x_zero, auto y_zero) {
    using X = decltype(x_zero);
    using Y = decltype(y_zero);
    constexpr int N = Lanes<Y>::COUNT;
    int64_t items = tensor_count(y) / N / IMAGE_QUAD;
    LAUNCH((image_conv_forward_kernel<N, X, Y>),
           grid_blocks(image_conv_forward_kernel<N, X, Y>, IMAGE_THREADS, shared,
                       items / IMAGE_THREADS + 1),
           IMAGE_THREADS, shared, call->stream, s, data_of<const X>(x),
           data_of<const float>(&call->in[0]), static_cast<const float *>(input_data(call, 1)),
           data_of<Y>(y));
  });
}

/* Blocks depend on the shape alone, so that the bits do not depend on the card. */
static inline int image_conv_blocks(const ImageConv *s) {
  int64_t wanted = (int64_t)s->rows * s->out[2] / 512 + 1;
  return (int)(wanted < COLUMN_BLOCKS ? wanted : COLUMN_BLOCKS);
}

static inline size_t image_conv_scratch(const Call *call) {
  ImageConv s = image_conv_of(call);
  return (size_t)image_conv_blocks(&s) * (size_t)(s.outs * s.taps) * sizeof(float);
}

static inline void image_conv_weight_gradient(const Call *call, void *scratch) {
  ImageConv s = image_conv_of(call);
  const Tensor *x = &call->in[2], *dy = &call->dout[0];
  float *partial = static_cast<float *>(scratch), *dw = data_of<float>(&call->din[0]);
  int blocks = image_conv_blocks(&s), width = s.outs * s.taps;
  image_conv_types(x, dy, [&](auto x_zero, auto y_zero) {
    using X = decltype(x_zero);
    using Y = decltype(y_zero);
    constexpr int N = Lanes<Y>::COUNT;
    LAUNCH((image_conv_weight_kernel<N, X, Y>),
           dim3((unsigned)blocks, (unsigned)(s.kernel[0] * s.channels)), IMAGE_THREADS, 0,
           call->stream, s, data_of<const X>(x), data_of<const Y>(dy), partial);
  });
  LAUNCH((column_finish<1, ColumnOut<1>>), dim3((unsigned)(width + 31) / 32, 1, 1),
         32 * COLUMN_GROUPS, 0, call->stream, blocks, width, partial, ColumnOut<1>{{dw}});
}

#endif
