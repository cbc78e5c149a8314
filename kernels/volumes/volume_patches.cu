/* Training patches read and changed on the device (volume_ops.h), as src/data/batches does it on
 * the host. A thread takes a voxel. Reading is bound by the eight voxels around, mostly from the
 * caches; the steps by reading and writing the plane once, blur three times; a plane's statistics
 * are sums of a fixed number of parts in a fixed order. */
#include "base/philox.h"
#include "kernels/cuda/launch.h"
#include "kernels/cuda/warp.h"
#include "kernels/volumes/patch_math.h"

extern "C" {
#include "kernels/volumes/normals.h"
#include "kernels/volumes/volume_ops.h"
}

static constexpr int THREADS = 256, PARTS = 128;

namespace {
struct Voxel {
  int at[3];
};

struct Statistics {
  double mean, sd;
  float low, high;
};

/* Of the differences from the plane's first value: a large mean must not swallow the variance. */
struct Part {
  double sum, squares;
  float low, high;
};

/* What the statistics of a plane need while they are summed: Plane.scratch points at one. */
struct PlaneScratch {
  Part part[PARTS];
  Statistics before, after;
};

struct Coarse {
  int dim[3], kept[3]; /* voxels along an axis, of which so many are kept */
};
} // namespace
static_assert(sizeof(PlaneScratch) <= PLANE_SCRATCH, "a plane's statistics fit into its scratch");

static __device__ __forceinline__ Voxel voxel_at(unsigned i, const int *dim) {
  Voxel v;
  v.at[2] = (int)(i % (unsigned)dim[2]);
  v.at[1] = (int)(i / (unsigned)dim[2] % (unsigned)dim[1]);
  v.at[0] = (int)(i / (unsigned)dim[2] / (unsigned)dim[1]);
  return v;
}

/* ---- reading --------------------------------------------------------------------------------- */

static __device__ __forceinline__ float half_value(uint16_t bits) {
  float size = __uint_as_float((bits & 0x7fffu) << 13) * 0x1p112f; /* denormal numbers too */
  return bits & 0x8000 ? -size : size;
}

static __device__ __forceinline__ float value_at(const PatchRead &r, int64_t at) {
  return r.single ? r.single[at] : half_value(r.half[at]);
}

/* The float coordinates are those of patch_read.c: a row is a line, its start is rounded. */
static __device__ __forceinline__ void coordinates(const PatchRead &r, const Voxel &v,
                                                   float *place) {
  double from[3] = {v.at[0] - .5 * (r.patch[0] - 1), v.at[1] - .5 * (r.patch[1] - 1),
                    -.5 * (r.patch[2] - 1)};
#pragma unroll
  for (int axis = 0; axis < 3; axis++) {
    double start = r.origin[axis] + .5 * (r.patch[axis] - 1);
#pragma unroll
    for (int k = 0; k < 3; k++) start += r.matrix[axis][k] * from[k];
    place[axis] = fmaf((float)v.at[2], (float)r.matrix[axis][2], (float)start);
  }
}

/* Where the eight voxels around lie, -1 outside; false: nothing of the volume is near. */
static __device__ __forceinline__ bool corners_find(const PatchRead &r, const float *place,
                                                    int64_t *corner, float *weight) {
  int base[3];
  float f[3];
#pragma unroll
  for (int axis = 0; axis < 3; axis++) {
    float below = floorf(place[axis]);
    if (!(place[axis] > -1 && place[axis] < (float)r.dim[axis])) return false;
    base[axis] = (int)below;
    f[axis] = place[axis] - below;
  }
  corner_weights(f, weight);
#pragma unroll
  for (int i = 0; i < 8; i++) {
    int z = base[0] + (i >> 2), y = base[1] + (i >> 1 & 1), x = base[2] + (i & 1);
    bool in = z >= 0 && z < r.dim[0] && y >= 0 && y < r.dim[1] && x >= 0 && x < r.dim[2];
    corner[i] = in ? ((int64_t)z * r.dim[1] + y) * r.dim[2] + x : -1;
  }
  return true;
}

