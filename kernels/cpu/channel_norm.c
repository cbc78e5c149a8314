/* Two passes over memory each way: sums over voxels, then the result.
 * Voxels are cut into at most 64 chunks a sample whatever the number of threads, so the result does
 * not depend on it; a chunk keeps VEC channels in registers, sums 64 voxels in float and those in
 * double. The variance comes from values shifted by the first voxel, which keeps it exact where the
 * mean is large. Bound by memory. */
#include "kernels/cpu/channel_norm.h"
#include "kernels/cpu/bf16.h"
#include "kernels/cpu/parallel.h"
#include "kernels/cpu/simd_math.h"
#include "kernels/cpu/staging.h"

#include <math.h>
#include <omp.h>
#include <string.h>

enum { MAX_CHUNKS = 64, RUN = 64 /* voxels summed in float */ };

/* How the work is cut, and scratch: per chunk two sums a channel, then per sample two constants. */
typedef struct Work {
  int64_t samples, voxels, channels, chunks, chunk_voxels, width; /* width: of a group */
  double *sums;     /* (samples, chunks, 2, channels) */
  float *constants; /* (samples, 2, channels) */
  float slope;
  bool silu;
} Work;

static Work work_of(const Call *call, const ChannelNorm *norm) {
  const Tensor *x = &call->in[IN_X];
  Work w = {.samples = norm->samples, .channels = tensor_last(x)};
  w.voxels = tensor_rows(x) / w.samples;
  w.chunk_voxels = (w.voxels + MAX_CHUNKS - 1) / MAX_CHUNKS;
  w.chunk_voxels = (w.chunk_voxels + RUN - 1) / RUN * RUN;
  w.chunks = (w.voxels + w.chunk_voxels - 1) / w.chunk_voxels;
  w.sums = call->scratch;
  w.constants = (float *)(w.sums + w.samples * w.chunks * 2 * w.channels);
  w.width = norm->width;
  w.slope = (float)norm->slope;
  w.silu = norm->silu;
  return w;
}

bool channel_norm_narrow(const Call *call) {
  return tensor_last(&call->in[IN_X]) < VEC;
}

void channel_norm_prepare(Call *call, const ChannelNorm *norm) {
  Work w = work_of(call, norm);
  call->scratch_bytes = (size_t)(w.samples * w.chunks * 2 * w.channels) * sizeof(double) +
                        (size_t)(w.samples * 2 * w.channels) * sizeof(float);
  if (channel_norm_narrow(call)) staging_add(call);
}

/* One register of channels of a run of a chunk: where its voxels start, what belongs to them. */
typedef struct Piece {
  int64_t first, count; /* element of x, voxels: RUN at most */
  int64_t c, at;        /* channel; element of mean and rstd */
  int skip;             /* lanes that the register before has already */
  bool begins;          /* the chunk */
  double *sums;         /* of this chunk, at channel c; the second sum `channels` later */
} Piece;

static Piece piece_of(const Work *w, int64_t n, int64_t chunk, int64_t run, int64_t c) {
  Piece p = {.begins = run == 0};
  int64_t start = chunk * w->chunk_voxels + run, end = (chunk + 1) * w->chunk_voxels;
  if (end > w->voxels) end = w->voxels;
  if (c + VEC > w->channels) { /* the last two overlap */
    p.skip = (int)(c + VEC - w->channels);
    c -= p.skip;
  }
  p.first = (n * w->voxels + start) * w->channels + c;
  p.count = end - start < RUN ? end - start : RUN;
  p.c = c;
  p.at = n * w->channels + c;
  p.sums = w->sums + (n * w->chunks + chunk) * 2 * w->channels + c;
  return p;
}

/* Runs `pass` over every piece, a chunk a task, all channels of a run together: memory is read in
 * its order. */
typedef void Pass(const Call *call, const Work *w, const Piece *piece);

INLINE void chunk_pieces(const Call *call, const Work *w, Pass *pass, int64_t n, int64_t chunk) {
  int64_t left = w->voxels - chunk * w->chunk_voxels;
  for (int64_t run = 0; run < left && run < w->chunk_voxels; run += RUN)
    for (int64_t c = 0; c < w->channels; c += VEC) {
      Piece piece = piece_of(w, n, chunk, run, c);
      pass(call, w, &piece);
    }
}

