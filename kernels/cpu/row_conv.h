/* Convolutions of any kernel and stride as products over rows of voxels: kw voxels lie together, so
 * kw * ins numbers of each of kd * kh rows are multiplied with as many rows of weights. For what
 * has neither Winograd's form nor a fast one in the library: strides, images of one to a few
 * channels. Results do not depend on the number of threads. Bound by FLOP from 16 channels on. */
#ifndef KERNELS_CPU_ROW_CONV_H
#define KERNELS_CPU_ROW_CONV_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { ROW_CONV_WIDEST = 7 }; /* kw at most */

/* D, H and W; padding (k-1)/2. All in float. */
typedef struct RowConv {
  int64_t samples, ins, outs; /* channels */
  int64_t in[3], out[3], kernel[3], stride[3];
} RowConv;

/* Bytes of 64-byte aligned scratch that each of the three calls finds enough. */
size_t row_conv_scratch(const RowConv *shape);
/* x: (samples, D, H, W, ins); w and dw: (outs, kd, kh, kw, ins); b and db: (outs); y: (samples, D',
 * H', W', outs). */
void row_conv_forward(const RowConv *shape, const float *x, const float *w, const float *b,
                      float *y, void *scratch);
void row_conv_backward_x(const RowConv *shape, const float *dy, const float *w, float *dx,
                         void *scratch);
/* db may be NULL. */
void row_conv_backward_w(const RowConv *shape, const float *x, const float *dy, float *dw,
                         float *db, void *scratch);

#endif
