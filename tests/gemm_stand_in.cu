#include "kernels/cuda/gemm.h"
#include "kernels/cuda/libraries.h"

extern "C" {
#include "tests/gemm_stand_in.h"
}

namespace {
struct { /* what was described and asked for */
  int epilogue, null_biases;
  const void *bias;
  bool has_epilogue;
} told;
} // namespace

static cublasStatus_t description(cublasLtMatmulDesc_t *made, cublasComputeType_t, cudaDataType_t) {
  static char any;
  *made = reinterpret_cast<cublasLtMatmulDesc_t>(&any);
  told.epilogue = CUBLASLT_EPILOGUE_DEFAULT;
  told.bias = NULL;
  return CUBLAS_STATUS_SUCCESS;
}
static cublasStatus_t forget(cublasLtMatmulDesc_t) {
  return CUBLAS_STATUS_SUCCESS;
}
static cublasStatus_t describe(cublasLtMatmulDesc_t, cublasLtMatmulDescAttributes_t name,
                               const void *value, size_t) {
  if (name == CUBLASLT_MATMUL_DESC_EPILOGUE) told.epilogue = *static_cast<const int *>(value);
  if (name == CUBLASLT_MATMUL_DESC_BIAS_POINTER)
    told.bias = *static_cast<const void *const *>(value);
  return CUBLAS_STATUS_SUCCESS;
}
static cublasStatus_t layout(cublasLtMatrixLayout_t *made, cudaDataType_t, uint64_t, uint64_t,
                             int64_t) {
  static char any;
  *made = reinterpret_cast<cublasLtMatrixLayout_t>(&any);
  return CUBLAS_STATUS_SUCCESS;
}
static cublasStatus_t lay(cublasLtMatrixLayout_t, cublasLtMatrixLayoutAttribute_t, const void *,
                          size_t) {
  return CUBLAS_STATUS_SUCCESS;
}
static cublasStatus_t preference(cublasLtMatmulPreference_t *made) {
  static char any;
  *made = reinterpret_cast<cublasLtMatmulPreference_t>(&any);
  return CUBLAS_STATUS_SUCCESS;
}
static cublasStatus_t prefer(cublasLtMatmulPreference_t, cublasLtMatmulPreferenceAttributes_t,
                             const void *, size_t) {
  return CUBLAS_STATUS_SUCCESS;
}
static cublasStatus_t unprefer(cublasLtMatmulPreference_t) {
  return CUBLAS_STATUS_SUCCESS;
}
static cublasStatus_t heuristic(cublasLtHandle_t, cublasLtMatmulDesc_t, cublasLtMatrixLayout_t,
                                cublasLtMatrixLayout_t, cublasLtMatrixLayout_t,
                                cublasLtMatrixLayout_t, cublasLtMatmulPreference_t, int,
                                cublasLtMatmulHeuristicResult_t *found, int *count) {
  bool plain = told.epilogue == CUBLASLT_EPILOGUE_DEFAULT;
  *count = 0;
  told.null_biases += !plain && !told.bias;
  if (!plain && !told.has_epilogue) return CUBLAS_STATUS_NOT_SUPPORTED;
  found[0] = {};
  *count = 1;
  return CUBLAS_STATUS_SUCCESS;
}
static cublasStatus_t configuration(const cublasLtMatmulAlgo_t *,
                                    cublasLtMatmulAlgoConfigAttributes_t name, void *value, size_t,
                                    size_t *) {
  *static_cast<int32_t *>(value) = name == CUBLASLT_ALGO_CONFIG_ID           ? 7
                                   : name == CUBLASLT_ALGO_CONFIG_SPLITK_NUM ? 9
                                                                             : 0;
  return CUBLAS_STATUS_SUCCESS;
}
/* The newest comes first. */
static void newest(const ProductChoice *choice, void *user) {
  GemmAnswer *answer = static_cast<GemmAnswer *>(user);
  if (!choice->asked || answer->algorithm) return;
  answer->algorithm = choice->algorithm;
  answer->splits = choice->splits;
}
static const char *status_name(cublasStatus_t) {
  return "by the stand-in";
}

/* Twice with one shape: the second is another one, as the process keeps the first. */
extern "C" GemmAnswer gemm_stand_in(bool has_epilogue) {
  static int64_t rows = 64;
  Libraries real = libraries;
  AbsentGpu gpu = absent_gpu;
  Error error = {};
  GemmAnswer answer = {};
  BlasFunctions *f = &libraries.blas;
  f->cublasLtMatmulDescCreate = description;
  f->cublasLtMatmulDescDestroy = forget;
  f->cublasLtMatmulDescSetAttribute = describe;
  f->cublasLtMatrixLayoutCreate = layout;
  f->cublasLtMatrixLayoutSetAttribute = lay;
  f->cublasLtMatmulPreferenceCreate = preference;
  f->cublasLtMatmulPreferenceSetAttribute = prefer;
  f->cublasLtMatmulPreferenceDestroy = unprefer;
  f->cublasLtMatmulAlgoGetHeuristic = heuristic;
  f->cublasLtMatmulAlgoConfigGetAttribute = configuration;
  f->cublasLtGetStatusString = status_name;
  libraries.blas_handle = reinterpret_cast<cublasLtHandle_t>(&answer);
  absent_gpu = AbsentGpu{1, 1024};
  told = {};
  told.has_epilogue = has_epilogue;
  GemmShape shape = {++rows, 32, 16, false, true, 1, BF16, BF16, true, true, false};
  const Gemm *gemm = gemm_make(&shape, &error);
  int64_t before = gpu_launches;
  if (gemm) gemm_run(gemm, NULL, NULL, NULL, NULL, NULL, NULL);
  answer.made = gemm != NULL;
  product_choices(newest, &answer);
  answer.launches = (int)(gpu_launches - before);
  answer.null_biases = told.null_biases;
  answer.epilogue = told.epilogue;
  libraries = real;
  absent_gpu = gpu;
  return answer;
}
