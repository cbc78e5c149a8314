/* cuBLASLt is column-major: a row-major D is the transpose of what it sees, so it is asked for
 * D^T (n, m) = B^T A^T, and the bias runs along its rows. */
#include "kernels/cuda/gemm.h"
#include "kernels/cuda/libraries.h"

#include <new>

struct Gemm {
  cublasLtMatmulDesc_t what;
  cublasLtMatrixLayout_t a, b, d;
  cublasLtMatmulAlgo_t algorithm;
  size_t workspace;
  bool bias;
};

static constexpr size_t MOST_WORKSPACE = (size_t)32 << 20;

static cudaDataType_t type_of(DType type) {
  return type == BF16 ? CUDA_R_16BF : CUDA_R_32F;
}

/* rows, columns and leading dimension as the library counts them. */
static cublasLtMatrixLayout_t layout(DType type, int64_t rows, int64_t columns, int batch) {
  cublasLtMatrixLayout_t made;
  int64_t stride = rows * columns;
  BLAS_TRY(BLAS(cublasLtMatrixLayoutCreate)(&made, type_of(type), (uint64_t)rows, (uint64_t)columns,
                                            rows));
  BLAS_TRY(BLAS(cublasLtMatrixLayoutSetAttribute)(made, CUBLASLT_MATRIX_LAYOUT_BATCH_COUNT, &batch,
                                                  sizeof batch));
  BLAS_TRY(BLAS(cublasLtMatrixLayoutSetAttribute)(made, CUBLASLT_MATRIX_LAYOUT_STRIDED_BATCH_OFFSET,
                                                  &stride, sizeof stride));
  return made;
}

static void describe(Gemm *gemm, const GemmShape *s) {
  cublasOperation_t first = s->turn_b ? CUBLAS_OP_T : CUBLAS_OP_N;
  cublasOperation_t second = s->turn_a ? CUBLAS_OP_T : CUBLAS_OP_N;
  cublasLtEpilogue_t epilogue = !s->bias  ? CUBLASLT_EPILOGUE_DEFAULT
                                : s->relu ? CUBLASLT_EPILOGUE_RELU_BIAS
                                          : CUBLASLT_EPILOGUE_BIAS;
  cudaDataType_t bias = type_of(s->out);
  BLAS_TRY(BLAS(cublasLtMatmulDescCreate)(&gemm->what, CUBLAS_COMPUTE_32F, CUDA_R_32F));
#define SET(attribute, value)                                                                      \
  BLAS_TRY(BLAS(cublasLtMatmulDescSetAttribute)(gemm->what, attribute, &value, sizeof value))
  SET(CUBLASLT_MATMUL_DESC_TRANSA, first);
  SET(CUBLASLT_MATMUL_DESC_TRANSB, second);
  SET(CUBLASLT_MATMUL_DESC_EPILOGUE, epilogue);
  if (s->bias) SET(CUBLASLT_MATMUL_DESC_BIAS_DATA_TYPE, bias);
#undef SET
  gemm->a = s->turn_b ? layout(s->in, s->k, s->n, s->batch) : layout(s->in, s->n, s->k, s->batch);
  gemm->b = s->turn_a ? layout(s->in, s->m, s->k, s->batch) : layout(s->in, s->k, s->m, s->batch);
  gemm->d = layout(s->out, s->n, s->m, s->batch);
}

/* What the first element of every sample is aligned to, up to what the plan gives. */
static uint32_t alignment(DType type, int64_t elements, int batch) {
  uint64_t bytes = (uint64_t)elements * dtype_bytes(type);
  uint32_t align = 64;
  while (batch > 1 && bytes % align) align /= 2;
  return align;
}

static bool choose(Gemm *gemm, const GemmShape *s, Error *error) {
  cublasLtMatmulPreference_t wish;
  cublasLtMatmulHeuristicResult_t found;
  int count = 0;
  uint32_t a = alignment(s->in, s->k * s->n, s->batch), b = alignment(s->in, s->m * s->k, s->batch),
           d = alignment(s->out, s->m * s->n, s->batch);
  BLAS_TRY(BLAS(cublasLtMatmulPreferenceCreate)(&wish));
#define SET(attribute, value)                                                                      \
  BLAS_TRY(BLAS(cublasLtMatmulPreferenceSetAttribute)(wish, attribute, &value, sizeof value))
  SET(CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, MOST_WORKSPACE);
  SET(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, a);
  SET(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES, b);
  SET(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, d);
  SET(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES, d);
#undef SET
  cublasStatus_t status =
      BLAS(cublasLtMatmulAlgoGetHeuristic)(libraries.blas_handle, gemm->what, gemm->a, gemm->b,
                                           gemm->d, gemm->d, wish, 1, &found, &count);
  BLAS_TRY(BLAS(cublasLtMatmulPreferenceDestroy)(wish));
  if (status != CUBLAS_STATUS_SUCCESS || count == 0)
    return fail(error, "cuBLASLt has no algorithm for (%lld, %lld) x (%lld, %lld), batch %d: %s",
                (long long)s->m, (long long)s->k, (long long)s->k, (long long)s->n, s->batch,
                BLAS(cublasLtGetStatusString)(status));
  gemm->algorithm = found.algo;
  gemm->workspace = found.workspaceSize;
  return true;
}

Gemm *gemm_make(const GemmShape *shape, Error *error) {
  Gemm *gemm = new (std::nothrow) Gemm();
  CHECK(gemm, "no memory for a matrix product");
  gemm->bias = shape->bias;
  describe(gemm, shape);
  if (choose(gemm, shape, error)) return gemm;
  gemm_free(gemm);
  return NULL;
}

void gemm_free(Gemm *gemm) {
  if (!gemm) return;
  BLAS_TRY(BLAS(cublasLtMatmulDescDestroy)(gemm->what));
  BLAS_TRY(BLAS(cublasLtMatrixLayoutDestroy)(gemm->a));
  BLAS_TRY(BLAS(cublasLtMatrixLayoutDestroy)(gemm->b));
  BLAS_TRY(BLAS(cublasLtMatrixLayoutDestroy)(gemm->d));
  delete gemm;
}

size_t gemm_workspace(const Gemm *gemm) {
  return gemm->workspace;
}

void gemm_run(const Gemm *gemm, void *stream, const void *a, const void *b, const void *bias,
              void *d, void *workspace) {
  float one = 1, zero = 0;
  if (gemm->bias) /* the description holds the pointer; it is read before the call returns */
    BLAS_TRY(BLAS(cublasLtMatmulDescSetAttribute)(gemm->what, CUBLASLT_MATMUL_DESC_BIAS_POINTER,
                                                  &bias, sizeof bias));
  BLAS_TRY(BLAS(cublasLtMatmul)(libraries.blas_handle, gemm->what, &one, b, gemm->a, a, gemm->b,
                                &zero, d, gemm->d, d, gemm->d, &gemm->algorithm, workspace,
                                gemm->workspace, static_cast<cudaStream_t>(stream)));
}
