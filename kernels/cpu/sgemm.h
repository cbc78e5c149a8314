/* Row-major float matrix product, C = alpha A B + beta C: dnnl_sgemm, which reaches 200-270 GFLOP/s
 * a core of an EPYC 9005 on our skinny shapes (16 to 192 columns). Called from within a parallel
 * region it runs on the calling thread alone. */
#ifndef KERNELS_CPU_SGEMM_H
#define KERNELS_CPU_SGEMM_H

#include <stdbool.h>
#include <stdint.h>

/* An operand as it lies in memory: rows `step` elements apart; transposed: it is used as its own
 * transpose. */
typedef struct Matrix {
  const float *data;
  int64_t step;
  bool transposed;
} Matrix;

/* C is (rows, columns), A (rows, inner), B (inner, columns), after transposition. */
void gemm(int64_t rows, int64_t columns, int64_t inner, float alpha, Matrix a, Matrix b, float beta,
          float *c, int64_t c_step);

#endif