/* `last_first`: of two passes the first one, so that what it read last, and what was written before
 * it, is still in the cache. */
INLINE void pieces(const Call *call, const Work *w, Pass *pass, bool last_first) {
#pragma omp parallel if (w->samples * w->voxels * w->channels > PARALLEL_LEAST)
  {
    int64_t tasks = w->samples * w->chunks, threads = omp_get_num_threads();
    int64_t first = tasks * omp_get_thread_num() / threads;
    int64_t end = tasks * (omp_get_thread_num() + 1) / threads;
    for (int64_t i = first; i < end; i++) {
      int64_t task = last_first ? first + end - 1 - i : i;
      chunk_pieces(call, w, pass, task / w->chunks, task % w->chunks);
    }
  }
}

/* Adds two registers of float sums to two rows of double sums, or begins them. */
static inline void spill(const Work *w, const Piece *p, Vec a, Vec b) {
  double *first = p->sums, *second = p->sums + w->channels;
  if (p->begins)
    for (int lane = p->skip; lane < VEC; lane++) first[lane] = second[lane] = 0;
  if (p->skip) {
    for (int lane = p->skip; lane < VEC; lane++) {
      first[lane] += a[lane];
      second[lane] += b[lane];
    }
    return;
  }
  for (int lane = 0; lane < VEC; lane++) {
    first[lane] += a[lane];
    second[lane] += b[lane];
  }
}

/* Sums of one channel of a sample over its chunks. */
static void total(const Work *w, int64_t n, int64_t c, double sum[2]) {
  sum[0] = sum[1] = 0;
  for (int64_t chunk = 0; chunk < w->chunks; chunk++) {
    const double *s = w->sums + (n * w->chunks + chunk) * 2 * w->channels + c;
    sum[0] += s[0];
    sum[1] += s[w->channels];
  }
}

/* ---- what follows the norm ------------------------------------------------------------------- */

/* function(...) with type and silu as constants: four instances of one body. */
#define ACTIVATED(function, type, silu, ...)                                                       \
  ((silu) ? TYPED(function, type, __VA_ARGS__, true) : TYPED(function, type, __VA_ARGS__, false))

INLINE Vec vec_silu(Vec z) {
  Vec y;
  for (int lane = 0; lane < VEC; lane++) y[lane] = simd_silu(z[lane]);
  return y;
}

INLINE Vec vec_silu_slope(Vec z) {
  Vec y;
  for (int lane = 0; lane < VEC; lane++) y[lane] = simd_silu_slope(z[lane]);
  return y;
}

/* ---- forward --------------------------------------------------------------------------------- */

INLINE void moments_of(const Call *call, const Work *w, const Piece *p, DType type) {
  const void *x = call->in[IN_X].data;
  Vec shift = real_load(x, p->at / w->channels * w->voxels * w->channels + p->c, type);
  Vec sum = {0}, square = {0};
  for (int64_t i = 0; i < p->count; i++) {
    Vec d = real_load(x, p->first + i * w->channels, type) - shift;
    sum += d;
    square += d * d;
  }
  spill(w, p, sum, square);
}

static void moments_pass(const Call *call, const Work *w, const Piece *p) {
  TYPED(moments_of, call->in[IN_X].type, call, w, p);
}

INLINE void normalise(const Call *call, const Work *w, const Piece *p, bool silu, DType type) {
  const void *x = call->in[IN_X].data;
  void *y = call->out[OUT_Y].data;
  Vec mean = vec_load((const float *)call->out[OUT_MEAN].data + p->at);
  Vec scale = vec_load((const float *)call->in[IN_GAMMA].data + p->c) *
              vec_load((const float *)call->out[OUT_RSTD].data + p->at);
  Vec beta = vec_load((const float *)call->in[IN_BETA].data + p->c);
  for (int64_t i = 0; i < p->count; i++) {
    int64_t at = p->first + i * w->channels;
    Vec z = (real_load(x, at, type) - mean) * scale + beta;
    real_store(y, at, silu ? vec_silu(z) : vec_select(z < 0, z * w->slope, z), type);
  }
}

