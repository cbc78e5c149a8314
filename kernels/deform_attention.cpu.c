/* Fast deform_attention. For each (token, head): (1) for all L*P points at once, vectorised over
 * points: softmax, positions, corner elements and weights; (2) point by point, vectorised over the
 * head's channels, which lie together: gather, or slopes and scatter (deform_lanes.h).
 *
 * Positions are kept as a whole number plus a small rest, so that float loses nothing far from the
 * origin. A thread owns (sample, group of heads), so no two write the same channels and every sum
 * has one order: the same bits for any number of threads. */
#include "kernels/options.h"
#include "kernels/simd_math.h"

#include <omp.h>
#include <string.h>

#define DEFORM_INLINE static inline __attribute__((always_inline, unused))

enum { IN_OFFSETS, IN_WEIGHTS, IN_VALUES };
enum { MAX_LEVELS = MAX_IN - IN_VALUES };

typedef float Vector4 __attribute__((vector_size(16)));

/* The levels as one sample sees them. */
typedef struct Levels {
  int count, points;
  int heads, channels; /* channels of a head */
  const float *values[MAX_LEVELS];
  float *dvalues[MAX_LEVELS]; /* NULL: not wanted */
} Levels;

/* One thread's work space, arrays over the L*P points, padded to whole blocks of BLOCK points that
 * read voxel 0 with attention 0. Axis a = z, y, x; side 0 below, 1 above. */
enum { BLOCK = 16 };
typedef struct Head {
  int points, padded;
  int64_t first;    /* channel of the head */
  int *size[3];     /* of the point's level */
  int *stride[3];   /* elements */
  int *whole[3];    /* reference point: whole part .. */
  float *rest[3];   /* .. and rest, in voxels of the level */
  float *share[6];  /* [2 a + side]: linear weight, 0 outside the grid */
  float *inside[6]; /* 1 inside, 0 outside */
  float *attention;
  int *element[8];
  float *weight[8];
  Vector4 *product;
  float *offsets, *logits; /* padded copies, where L*P is no multiple of BLOCK */
} Head;

enum { HEAD_ARRAYS = 4 + 3 * 4 + 6 * 2 + 8 * 2 + 1 + 3 + 1 };

#define LANES 8
#include "kernels/deform_lanes.h"
#define LANES 16
#include "kernels/deform_lanes.h"

static int points_padded(const Call *call) {
  const DeformAttentionOptions *o = call->options;
  return ((call->n_in - IN_VALUES) * o->points + BLOCK - 1) / BLOCK * BLOCK;
}

static bool prepare(Call *call, Error *error) {
  (void)error;
  call->scratch_bytes =
      (size_t)omp_get_max_threads() * (size_t)points_padded(call) * HEAD_ARRAYS * sizeof(float);
  return true;
}

static Head head_arrays(const Call *call) {
  const DeformAttentionOptions *o = call->options;
  int64_t pad = points_padded(call);
  float *at = (float *)call->scratch + omp_get_thread_num() * pad * HEAD_ARRAYS;
  Head h = {.points = (call->n_in - IN_VALUES) * o->points, .padded = (int)pad};
  h.product = (Vector4 *)(void *)at;
  at += 4 * pad;
  for (int a = 0; a < 3; a++, at += 4 * pad) {
    h.size[a] = (int *)(void *)at;
    h.stride[a] = (int *)(void *)(at + pad);
    h.whole[a] = (int *)(void *)(at + 2 * pad);
    h.rest[a] = at + 3 * pad;
  }
  for (int s = 0; s < 6; s++, at += 2 * pad) {
    h.share[s] = at;
    h.inside[s] = at + pad;
  }
  for (int k = 0; k < 8; k++, at += 2 * pad) {
    h.element[k] = (int *)(void *)at;
    h.weight[k] = at + pad;
  }
  h.attention = at;
  h.offsets = at + pad;
  h.logits = at + 4 * pad;
  return h;
}

/* This thread's arrays; what depends on the level alone and the padding are filled in. */
static Head head_make(const Call *call) {
  const DeformAttentionOptions *o = call->options;
  Head h = head_arrays(call);
  for (int j = 0; j < h.padded; j++) {
    const int64_t *dim = call->in[IN_VALUES + (j < h.points ? j / o->points : 0)].dim;
    int64_t stride[3] = {dim[2] * dim[3] * dim[4], dim[3] * dim[4], dim[4]};
    for (int a = 0; a < 3; a++) {
      h.size[a][j] = (int)dim[1 + a];
      h.stride[a][j] = (int)stride[a];
      h.whole[a][j] = 0;
      h.rest[a][j] = 0;
      h.offsets[3 * j + a] = 0;
    }
    h.logits[j] = -INFINITY;
  }
  return h;
}

