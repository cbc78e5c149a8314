/* Fast deform_attention, one head of one sample at a time: points in batches (deform_points.h),
 * then point by point, vectorised over the head's channels: gather, or products and scatter
 * (deform_lanes.h).
 *
 * The head's channels of every level are copied into a tile, voxel after voxel: where they are,
 * they lie a whole row of E channels apart, which leaves a cache only the sets that such a stride
 * hits. Around each level the tile has a voxel of zeros, so that no corner needs a test. For
 * backward the gradient of a voxel lies right behind its values, one cache line for 8 channels; it
 * is copied out at the end.
 *
 * A thread owns (sample, head), so no two write the same channels and every sum has one order: the
 * same bits for any number of threads. */
#include "kernels/cpu/bf16.h"
#include "kernels/cpu/deform_heads.h"

#include <omp.h>

/* ---- a thread's work ------------------------------------------------------------------------- */

/* What the inner loops see of one head of one sample, and the thread's own memory. */
typedef struct Work {
  Points points;
  const Lanes *lanes;
  int levels, heads, channels, width;
  int padded; /* channels in whole vectors */
  int voxel;  /* floats of a voxel in a tile */
  int group;  /* heads that are copied at once */
  Place place[MAX_LEVELS];
  float *tile;         /* of the group's heads one after another */
  int64_t tile_floats; /* of a head */
  float *row;          /* padded copy of a token's y or dy */
} Work;

static int head_channels(const Call *call) {
  const DeformAttentionOptions *o = call->options;
  return (int)call->in[IN_VALUES].dim[4] / o->heads;
}

static int padded_channels(const Call *call) {
  return (head_channels(call) + 7) / 8 * 8;
}

static int voxel_floats(const Call *call) {
  return (call->backward ? 2 : 1) * padded_channels(call);
}

static int64_t level_floats(const Call *call, int l) {
  const int64_t *dim = call->in[IN_VALUES + l].dim;
  return (dim[1] + 2) * (dim[2] + 2) * (dim[3] + 2) * voxel_floats(call);
}

static int64_t tile_floats(const Call *call) {
  int64_t floats = 0;
  for (int l = 0; l < call->n_in - IN_VALUES; l++) floats += level_floats(call, l);
  return (floats + 15) / 16 * 16;
}

/* Heads that share a cache line of 16 floats. */
static int heads_a_line(const Call *call) {
  const DeformAttentionOptions *o = call->options;
  int channels = head_channels(call);
  return channels < 16 && 16 % channels == 0 && o->heads % (16 / channels) == 0 ? 16 / channels : 1;
}

/* They are copied together, unless the threads would get unequal shares. */
static int group_heads(const Call *call) {
  const DeformAttentionOptions *o = call->options;
  int heads = heads_a_line(call);
  int64_t items = call->out[0].dim[0] * o->heads / heads;
  return items % omp_get_max_threads() == 0 ? heads : 1;
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
         (size_t)heads_a_line(call) * (size_t)tile_floats(call) * sizeof(float);
}

static bool prepare(Call *call, Error *error) {
  if (tile_floats(call) / 2 > INT32_MAX)
    return fail(error,
                "deform_attention: a head's values, %lld floats with their gradients, exceed 2^32; "
                "more heads or smaller levels fit",
                (long long)tile_floats(call));
  call->scratch_bytes =
      lines(places_bytes(call)) + (size_t)omp_get_max_threads() * work_bytes(call);
  return true;
}

static void places_make(const Call *call, Place *place) {
  int64_t start = 0, voxel = voxel_floats(call) / 2;
  for (int l = 0; l < call->n_in - IN_VALUES; start += level_floats(call, l++) / 2) {
    const int64_t *dim = call->in[IN_VALUES + l].dim;
    place[l] = (Place){
        (int)start,
        {(int)((dim[2] + 2) * (dim[3] + 2) * voxel), (int)((dim[3] + 2) * voxel), (int)voxel}};
  }
}

