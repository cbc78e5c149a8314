#include "kernels/cpu/sum_rows.h"
#include "kernels/cpu/bf16.h"
#include "kernels/cpu/parallel.h"

#include <string.h>

enum { COLUMNS = 64, ROWS = 64, PIECES = 16 };

static int64_t pieces_of(int64_t rows) {
  return rows >= ROWS * PIECES ? PIECES : 1;
}

size_t sum_rows_scratch(int64_t rows, int64_t width) {
  return pieces_of(rows) > 1 ? (size_t)(pieces_of(rows) * width) * sizeof(double) : 0;
}

/* Sums of `columns` <= COLUMNS columns over rows [first, last). */
INLINE void some_sums(const void *x, int64_t width, int columns, int64_t first, int64_t last,
                      double *total, DType type) {
  memset(total, 0, COLUMNS * sizeof *total);
  for (int64_t block = first; block < last; block += ROWS) {
    float sum[COLUMNS] = {0};
    int64_t end = block + ROWS < last ? block + ROWS : last;
    for (int64_t r = block; r < end; r++)
#pragma omp simd
      for (int c = 0; c < columns; c++) sum[c] += real_get(x, r * width + c, type);
    for (int c = 0; c < columns; c++) total[c] += (double)sum[c];
  }
}

void sum_rows(const void *x, DType type, int64_t rows, int64_t width, void *sum, DType sum_type,
              void *scratch) {
  double *partial = scratch;
  int64_t groups = (width + COLUMNS - 1) / COLUMNS, pieces = pieces_of(rows);
#pragma omp parallel for schedule(static) if (rows * width > PARALLEL_LEAST)
  for (int64_t i = 0; i < groups * pieces; i++) {
    double total[COLUMNS];
    int64_t start = i % groups * COLUMNS, piece = i / groups;
    int columns = width - start < COLUMNS ? (int)(width - start) : COLUMNS;
    TYPED(some_sums, type, real_at(x, start, type), width, columns, rows * piece / pieces,
          rows * (piece + 1) / pieces, total);
    for (int c = 0; c < columns; c++)
      if (pieces == 1)
        real_set(sum, start + c, (float)total[c], sum_type);
      else
        partial[piece * width + start + c] = total[c];
  }
  for (int64_t j = 0; pieces > 1 && j < width; j++) {
    double total = 0;
    for (int64_t piece = 0; piece < pieces; piece++) total += partial[piece * width + j];
    real_set(sum, j, (float)total, sum_type);
  }
}