/* The reference point of token t in the voxels of each level. */
static void head_place(const Call *call, Head *h, int64_t t) {
  const DeformAttentionOptions *o = call->options;
  const int *grid = o->query_grids.v;
  for (int64_t cells; t >= (cells = (int64_t)grid[0] * grid[1] * grid[2]); grid += 3) t -= cells;
  int64_t at[3] = {t / ((int64_t)grid[1] * grid[2]), t / grid[2] % grid[1], t % grid[2]};
  for (int i = IN_VALUES, j = 0; i < call->n_in; i++, j += o->points)
    for (int a = 0; a < 3; a++) {
      double position = ((double)at[a] + .5) * (double)call->in[i].dim[1 + a] / grid[a] - .5;
      double low = floor(position);
      for (int p = 0; p < o->points; p++) {
        h->whole[a][j + p] = (int)low;
        h->rest[a][j + p] = (float)(position - low);
      }
    }
}

static void head_softmax(Head *h, const float *restrict logits) {
  float *restrict attention = h->attention;
  float top = logits[0], sum = 0;
  for (int j = 0; j < h->padded; j += BLOCK)
#pragma omp simd reduction(max : top)
    for (int i = j; i < j + BLOCK; i++) top = logits[i] > top ? logits[i] : top;
  for (int j = 0; j < h->padded; j += BLOCK)
#pragma omp simd reduction(+ : sum)
    for (int i = j; i < j + BLOCK; i++) {
      attention[i] = simd_exp(logits[i] - top);
      sum += attention[i];
    }
  float scale = 1.f / sum;
#pragma omp simd
  for (int j = 0; j < h->padded; j++) attention[j] *= scale;
}

typedef float Vector16 __attribute__((vector_size(64), aligned(4), may_alias));
typedef int Integer16 __attribute__((vector_size(64), aligned(4), may_alias));

/* The offsets of BLOCK points, (z, y, x) in turn, apart by axis. */
DEFORM_INLINE void block_offsets(const float *offsets, Vector16 axis[3]) {
  const Vector16 *v = (const Vector16 *)offsets;
  Vector16 z =
      __builtin_shufflevector(v[0], v[1], 0, 3, 6, 9, 12, 15, 18, 21, 24, 27, 30, 0, 0, 0, 0, 0);
  Vector16 y =
      __builtin_shufflevector(v[0], v[1], 1, 4, 7, 10, 13, 16, 19, 22, 25, 28, 31, 0, 0, 0, 0, 0);
  Vector16 x =
      __builtin_shufflevector(v[0], v[1], 2, 5, 8, 11, 14, 17, 20, 23, 26, 29, 0, 0, 0, 0, 0, 0);
  axis[0] = __builtin_shufflevector(z, v[2], 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 17, 20, 23, 26, 29);
  axis[1] = __builtin_shufflevector(y, v[2], 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 18, 21, 24, 27, 30);
  axis[2] = __builtin_shufflevector(x, v[2], 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 16, 19, 22, 25, 28, 31);
}

/* Linear weights, and elements on both sides, of the BLOCK points from j along axis a. Two voxels
 * outside the grid all weights are zero: positions are clamped there, which also takes NaN. A
 * comparison of vectors gives -1 or 0 in each lane. */
DEFORM_INLINE void block_axis(const Head *h, int j, int a, const Vector16 *offset,
                              Integer16 element[2]) {
  Integer16 size = *(Integer16 *)(h->size[a] + j), whole = *(Integer16 *)(h->whole[a] + j);
  Integer16 stride = *(Integer16 *)(h->stride[a] + j), last = size - 1;
  Vector16 low = __builtin_convertvector(-2 - whole, Vector16);
  Vector16 high = __builtin_convertvector(last + 2 - whole, Vector16);
  Vector16 local = *(Vector16 *)(h->rest[a] + j) + *offset;
  Integer16 keep = local > low;
  local = (Vector16)((keep & (Integer16)local) | (~keep & (Integer16)low));
  keep = local < high;
  local = (Vector16)((keep & (Integer16)local) | (~keep & (Integer16)high));
  Integer16 cell = __builtin_convertvector(local, Integer16);
  cell += local < __builtin_convertvector(cell, Vector16); /* towards zero -> down */
  Vector16 fraction = local - __builtin_convertvector(cell, Vector16);
  Vector16 share[2] = {1.f - fraction, fraction};
  for (int side = 0; side < 2; side++) {
    Integer16 at = whole + cell + side, inside = (at >= 0) & (at <= last);
    Vector16 one = __builtin_convertvector(-inside, Vector16);
    *(Vector16 *)(h->inside[2 * a + side] + j) = one;
    *(Vector16 *)(h->share[2 * a + side] + j) = one * share[side];
    at &= at >= 0;
    at += (last - at) & (at > last);
    element[side] = at * stride;
  }
}