static __global__ void __launch_bounds__(THREADS) patch_read(const PatchRead r, unsigned voxels) {
  unsigned i = blockIdx.x * THREADS + threadIdx.x;
  if (i >= voxels) return;
  float place[3], weight[8];
  int64_t corner[8];
  uint8_t label[8];
  coordinates(r, voxel_at(i, r.patch), place);
  bool near = corners_find(r, place, corner, weight);
  for (int c = 0; c < r.channels; c++) {
    float sum = 0;
#pragma unroll
    for (int k = 0; k < 8; k++)
      if (near && corner[k] >= 0) sum += weight[k] * value_at(r, corner[k] * r.channels + c);
    r.planes[(int64_t)c * voxels + i] = sum;
  }
#pragma unroll
  for (int k = 0; k < 8; k++) label[k] = near && corner[k] >= 0 ? r.label[corner[k]] : 0;
  int voted = near ? corner_vote(label, weight) : 0;
  r.classes[i] = r.target ? r.target[voted] : voted;
}

static __global__ void __launch_bounds__(THREADS)
    interleave_planes(int64_t voxels, int channels, const float *planes, float *image) {
  int64_t step = (int64_t)gridDim.x * THREADS;
  for (int64_t i = (int64_t)blockIdx.x * THREADS + threadIdx.x; i < voxels; i += step)
    for (int c = 0; c < channels; c++) image[i * channels + c] = planes[c * voxels + i];
}

/* ---- a plane's statistics -------------------------------------------------------------------- */

static __global__ void __launch_bounds__(THREADS)
    plane_parts(unsigned voxels, const float *value, Part *part) {
  SHARED(double, doubles, [WARP]);
  SHARED(float, floats, [WARP]);
  float origin = value[0], low = origin, high = origin;
  double sum = 0, squares = 0;
  for (unsigned i = blockIdx.x * THREADS + threadIdx.x; i < voxels; i += PARTS * THREADS) {
    double d = (double)(value[i] - origin);
    sum += d;
    squares += d * d;
    low = fminf(low, value[i]);
    high = fmaxf(high, value[i]);
  }
  sum = block_sum(sum, doubles);
  squares = block_sum(squares, doubles);
  low = -block_max(-low, floats);
  high = block_max(high, floats);
  if (threadIdx.x == 0) part[blockIdx.x] = Part{sum, squares, low, high};
}

/* One block of PARTS threads. */
static __global__ void __launch_bounds__(PARTS)
    plane_statistics(unsigned voxels, const float *value, const Part *part, Statistics *out) {
  SHARED(double, doubles, [WARP]);
  SHARED(float, floats, [WARP]);
  const Part own = part[threadIdx.x];
  double mean = block_sum(own.sum, doubles) / voxels;
  double square = block_sum(own.squares, doubles) / voxels - mean * mean;
  float low = -block_max(-own.low, floats), high = block_max(own.high, floats);
  if (threadIdx.x > 0) return;
  *out = Statistics{mean + (double)value[0], sqrt(square > 0 ? square : 0), low, high};
}

/* ---- the steps, voxel by voxel --------------------------------------------------------------- */

/* A thread makes the four numbers of a counter (rng_normals). */
static __global__ void __launch_bounds__(THREADS)
    plane_noise(unsigned voxels, const Rng rng, float sd, float *value) {
  unsigned block = blockIdx.x * THREADS + threadIdx.x;
  unsigned first = block / NORMAL_BLOCKS * (4 * NORMAL_BLOCKS) + block % NORMAL_BLOCKS;
  const uint32_t counter[4] = {rng.counter[0] + block, rng.counter[1], rng.counter[2],
                               rng.counter[3]};
  uint32_t word[4];
  float normal[4];
  philox(rng.key, counter, word);
  for (int i = 0; i < 4; i += 2)
    normal_pair(logf(normal_radius(word[i])), word[i + 1], &normal[i], &normal[i + 1]);
  for (int i = 0; i < 4; i++)
    if (first + i * NORMAL_BLOCKS < voxels) value[first + i * NORMAL_BLOCKS] += sd * normal[i];
}

