/* The inner loops of deform_attention.cpu.c for heads of UNITS vectors of LANES floats. Included
 * with LANES = 8 and LANES = 16; `units` is a constant wherever that matters. Each works on the
 * points of a block that are inside. */
#define LANES_PASTE2(name, lanes) name##_##lanes
#define LANES_PASTE(name, lanes)  LANES_PASTE2(name, lanes)
#define LANES_NAME(name)          LANES_PASTE(name, LANES)
#define Vector                    LANES_NAME(Vector)

typedef float Vector __attribute__((vector_size(LANES * 4), aligned(4), may_alias));

/* y += sum over points and corners of vectors first .. first + some - 1 of a head's channels. */
DEFORM_INLINE void LANES_NAME(gather)(const Block *b, const BlockLevels *levels, float *y,
                                      int first, int some) {
  Vector sum[2][4] = {{{0}}};
  for (uint32_t left = b->inside[0]; left; left &= left - 1) {
    int j = __builtin_ctz(left);
    const float *line[4];
    int64_t step = b->step[j];
    EVERY for (int k = 0; k < 4; k++) line[k] =
        levels->values[j] + b->element[k][j] + first * LANES;
    EVERY for (int u = 0; u < some; u++) EVERY for (int x = 0; x < 2; x++) {
      Vector side = b->line[0][j] * *(const Vector *)(line[0] + x * step + u * LANES);
      EVERY for (int k = 1; k < 4; k++) side +=
          b->line[k][j] * *(const Vector *)(line[k] + x * step + u * LANES);
      sum[x][u] += b->beside[x][j] * side;
    }
  }
  EVERY for (int u = 0; u < some; u++)((Vector *)y)[first + u] += sum[0][u] + sum[1][u];
}

/* The sums of eight vectors. */
DEFORM_INLINE void LANES_NAME(corner_sums)(const Vector corner[8], float sums[8]) {
  Vector two[4], four[2];
#if LANES == 8
  for (int i = 0; i < 4; i++)
    two[i] = __builtin_shufflevector(corner[2 * i], corner[2 * i + 1], 0, 8, 1, 9, 4, 12, 5, 13) +
             __builtin_shufflevector(corner[2 * i], corner[2 * i + 1], 2, 10, 3, 11, 6, 14, 7, 15);
  for (int i = 0; i < 2; i++)
    four[i] = __builtin_shufflevector(two[2 * i], two[2 * i + 1], 0, 1, 8, 9, 4, 5, 12, 13) +
              __builtin_shufflevector(two[2 * i], two[2 * i + 1], 2, 3, 10, 11, 6, 7, 14, 15);
  Vector8 half[2] = {four[0], four[1]};
#else
  for (int i = 0; i < 4; i++)
    two[i] = __builtin_shufflevector(corner[2 * i], corner[2 * i + 1], 0, 16, 1, 17, 4, 20, 5, 21,
                                     8, 24, 9, 25, 12, 28, 13, 29) +
             __builtin_shufflevector(corner[2 * i], corner[2 * i + 1], 2, 18, 3, 19, 6, 22, 7, 23,
                                     10, 26, 11, 27, 14, 30, 15, 31);
  for (int i = 0; i < 2; i++)
    four[i] = __builtin_shufflevector(two[2 * i], two[2 * i + 1], 0, 1, 16, 17, 4, 5, 20, 21, 8, 9,
                                      24, 25, 12, 13, 28, 29) +
              __builtin_shufflevector(two[2 * i], two[2 * i + 1], 2, 3, 18, 19, 6, 7, 22, 23, 10,
                                      11, 26, 27, 14, 15, 30, 31);
  Vector8 half[2];
  for (int i = 0; i < 2; i++)
    half[i] = __builtin_shufflevector(four[i], four[i], 0, 1, 2, 3, 4, 5, 6, 7) +
              __builtin_shufflevector(four[i], four[i], 8, 9, 10, 11, 12, 13, 14, 15);
#endif
  *(Vector8 *)sums = __builtin_shufflevector(half[0], half[1], 0, 1, 2, 3, 8, 9, 10, 11) +
                     __builtin_shufflevector(half[0], half[1], 4, 5, 6, 7, 12, 13, 14, 15);
}

/* b->product: dy times the eight corners' values, x the slowest, 0 of what is outside; and what dy
 * adds to their gradients. */
DEFORM_INLINE void LANES_NAME(scatter)(Block *b, const BlockLevels *levels, const float *dy,
                                       int units) {
  memset(b->product, 0, sizeof b->product);
  for (uint32_t left = b->inside[0]; left; left &= left - 1) {
    int j = __builtin_ctz(left);
    const float *values[2] = {levels->values[j], levels->values[j] + b->step[j]};
    float *gradient[2] = {levels->gradient[j], levels->gradient[j] + b->step[j]};
    int64_t element[4];
    Vector line[4], product[8] = {{0}};
    EVERY for (int k = 0; k < 4; k++) element[k] = b->element[k][j];
    EVERY for (int k = 0; k < 4; k++) line[k] = b->line[k][j] - (Vector){0};
    float beside[2] = {b->beside[0][j], b->beside[1][j]};
    for (int u = 0; u < units; u++) {
      Vector own = ((const Vector *)dy)[u];
      EVERY for (int x = 0; x < 2; x++) {
        Vector share = beside[x] * own;
        EVERY for (int k = 0; k < 4; k++) {
          int64_t at = element[k] + u * LANES;
          Vector value = *(const Vector *)(values[x] + at), *to = (Vector *)(gradient[x] + at);
          product[4 * x + k] = u == 0 ? own * value : product[4 * x + k] + own * value;
          *to += line[k] * share;
        }
      }
    }
    LANES_NAME(corner_sums)(product, b->product[j]);
  }
}

#undef Vector
#undef LANES_NAME
#undef LANES_PASTE
#undef LANES_PASTE2
#undef LANES