static void normalise_pass(const Call *call, const Work *w, const Piece *p) {
  ACTIVATED(normalise, call->in[IN_X].type, w->silu, call, w, p);
}

static Moments channel_moments(const Call *call, const Work *w, int64_t at) {
  const Tensor *x = &call->in[IN_X];
  int64_t n = at / w->channels, c = at % w->channels;
  double sum[2], count = (double)w->voxels;
  total(w, n, c, sum);
  double shift = real_get(x->data, n * w->voxels * w->channels + c, x->type);
  return (Moments){shift + sum[0] / count, fmax(0, (sum[1] - sum[0] * sum[0] / count) / count)};
}

/* Of a group: its channels' variances, and that of their means. */
static Moments group_moments(const Call *call, const Work *w, int64_t at) {
  Moments group = channel_moments(call, w, at);
  double width = (double)w->width, mean = 0, variance = 0;
  if (w->width == 1) return group;
  for (int64_t k = 0; k < w->width; k++) mean += channel_moments(call, w, at + k).mean / width;
  for (int64_t k = 0; k < w->width; k++) {
    Moments own = channel_moments(call, w, at + k);
    variance += (own.variance + (own.mean - mean) * (own.mean - mean)) / width;
  }
  return (Moments){mean, variance};
}

void channel_norm_statistics(const Call *call, const ChannelNorm *norm) {
  Work w = work_of(call, norm);
  float *mean = call->out[OUT_MEAN].data, *rstd = call->out[OUT_RSTD].data;
  pieces(call, &w, moments_pass, true);
  for (int64_t at = 0; at < w.samples * w.channels; at++) {
    if (at % w.width) {
      mean[at] = mean[at - 1];
      rstd[at] = rstd[at - 1];
      continue;
    }
    Moments m = group_moments(call, &w, at);
    mean[at] = (float)m.mean;
    rstd[at] = (float)(1 / sqrt(m.variance + norm->epsilon));
  }
}

Moments channel_norm_moments(const Call *call, const ChannelNorm *norm, int64_t at) {
  Work w = work_of(call, norm);
  return channel_moments(call, &w, at);
}

void channel_norm_apply(const Call *call, const ChannelNorm *norm) {
  Work w = work_of(call, norm);
  pieces(call, &w, normalise_pass, false);
}

/* ---- backward -------------------------------------------------------------------------------- */

/* What both passes need to recompute h and the gradient that comes through the activation. */
typedef struct Affine {
  Vec mean, rstd, gamma, scale, beta;
} Affine;

static inline Affine affine_of(const Call *call, const Piece *p) {
  Affine a = {.mean = vec_load((const float *)call->out[OUT_MEAN].data + p->at),
              .rstd = vec_load((const float *)call->out[OUT_RSTD].data + p->at),
              .gamma = vec_load((const float *)call->in[IN_GAMMA].data + p->c),
              .beta = vec_load((const float *)call->in[IN_BETA].data + p->c)};
  a.scale = a.gamma * a.rstd;
  return a;
}

INLINE Vec through_activation(const Affine *a, Vec centred, Vec dy, float slope, bool silu) {
  Vec z = centred * a->scale + a->beta;
  return silu ? dy * vec_silu_slope(z) : vec_select(z < 0, dy * slope, dy);
}

INLINE void sums_of(const Call *call, const Work *w, const Piece *p, bool silu, DType type) {
  const void *x = call->in[IN_X].data, *dy = call->dout[OUT_Y].data;
  Affine a = affine_of(call, p);
  Vec sum = {0}, product = {0};
  for (int64_t i = 0; i < p->count; i++) {
    int64_t at = p->first + i * w->channels;
    Vec centred = real_load(x, at, type) - a.mean;
    Vec g = through_activation(&a, centred, real_load(dy, at, type), w->slope, silu);
    sum += g;
    product += g * centred;
  }
  spill(w, p, sum, product * a.rstd);
}

