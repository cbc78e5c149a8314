/* Merging and labelling the windows of a prediction (volume_ops.h). Bound by memory: merging reads
 * the prediction, reads and writes the slab; labelling reads the slab's maps, eight of them a
 * voxel, mostly from the caches. A window's voxels are apart and windows follow each other in the
 * queue: no atomics, the host's sums. */
#include "kernels/cuda/launch.h"

extern "C" {
#include "kernels/volumes/volume_ops.h"
}

static constexpr int THREADS = 256;

/* blockIdx.z: d, .y: h of the patch; threads walk (w, class). */
static __global__ void __launch_bounds__(THREADS)
    window_merge(const WindowPlace p, const float *predicted, float *maps, float *total) {
  int d = (int)blockIdx.z, h = (int)blockIdx.y, item = (int)(blockIdx.x * THREADS + threadIdx.x);
  int w = item / p.classes, c = item % p.classes;
  int z = p.origin[0] + d, y = p.origin[1] + h, x = p.origin[2] + w;
  if (z < 0 || z >= p.dim[0] || y < 0 || y >= p.dim[1]) return;
  if (w >= p.patch[2] || x < 0 || x >= p.dim[2]) return;
  int64_t from = p.flip[0] ? p.patch[0] - 1 - d : d;
  from = from * p.patch[1] + (p.flip[1] ? p.patch[1] - 1 - h : h);
  from = from * p.patch[2] + (p.flip[2] ? p.patch[2] - 1 - w : w);
  int64_t to = ((int64_t)(z - p.base) * p.dim[1] + y) * p.dim[2] + x;
  float weight = p.weight[0][d] * p.weight[1][h] * p.weight[2][w];
  maps[to * p.classes + c] += weight * predicted[from * p.classes + c];
  if (c == 0) total[to] += weight;
}

static __global__ void __launch_bounds__(THREADS)
    slab_divide(int64_t voxels, int classes, const float *total, float *maps) {
  int64_t step = (int64_t)gridDim.x * THREADS;
  for (int64_t i = (int64_t)blockIdx.x * THREADS + threadIdx.x; i < voxels * classes; i += step)
    maps[i] /= total[i / classes];
}

/* value = below + (above - below) share */
static __device__ __forceinline__ float between(float below, float above, float share) {
  return below + (above - below) * share;
}

/* blockIdx.y: a row of the box; a thread takes a voxel. */
static __global__ void __launch_bounds__(THREADS)
    slab_label(const SlabPlane p, const float *maps, uint8_t *label) {
  int x = (int)(blockIdx.x * THREADS + threadIdx.x), y = (int)blockIdx.y, winner = 0;
  if (x >= p.box[2]) return;
  const SlabTap tz = p.tap[0][p.plane], ty = p.tap[1][y], tx = p.tap[2][x];
  const int z[2] = {tz.below - p.first, tz.above - p.first}, row[2] = {ty.below, ty.above};
  const int column[2] = {tx.below, tx.above};
  float best = 0;
  for (int c = 0; c < p.classes; c++) {
    float line[2];
#pragma unroll
    for (int u = 0; u < 2; u++) {
      float at[2];
#pragma unroll
      for (int v = 0; v < 2; v++) {
        int64_t low = (((int64_t)z[0] * p.dim[1] + row[v]) * p.dim[2] + column[u]) * p.classes + c;
        int64_t high = (((int64_t)z[1] * p.dim[1] + row[v]) * p.dim[2] + column[u]) * p.classes + c;
        at[v] = between(maps[low], maps[high], tz.share);
      }
      line[u] = between(at[0], at[1], ty.share);
    }
    float value = between(line[0], line[1], tx.share);
    if (p.regions) {
      if (value > p.above) winner = p.regions[c];
      continue;
    }
    if (c > 0 && !(value > best)) continue;
    best = value;
    winner = c;
  }
  label[(int64_t)y * p.box[2] + x] = (uint8_t)winner;
}

/* ---- on the host ----------------------------------------------------------------------------- */

static void merge(void *stream, const WindowPlace *p, const float *predicted, float *maps,
                  float *total) {
  dim3 grid((unsigned)((p->patch[2] * p->classes + THREADS - 1) / THREADS), (unsigned)p->patch[1],
            (unsigned)p->patch[0]);
  LAUNCH(window_merge, grid, THREADS, 0, stream, *p, predicted, maps, total);
}

static void divide(void *stream, int64_t voxels, int classes, const float *total, float *maps) {
  if (voxels == 0) return;
  unsigned grid = grid_blocks(slab_divide, THREADS, 0, voxels * classes / THREADS + 1);
  LAUNCH(slab_divide, grid, THREADS, 0, stream, voxels, classes, total, maps);
}

static void shift(void *stream, size_t all, size_t count, const float *from, float *to) {
  cudaStream_t queue = static_cast<cudaStream_t>(stream);
  CUDA_TRY(cudaMemcpyAsync(to, from + (all - count), count * sizeof(float),
                           cudaMemcpyDeviceToDevice, queue));
  CUDA_TRY(cudaMemsetAsync(to + count, 0, (all - count) * sizeof(float), queue));
}

static void label(void *stream, const SlabPlane *plane, const float *maps, uint8_t *out) {
  dim3 grid((unsigned)(plane->box[2] + THREADS - 1) / THREADS, (unsigned)plane->box[1]);
  LAUNCH(slab_label, grid, THREADS, 0, stream, *plane, maps, out);
}

CUDA_TABLE(SlabOps, slab_ops) = {.merge = merge, .divide = divide, .shift = shift, .label = label};
