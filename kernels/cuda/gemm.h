/* Matrix products by cuBLASLt, the algorithm chosen when the plan is made. All matrices are dense
 * and row-major, samples of a batch follow each other. BF16 operands accumulate in float; F32 ones
 * multiply in float, not in TF32. */
#ifndef KERNELS_CUDA_GEMM_H
#define KERNELS_CUDA_GEMM_H

#include "kernels/cuda/launch.h"

/* D (m, n) = A B. A is (m, k), or with turn_a stored (k, m); B is (k, n), or with turn_b (n, k). */
struct GemmShape {
  int64_t m, n, k;
  bool turn_a, turn_b;
  int batch;
  DType in, out;   /* of A and B; of D, and of the bias (n) */
  bool bias, relu; /* relu only with a bias */
};

struct Gemm;
/* NULL with the reason. */
Gemm *gemm_make(const GemmShape *shape, Error *error);
void gemm_free(Gemm *gemm);              /* NULL is fine */
size_t gemm_workspace(const Gemm *gemm); /* 256-byte aligned scratch that a run needs */
void gemm_run(const Gemm *gemm, void *stream, const void *a, const void *b, const void *bias,
              void *d, void *workspace);

#endif
