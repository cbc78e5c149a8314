/* Fast deform_attention: points in batches (deform_points.h), then point by point, vectorised over
 * the head's channels: gather, or products and scatter (deform_lanes.h).
 *
 * With fewer points than voxels, values are read, and their gradients summed, where they lie: one
 * walk through the tokens serves all heads of a thread, and what a head's sample brings into the
 * cache is there for the next. With more it pays to copy a head's channels of every level into a
 * tile first: where they are, they lie a whole row of E channels apart, which leaves a cache only
 * the sets that such a stride hits. In the tile the gradient of a voxel lies right behind its
 * values, one cache line for 8 channels, and is copied out at the end. So it is also with bf16,
 * channels that are no whole vectors and gradients that nobody wants.
 *
 * A thread owns (sample, heads), so no two write the same channels and every sum has one order: the
 * same bits for any number of threads. */
#include "kernels/cpu/deform_tile.h"

#include <omp.h>

/* ---- a thread's work ------------------------------------------------------------------------- */

/* What the inner loops see, and the thread's own memory. */
typedef struct Work {
  Points points;
  const Lanes *lanes;
  int levels, heads, channels, width;
  int padded; /* channels in whole vectors */
  int group;  /* heads that are walked, or copied, at once */
  bool tiled; /* the latter */
  Tile tile;
  float *row; /* padded copy of a token's y or dy */
} Work;

static bool tiled(const Call *call) {
  const DeformAttentionOptions *o = call->options;
  int64_t points = 0, voxels = 0; /* of a head of a sample */
  if (head_channels(call) % 8 != 0) return true;
  for (int i = IN_VALUES; i < call->n_in; i++) {
    const Tensor *values = &call->in[i];
    if (values->type != F32 || (call->backward && !(call->wants >> i & 1))) return true;
    points += call->out[0].dim[1] * o->points;
    voxels += values->dim[1] * values->dim[2] * values->dim[3];
  }
  return points > voxels;
}

static int64_t tile_floats(const Call *call) {
  int64_t floats = 0;
  for (int l = 0; tiled(call) && l < call->n_in - IN_VALUES; l++) floats += level_floats(call, l);
  return (floats + 15) / 16 * 16;
}

/* Heads that share cache lines of 16 floats. */
static int heads_a_line(const Call *call) {
  const DeformAttentionOptions *o = call->options;
  int heads = 1;
  while (heads < o->heads && (heads * head_channels(call) % 16 != 0 || o->heads % heads != 0))
    heads++;
  return heads;
}

/* Walked together: all heads, or as many as give the threads equal shares. */
static int heads_walked(const Call *call) {
  const DeformAttentionOptions *o = call->options;
  int least = heads_a_line(call), groups = o->heads / least;
  for (int g = 1; g < groups; g++)
    if (groups % g == 0 && call->out[0].dim[0] * g % omp_get_max_threads() == 0)
      return o->heads / g;
  return least;
}

static int most_copied(const Call *call) {
  return heads_a_line(call) * head_channels(call) == 16 ? heads_a_line(call) : 1;
}

/* Copied together: those of a line, unless the threads would get unequal shares. */
static int heads_copied(const Call *call) {
  const DeformAttentionOptions *o = call->options;
  int64_t items = call->out[0].dim[0] * o->heads / most_copied(call);
  return items % omp_get_max_threads() == 0 ? most_copied(call) : 1;
}

static size_t lines(size_t bytes) {
  return (bytes + 63) / 64 * 64;
}

static size_t row_bytes(const Call *call) {
  return lines((size_t)padded_channels(call) * sizeof(float));
}

/* Of a thread: points, row, tiles. */
static size_t work_bytes(const Call *call) {
  return lines(points_bytes(call)) + row_bytes(call) +
         (size_t)most_copied(call) * (size_t)tile_floats(call) * sizeof(float);
}

static bool prepare(Call *call, Error *error) {
  for (int l = 0; tiled(call) && l < call->n_in - IN_VALUES; l++)
    if (level_floats(call, l) > INT32_MAX)
      return fail(error,
                  "deform_attention: a head's values of level %d, %lld floats with their "
                  "gradients, exceed 2^31; more heads or smaller levels fit",
                  l, (long long)level_floats(call, l));
  call->scratch_bytes =
      lines(places_bytes(call)) + (size_t)omp_get_max_threads() * work_bytes(call);
  return true;
}