DEFORM_INLINE void block_corners(const Head *h, int j, const float *offsets) {
  Vector16 offset[3], attention = *(Vector16 *)(h->attention + j);
  Integer16 element[3][2];
  block_offsets(offsets, offset);
  for (int a = 0; a < 3; a++) block_axis(h, j, a, &offset[a], element[a]);
  for (int k = 0; k < 8; k++) {
    int z = k >> 2, y = k >> 1 & 1, x = k & 1;
    *(Integer16 *)(h->element[k] + j) = element[0][z] + element[1][y] + element[2][x];
    *(Vector16 *)(h->weight[k] + j) = attention * *(Vector16 *)(h->share[z] + j) *
                                      *(Vector16 *)(h->share[2 + y] + j) *
                                      *(Vector16 *)(h->share[4 + x] + j);
  }
}

/* Everything about the points of (row = n T + t, head m) that does not need the values. */
static void head_prepare(const Call *call, Head *h, const Levels *levels, int64_t row, int m) {
  int64_t index = (row * levels->heads + m) * h->points;
  const float *offsets = (const float *)call->in[IN_OFFSETS].data + 3 * index;
  const float *logits = (const float *)call->in[IN_WEIGHTS].data + index;
  h->first = (int64_t)m * levels->channels;
  if (h->padded > h->points) {
    offsets = memcpy(h->offsets, offsets, 3 * (size_t)h->points * sizeof *offsets);
    logits = memcpy(h->logits, logits, (size_t)h->points * sizeof *logits);
  }
  head_softmax(h, logits);
  for (int j = 0; j < h->padded; j += BLOCK) block_corners(h, j, offsets + 3 * j);
}

static Levels levels_make(const Call *call, int64_t n) {
  const DeformAttentionOptions *o = call->options;
  Levels levels = {.count = call->n_in - IN_VALUES, .points = o->points, .heads = o->heads};
  levels.channels = (int)call->out[0].dim[2] / o->heads;
  for (int l = 0; l < levels.count; l++) {
    const Tensor *v = &call->in[IN_VALUES + l];
    int64_t sample = tensor_count(v) / v->dim[0];
    float *dvalues = call->din[IN_VALUES + l].data;
    levels.values[l] = (const float *)v->data + n * sample;
    levels.dvalues[l] = call->backward && dvalues ? dvalues + n * sample : NULL;
  }
  return levels;
}

/* ---- any number of channels -------------------------------------------------------------------
 */

static void gather_any(const Head *h, const Levels *levels, float *restrict y) {
  int channels = levels->channels;
  memset(y, 0, (size_t)channels * sizeof *y);
  for (int j = 0; j < levels->count * levels->points; j++)
    for (int k = 0; k < 8; k++) {
      const float *corner = levels->values[j / levels->points] + h->first + h->element[k][j];
#pragma omp simd
      for (int c = 0; c < channels; c++) y[c] += h->weight[k][j] * corner[c];
    }
}

static void scatter_any(const Head *h, const Levels *levels, const float *restrict dy) {
  int channels = levels->channels;
  for (int j = 0; j < levels->count * levels->points; j++) {
    const float *values = levels->values[j / levels->points] + h->first;
    float *dvalues = levels->dvalues[j / levels->points];
    Vector4 product = {0};
    for (int k = 0; k < 8; k++) {
      int z = k >> 2, y = 2 + (k >> 1 & 1), x = 4 + (k & 1);
      float sum = 0, wz = h->share[z][j], wy = h->share[y][j], wx = h->share[x][j];
      float sz = z & 1 ? h->inside[z][j] : -h->inside[z][j];
      float sy = y & 1 ? h->inside[y][j] : -h->inside[y][j];
      float sx = x & 1 ? h->inside[x][j] : -h->inside[x][j];
      const float *corner = values + h->element[k][j];
#pragma omp simd reduction(+ : sum)
      for (int c = 0; c < channels; c++) sum += dy[c] * corner[c];
      product += sum * (Vector4){wz * wy * wx, sz * wy * wx, wz * sy * wx, wz * wy * sx};
      float *out = dvalues ? dvalues + h->first + h->element[k][j] : NULL;
#pragma omp simd
      for (int c = 0; c < (out ? channels : 0); c++) out[c] += h->weight[k][j] * dy[c];
    }
    h->product[j] = product;
  }
}

