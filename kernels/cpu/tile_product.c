#include "kernels/cpu/tile_product.h"
#include "kernels/cpu/simd.h"

#include <stddef.h>

/* A block of C that fits in registers: ROWS rows by at most VECS registers. */
enum { ROWS = VEC_BYTES == 64 ? 8 : 4, VECS = 3 };
#define EVERY _Pragma("GCC unroll 8") /* sums stay in registers only where loops are gone */

/* One register of a block's last ones may hold fewer numbers. */
INLINE Vec load(const float *from, bool whole, int64_t lanes) {
  return whole ? vec_load(from) : vec_load_part(from, lanes);
}

INLINE void store(float *to, Vec v, bool whole, int64_t lanes) {
  if (whole)
    vec_store(to, v);
  else
    vec_store_part(to, v, lanes);
}

/* `rows`, `vecs` and `whole` are constants; not whole: the last register of a row has `lanes`. */
INLINE void block(int rows, int vecs, bool whole, const Product *p, int64_t row, int64_t column,
                  int64_t lanes) {
  const float *a = p->a + row * p->a_row, *b = p->b + column;
  float *c = p->c + row * p->c_row + column;
  int64_t a_row = p->a_row, c_row = p->c_row;
  Vec sum[ROWS][VECS], right[VECS];
  EVERY for (int v = 0; v < vecs; v++) {
    bool full = whole || v + 1 < vecs;
    Vec start = p->start ? load(p->start + column + v * VEC, full, lanes) : (Vec){0};
    EVERY for (int r = 0; r < rows; r++) sum[r][v] = p->each ? vec_splat(p->each[row + r]) : start;
  }
  if (p->add)
    EVERY for (int r = 0; r < rows; r++) EVERY for (int v = 0; v < vecs; v++) sum[r][v] =
        load(c + r * c_row + v * VEC, whole || v + 1 < vecs, lanes);
  for (int64_t k = 0; k < p->depth; k++, a += p->a_k, b += p->b_k) {
    EVERY for (int v = 0; v < vecs; v++) right[v] =
        vec_keep(load(b + v * VEC, whole || v + 1 < vecs, lanes));
    EVERY for (int r = 0; r < rows; r++) EVERY for (int v = 0; v < vecs; v++) sum[r][v] +=
        a[r * a_row] * right[v];
  }
  bool relu = p->relu;
  EVERY for (int r = 0; r < rows; r++) EVERY for (int v = 0; v < vecs; v++) {
    Vec z = sum[r][v], y = relu ? vec_select(z < 0, (Vec){0}, z) : z;
    store(c + r * c_row + v * VEC, y, whole || v + 1 < vecs, lanes);
  }
}

/* All rows of `vecs` registers of columns. */
INLINE void rows_of(int vecs, bool whole, const Product *p, int64_t column, int64_t lanes) {
  int64_t row = 0;
  for (; row + ROWS <= p->rows; row += ROWS) block(ROWS, vecs, whole, p, row, column, lanes);
  if (ROWS > 4 && p->rows - row >= 4) block(4, vecs, whole, p, row, column, lanes), row += 4;
  if (p->rows - row >= 2) block(2, vecs, whole, p, row, column, lanes), row += 2;
  if (p->rows > row) block(1, vecs, whole, p, row, column, lanes);
}

typedef void Columns(const Product *p, int64_t column, int64_t lanes);
#define COLUMNS(name, vecs, whole)                                                                 \
  static void name(const Product *p, int64_t column, int64_t lanes) {                              \
    rows_of(vecs, whole, p, column, lanes);                                                        \
  }
COLUMNS(one, 1, true)
COLUMNS(two, 2, true)
COLUMNS(three, 3, true)
COLUMNS(one_part, 1, false)
COLUMNS(two_part, 2, false)
COLUMNS(three_part, 3, false)

void product(const Product *p) {
  static Columns *const columns[2][VECS + 1] = {{NULL, one_part, two_part, three_part},
                                                {NULL, one, two, three}};
  for (int64_t column = 0; column < p->columns;) {
    int64_t left = p->columns - column, vecs = (left + VEC - 1) / VEC;
    vecs = vecs == 4 ? 2 : vecs < VECS ? vecs : VECS; /* four are two and two, not three and one */
    int64_t lanes = left - (vecs - 1) * VEC;
    columns[lanes >= VEC][vecs](p, column, lanes);
    column += vecs * VEC;
  }
}