static Work work_make(const Call *call) {
  const DeformAttentionOptions *o = call->options;
  Work w = {.levels = call->n_in - IN_VALUES,
            .heads = o->heads,
            .channels = head_channels(call),
            .width = (int)call->in[IN_VALUES].dim[4],
            .padded = padded_channels(call),
            .tiled = tiled(call),
            .group = tiled(call) ? heads_copied(call) : heads_walked(call)};
  for (w.lanes = lanes_table; w.lanes->channels && w.lanes->channels != w.padded;) w.lanes++;
  char *at = (char *)call->scratch + lines(places_bytes(call)) +
             (size_t)omp_get_thread_num() * work_bytes(call);
  w.points = points_make(call, at);
  w.row = (float *)(void *)(at + lines(points_bytes(call)));
  memset(w.row, 0, row_bytes(call));
  w.tile = (Tile){.heads = w.group,
                  .channels = w.channels,
                  .padded = w.padded,
                  .width = w.width,
                  .voxel = voxel_floats(call),
                  .floats = tile_floats(call),
                  .data = w.row + row_bytes(call) / sizeof *w.row};
  return w;
}

/* ---- where levels lie ------------------------------------------------------------------------ */

/* Those of sample n. */
static void aim_in_place(const Call *call, const Work *w, int64_t n) {
  Place place[MAX_LEVELS];
  for (int l = 0; l < w->levels; l++) {
    const Tensor *values = &call->in[IN_VALUES + l];
    int64_t start = n * (tensor_count(values) / values->dim[0]);
    float *gradient = call->backward ? call->din[IN_VALUES + l].data : NULL;
    const int64_t *dim = values->dim;
    place[l] = (Place){(const float *)values->data + start,
                       gradient ? gradient + start : NULL,
                       {(int)(dim[2] * dim[3] * dim[4]), (int)(dim[3] * dim[4]), (int)dim[4]}};
  }
  points_aim(&w->points, call, place);
}

static void aim_at_tile(const Call *call, const Work *w, float *tile) {
  Place place[MAX_LEVELS];
  for (int l = 0; l < w->levels; l++) {
    place[l] = (Place){.values = tile, .gradient = tile + w->padded};
    tile += tile_strides(call, l, place[l].stride);
  }
  points_aim(&w->points, call, place);
}

/* Their gradients are sums. */
static void gradients_clear(const Call *call) {
  enum { CHUNK = 1 << 14 };
  for (int i = IN_VALUES; i < call->n_in; i++) {
    float *gradient = call->din[i].data;
    int64_t count = tensor_count(&call->in[i]);
#pragma omp for schedule(static) nowait
    for (int64_t at = 0; at < count; at += CHUNK)
      memset(gradient + at, 0, (size_t)(count - at < CHUNK ? count - at : CHUNK) * sizeof(float));
  }
#pragma omp barrier
}

/* ---- the walk -------------------------------------------------------------------------------- */

/* What the passes over a batch are given: head m of sample n. */
typedef struct Head {
  const Call *call;
  const Work *work;
  int64_t n;
  int m;
  int first; /* its first channel where the values lie */
} Head;

typedef void BatchPass(const Head *head, const Batch *batch, const Batch *next);

/* Points in a token's b-th block. */
static int block_count(const Points *p, int b) {
  return p->count - b * BLOCK < BLOCK ? p->count - b * BLOCK : BLOCK;
}

/* The next batch's rows: a head's lie far apart, so that the processor does not expect them. */
DEFORM_INLINE void fetch(const float *row, int64_t floats, bool write) {
  for (int64_t i = 0; i < floats; i += 16)
    if (write)
      __builtin_prefetch(row + i, 1);
    else
      __builtin_prefetch(row + i);
}

/* First sample point of a token. */
static int64_t token_points(const Head *h, int64_t token) {
  const Points *p = &h->work->points;
  return ((h->n * h->call->out[0].dim[1] + token) * h->work->heads + h->m) * p->count;
}

/* First channel of a token in y. */
static int64_t token_channels(const Head *h, int64_t token) {
  return (h->n * h->call->out[0].dim[1] + token) * h->work->width +
         (int64_t)h->m * h->work->channels;
}

/* Fetches what the i-th token of the next batch will read and write, beside the work on that of
 * this one: all at once they would wait for one another. */
DEFORM_INLINE void token_fetch(const Head *h, const Batch *next, int i, bool backward) {
  if (i >= next->count) return;
  const Call *call = h->call;
  int count = h->work->points.count, channels = h->work->channels;
  int64_t index = token_points(h, next->token) + (int64_t)i * h->work->heads * count;
  int64_t channel = token_channels(h, next->token) + (int64_t)i * h->work->width;
  fetch((const float *)call->in[IN_WEIGHTS].data + index, count, false);
  fetch((const float *)call->in[IN_OFFSETS].data + 3 * index, 3 * count, false);
  if (!backward) {
    fetch((const float *)call->out[0].data + channel, channels, true);
    return;
  }
  fetch((const float *)call->dout[0].data + channel, channels, false);
  const float *doffsets = call->din[IN_OFFSETS].data, *dlogits = call->din[IN_WEIGHTS].data;
  if (doffsets) fetch(doffsets + 3 * index, 3 * count, true);
  if (dlogits) fetch(dlogits + index, count, true);
}