static void gather(const Head *h, const Levels *levels, float *y) {
  switch (levels->channels) {
  case 8:
    gather_8(h, levels, y, 1);
    break;
  case 16:
    gather_16(h, levels, y, 1);
    break;
  case 24:
    gather_8(h, levels, y, 3);
    break;
  case 32:
    gather_16(h, levels, y, 2);
    break;
  case 64:
    gather_16(h, levels, y, 4);
    break;
  default:
    gather_any(h, levels, y);
  }
}

static void scatter(const Head *h, const Levels *levels, const float *dy) {
  switch (levels->channels) {
  case 8:
    scatter_8(h, levels, dy, 1);
    break;
  case 16:
    scatter_16(h, levels, dy, 1);
    break;
  case 24:
    scatter_8(h, levels, dy, 3);
    break;
  case 32:
    scatter_16(h, levels, dy, 2);
    break;
  case 64:
    scatter_16(h, levels, dy, 4);
    break;
  default:
    scatter_any(h, levels, dy);
  }
}

/* ---- forward and backward ---------------------------------------------------------------------
 */

static void forward(const Call *call) {
  int64_t samples = call->out[0].dim[0], tokens = call->out[0].dim[1];
#pragma omp parallel
  {
    Head head = head_make(call);
#pragma omp for schedule(static)
    for (int64_t row = 0; row < samples * tokens; row++) {
      Levels levels = levels_make(call, row / tokens);
      float *y = (float *)call->out[0].data + row * levels.heads * levels.channels;
      head_place(call, &head, row % tokens);
      for (int m = 0; m < levels.heads; m++) {
        head_prepare(call, &head, &levels, row, m);
        gather(&head, &levels, y + m * levels.channels);
      }
    }
  }
}

/* Gradients of the offsets and of the logits from head->product. */
static void head_finish(const Call *call, const Head *h, int64_t index) {
  float *doffsets = call->din[IN_OFFSETS].data, *dlogits = call->din[IN_WEIGHTS].data;
  Vector4 sum[4] = {{0}};
  for (int j = 0; j < h->points; j++) {
    Vector4 share = h->attention[j] * h->product[j];
    sum[j & 3] += share;
    for (int a = 0; doffsets && a < 3; a++) doffsets[3 * (index + j) + a] = share[1 + a];
  }
  float mean = (sum[0][0] + sum[1][0]) + (sum[2][0] + sum[3][0]);
  for (int j = 0; dlogits && j < h->points; j++)
    dlogits[index + j] = h->attention[j] * (h->product[j][0] - mean);
}

/* Heads [first, last) of all tokens of sample n. */
static void heads_backward(const Call *call, Head *head, int64_t n, int first, int last) {
  Levels levels = levels_make(call, n);
  int64_t tokens = call->out[0].dim[1];
  for (int64_t t = 0; t < tokens; t++) {
    int64_t row = n * tokens + t;
    head_place(call, head, t);
    for (int m = first; m < last; m++) {
      int64_t at = row * levels.heads + m;
      head_prepare(call, head, &levels, row, m);
      scatter(head, &levels, (const float *)call->dout[0].data + at * levels.channels);
      head_finish(call, head, at * head->points);
    }
  }
}

static void clear_values(const Call *call, int64_t n) {
  for (int i = IN_VALUES; i < call->n_in; i++) {
    size_t bytes = tensor_bytes(&call->in[i]) / (size_t)call->in[i].dim[0];
    if (call->din[i].data) memset((char *)call->din[i].data + (size_t)n * bytes, 0, bytes);
  }
}

/* Groups of heads a sample is split into, so that the threads get equal shares. */
static int groups_count(int64_t samples, int heads) {
  int threads = omp_get_max_threads(), groups = 1;
  while (groups < heads && samples * groups % threads != 0) groups++;
  return groups;
}

static void backward(const Call *call) {
  const DeformAttentionOptions *o = call->options;
  int64_t samples = call->out[0].dim[0];
  int groups = groups_count(samples, o->heads);
#pragma omp parallel
  {
    Head head = head_make(call);
#pragma omp for schedule(static)
    for (int64_t n = 0; n < samples; n++) clear_values(call, n);
#pragma omp for schedule(static)
    for (int64_t i = 0; i < samples * groups; i++) {
      int g = (int)(i % groups);
      heads_backward(call, &head, i / groups, o->heads * g / groups, o->heads * (g + 1) / groups);
    }
  }
}

const Kernel deform_attention_cpu = {.forward = forward, .backward = backward, .prepare = prepare};