static Work work_make(const Call *call) {
  const DeformAttentionOptions *o = call->options;
  Work w = {.levels = call->n_in - IN_VALUES,
            .heads = o->heads,
            .channels = head_channels(call),
            .width = (int)call->in[IN_VALUES].dim[4],
            .padded = padded_channels(call),
            .voxel = voxel_floats(call),
            .group = group_heads(call),
            .tile_floats = tile_floats(call)};
  for (w.lanes = lanes_table; w.lanes->channels && w.lanes->channels != w.padded;) w.lanes++;
  places_make(call, w.place);
  char *at = (char *)call->scratch + lines(places_bytes(call)) +
             (size_t)omp_get_thread_num() * work_bytes(call);
  w.points = points_make(call, at, w.place);
  w.row = (float *)(void *)(at + lines(points_bytes(call)));
  w.tile = (float *)(void *)(at + lines(points_bytes(call)) + row_bytes(call));
  return w;
}

/* ---- tiles ----------------------------------------------------------------------------------- */

/* Copies `count` voxels of one head, `width` elements apart from element `first` on, into the tile.
 * A voxel of the tile has room for more numbers than the head has channels: these become zero. */
DEFORM_INLINE void voxels_in(const void *values, int64_t first, int64_t count, int width, float *to,
                             int channels, int voxel, DType type) {
  for (int64_t v = 0; v < count; v++, first += width, to += voxel) {
    for (int c = 0; c < channels; c++) to[c] = real_get(values, first + c, type);
    for (int c = channels; c < voxel; c++) to[c] = 0;
  }
}

/* The way back, from the tile to the gradient of the values; `from`: the first voxel's gradient. */
DEFORM_INLINE void voxels_out(void *dvalues, int64_t first, int64_t count, int width,
                              const float *from, int channels, int voxel, DType type) {
  for (int64_t v = 0; v < count; v++, first += width, from += voxel)
    for (int c = 0; c < channels; c++) real_set(dvalues, first + c, from[c], type);
}

/* The same for the usual heads with constants. */
DEFORM_INLINE void row_in(const Work *w, const void *values, int64_t first, int64_t count,
                          float *to, DType type) {
  if (w->channels == 8 && w->voxel == 8)
    voxels_in(values, first, count, w->width, to, 8, 8, type);
  else if (w->channels == 8)
    voxels_in(values, first, count, w->width, to, 8, 16, type);
  else if (w->channels == 16 && w->voxel == 16)
    voxels_in(values, first, count, w->width, to, 16, 16, type);
  else if (w->channels == 16)
    voxels_in(values, first, count, w->width, to, 16, 32, type);
  else
    voxels_in(values, first, count, w->width, to, w->channels, w->voxel, type);
}

DEFORM_INLINE void row_out(const Work *w, void *dvalues, int64_t first, int64_t count,
                           const float *from, DType type) {
  if (w->channels == 8)
    voxels_out(dvalues, first, count, w->width, from, 8, 16, type);
  else if (w->channels == 16)
    voxels_out(dvalues, first, count, w->width, from, 16, 32, type);
  else
    voxels_out(dvalues, first, count, w->width, from, w->channels, w->voxel, type);
}

/* Rows of a level and the zeros around them. `start`: the element of the first voxel of the group's
 * first head. */
DEFORM_INLINE void level_in(const Work *w, const Tensor *values, int64_t start, float *tile,
                            DType type) {
  int64_t depth = values->dim[1], height = values->dim[2], count = values->dim[3];
  size_t edge = (size_t)w->voxel * sizeof *tile;
  for (int64_t z = -1; z <= depth; z++)
    for (int64_t y = -1; y <= height; y++, tile += (count + 2) * w->voxel)
      for (int g = 0; g < w->group; g++) {
        float *row = tile + g * w->tile_floats;
        int64_t first = start + (z * height + y) * count * w->width + g * w->channels;
        if (z < 0 || y < 0 || z == depth || y == height) {
          memset(row, 0, (size_t)(count + 2) * edge);
          continue;
        }
        memset(row, 0, edge);
        row_in(w, values->data, first, count, row + w->voxel, type);
        memset(row + (count + 1) * w->voxel, 0, edge);
      }
}

DEFORM_INLINE void level_out(const Work *w, const Tensor *dvalues, int64_t start, const float *tile,
                             DType type) {
  int64_t height = dvalues->dim[2], count = dvalues->dim[3], step = (count + 2) * w->voxel;
  for (int64_t z = 0; z < dvalues->dim[1]; z++)
    for (int64_t y = 0; y < height; y++)
      for (int g = 0; g < w->group; g++)
        row_out(w, dvalues->data, start + (z * height + y) * count * w->width + g * w->channels,
                count,
                tile + g * w->tile_floats + ((z + 1) * (height + 2) + y + 1) * step + w->voxel +
                    w->padded,
                type);
}

