/* Measuring on the GPU: calls captured and replayed between two events (so that the host's launches
 * are not in the time, as in a captured step), a walk over more than the level-2 cache, and the
 * rates that nothing can exceed. */
#include "engine/cuda_queue.h"
#include "kernels/cuda/gemm.h"
#include "kernels/cuda/vector.h"

extern "C" {
#include "engine/backend.h"
}

static constexpr int THREADS = 256, CHAINS = 8, TURNS = 4096;

/* ---- time ------------------------------------------------------------------------------------ */

void *cuda_record(void (*run)(void *), void *user) {
  cudaGraph_t graph;
  cudaGraphExec_t made;
  run(user); /* what libraries load on first use */
  CUDA_TRY(cudaStreamSynchronize(cuda_queue()));
  CUDA_TRY(cudaStreamBeginCapture(cuda_queue(), cudaStreamCaptureModeThreadLocal));
  run(user);
  CUDA_TRY(cudaStreamEndCapture(cuda_queue(), &graph));
  CUDA_TRY(cudaGraphInstantiate(&made, graph, 0));
  CUDA_TRY(cudaGraphDestroy(graph));
  return made;
}

double cuda_replay(void *recorded, int repeats) {
  static cudaEvent_t start, end;
  float milliseconds = 0;
  if (!start) {
    CUDA_TRY(cudaEventCreate(&start));
    CUDA_TRY(cudaEventCreate(&end));
  }
  CUDA_TRY(cudaEventRecord(start, cuda_queue()));
  for (int i = 0; i < repeats; i++)
    CUDA_TRY(cudaGraphLaunch(static_cast<cudaGraphExec_t>(recorded), cuda_queue()));
  CUDA_TRY(cudaEventRecord(end, cuda_queue()));
  CUDA_TRY(cudaEventSynchronize(end));
  CUDA_TRY(cudaEventElapsedTime(&milliseconds, start, end));
  return 1e-3 * (double)milliseconds;
}

void cuda_forget(void *recorded) {
  CUDA_TRY(cudaGraphExecDestroy(static_cast<cudaGraphExec_t>(recorded)));
}

static size_t cache_bytes() {
  int device = 0, bytes = 0;
  CUDA_TRY(cudaGetDevice(&device));
  CUDA_TRY(cudaDeviceGetAttribute(&bytes, cudaDevAttrL2CacheSize, device));
  return bytes > 0 ? (size_t)bytes : (size_t)64 << 20;
}

/* Stands in the queue before what is timed; written, so that the lines are not just clean
 * copies. */
void cuda_flush(void) {
  static void *memory;
  size_t bytes = 2 * cache_bytes();
  if (!memory) CUDA_TRY(cudaMalloc(&memory, bytes));
  CUDA_TRY(cudaMemsetAsync(memory, 0, bytes, cuda_queue()));
}

/* ---- moments in a step ----------------------------------------------------------------------- */

namespace {
cudaEvent_t *marked;
int marks_made;
} // namespace

void cuda_marks(int count) {
  if (count <= marks_made) return;
  marked = static_cast<cudaEvent_t *>(realloc(marked, (size_t)count * sizeof *marked));
  CHECK(marked, "no memory for %d events", count);
  for (; marks_made < count; marks_made++) CUDA_TRY(cudaEventCreate(&marked[marks_made]));
}

/* In a capture an event belongs to the graph, unless it is recorded as one that others read. */
void cuda_mark(int number) {
  cudaStreamCaptureStatus capture;
  CUDA_TRY(cudaStreamIsCapturing(cuda_queue(), &capture));
  CUDA_TRY(cudaEventRecordWithFlags(
      marked[number], cuda_queue(),
      capture == cudaStreamCaptureStatusNone ? cudaEventRecordDefault : cudaEventRecordExternal));
}

double cuda_between(int first, int last) {
  float milliseconds = 0;
  CUDA_TRY(cudaEventElapsedTime(&milliseconds, marked[first], marked[last]));
  return 1e-3 * (double)milliseconds;
}

/* ---- rates ----------------------------------------------------------------------------------- */

static __global__ void __launch_bounds__(THREADS)
    copy_vectors(int64_t vectors, const float *from, float *to) {
  int64_t step = (int64_t)gridDim.x * THREADS;
  for (int64_t i = (int64_t)blockIdx.x * THREADS + threadIdx.x; i < vectors; i += step)
    store_vector(to + 4 * i, load_vector(from + 4 * i));
}

