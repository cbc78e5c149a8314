/* Convolutions with stride 1 or 2 and padding (k-1)/2 by Winograd's minimal filtering (Winograd
 * 1980; Lavin and Gray 2016). 3x3x3: F(2,3) along every axis, a tile of 2x2x2 outputs is computed
 * at 4x4x4 points, with 64 multiplications for a pair of channels where the definition has 216;
 * or, of large maps, F(4,3) along H and W, a tile of 2x4x4 outputs at 4x6x6 points, 144 instead of
 * 864. {1,3,3}: F(4,3) along H and W, a tile of 4x4 outputs at 6x6 points, 36 multiplications
 * instead of 144. With stride 2: five points an axis for two outputs, 125 instead of 216 and 25
 * instead of 36. Numbers stay within a few times the rounding of the direct sum.
 *
 *   y = At [(G w) . (Bt x)]      F(2,3): Bt: 4 inputs -> 4 points, G: 3 weights -> 4, At: 4 -> 2
 *
 * so the work is one small matrix product at each point, backward as well. Results do not depend on
 * the number of threads. */
#ifndef KERNELS_CPU_WINOGRAD_H
#define KERNELS_CPU_WINOGRAD_H

#include "kernels/op.h"

enum { WINOGRAD_PARTS = 4 };

/* Feature maps (N, D, H, W, channels[i]), taken as one with their channels in turn. */
typedef struct Maps {
  int count;
  void *data[WINOGRAD_PARTS]; /* a result that is NULL is not wanted */
  int64_t channels[WINOGRAD_PARTS];
  DType type[WINOGRAD_PARTS]; /* F32; BF16 in the bf16 form */
} Maps;

typedef struct Winograd {
  int64_t samples, in[3], out[3]; /* N; D, H, W of x and y */
  int64_t ins, outs;              /* channels, all parts together */
} Winograd;

/* The channels of every part and `outs` are multiples of this. */
int64_t winograd_channels(void);
/* One form of it: the points that products read are float, or bf16 with float sums. */
typedef struct WinogradForm {
  /* Bytes of 64-byte aligned scratch that each of the three calls finds enough. */
  size_t (*scratch)(const Winograd *shape, bool backward);
  /* w, dw: (outs, 3, 3, 3, ins), flat (outs, 1, 3, 3, ins); b, db: (outs); y and dy: one part. */
  void (*forward)(const Winograd *shape, const Maps *x, const float *w, const float *b,
                  const Maps *y, void *scratch);
  void (*backward_x)(const Winograd *shape, const Maps *dy, const float *w, const Maps *dx,
                     void *scratch);
  /* db may be NULL. */
  void (*backward_w)(const Winograd *shape, const Maps *x, const Maps *dy, float *dw, float *db,
                     void *scratch);
} WinogradForm;
/* winograd_wide: 3x3x3 over tiles of 2x4x4, float. winograd_flat: {1,3,3}, float. winograd_stride
 * and winograd_flat_stride: with stride 2 along each axis of more than one tap; their backward_x
 * stands in winograd_spread and winograd_flat_spread, which have nothing else. */
extern const WinogradForm winograd_float, winograd_bf16, winograd_wide, winograd_flat;
extern const WinogradForm winograd_stride, winograd_flat_stride;
extern const WinogradForm winograd_spread, winograd_flat_spread;

#endif
