/* What deform_attention.cpu.c does point by point, vectorised over a head's channels, for each
 * number of channels: gather, and products with scatter (deform_lanes.h). Values and gradients are
 * read and written where they lie. */
#include "kernels/cpu/deform_points.h"

#define EVERY _Pragma("GCC unroll 8") /* sums stay in registers only where loops are gone */

typedef float Vector8 __attribute__((vector_size(32), aligned(4), may_alias));

#define LANES 8
#include "kernels/cpu/deform_lanes.h"
#define LANES 16
#include "kernels/cpu/deform_lanes.h"

/* The inner loops for a number of channels, a multiple of 8, which they are called with again. */
typedef struct Lanes {
  int channels;
  void (*gather)(const Block *b, const BlockLevels *levels, float *y, int channels);
  void (*scatter)(Block *b, const BlockLevels *levels, const float *dy, int channels);
} Lanes;

static void gather_any(const Block *b, const BlockLevels *levels, float *y, int channels) {
  for (int u = 0; u < channels / 8; u++) gather_8(b, levels, y, u, 1);
}

static void scatter_any(Block *b, const BlockLevels *levels, const float *dy, int channels) {
  scatter_8(b, levels, dy, channels / 8);
}

/* Four vectors at a time, of all lanes where they divide the channels. */
#define LANES_OF(channels)                                                                         \
  static void gather_of_##channels(const Block *b, const BlockLevels *levels, float *y, int all) { \
    (void)all;                                                                                     \
    if (VEC == 16 && channels % 16 == 0)                                                           \
      gather_16(b, levels, y, 0, channels / 16);                                                   \
    else if (channels <= 32)                                                                       \
      gather_8(b, levels, y, 0, channels / 8);                                                     \
    else                                                                                           \
      for (int u = 0; u < channels / 8; u += 4) gather_8(b, levels, y, u, 4);                      \
  }                                                                                                \
  static void scatter_of_##channels(Block *b, const BlockLevels *levels, const float *dy,          \
                                    int all) {                                                     \
    (void)all;                                                                                     \
    if (VEC == 16 && channels % 16 == 0)                                                           \
      scatter_16(b, levels, dy, channels / 16);                                                    \
    else                                                                                           \
      scatter_8(b, levels, dy, channels / 8);                                                      \
  }
LANES_OF(8)
LANES_OF(16)
LANES_OF(24)
LANES_OF(32)
LANES_OF(64)
#undef LANES_OF

static const Lanes lanes_table[] = {
    {8, gather_of_8, scatter_of_8},    {16, gather_of_16, scatter_of_16},
    {24, gather_of_24, scatter_of_24}, {32, gather_of_32, scatter_of_32},
    {64, gather_of_64, scatter_of_64}, {0, gather_any, scatter_any}};