static __global__ void __launch_bounds__(THREADS) fma_chains(float a, float b, float *out) {
  float x[CHAINS];
#pragma unroll
  for (int c = 0; c < CHAINS; c++) x[c] = (float)(threadIdx.x + c);
  for (int turn = 0; turn < TURNS; turn++)
#pragma unroll
    for (int c = 0; c < CHAINS; c++) x[c] = fmaf(x[c], a, b);
  float sum = 0;
#pragma unroll
  for (int c = 0; c < CHAINS; c++) sum += x[c];
  if (sum == 12345.678f)
    *out = sum; /* never true, but the compiler cannot know: it may not drop the work */
}

namespace {
struct Probe {
  void *from, *to, *workspace;
  size_t bytes;
  const Gemm *gemm;
  unsigned blocks;
};
} // namespace

static void run_copy(void *user) {
  Probe *p = static_cast<Probe *>(user);
  LAUNCH(copy_vectors, p->blocks, THREADS, 0, cuda_queue(), (int64_t)(p->bytes / 16),
         static_cast<const float *>(p->from), static_cast<float *>(p->to));
}

static void run_fma(void *user) {
  Probe *p = static_cast<Probe *>(user);
  LAUNCH(fma_chains, p->blocks, THREADS, 0, cuda_queue(), 1.f, 0.f, static_cast<float *>(p->to));
}

static void run_matrix(void *user) {
  Probe *p = static_cast<Probe *>(user);
  gemm_run(p->gemm, cuda_queue(), p->from, p->from, NULL, p->to, p->workspace);
}

/* The best of some calls: a ceiling is what was reached. */
static double best_seconds(void (*run)(void *), Probe *probe) {
  void *recorded = cuda_record(run, probe);
  double best = 1e30;
  for (int i = 0; i < 10; i++) {
    double seconds = cuda_replay(recorded, 3) / 3;
    best = seconds < best ? seconds : best;
  }
  cuda_forget(recorded);
  return best;
}

/* Zeros multiply faster than numbers on a chip that saves power: the operands are not zeros. */
static __global__ void __launch_bounds__(THREADS) fill_bf16(int64_t count, bf16 *x) {
  int64_t step = (int64_t)gridDim.x * THREADS;
  for (int64_t i = (int64_t)blockIdx.x * THREADS + threadIdx.x; i < count; i += step) {
    unsigned bits = (unsigned)i * 2654435761u;
    store(x + i, (float)(bits >> 8) * (2.f / 16777216.f) - 1.f);
  }
}

static double matrix_gflops(Probe *p) {
  int64_t n = 8192;
  Error error = {};
  GemmShape shape = {n, n, n, false, false, 1, BF16, BF16, false, false, false};
  p->gemm = gemm_make(&shape, &error);
  if (!p->gemm) return 0;
  CUDA_TRY(cudaMalloc(&p->workspace, gemm_workspace(p->gemm) + 1));
  LAUNCH(fill_bf16, p->blocks, THREADS, 0, cuda_queue(), n * n, static_cast<bf16 *>(p->from));
  double seconds = best_seconds(run_matrix, p);
  CUDA_TRY(cudaFree(p->workspace));
  return 2.0 * (double)n * (double)n * (double)n / seconds / 1e9;
}

void cuda_rates(DeviceRates *rates) {
  Probe probe = {};
  size_t available = 0, total = 0;
  CUDA_TRY(cudaMemGetInfo(&available, &total));
  probe.bytes = (size_t)1 << 30;
  while (probe.bytes > available / 4) probe.bytes /= 2;
  CUDA_TRY(cudaMalloc(&probe.from, probe.bytes));
  CUDA_TRY(cudaMalloc(&probe.to, probe.bytes));
  probe.blocks = (unsigned)resident_blocks(copy_vectors, THREADS, 0);
  rates->copy_gbps = 2.0 * (double)probe.bytes / best_seconds(run_copy, &probe) / 1e9;
  probe.blocks = (unsigned)resident_blocks(fma_chains, THREADS, 0);
  rates->fma_gflops =
      2.0 * CHAINS * TURNS * THREADS * (double)probe.blocks / best_seconds(run_fma, &probe) / 1e9;
  rates->matrix_gflops = probe.bytes >= (size_t)2 * 8192 * 8192 ? matrix_gflops(&probe) : 0;
  CUDA_TRY(cudaFree(probe.from));
  CUDA_TRY(cudaFree(probe.to));
}
