/* The inner loops of deform_attention.cpu.c for heads of UNITS vectors of LANES floats. Included
 * with LANES = 8 and LANES = 16; `units` is a constant wherever that matters. Each works on the
 * first `count` points of a block. */
#define LANES_PASTE2(name, lanes) name##_##lanes
#define LANES_PASTE(name, lanes)  LANES_PASTE2(name, lanes)
#define LANES_NAME(name)          LANES_PASTE(name, LANES)
#define Vector                    LANES_NAME(Vector)

typedef float Vector __attribute__((vector_size(LANES * 4), aligned(4), may_alias));

/* y (units * LANES) += sum over points and corners, vectors first .. first + some - 1. */
DEFORM_INLINE void LANES_NAME(gather)(const Block *b, const float *tile, int count, float *y,
                                      int units, int first, int some) {
  Vector sum[2][4] = {{{0}}};
  for (int j = 0; j < count; j++) {
    const Vector *line[4];
    for (int k = 0; k < 4; k++) line[k] = (const Vector *)line_at(b, tile, k, j) + first;
    for (int u = 0; u < some; u++)
      for (int x = 0; x < 2; x++) {
        Vector side = b->line[0][j] * line[0][x * units + u];
        for (int k = 1; k < 4; k++) side += b->line[k][j] * line[k][x * units + u];
        sum[x][u] += b->beside[j][x] * side;
      }
  }
  for (int u = 0; u < some; u++) ((Vector *)y)[first + u] += sum[0][u] + sum[1][u];
}

/* The sums of both vectors in the lower and the upper eight lanes. */
DEFORM_INLINE Vector16 LANES_NAME(sides)(Vector low, Vector high) {
#if LANES == 16
  return __builtin_shufflevector(low, high, 0, 1, 2, 3, 4, 5, 6, 7, 16, 17, 18, 19, 20, 21, 22,
                                 23) +
         __builtin_shufflevector(low, high, 8, 9, 10, 11, 12, 13, 14, 15, 24, 25, 26, 27, 28, 29,
                                 30, 31);
#else
  return __builtin_shufflevector(low, high, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
#endif
}

/* b->product: dy times the eight corners' values; and what dy adds to their gradients, which lie
 * behind each voxel's values. */
DEFORM_INLINE void LANES_NAME(scatter)(Block *b, float *tile, int count, const float *dy,
                                       int units) {
  for (int j = 0; j < count; j++) {
    Vector *line[4], product[8] = {{0}};
    for (int k = 0; k < 4; k++) line[k] = (Vector *)line_at(b, tile, k, j);
    for (int u = 0; u < units; u++) {
      Vector own = ((const Vector *)dy)[u];
      Vector share[2] = {b->beside[j][0] * own, b->beside[j][1] * own};
      for (int k = 0; k < 4; k++)
        for (int x = 0; x < 2; x++) {
          Vector *value = line[k] + 2 * x * units + u;
          product[2 * k + x] = u == 0 ? own * *value : product[2 * k + x] + own * *value;
          value[units] += b->line[k][j] * share[x];
        }
    }
    Vector16 side[4];
    for (int k = 0; k < 4; k++) side[k] = LANES_NAME(sides)(product[2 * k], product[2 * k + 1]);
    corner_sums(side, b->product[j]);
  }
}

#undef Vector
#undef LANES_NAME
#undef LANES_PASTE
#undef LANES_PASTE2
#undef LANES