static void sums_pass(const Call *call, const Work *w, const Piece *p) {
  ACTIVATED(sums_of, call->in[IN_X].type, w->silu, call, w, p);
}

INLINE void gradient(const Call *call, const Work *w, const Piece *p, bool silu, DType type) {
  const void *x = call->in[IN_X].data, *dy = call->dout[OUT_Y].data;
  void *dx = call->din[IN_X].data;
  Affine a = affine_of(call, p);
  const float *constants = w->constants + p->at / w->channels * 2 * w->channels + p->c;
  Vec shift = vec_load(constants), slant = vec_load(constants + w->channels);
  for (int64_t i = 0; i < p->count; i++) {
    int64_t at = p->first + i * w->channels;
    Vec centred = real_load(x, at, type) - a.mean;
    Vec g = through_activation(&a, centred, real_load(dy, at, type), w->slope, silu);
    real_store(dx, at, a.scale * g + slant * centred + shift, type);
  }
}

static void gradient_pass(const Call *call, const Work *w, const Piece *p) {
  ACTIVATED(gradient, call->in[IN_X].type, w->silu, call, w, p);
}

/* Over a channel of a sample: dx = scale g + slant (x - mean) + shift, times the count of what is
 * normalised together. Shift and slant add up over a group's channels. */
typedef struct Constants {
  double shift, slant;
} Constants;

static void add_constants(const Call *call, const Work *w, int64_t n, int64_t c, Constants *group) {
  const float *gamma = call->in[IN_GAMMA].data, *rstd = call->out[OUT_RSTD].data;
  const float *dmean = call->dout[OUT_MEAN].data, *drstd = call->dout[OUT_RSTD].data;
  int64_t at = n * w->channels + c;
  double sum[2], r = rstd[at], scale = r * gamma[c];
  total(w, n, c, sum);
  double shift = (dmean ? dmean[at] : 0) - scale * sum[0];
  double slant = (drstd ? -drstd[at] * r * r * r : 0) - scale * sum[1] * r;
  group->shift += shift;
  group->slant += slant;
}

static void gradient_constants(const Call *call, const Work *w) {
  double count = (double)(w->voxels * w->width);
  for (int64_t n = 0; n < w->samples; n++)
    for (int64_t first = 0; first < w->channels; first += w->width) {
      Constants group = {0, 0};
      for (int64_t k = 0; k < w->width; k++) add_constants(call, w, n, first + k, &group);
      for (int64_t c = first; c < first + w->width; c++) {
        w->constants[n * 2 * w->channels + c] = (float)(group.shift / count);
        w->constants[(n * 2 + 1) * w->channels + c] = (float)(group.slant / count);
      }
    }
}

/* Of gamma and beta: the sums over samples. */
static void affine_gradients(const Call *call, const Work *w) {
  float *dgamma = call->din[IN_GAMMA].data, *dbeta = call->din[IN_BETA].data;
  for (int64_t c = 0; c < w->channels; c++) {
    double all[2] = {0, 0}, sum[2];
    for (int64_t n = 0; n < w->samples; n++) {
      total(w, n, c, sum);
      all[0] += sum[0];
      all[1] += sum[1];
    }
    if (dbeta) dbeta[c] = (float)all[0];
    if (dgamma) dgamma[c] = (float)all[1];
  }
}

void channel_norm_backward(const Call *call, const ChannelNorm *norm, bool given) {
  Work w = work_of(call, norm);
  if (!call->dout[OUT_Y].data) { /* nothing arrives */
    for (int i = 0; i < call->n_in; i++)
      if (call->din[i].data) memset(call->din[i].data, 0, tensor_bytes(&call->din[i]));
    return;
  }
  if (!given || call->din[IN_GAMMA].data || call->din[IN_BETA].data) {
    pieces(call, &w, sums_pass, true);
    affine_gradients(call, &w);
  }
  if (!call->din[IN_X].data) return;
  if (given)
    memset(w.constants, 0, (size_t)(w.samples * 2 * w.channels) * sizeof *w.constants);
  else
    gradient_constants(call, &w);
  pieces(call, &w, gradient_pass, false);
}
