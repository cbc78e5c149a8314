/* kernels/cuda/gemm.cu with a cuBLASLt of our own, as no GPU is here to ask. */
#ifndef TESTS_GEMM_STAND_IN_H
#define TESTS_GEMM_STAND_IN_H

#include <stdbool.h>

/* A product with bias and ReLU for a library whose heuristic has algorithms with such an epilogue,
 * or only without. */
typedef struct GemmAnswer {
  bool made;
  int launches;          /* of a run, the library's call being one */
  int null_biases;       /* times that the heuristic was asked about a bias at address 0 */
  int epilogue;          /* of the description in the end: CUBLASLT_EPILOGUE_* */
  int algorithm, splits; /* as product_choices tells: the library's are 7 and 9 */
} GemmAnswer;

GemmAnswer gemm_stand_in(bool has_epilogue);

#endif
