/* cuBLASLt and cuDNN, loaded when a GPU is opened: linked, they would cost every start of the
 * program 0.2 s and 200 MB, on the CPU too. BLAS(cublasLtMatmul)(...) calls what the headers
 * declare. */
#ifndef KERNELS_CUDA_LIBRARIES_H
#define KERNELS_CUDA_LIBRARIES_H

#include "kernels/cuda/launch.h"

#include <cublasLt.h>
#include <cudnn.h>

#define BLAS_FUNCTIONS(F)                                                                          \
  F(cublasLtCreate)                                                                                \
  F(cublasLtGetVersion)                                                                            \
  F(cublasLtGetStatusString)                                                                       \
  F(cublasLtMatmul)                                                                                \
  F(cublasLtMatmulDescCreate)                                                                      \
  F(cublasLtMatmulDescDestroy)                                                                     \
  F(cublasLtMatmulDescSetAttribute)                                                                \
  F(cublasLtMatrixLayoutCreate)                                                                    \
  F(cublasLtMatrixLayoutDestroy)                                                                   \
  F(cublasLtMatrixLayoutSetAttribute)                                                              \
  F(cublasLtMatmulPreferenceCreate)                                                                \
  F(cublasLtMatmulPreferenceDestroy)                                                               \
  F(cublasLtMatmulPreferenceSetAttribute)                                                          \
  F(cublasLtMatmulAlgoGetHeuristic)                                                                \
  F(cublasLtMatmulAlgoConfigGetAttribute)

#define DNN_FUNCTIONS(F)                                                                           \
  F(cudnnCreate)                                                                                   \
  F(cudnnGetVersion)                                                                               \
  F(cudnnGetErrorString)                                                                           \
  F(cudnnSetStream)                                                                                \
  F(cudnnBackendCreateDescriptor)                                                                  \
  F(cudnnBackendDestroyDescriptor)                                                                 \
  F(cudnnBackendSetAttribute)                                                                      \
  F(cudnnBackendGetAttribute)                                                                      \
  F(cudnnBackendFinalize)                                                                          \
  F(cudnnBackendExecute)

#define LIBRARY_POINTER(name) decltype(&::name) name;
struct BlasFunctions {
  BLAS_FUNCTIONS(LIBRARY_POINTER)
};
struct DnnFunctions {
  DNN_FUNCTIONS(LIBRARY_POINTER)
};
#undef LIBRARY_POINTER

struct Libraries {
  BlasFunctions blas;
  DnnFunctions dnn;
  cublasLtHandle_t blas_handle; /* of the open GPU */
  cudnnHandle_t dnn_handle;
  cudaStream_t stream;
  cudnnBackendDescriptor_t
      dnn_device; /* what is planned for, without handles; NULL: the open GPU */
};
extern Libraries libraries;

#define BLAS(name) (libraries.blas.name)
#define DNN(name)  (libraries.dnn.name)

/* Finds the libraries and every function; needs no GPU. */
bool libraries_load(Error *error);
/* Handles for the current device, working in this stream. */
bool libraries_open(cudaStream_t stream, Error *error);

/* Plans for a GPU that is not here, known by its properties: the text of a file of
 * kernels/cuda/devices/. Wants cuDNN 9.11. May be called again with another. */
bool libraries_plan(const char *properties, Error *error);
/* The open GPU's, as such a file; the text is empty where cuDNN is older. */
void libraries_properties(char *text, size_t bytes);

/* Memory to time a candidate in (kernels/cuda/autotune.h), filled with numbers of no pattern; NULL
 * where there is none left. Nothing of it is held by a plan. */
void *library_noise(size_t bytes);
void library_noise_free(void *block); /* NULL is fine */
/* Seconds that what `run` puts into the stream takes on the device; NaN when run says false. Never
 * while a step is captured. */
double library_seconds(bool (*run)(void *user), void *user);

#define BLAS_TRY(call)                                                                             \
  do {                                                                                             \
    cublasStatus_t blas_status = (call);                                                           \
    CHECK(blas_status == CUBLAS_STATUS_SUCCESS, "%s: %s", #call,                                   \
          BLAS(cublasLtGetStatusString)(blas_status));                                             \
  } while (0)
#define DNN_TRY(call)                                                                              \
  do {                                                                                             \
    cudnnStatus_t dnn_status = (call);                                                             \
    CHECK(dnn_status == CUDNN_STATUS_SUCCESS, "%s: %s", #call,                                     \
          DNN(cudnnGetErrorString)(dnn_status));                                                   \
  } while (0)

#endif
