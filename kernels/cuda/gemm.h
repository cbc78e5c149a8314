/* Matrix products by cuBLASLt, the algorithm chosen when the plan is made, by its time on this
 * device (kernels/cuda/autotune.h). All matrices are dense and row-major, samples of a batch follow
 * each other. BF16 operands accumulate in float; F32 ones multiply in float, or with `tf32` in
 * TF32. */
#ifndef KERNELS_CUDA_GEMM_H
#define KERNELS_CUDA_GEMM_H

#include "kernels/cuda/launch.h"

extern "C" {
#include "kernels/cuda/choice.h"
}

/* D (m, n) = A B, or D += A B. A is (m, k), or with turn_a stored (k, m); B is (k, n), or with
 * turn_b (n, k). */
struct GemmShape {
  int64_t m, n, k;
  bool turn_a, turn_b;
  int batch;
  DType in, out;     /* of A and B; of D, and of the bias (n) */
  bool bias, relu;   /* added, then applied */
  bool tf32;         /* with F32 operands */
  bool adds = false; /* to what is in D */
};

struct Gemm;
/* NULL with the reason. The process keeps it: an equal shape gets the same one. */
const Gemm *gemm_make(const GemmShape *shape, Error *error);
size_t gemm_workspace(const Gemm *gemm); /* scratch that a run needs, aligned as any */
void gemm_run(const Gemm *gemm, void *stream, const void *a, const void *b, const void *bias,
              void *d, void *workspace);
/* All that were made in this process. */
extern "C" void product_choices(void (*visit)(const ProductChoice *choice, void *user), void *user);

#endif
