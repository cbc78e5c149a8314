/* The inner loops of deform_attention.cpu.c for heads of UNITS vectors of LANES floats. Included
 * with LANES = 8 and LANES = 16; `units` and `scatter` are constants at every call.
 *
 * A point has 8 corners k = 4 z + 2 y + x. head->element[k][j] is where corner k of point j starts
 * in its level, head->weight[k][j] its trilinear weight (0 outside) times the attention. */
#define LANES_PASTE2(name, lanes) name##_##lanes
#define LANES_PASTE(name, lanes)  LANES_PASTE2(name, lanes)
#define LANES_NAME(name)          LANES_PASTE(name, LANES)
#define Vector                    LANES_NAME(Vector)

typedef float Vector __attribute__((vector_size(LANES * 4), aligned(4), may_alias));

/* y (units * LANES) = sum over points and corners. Four sums hide the latency of the additions. */
DEFORM_INLINE void LANES_NAME(gather)(const Head *head, const Levels *levels, float *y, int units) {
  Vector sum[4][4] = {{{0}}};
  for (int l = 0, j = 0; l < levels->count; l++) {
    const float *values = levels->values[l] + head->first;
    for (int p = 0; p < levels->points; p++, j++)
      for (int k = 0; k < 8; k++) {
        const Vector *corner = (const Vector *)(values + head->element[k][j]);
        for (int u = 0; u < units; u++) sum[k & 3][u] += head->weight[k][j] * corner[u];
      }
  }
  for (int u = 0; u < units; u++)
    ((Vector *)y)[u] = (sum[0][u] + sum[1][u]) + (sum[2][u] + sum[3][u]);
}

/* Sums of the lanes of four vectors. Vectors are passed by address: by value, their convention
 * would depend on the processor the compiler is told of. */
DEFORM_INLINE Vector4 LANES_NAME(lane_sums)(const Vector v[4]) {
#if LANES == 16
  Vector_8 half[4];
  for (int i = 0; i < 4; i++)
    half[i] = __builtin_shufflevector(v[i], v[i], 0, 1, 2, 3, 4, 5, 6, 7) +
              __builtin_shufflevector(v[i], v[i], 8, 9, 10, 11, 12, 13, 14, 15);
  return lane_sums_8(half);
#else
  Vector ab = __builtin_shufflevector(v[0], v[1], 0, 2, 8, 10, 4, 6, 12, 14) +
              __builtin_shufflevector(v[0], v[1], 1, 3, 9, 11, 5, 7, 13, 15);
  Vector cd = __builtin_shufflevector(v[2], v[3], 0, 2, 8, 10, 4, 6, 12, 14) +
              __builtin_shufflevector(v[2], v[3], 1, 3, 9, 11, 5, 7, 13, 15);
  Vector all = __builtin_shufflevector(ab, cd, 0, 2, 8, 10, 4, 6, 12, 14) +
               __builtin_shufflevector(ab, cd, 1, 3, 9, 11, 5, 7, 13, 15);
  return __builtin_shufflevector(all, all, 0, 1, 2, 3) +
         __builtin_shufflevector(all, all, 4, 5, 6, 7);
#endif
}

/* With s the vector sampled at point j and dy this head's gradient: dy.s, dy.ds/dz, dy.ds/dy,
 * dy.ds/dx. Trilinear axis by axis: x first, then y, then z. */
DEFORM_INLINE Vector4 LANES_NAME(slopes)(const Head *head, const float *values, int j,
                                         const Vector *dy, int units) {
  Vector total[4] = {{0}};
  for (int u = 0; u < units; u++) {
    Vector along[2], slope_y[2], slope_x[2]; /* at both z */
    for (int z = 0; z < 2; z++) {
      Vector line[2], slope[2]; /* at both y */
      for (int y = 0; y < 2; y++) {
        int k = 4 * z + 2 * y;
        Vector low = ((const Vector *)(values + head->element[k][j]))[u];
        Vector high = ((const Vector *)(values + head->element[k + 1][j]))[u];
        line[y] = head->share[4][j] * low + head->share[5][j] * high;
        slope[y] = head->inside[5][j] * high - head->inside[4][j] * low;
      }
      along[z] = head->share[2][j] * line[0] + head->share[3][j] * line[1];
      slope_y[z] = head->inside[3][j] * line[1] - head->inside[2][j] * line[0];
      slope_x[z] = head->share[2][j] * slope[0] + head->share[3][j] * slope[1];
    }
    total[0] += dy[u] * (head->share[0][j] * along[0] + head->share[1][j] * along[1]);
    total[1] += dy[u] * (head->inside[1][j] * along[1] - head->inside[0][j] * along[0]);
    total[2] += dy[u] * (head->share[0][j] * slope_y[0] + head->share[1][j] * slope_y[1]);
    total[3] += dy[u] * (head->share[0][j] * slope_x[0] + head->share[1][j] * slope_x[1]);
  }
  return LANES_NAME(lane_sums)(total);
}

/* Fills head->product and adds to the values' gradients where there are any. */
DEFORM_INLINE void LANES_NAME(scatter)(const Head *head, const Levels *levels, const float *dy,
                                       int units) {
  Vector own[4];
  for (int u = 0; u < units; u++) own[u] = ((const Vector *)dy)[u];
  for (int l = 0, j = 0; l < levels->count; l++) {
    const float *values = levels->values[l] + head->first;
    float *dvalues = levels->dvalues[l] ? levels->dvalues[l] + head->first : NULL;
    for (int p = 0; p < levels->points; p++, j++) {
      head->product[j] = LANES_NAME(slopes)(head, values, j, own, units);
      for (int k = 0; dvalues && k < 8; k++) {
        Vector *corner = (Vector *)(dvalues + head->element[k][j]);
        for (int u = 0; u < units; u++) corner[u] += head->weight[k][j] * own[u];
      }
    }
  }
}

#undef Vector
#undef LANES_NAME
#undef LANES_PASTE
#undef LANES_PASTE2
#undef LANES