/* Prepares the points of a batch. */
DEFORM_INLINE void batch_points(const Head *h, const Batch *batch, bool backward) {
  const Points *p = &h->work->points;
  int64_t step = (int64_t)h->work->heads * p->count, first = token_points(h, batch->token);
  const float *offsets = h->call->in[IN_OFFSETS].data, *logits = h->call->in[IN_WEIGHTS].data;
  for (int i = 0; i < batch->count; i++) token_attention(p, i, logits + first + i * step);
  for (int i = 0; i < batch->count; i++)
    token_corners(p, i, offsets + 3 * (first + i * step), batch, h->first, backward);
}

/* Heads m .. m + count - 1 of sample n: every `parts`-th batch from `part` on. */
static void tokens_pass(const Call *call, const Work *w, int64_t n, int m, int count, int64_t part,
                        int parts, BatchPass *pass) {
  Walk walk = walk_make(call, call->scratch, w->points.tokens);
  Batch batch = walk_next(&walk), next;
  for (int64_t i = 0; batch.count; batch = next, i++) {
    next = walk_next(&walk);
    for (int h = m; i % parts == part && h < m + count; h++) {
      Head head = {call, w, n, h, w->tiled ? 0 : h * w->channels};
      pass(&head, &batch, &next);
    }
  }
}

/* A part of a group's heads. */
static void group_pass(const Call *call, const Work *w, int64_t n, int first, int64_t part,
                       int parts, BatchPass *pass) {
  if (!w->tiled) {
    aim_in_place(call, w, n);
    tokens_pass(call, w, n, first, w->group, part, parts, pass);
    return;
  }
  tile_open(call, &w->tile, n, first);
  for (int g = 0; g < w->group; g++) {
    aim_at_tile(call, w, w->tile.data + g * w->tile.floats);
    tokens_pass(call, w, n, first + g, 1, part, parts, pass);
  }
}

/* ---- forward --------------------------------------------------------------------------------- */

/* Parts that each group's tokens are split into, so that the threads get equal shares. */
static int parts_count(int64_t items) {
  int threads = omp_get_max_threads(), parts = 1;
  while (parts < threads && items * parts % threads != 0) parts++;
  return parts;
}

static void batch_forward(const Head *h, const Batch *batch, const Batch *next) {
  const Work *w = h->work;
  const Points *p = &w->points;
  float *y = (float *)h->call->out[0].data + token_channels(h, batch->token);
  batch_points(h, batch, false);
  for (int i = 0; i < batch->count; i++, y += w->width) {
    bool whole = w->channels == w->padded;
    token_fetch(h, next, i, false);
    float *sum = whole ? y : w->row;
    memset(sum, 0, (size_t)w->padded * sizeof *sum);
    for (int b = 0; b < p->blocks; b++)
      w->lanes->gather(&p->block[i * p->blocks + b], &p->levels[b], sum, w->padded);
    if (!whole) memcpy(y, sum, (size_t)w->channels * sizeof *y);
  }
}

static void forward(const Call *call) {
  int64_t samples = call->out[0].dim[0];
  places_fill(call, call->scratch);
#pragma omp parallel
  {
    Work work = work_make(call);
    int64_t groups = work.heads / work.group;
    int parts = parts_count(samples * groups);
#pragma omp for schedule(static)
    for (int64_t i = 0; i < samples * groups * parts; i++)
      group_pass(call, &work, i / parts / groups, (int)(i / parts % groups) * work.group, i % parts,
                 parts, batch_forward);
  }
}

/* ---- backward -------------------------------------------------------------------------------- */

/* Of a block's points' eight products, a register for each corner: four points of each four lanes
 * at a time. */
DEFORM_INLINE void corner_rows(const Block *b, Vec corner[8]) {
  for (int half = 0; half < 2; half++) {
    Vec row[4], zip[4];
    for (int i = 0; i < 4; i++) row[i] = vec_load_fours(b->product[i] + 4 * half, 4 * 8);
    for (int i = 0; i < 2; i++) {
      zip[i] = vec_zip(row[2 * i], row[2 * i + 1], false);
      zip[2 + i] = vec_zip(row[2 * i], row[2 * i + 1], true);
    }
    for (int i = 0; i < 4; i++)
      corner[4 * half + i] = vec_join(zip[i / 2 * 2], zip[i / 2 * 2 + 1], i % 2);
  }
}

