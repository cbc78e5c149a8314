/* The NVIDIA GPU as a backend: one device of the machine, one stream in which everything runs. */
#include "engine/cuda_queue.h"
#include "kernels/cuda/libraries.h"

extern "C" {
#include "engine/backend.h"
#include "kernels/cuda/kernel_table.h"
}

namespace {
cudaStream_t queue;
int opened = -1;
} // namespace

cudaStream_t cuda_queue() {
  return queue;
}

/* ---- memory ---------------------------------------------------------------------------------- */

/* NULL where there is not enough: a trial that does not fit is a result. */
static void *device_alloc(size_t bytes) {
  void *memory = NULL;
  cudaError_t status = cudaMalloc(&memory, bytes ? bytes : 1);
  if (status == cudaErrorMemoryAllocation) {
    (void)cudaGetLastError(); /* takes the error back, which would else meet the next call */
    return NULL;
  }
  CUDA_TRY(status);
  return memory;
}

static void device_release(void *memory) {
  CUDA_TRY(cudaStreamSynchronize(queue));
  CUDA_TRY(cudaFree(memory));
}

static size_t device_available(void) {
  size_t available = 0, total = 0;
  CUDA_TRY(cudaMemGetInfo(&available, &total));
  return available;
}

static void *host_alloc(size_t bytes) {
  void *memory = NULL;
  CUDA_TRY(cudaMallocHost(&memory, bytes ? bytes : 1));
  return memory;
}

static void host_release(void *memory) {
  CUDA_TRY(cudaFreeHost(memory));
}

/* ---- the queue ------------------------------------------------------------------------------- */

static void *queue_get(void) {
  return queue;
}

static void copy_in(void *to, const void *from, size_t bytes) {
  CUDA_TRY(cudaMemcpyAsync(to, from, bytes, cudaMemcpyHostToDevice, queue));
  CUDA_TRY(cudaStreamSynchronize(queue));
}

static void copy_out(void *to, const void *from, size_t bytes) {
  CUDA_TRY(cudaMemcpyAsync(to, from, bytes, cudaMemcpyDeviceToHost, queue));
  CUDA_TRY(cudaStreamSynchronize(queue));
}

static void zero(void *to, size_t bytes) {
  CUDA_TRY(cudaMemsetAsync(to, 0, bytes, queue));
}

static void wait(void) {
  CUDA_TRY(cudaStreamSynchronize(queue));
}

static const Device device_cuda = {.queue = queue_get,
                                   .copy_in = copy_in,
                                   .copy_out = copy_out,
                                   .zero = zero,
                                   .wait = wait,
                                   .host_alloc = host_alloc,
                                   .host_release = host_release,
                                   .step = &cuda_step,
                                   .record = cuda_record,
                                   .replay = cuda_replay,
                                   .forget = cuda_forget,
                                   .flush = cuda_flush,
                                   .marks = cuda_marks,
                                   .mark = cuda_mark,
                                   .between = cuda_between,
                                   .rates = cuda_rates,
                                   .clocks = cuda_clocks,
                                   .properties = libraries_properties,
                                   .patches = &patch_ops_cuda,
                                   .slabs = &slab_ops_cuda};

static const Backend backend_cuda = {.name = "cuda",
                                     .real = F32,
                                     .kernels = kernels_cuda,
                                     .alloc = device_alloc,
                                     .release = device_release,
                                     .available = device_available,
                                     .device = &device_cuda};

/* ---- opening --------------------------------------------------------------------------------- */

static bool count_devices(int *count, Error *error) {
  *count = 0;
  cudaError_t status = cudaGetDeviceCount(count);
  if (status == cudaSuccess && *count > 0) return true;
  int driver = 0;
  CUDA_TRY(cudaDriverGetVersion(&driver)); /* 0: there is none */
  return fail(error, "--device cuda: no NVIDIA GPU can be used here (%s)",
              driver == 0             ? "no driver"
              : status == cudaSuccess ? "none is visible"
                                      : cudaGetErrorString(status));
}

/* sm_80 is the first with BF16; the kernels are compiled for nothing older. */
static bool check_device(int index, Error *error) {
  int major = 0, minor = 0;
  CUDA_TRY(cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, index));
  CUDA_TRY(cudaDeviceGetAttribute(&minor, cudaDevAttrComputeCapabilityMinor, index));
  if (major >= 8) return true;
  return fail(error, "--device cuda:%d: compute capability %d.%d, at least 8.0 is needed", index,
              major, minor);
}

static bool find_device(int index, int *count, Error *error) {
  if (!count_devices(count, error)) return false;
  return index < *count || fail(error, "--device cuda:%d: there %s %d GPU%s, numbered from 0",
                                index, *count == 1 ? "is" : "are", *count, *count == 1 ? "" : "s");
}

extern "C" const Backend *cuda_open(int index, Error *error) {
  int count;
  if (opened == index) return &backend_cuda;
  if (!find_device(index, &count, error)) return NULL;
  CHECK(opened < 0, "cuda:%d was opened, cuda:%d is asked for", opened, index);
  if (!check_device(index, error)) return NULL;
  CUDA_TRY(cudaSetDevice(index));
  cudaError_t status = cudaStreamCreateWithFlags(&queue, cudaStreamNonBlocking);
  if (status != cudaSuccess) { /* a GPU in exclusive use by another, or out of memory */
    fail(error, "--device cuda:%d: %s", index, cudaGetErrorString(status));
    return NULL;
  }
  if (!libraries_open(queue, error)) return NULL;
  opened = index;
  return &backend_cuda;
}

static void describe_libraries(char *text, size_t bytes) {
  int runtime = 0;
  CUDA_TRY(cudaRuntimeGetVersion(&runtime));
  size_t dnn = DNN(cudnnGetVersion)(), blas = BLAS(cublasLtGetVersion)();
  snprintf(text, bytes, "CUDA runtime %d.%d, cuDNN %zu.%zu.%zu, cuBLASLt %zu.%zu.%zu",
           runtime / 1000, runtime % 1000 / 10, dnn / 10000, dnn % 10000 / 100, dnn % 100,
           blas / 10000, blas % 10000 / 100, blas % 100);
}

extern "C" bool cuda_info(int index, DeviceInfo *info, Error *error) {
  int driver = 0;
  *info = DeviceInfo();
  if (!libraries_load(error)) return false;
  describe_libraries(info->libraries, sizeof info->libraries);
  info->dnn = (int)DNN(cudnnGetVersion)();
  if (!find_device(index, &info->count, error)) return false;
  cudaDeviceProp properties;
  CUDA_TRY(cudaGetDeviceProperties(&properties, index));
  CUDA_TRY(cudaDriverGetVersion(&driver));
  info->driver = driver;
  nvml_release(info->release, sizeof info->release);
  snprintf(info->name, sizeof info->name, "%s", properties.name);
  info->major = properties.major;
  info->minor = properties.minor;
  info->processors = properties.multiProcessorCount;
  info->bytes = properties.totalGlobalMem;
  info->cache_bytes = (size_t)properties.l2CacheSize;
  return true;
}