static __global__ void __launch_bounds__(THREADS)
    plane_scale(unsigned voxels, float factor, float *value) {
  unsigned i = blockIdx.x * THREADS + threadIdx.x;
  if (i < voxels) value[i] *= factor;
}

static __global__ void __launch_bounds__(THREADS)
    plane_contrast(unsigned voxels, float factor, const Statistics *s, float *value) {
  unsigned i = blockIdx.x * THREADS + threadIdx.x;
  float mean = (float)s->mean;
  if (i < voxels) value[i] = fminf(fmaxf((value[i] - mean) * factor + mean, s->low), s->high);
}

/* x -> x^exponent on the range scaled to [0, 1], from the top when inverted. */
static __global__ void __launch_bounds__(THREADS)
    plane_curve(unsigned voxels, float exponent, bool inverted, const Statistics *s, float *value) {
  unsigned i = blockIdx.x * THREADS + threadIdx.x;
  float range = s->high - s->low, sign = inverted ? -1 : 1, origin = inverted ? s->high : s->low;
  if (i >= voxels) return;
  float t = (value[i] - origin) * (sign / fmaxf(range, 1e-7f)) + 1e-30f;
  value[i] = origin + sign * range * expf(exponent * logf(t));
}

static __global__ void __launch_bounds__(THREADS)
    plane_return(unsigned voxels, const Statistics *before, const Statistics *after, float *value) {
  unsigned i = blockIdx.x * THREADS + threadIdx.x;
  float scale = (float)(before->sd / (after->sd > 1e-7 ? after->sd : 1e-7));
  if (i < voxels) value[i] = (value[i] - (float)after->mean) * scale + (float)before->mean;
}

/* ---- the steps that look around -------------------------------------------------------------- */

static __global__ void __launch_bounds__(THREADS)
    plane_blur(unsigned voxels, int size, unsigned stride, const Gaussian g, const float *from,
               float *to) {
  unsigned i = blockIdx.x * THREADS + threadIdx.x;
  if (i >= voxels) return;
  int at = (int)(i / stride % (unsigned)size);
  float sum = 0;
  for (int k = -g.radius; k <= g.radius; k++)
    sum += g.weight[k + g.radius] * from[i + (unsigned)(reflect(at + k, size) - at) * stride];
  to[i] = sum;
}

static __global__ void __launch_bounds__(THREADS)
    plane_coarse(unsigned voxels, const Coarse coarse, const float *from, float *to) {
  unsigned i = blockIdx.x * THREADS + threadIdx.x;
  if (i >= voxels) return;
  Voxel v = voxel_at(i, coarse.dim);
  int place[3][2];
  float share[3], slice[2];
#pragma unroll
  for (int a = 0; a < 3; a++) {
    int n = coarse.dim[a], kept = coarse.kept[a];
    share[a] = coarse_place(v.at[a], n, kept, &place[a][0], &place[a][1]);
    place[a][0] = coarse_kept(place[a][0], n, kept);
    place[a][1] = coarse_kept(place[a][1], n, kept);
  }
#pragma unroll
  for (int z = 0; z < 2; z++) {
    float row[2];
#pragma unroll
    for (int y = 0; y < 2; y++) {
      const float *line =
          from + ((int64_t)place[0][z] * coarse.dim[1] + place[1][y]) * coarse.dim[2];
      row[y] = line[place[2][0]] + share[2] * (line[place[2][1]] - line[place[2][0]]);
    }
    slice[z] = row[0] + share[1] * (row[1] - row[0]);
  }
  to[i] = slice[0] + share[0] * (slice[1] - slice[0]);
}

/* ---- on the host ----------------------------------------------------------------------------- */

/* At most 2^30: PATCH_EDGE_MAX. */
static unsigned voxels_of(const int *dim) {
  return (unsigned)dim[0] * (unsigned)dim[1] * (unsigned)dim[2];
}
static unsigned blocks_of(const Plane *plane) {
  return (voxels_of(plane->dim) + THREADS - 1) / THREADS;
}
static PlaneScratch *scratch_of(const Plane *plane) {
  return static_cast<PlaneScratch *>(plane->scratch);
}