/* Copies heads first .. first + group - 1 of sample n into the tiles. */
static void group_open(const Call *call, const Work *w, int64_t n, int first) {
  for (int l = 0; l < w->levels; l++) {
    const Tensor *values = &call->in[IN_VALUES + l];
    int64_t start = n * (tensor_count(values) / values->dim[0]) + (int64_t)first * w->channels;
    TYPED(level_in, values->type, w, values, start, w->tile + 2 * (int64_t)w->place[l].start);
  }
}

/* Copies what was summed in the tiles to the gradients. */
static void group_close(const Call *call, const Work *w, int64_t n, int first) {
  for (int l = 0; l < w->levels; l++) {
    const Tensor *dvalues = &call->din[IN_VALUES + l];
    if (!dvalues->data) continue;
    int64_t start = n * (tensor_count(dvalues) / dvalues->dim[0]) + (int64_t)first * w->channels;
    TYPED(level_out, dvalues->type, w, dvalues, start, w->tile + 2 * (int64_t)w->place[l].start);
  }
}

/* ---- forward --------------------------------------------------------------------------------- */

/* Parts that each head's tokens are split into, so that the threads get equal shares. */
static int parts_count(int64_t items) {
  int threads = omp_get_max_threads(), parts = 1;
  while (parts < threads && items * parts % threads != 0) parts++;
  return parts;
}

/* Points in a token's b-th block. */
static int block_count(const Points *p, int b) {
  return p->count - b * BLOCK < BLOCK ? p->count - b * BLOCK : BLOCK;
}

/* The next batch's rows: a head's lie far apart, one head after another, so that the processor does
 * not expect them. */
DEFORM_INLINE void fetch(const float *row, int64_t floats, bool write) {
  for (int64_t i = 0; i < floats; i += 16)
    if (write)
      __builtin_prefetch(row + i, 1);
    else
      __builtin_prefetch(row + i);
}

/* What the passes over a batch are given: head m of sample n of the tile. */
typedef struct Head {
  const Call *call;
  const Work *work;
  float *tile;
  int64_t n;
  int m;
} Head;

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

/* Prepares the points of a batch and fetches what the next one will read. */
DEFORM_INLINE void batch_points(const Head *h, const Batch *batch, const Batch *next,
                                bool backward) {
  const Points *p = &h->work->points;
  int64_t step = (int64_t)h->work->heads * p->count, first = token_points(h, batch->token);
  const float *offsets = h->call->in[IN_OFFSETS].data, *logits = h->call->in[IN_WEIGHTS].data;
  for (int i = 0; i < next->count; i++) {
    int64_t ahead = token_points(h, next->token) + i * step;
    fetch(logits + ahead, p->count, false);
    fetch(offsets + 3 * ahead, 3 * p->count, false);
  }
  for (int i = 0; i < batch->count; i++) token_attention(p, i, logits + first + i * step);
  for (int i = 0; i < batch->count; i++)
    token_corners(p, i, offsets + 3 * (first + i * step), batch, backward);
}

static void batch_forward(const Head *h, const Batch *batch, const Batch *next) {
  const Work *w = h->work;
  const Points *p = &w->points;
  float *y = (float *)h->call->out[0].data + token_channels(h, batch->token);
  for (int i = 0; i < batch->count; i++) fetch(y + i * w->width, w->channels, true);
  batch_points(h, batch, next, false);
  for (int i = 0; i < batch->count; i++, y += w->width) {
    bool whole = w->channels == w->padded;
    float *sum = whole ? y : w->row;
    memset(sum, 0, (size_t)w->padded * sizeof *sum);
    for (int b = 0; b < p->blocks; b++)
      w->lanes->gather(&p->block[i * p->blocks + b], h->tile, block_count(p, b), sum, w->padded);
    if (!whole) memcpy(y, sum, (size_t)w->channels * sizeof *y);
  }
}

typedef void BatchPass(const Head *head, const Batch *batch, const Batch *next);

