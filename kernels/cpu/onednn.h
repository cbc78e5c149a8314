/* oneDNN's convolutions in channels-last layout, versions 2 and 3 behind one face. A ConvStep is
 * one direction of one convolution: everything the library allocates is made by conv_step_make;
 * conv_step_run sets pointers and executes. Weights keep our layout outside: they are reordered
 * into the library's preferred one in scratch, and gradients of weights back. */
#ifndef KERNELS_CPU_ONEDNN_H
#define KERNELS_CPU_ONEDNN_H

#include "base/error.h"

#include <dnnl.h>
#include <stddef.h>
#include <stdint.h>

typedef enum ConvDirection { CONV_FORWARD, CONV_BACKWARD_X, CONV_BACKWARD_W } ConvDirection;

/* Axes in the library's order: x (N, Cin, D, H, W), w (Cout, Cin, kd, kh, kw), y like x. The data
 * of x and y is (N, D, H, W, C), contiguous; w lies as w_stride says (elements). */
typedef struct ConvShape {
  dnnl_dims_t x, w, y, w_stride;
  dnnl_dims_t stride, pad; /* D, H, W; pad: before the first voxel */
  bool bias;               /* forward: adds b; backward: also computes db */
  bool accumulate;         /* forward only: y += */
  /* Types of the data of x and y, dnnl_f32 or dnnl_bf16. Where one is bf16 the arithmetic is, into
   * float sums, and what the direction reads (x and w, or w and y, or x and y) must be all bf16;
   * w is reordered into it. Weights outside, biases and their gradients are float. */
  dnnl_data_type_t x_type, y_type;
} ConvShape;

typedef struct ConvStep {
  ConvDirection direction;
  dnnl_engine_t engine;
  dnnl_stream_t stream;
  dnnl_primitive_t conv, reorder; /* reorder: of the weights, NULL when they lie right already */
  dnnl_memory_t x, y, b, w, w_ours, pad;
  size_t w_bytes, pad_bytes; /* scratch: reordered weights, the library's own */
} ConvStep;

/* Pointers of one execution: x, w, b, y or their gradients. w_scratch and pad_scratch hold w_bytes
 * and pad_bytes, 64-byte aligned; b is ignored without bias. */
typedef struct ConvData {
  void *x, *w, *b, *y, *w_scratch, *pad_scratch;
} ConvData;

/* On failure nothing is left to free. A zeroed step may be freed. */
bool conv_step_make(ConvStep *step, ConvDirection direction, const ConvShape *shape, Error *error);
void conv_step_free(ConvStep *step);
void conv_step_run(const ConvStep *step, const ConvData *data);

#endif