static void read(void *stream, const PatchRead *r) {
  unsigned voxels = voxels_of(r->patch);
  LAUNCH(patch_read, (voxels + THREADS - 1) / THREADS, THREADS, 0, stream, *r, voxels);
}

static void interleave(void *stream, int64_t voxels, int channels, const float *planes,
                       float *image) {
  LAUNCH(interleave_planes, grid_blocks(interleave_planes, THREADS, 0, voxels / THREADS + 1),
         THREADS, 0, stream, voxels, channels, planes, image);
}

static void measure(const Plane *plane, Statistics *out) {
  unsigned voxels = voxels_of(plane->dim);
  Part *part = scratch_of(plane)->part;
  LAUNCH(plane_parts, PARTS, THREADS, 0, plane->queue, voxels, plane->value, part);
  LAUNCH(plane_statistics, 1, PARTS, 0, plane->queue, voxels, plane->value, part, out);
}

static void noise(const Plane *plane, double sd, Rng *rng) {
  unsigned voxels = voxels_of(plane->dim);
  unsigned counters = (voxels + 4 * NORMAL_BLOCKS - 1) / (4 * NORMAL_BLOCKS) * NORMAL_BLOCKS;
  LAUNCH(plane_noise, (counters + THREADS - 1) / THREADS, THREADS, 0, plane->queue, voxels, *rng,
         (float)sd, plane->value);
  rng_skip_normals(rng, voxels);
}

static void brightness(const Plane *plane, double factor) {
  LAUNCH(plane_scale, blocks_of(plane), THREADS, 0, plane->queue, voxels_of(plane->dim),
         (float)factor, plane->value);
}

static void contrast(const Plane *plane, double factor) {
  Statistics *before = &scratch_of(plane)->before;
  measure(plane, before);
  LAUNCH(plane_contrast, blocks_of(plane), THREADS, 0, plane->queue, voxels_of(plane->dim),
         (float)factor, before, plane->value);
}

static void gamma(const Plane *plane, double exponent, bool inverted) {
  Statistics *before = &scratch_of(plane)->before, *after = &scratch_of(plane)->after;
  unsigned voxels = voxels_of(plane->dim);
  measure(plane, before);
  LAUNCH(plane_curve, blocks_of(plane), THREADS, 0, plane->queue, voxels, (float)exponent, inverted,
         before, plane->value);
  measure(plane, after);
  LAUNCH(plane_return, blocks_of(plane), THREADS, 0, plane->queue, voxels, before, after,
         plane->value);
}

/* What was written to spare becomes the value. */
static void take_spare(const Plane *plane) {
  CUDA_TRY(cudaMemcpyAsync(plane->value, plane->spare, voxels_of(plane->dim) * sizeof(float),
                           cudaMemcpyDeviceToDevice, static_cast<cudaStream_t>(plane->queue)));
}

static void blur(const Plane *plane, const double sigma[3]) {
  unsigned stride = 1, voxels = voxels_of(plane->dim);
  const float *from = plane->value;
  for (int axis = 2; axis >= 0; axis--) {
    float *to = from == plane->value ? plane->spare : plane->value;
    LAUNCH(plane_blur, blocks_of(plane), THREADS, 0, plane->queue, voxels, plane->dim[axis], stride,
           gaussian_make(sigma[axis]), from, to);
    stride *= (unsigned)plane->dim[axis];
    from = to;
  }
  take_spare(plane);
}

static void low_resolution(const Plane *plane, const double zoom[3]) {
  Coarse coarse;
  for (int axis = 0; axis < 3; axis++) {
    coarse.dim[axis] = plane->dim[axis];
    coarse.kept[axis] = coarse_size(plane->dim[axis], zoom[axis]);
  }
  LAUNCH(plane_coarse, blocks_of(plane), THREADS, 0, plane->queue, voxels_of(plane->dim), coarse,
         plane->value, plane->spare);
  take_spare(plane);
}

CUDA_TABLE(PatchOps, patch_ops) = {.read = read,
                                   .plane = {.noise = noise,
                                             .blur = blur,
                                             .brightness = brightness,
                                             .contrast = contrast,
                                             .low_resolution = low_resolution,
                                             .gamma = gamma},
                                   .interleave = interleave};