/* Every `parts`-th batch from `part` on. */
static void tokens_pass(const Head *head, int64_t part, int parts, BatchPass *pass) {
  Walk walk = walk_make(head->call, head->call->scratch, head->work->points.tokens);
  Batch batch = walk_next(&walk), next;
  for (int64_t i = 0; batch.count; batch = next, i++) {
    next = walk_next(&walk);
    if (i % parts == part) pass(head, &batch, &next);
  }
}

/* A part of head g of the group that is in the tiles. */
static void head_pass(const Call *call, const Work *w, int64_t n, int first, int g, int64_t part,
                      int parts, BatchPass *pass) {
  Head head = {call, w, w->tile + g * w->tile_floats, n, first + g};
  tokens_pass(&head, part, parts, pass);
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
    for (int64_t i = 0; i < samples * groups * parts; i++) {
      int64_t n = i / parts / groups;
      int first = (int)(i / parts % groups) * work.group;
      group_open(call, &work, n, first);
      for (int g = 0; g < work.group; g++)
        head_pass(call, &work, n, first, g, i % parts, parts, batch_forward);
    }
  }
}

/* ---- backward -------------------------------------------------------------------------------- */

/* Eight rows of 16 points' corner products, from 16 points' eight. */
DEFORM_INLINE void block_corner_rows(const float *product, Vector16 corner[8]) {
  Vector16 a[8];
  for (int i = 0; i < 4; i++) { /* points 4 i .. 4 i + 3: corners c, c + 4 side by side */
    const Vector16 *v = (const Vector16 *)(product + 32 * i);
    a[2 * i] = __builtin_shufflevector(v[0], v[1], 0, 8, 16, 24, 1, 9, 17, 25, 2, 10, 18, 26, 3, 11,
                                       19, 27);
    a[2 * i + 1] = __builtin_shufflevector(v[0], v[1], 4, 12, 20, 28, 5, 13, 21, 29, 6, 14, 22, 30,
                                           7, 15, 23, 31);
  }
  for (int h = 0; h < 2; h++) { /* corners 4 h .. 4 h + 3, four points in each quarter */
    Vector16 b[4];
    for (int i = 0; i < 2; i++) {
      b[2 * i] = __builtin_shufflevector(a[4 * i + h], a[4 * i + 2 + h], 0, 1, 2, 3, 16, 17, 18, 19,
                                         4, 5, 6, 7, 20, 21, 22, 23);
      b[2 * i + 1] = __builtin_shufflevector(a[4 * i + h], a[4 * i + 2 + h], 8, 9, 10, 11, 24, 25,
                                             26, 27, 12, 13, 14, 15, 28, 29, 30, 31);
    }
    for (int c = 0; c < 2; c++) {
      corner[4 * h + 2 * c] = __builtin_shufflevector(b[c], b[2 + c], 0, 1, 2, 3, 4, 5, 6, 7, 16,
                                                      17, 18, 19, 20, 21, 22, 23);
      corner[4 * h + 2 * c + 1] = __builtin_shufflevector(b[c], b[2 + c], 8, 9, 10, 11, 12, 13, 14,
                                                          15, 24, 25, 26, 27, 28, 29, 30, 31);
    }
  }
}

DEFORM_INLINE void block_interleave(const Vector16 axis[3], float *offsets) {
  Vector16 *to = (Vector16 *)offsets;
  to[0] = __builtin_shufflevector(__builtin_shufflevector(axis[0], axis[1], 0, 16, 0, 1, 17, 0, 2,
                                                          18, 0, 3, 19, 0, 4, 20, 0, 5),
                                  axis[2], 0, 1, 16, 3, 4, 17, 6, 7, 18, 9, 10, 19, 12, 13, 20, 15);
  to[1] = __builtin_shufflevector(__builtin_shufflevector(axis[0], axis[1], 21, 0, 6, 22, 0, 7, 23,
                                                          0, 8, 24, 0, 9, 25, 0, 10, 26),
                                  axis[2], 0, 21, 2, 3, 22, 5, 6, 23, 8, 9, 24, 11, 12, 25, 14, 15);
  to[2] =
      __builtin_shufflevector(__builtin_shufflevector(axis[0], axis[1], 0, 11, 27, 0, 12, 28, 0, 13,
                                                      29, 0, 14, 30, 0, 15, 31, 0),
                              axis[2], 26, 1, 2, 27, 4, 5, 28, 7, 8, 29, 10, 11, 30, 13, 14, 31);
}

