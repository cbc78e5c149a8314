/* What deform_attention.cpu.c does point by point, vectorised over a head's channels, for each
 * number of channels: gather, products and scatter (deform_lanes.h). */
#include "kernels/deform_points.h"

typedef float Vector8 __attribute__((vector_size(32), aligned(4), may_alias));

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
#include "kernels/deform_lanes.h"
#define LANES 16
#include "kernels/deform_lanes.h"

/* ---- any number of channels -------------------------------------------------------------------
 */

static void gather_any(const Block *b, const BlockLevels *levels, int count, float *restrict y,
                       int channels) {
  for (int j = 0; j < count; j++)
    for (int k = 0; k < 8; k++) {
      const float *corner = levels->source[j] + b->element[k][j];
#pragma omp simd
      for (int c = 0; c < channels; c++) y[c] += b->weight[k][j] * corner[c];
    }
}

static void products_any(Block *b, const BlockLevels *levels, int count, const float *dy,
                         int channels) {
  for (int j = 0; j < count; j++)
    for (int k = 0; k < 8; k++) {
      const float *corner = levels->source[j] + b->element[k][j];
      float sum = 0;
#pragma omp simd reduction(+ : sum)
      for (int c = 0; c < channels; c++) sum += dy[c] * corner[c];
      b->product[j][4 * (k & 1) + (k >> 1)] = sum;
    }
}

static void scatter_any(const Block *b, const BlockLevels *levels, int count,
                        const float *restrict dy, int channels) {
  for (int j = 0; j < count; j++)
    for (int k = 0; levels->target[j] && k < 8; k++) {
      float *restrict corner = levels->target[j] + b->element[k][j];
#pragma omp simd
      for (int c = 0; c < channels; c++) corner[c] += b->weight[k][j] * dy[c];
    }
}

/* The inner loops for a number of channels, which they are called with again. */
typedef struct Lanes {
  int channels;
  void (*gather)(const Block *b, const BlockLevels *levels, int count, float *y, int channels);
  void (*products)(Block *b, const BlockLevels *levels, int count, const float *dy, int channels);
  void (*scatter)(const Block *b, const BlockLevels *levels, int count, const float *dy,
                  int channels);
} Lanes;

#define LANES_OF(channels, lanes)                                                                  \
  static void gather_of_##channels(const Block *b, const BlockLevels *levels, int count, float *y, \
                                   int all) {                                                      \
    gather_##lanes(b, levels, count, y, ((void)all, channels / lanes));                            \
  }                                                                                                \
  static void products_of_##channels(Block *b, const BlockLevels *levels, int count,               \
                                     const float *dy, int all) {                                   \
    products_##lanes(b, levels, count, dy, ((void)all, channels / lanes));                         \
  }                                                                                                \
  static void scatter_of_##channels(const Block *b, const BlockLevels *levels, int count,          \
                                    const float *dy, int all) {                                    \
    scatter_##lanes(b, levels, count, dy, ((void)all, channels / lanes));                          \
  }
LANES_OF(8, 8)
LANES_OF(16, 16)
LANES_OF(24, 8)
LANES_OF(32, 16)
LANES_OF(64, 16)
#undef LANES_OF

static const Lanes lanes_table[] = {{8, gather_of_8, products_of_8, scatter_of_8},
                                    {16, gather_of_16, products_of_16, scatter_of_16},
                                    {24, gather_of_24, products_of_24, scatter_of_24},
                                    {32, gather_of_32, products_of_32, scatter_of_32},
                                    {64, gather_of_64, products_of_64, scatter_of_64},
                                    {0, gather_any, products_any, scatter_any}};
