/* What deform_attention.cpu.c does point by point, vectorised over a head's channels, for each
 * number of channels: gather, and products with scatter (deform_lanes.h). */
#include "kernels/cpu/deform_points.h"

typedef float Vector8 __attribute__((vector_size(32), aligned(4), may_alias));

DEFORM_INLINE float *line_at(const Block *b, const float *tile, int k, int j) {
  return (float *)(uintptr_t)tile + 2 * (int64_t)b->element[k][j];
}

/* Sums of neighbours: a0 + a1, a2 + a3, b0 + b1, b2 + b3 in each four lanes. */
DEFORM_INLINE Vector16 pair_sums(Vector16 a, Vector16 b) {
  return __builtin_shufflevector(a, b, 0, 2, 16, 18, 4, 6, 20, 22, 8, 10, 24, 26, 12, 14, 28, 30) +
         __builtin_shufflevector(a, b, 1, 3, 17, 19, 5, 7, 21, 23, 9, 11, 25, 27, 13, 15, 29, 31);
}

/* side[2 z + y] holds a vector for x = 0 and one for x = 1, of eight lanes each: their sums, x the
 * slowest. */
DEFORM_INLINE void corner_sums(const Vector16 side[4], float sums[8]) {
  Vector16 all = pair_sums(pair_sums(side[0], side[1]), pair_sums(side[2], side[3]));
  *(Vector8 *)sums = __builtin_shufflevector(all, all, 0, 1, 2, 3, 8, 9, 10, 11) +
                     __builtin_shufflevector(all, all, 4, 5, 6, 7, 12, 13, 14, 15);
}

#define LANES 8
#include "kernels/cpu/deform_lanes.h"
#define LANES 16
#include "kernels/cpu/deform_lanes.h"

/* 8 channels: both voxels of a line are one vector. Two sums hide the latency of the additions. */
static void gather_of_8(const Block *b, const float *tile, int count, float *y, int channels) {
  (void)channels;
  Vector16 sum[2] = {{0}};
  for (int j = 0; j < count; j += 2) /* a block's last points have attention 0 */
    for (int i = 0; i < 2; i++) {
      Vector16 both = b->line[0][j + i] * *(const Vector16 *)line_at(b, tile, 0, j + i);
      for (int k = 1; k < 4; k++)
        both += b->line[k][j + i] * *(const Vector16 *)line_at(b, tile, k, j + i);
      Vector16 beside = *(const Vector16 *)b->beside[j + i];
      sum[i] += both * __builtin_shufflevector(beside, beside, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1,
                                               1, 1, 1, 1);
    }
  sum[0] += sum[1];
  *(Vector8 *)y += __builtin_shufflevector(sum[0], sum[0], 0, 1, 2, 3, 4, 5, 6, 7) +
                   __builtin_shufflevector(sum[0], sum[0], 8, 9, 10, 11, 12, 13, 14, 15);
}

static void gather_any(const Block *b, const float *tile, int count, float *y, int channels) {
  for (int u = 0; u < channels / 8; u++) gather_8(b, tile, count, y, channels / 8, u, 1);
}

static void scatter_any(Block *b, float *tile, int count, const float *dy, int channels) {
  scatter_8(b, tile, count, dy, channels / 8);
}

/* The inner loops for a number of channels, a multiple of 8, which they are called with again. */
typedef struct Lanes {
  int channels;
  void (*gather)(const Block *b, const float *tile, int count, float *y, int channels);
  void (*scatter)(Block *b, float *tile, int count, const float *dy, int channels);
} Lanes;

#define GATHER_OF(channels, lanes)                                                                 \
  static void gather_of_##channels(const Block *b, const float *tile, int count, float *y,         \
                                   int all) {                                                      \
    gather_##lanes(b, tile, count, y, ((void)all, channels / lanes), 0, channels / lanes);         \
  }
#define SCATTER_OF(channels, lanes)                                                                \
  static void scatter_of_##channels(Block *b, float *tile, int count, const float *dy, int all) {  \
    scatter_##lanes(b, tile, count, dy, ((void)all, channels / lanes));                            \
  }
SCATTER_OF(8, 8)
GATHER_OF(16, 16)
SCATTER_OF(16, 16)
GATHER_OF(24, 8)
SCATTER_OF(24, 8)
GATHER_OF(32, 16)
SCATTER_OF(32, 16)
GATHER_OF(64, 16)
SCATTER_OF(64, 16)
#undef GATHER_OF
#undef SCATTER_OF

static const Lanes lanes_table[] = {
    {8, gather_of_8, scatter_of_8},    {16, gather_of_16, scatter_of_16},
    {24, gather_of_24, scatter_of_24}, {32, gather_of_32, scatter_of_32},
    {64, gather_of_64, scatter_of_64}, {0, gather_any, scatter_any}};