/* With s the vector sampled at a point and dy the head's gradient: dy.s to `sampled`, and the
 * attention times dy.ds/dz, dy.ds/dy, dy.ds/dx to the offsets' gradients. Trilinear axis by axis:
 * x first, then y, then z. */
DEFORM_INLINE void block_slopes(const Block *b, const BlockLevels *levels, float *sampled,
                                float *doffsets) {
  Vector16 corner[8], fraction[3], along[2], slope_y[2], slope_x[2];
  block_corner_rows(b->product[0], corner);
  for (int a = 0; a < 3; a++) fraction[a] = *(const Vector16 *)b->fraction[a];
  for (int z = 0; z < 2; z++) {
    Vector16 line[2], slope[2]; /* at both y */
    for (int y = 0; y < 2; y++) {
      Vector16 low = corner[2 * z + y];
      slope[y] = corner[4 + 2 * z + y] - low;
      line[y] = low + fraction[2] * slope[y];
    }
    slope_y[z] = line[1] - line[0];
    slope_x[z] = slope[0] + fraction[1] * (slope[1] - slope[0]);
    along[z] = line[0] + fraction[1] * slope_y[z];
  }
  Vector16 slope_z = along[1] - along[0], inside = *(const Vector16 *)b->inside;
  *(Vector16 *)sampled = along[0] + fraction[0] * slope_z;
  Vector16 axis[3] = {inside * slope_z,
                      inside * (slope_y[0] + fraction[0] * (slope_y[1] - slope_y[0])),
                      inside * (slope_x[0] + fraction[0] * (slope_x[1] - slope_x[0]))};
  for (int a = 0; a < 3; a++)
    axis[a] = (Vector16)(*(const Integer16 *)levels->moves[a] & (Integer16)axis[a]);
  block_interleave(axis, doffsets);
}

/* Gradients of the offsets and of the logits of the batch's i-th token. */
static void token_gradients(const Points *p, int i, float *doffsets, float *dlogits) {
  const Block *block = p->block + i * p->blocks;
  bool whole = p->blocks * BLOCK == p->count && doffsets;
  for (int b = 0; b < p->blocks; b++)
    block_slopes(&block[b], &p->levels[b], p->sampled + b * BLOCK,
                 (whole ? doffsets : p->offsets) + 3 * BLOCK * b);
  if (doffsets && !whole) memcpy(doffsets, p->offsets, 3 * (size_t)p->count * sizeof *doffsets);
  Vector16 sum = {0};
  for (int b = 0; b < p->blocks; b++)
    sum += *(const Vector16 *)block[b].attention * *(const Vector16 *)(p->sampled + b * BLOCK);
  float mean = lane_total(sum);
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
  for (int i = 0; i < batch->count; i++) {
    fetch(dy + (int64_t)i * w->width, w->channels, false);
    if (doffsets) fetch(doffsets + 3 * (first + i * step), 3 * p->count, true);
    if (dlogits) fetch(dlogits + first + i * step, p->count, true);
  }
  batch_points(h, batch, next, true);
  for (int i = 0; i < batch->count; i++, dy += w->width) {
    const float *own = dy;
    if (w->channels < w->padded) own = memcpy(w->row, dy, (size_t)w->channels * sizeof *dy);
    for (int b = 0; b < p->blocks; b++)
      w->lanes->scatter(&p->block[i * p->blocks + b], h->tile, block_count(p, b), own, w->padded);
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
    memset(work.row, 0, row_bytes(call));
#pragma omp for schedule(static)
    for (int64_t i = 0; i < samples * groups; i++) {
      int first = (int)(i % groups) * work.group;
      group_open(call, &work, i / groups, first);
      for (int g = 0; g < work.group; g++)
        head_pass(call, &work, i / groups, first, g, 0, 1, batch_backward);
      group_close(call, &work, i / groups, first);
    }
  }
}

const Kernel deform_attention_cpu = {.forward = forward,
                                     .backward = backward,
                                     .prepare = prepare,
                                     .bf16 = SAVES_ALL_IN & ~(SAVES_IN(IN_VALUES) - 1)};
