/* The inner loops of deform_attention.cpu.c for heads of UNITS vectors of LANES floats. Included
 * with LANES = 8 and LANES = 16; `units` is a constant at every call. Each works on the
 * first `count` points of a block. */
#define LANES_PASTE2(name, lanes) name##_##lanes
#define LANES_PASTE(name, lanes)  LANES_PASTE2(name, lanes)
#define LANES_NAME(name)          LANES_PASTE(name, LANES)
#define Vector                    LANES_NAME(Vector)

typedef float Vector __attribute__((vector_size(LANES * 4), aligned(4), may_alias));

/* y (units * LANES) += sum over points and corners. Four sums hide the latency of the additions. */
DEFORM_INLINE void LANES_NAME(gather)(const Block *b, const BlockLevels *levels, int count,
                                      float *y, int units) {
  Vector sum[4][4] = {{{0}}};
  for (int j = 0; j < count; j++)
    for (int k = 0; k < 8; k++) {
      const Vector *corner = (const Vector *)(levels->source[j] + b->element[k][j]);
      for (int u = 0; u < units; u++) sum[k & 3][u] += b->weight[k][j] * corner[u];
    }
  for (int u = 0; u < units; u++)
    ((Vector *)y)[u] += (sum[0][u] + sum[1][u]) + (sum[2][u] + sum[3][u]);
}

/* dy times the values on both sides in x, summed in the lower and the upper eight lanes. */
DEFORM_INLINE Vector16 LANES_NAME(side_products)(const float *low, const float *high,
                                                 const Vector *dy, int units) {
  Vector side[2] = {{0}};
  for (int u = 0; u < units; u++) {
    side[0] += dy[u] * ((const Vector *)low)[u];
    side[1] += dy[u] * ((const Vector *)high)[u];
  }
#if LANES == 16
  return __builtin_shufflevector(side[0], side[1], 0, 1, 2, 3, 4, 5, 6, 7, 16, 17, 18, 19, 20, 21,
                                 22, 23) +
         __builtin_shufflevector(side[0], side[1], 8, 9, 10, 11, 12, 13, 14, 15, 24, 25, 26, 27, 28,
                                 29, 30, 31);
#else
  return __builtin_shufflevector(side[0], side[1], 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14,
                                 15);
#endif
}

/* b->product: dy times the eight corners' values. */
DEFORM_INLINE void LANES_NAME(products)(Block *b, const BlockLevels *levels, int count,
                                        const float *dy, int units) {
  Vector own[4];
  for (int u = 0; u < units; u++) own[u] = ((const Vector *)dy)[u];
  for (int j = 0; j < count; j++) {
    const float *source = levels->source[j];
    Vector16 side[4];
    for (int k = 0; k < 4; k++)
      side[k] = LANES_NAME(side_products)(source + b->element[2 * k][j],
                                          source + b->element[2 * k + 1][j], own, units);
    corner_sums(side, b->product[j]);
  }
}

/* Adds to the values' gradients. */
DEFORM_INLINE void LANES_NAME(scatter)(const Block *b, const BlockLevels *levels, int count,
                                       const float *dy, int units) {
  Vector own[4];
  for (int u = 0; u < units; u++) own[u] = ((const Vector *)dy)[u];
  for (int j = 0; j < count; j++) {
    float *target = levels->target[j];
    for (int k = 0; target && k < 8; k++) {
      Vector *corner = (Vector *)(target + b->element[k][j]);
      for (int u = 0; u < units; u++) corner[u] += b->weight[k][j] * own[u];
    }
  }
}

#undef Vector
#undef LANES_NAME
#undef LANES_PASTE
#undef LANES_PASTE2
#undef LANES
