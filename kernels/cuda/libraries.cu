#include "kernels/cuda/libraries.h"
#include "kernels/cuda/noise.h"

#include <dlfcn.h>
#include <math.h>
#include <string.h>

Libraries libraries;

#define TEXT_OF(number) #number
#define TEXT(number)    TEXT_OF(number)

static void *open_library(const char *name, Error *error) {
  void *library = dlopen(name, RTLD_NOW | RTLD_LOCAL);
  if (!library) fail(error, "--device cuda: %s (LD_LIBRARY_PATH can say where it is)", dlerror());
  return library;
}

static bool find(void *library, const char *name, void **function, Error *error) {
  *function = dlsym(library, name);
  return *function || fail(error, "--device cuda: %s", dlerror());
}

#define FIND_BLAS(name)                                                                            \
  if (!find(blas, #name, reinterpret_cast<void **>(&BLAS(name)), error)) return false;
#define FIND_DNN(name)                                                                             \
  if (!find(dnn, #name, reinterpret_cast<void **>(&DNN(name)), error)) return false;

bool libraries_load(Error *error) {
  static bool loaded;
  if (loaded) return true;
  void *blas = open_library("libcublasLt.so." TEXT(CUBLAS_VER_MAJOR), error);
  void *dnn = blas ? open_library("libcudnn.so." TEXT(CUDNN_MAJOR), error) : NULL;
  if (!dnn) return false;
  BLAS_FUNCTIONS(FIND_BLAS)
  DNN_FUNCTIONS(FIND_DNN)
  loaded = true;
  return true;
}

bool libraries_open(cudaStream_t stream, Error *error) {
  if (!libraries_load(error)) return false;
  cublasStatus_t blas = BLAS(cublasLtCreate)(&libraries.blas_handle);
  if (blas != CUBLAS_STATUS_SUCCESS)
    return fail(error, "--device cuda: cuBLASLt cannot start: %s",
                BLAS(cublasLtGetStatusString)(blas));
  cudnnStatus_t dnn = DNN(cudnnCreate)(&libraries.dnn_handle);
  if (dnn != CUDNN_STATUS_SUCCESS)
    return fail(error, "--device cuda: cuDNN cannot start: %s", DNN(cudnnGetErrorString)(dnn));
  DNN_TRY(DNN(cudnnSetStream)(libraries.dnn_handle, stream));
  libraries.stream = stream;
  return true;
}

#if CUDNN_VERSION >= 91100
bool libraries_plan(const char *properties, Error *error) {
  if (!libraries_load(error)) return false;
  size_t version = DNN(cudnnGetVersion)();
  if (version < 91100)
    return fail(error, "planning for a GPU that is not here wants cuDNN 9.11, found %zu.%zu.%zu",
                version / 10000, version / 100 % 100, version % 100);
  cudnnBackendDescriptor_t device;
  DNN_TRY(DNN(cudnnBackendCreateDescriptor)(CUDNN_BACKEND_DEVICEPROP_DESCRIPTOR, &device));
  DNN_TRY(DNN(cudnnBackendSetAttribute)(device, CUDNN_ATTR_DEVICEPROP_JSON_REPRESENTATION,
                                        CUDNN_TYPE_CHAR, (int64_t)strlen(properties), properties));
  DNN_TRY(DNN(cudnnBackendFinalize)(device));
  libraries.dnn_device = device; /* plans that were made refer to the one before */
  absent_gpu.processors = (int)gpu_property(properties, "multiProcessorCount");
  absent_gpu.threads = (int)gpu_property(properties, "maxThreadsPerSM");
  CHECK(absent_gpu.processors > 0 && absent_gpu.threads > 0, "a GPU without multiprocessors");
  return true;
}

void libraries_properties(char *text, size_t bytes) {
  cudnnBackendDescriptor_t device;
  int64_t count = 0;
  memset(text, 0, bytes);
  if (DNN(cudnnGetVersion)() < 91100) return;
  DNN_TRY(DNN(cudnnBackendCreateDescriptor)(CUDNN_BACKEND_DEVICEPROP_DESCRIPTOR, &device));
  DNN_TRY(DNN(cudnnBackendSetAttribute)(device, CUDNN_ATTR_DEVICEPROP_HANDLE, CUDNN_TYPE_HANDLE, 1,
                                        &libraries.dnn_handle));
  DNN_TRY(DNN(cudnnBackendFinalize)(device));
  DNN_TRY(DNN(cudnnBackendGetAttribute)(device, CUDNN_ATTR_DEVICEPROP_JSON_REPRESENTATION,
                                        CUDNN_TYPE_CHAR, (int64_t)bytes - 1, &count, text));
  DNN_TRY(DNN(cudnnBackendDestroyDescriptor)(device));
}
#else
void libraries_properties(char *text, size_t) {
  text[0] = 0;
}
bool libraries_plan(const char *, Error *error) {
  return fail(error, "planning for a GPU that is not here wants cuDNN 9.11, built with " TEXT(
                         CUDNN_MAJOR) "." TEXT(CUDNN_MINOR));
}
#endif

/* ---- timing a candidate ---------------------------------------------------------------------- */

void *library_noise(size_t bytes) {
  void *block = NULL;
  cudaError_t status = cudaMalloc(&block, bytes ? bytes : 1);
  if (status == cudaErrorMemoryAllocation) {
    (void)cudaGetLastError(); /* told by NULL */
    return NULL;
  }
  CUDA_TRY(status);
  noise_fill(libraries.stream, bytes, block);
  return block;
}

void library_noise_free(void *block) {
  if (!block) return;
  CUDA_TRY(cudaStreamSynchronize(libraries.stream));
  CUDA_TRY(cudaFree(block));
}

double library_seconds(bool (*run)(void *user), void *user) {
  static cudaEvent_t start, end;
  cudaStreamCaptureStatus capture;
  float milliseconds = 0;
  CUDA_TRY(cudaStreamIsCapturing(libraries.stream, &capture));
  CHECK(capture == cudaStreamCaptureStatusNone, "a candidate is timed while a step is captured");
  if (!start) {
    CUDA_TRY(cudaEventCreate(&start));
    CUDA_TRY(cudaEventCreate(&end));
  }
  CUDA_TRY(cudaEventRecord(start, libraries.stream));
  bool good = run(user);
  CUDA_TRY(cudaEventRecord(end, libraries.stream));
  CUDA_TRY(cudaEventSynchronize(end));
  CUDA_TRY(cudaEventElapsedTime(&milliseconds, start, end));
  return good ? 1e-3 * (double)milliseconds : (double)NAN;
}