/* What both sides have, weighted. */
DEFORM_INLINE Vec weigh(const float weight[2][BLOCK], Vec low, Vec high) {
  return vec_load(weight[0]) * low + vec_load(weight[1]) * high;
}

/* With s the vector sampled at a point and dy the head's gradient: dy.s to `sampled`, and the
 * attention times dy.ds/dz, dy.ds/dy, dy.ds/dx to the offsets' gradients. Trilinear axis by axis:
 * x first, then y, then z. */
DEFORM_INLINE void block_slopes(const Block *b, float *sampled, float *doffsets) {
  Vec corner[8], along[2], slope_y[2], slope_x[2];
  corner_rows(b, corner);
  for (int z = 0; z < 2; z++) {
    Vec line[2], slope[2]; /* at both y */
    for (int y = 0; y < 2; y++) {
      Vec low = corner[2 * z + y], high = corner[4 + 2 * z + y];
      line[y] = weigh(b->share[2], low, high);
      slope[y] = weigh(b->slope[2], low, high);
    }
    along[z] = weigh(b->share[1], line[0], line[1]);
    slope_y[z] = weigh(b->slope[1], line[0], line[1]);
    slope_x[z] = weigh(b->share[1], slope[0], slope[1]);
  }
  Vec attention = vec_load(b->attention);
  vec_store(sampled, weigh(b->share[0], along[0], along[1]));
  Vec axis[3] = {attention * weigh(b->slope[0], along[0], along[1]),
                 attention * weigh(b->share[0], slope_y[0], slope_y[1]),
                 attention * weigh(b->share[0], slope_x[0], slope_x[1])};
  axes_together(axis, doffsets);
}

/* Gradients of the offsets and of the logits of the batch's i-th token. */
static void token_gradients(const Points *p, int i, float *doffsets, float *dlogits) {
  const Block *block = p->block + i * p->blocks;
  bool whole = p->blocks * BLOCK == p->count && doffsets;
  for (int b = 0; b < p->blocks; b++)
    block_slopes(&block[b], p->sampled + b * BLOCK,
                 (whole ? doffsets : p->offsets) + 3 * BLOCK * b);
  if (doffsets && !whole) memcpy(doffsets, p->offsets, 3 * (size_t)p->count * sizeof *doffsets);
  Vec sum = {0};
  for (int b = 0; b < p->blocks; b++)
    sum += vec_load(block[b].attention) * vec_load(p->sampled + b * BLOCK);
  float mean = vec_total(sum);
  for (int b = 0; dlogits && b < p->blocks; b++) {
    int count = block_count(p, b);
#pragma omp simd
    for (int j = 0; j < count; j++)
      dlogits[b * BLOCK + j] = block[b].attention[j] * (p->sampled[b * BLOCK + j] - mean);
  }
}

static void batch_backward(const Head *h, const Batch *batch, const Batch *next) {
  const Work *w = h->work;
  const Points *p = &w->points;
  int64_t step = (int64_t)w->heads * p->count, first = token_points(h, batch->token);
  const float *dy = (const float *)h->call->dout[0].data + token_channels(h, batch->token);
  float *doffsets = h->call->din[IN_OFFSETS].data, *dlogits = h->call->din[IN_WEIGHTS].data;
  batch_points(h, batch, true);
  for (int i = 0; i < batch->count; i++, dy += w->width) {
    const float *own = dy;
    token_fetch(h, next, i, true);
    if (w->channels < w->padded) own = memcpy(w->row, dy, (size_t)w->channels * sizeof *dy);
    for (int b = 0; b < p->blocks; b++)
      w->lanes->scatter(&p->block[i * p->blocks + b], &p->levels[b], own, w->padded);
  }
  for (int i = 0; i < batch->count; i++) {
    int64_t index = first + i * step;
    token_gradients(p, i, doffsets ? doffsets + 3 * index : NULL, dlogits ? dlogits + index : NULL);
  }
}

static void backward(const Call *call) {
  int64_t samples = call->out[0].dim[0];
  places_fill(call, call->scratch);
#pragma omp parallel
  {
    Work work = work_make(call);
    int64_t groups = work.heads / work.group;
    if (!work.tiled) gradients_clear(call);
#pragma omp for schedule(static)
    for (int64_t i = 0; i < samples * groups; i++) {
      int first = (int)(i % groups) * work.group;
      group_pass(call, &work, i / groups, first, 0, 1, batch_backward);
      if (work.tiled) tile_close(call, &work.tile, i / groups, first);
    }
  }
}

const Kernel deform_attention_cpu = {.forward = forward,
                                     .backward = backward,
                                     .prepare = prepare,
                                     .bf16 = SAVES_ALL_IN & ~(SAVES_IN(IN_VALUES) - 1)};
