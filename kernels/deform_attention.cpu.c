/* Fast deform_attention, one head of one sample at a time: points in batches (deform_points.h),
 * then point by point, vectorised over the head's channels: gather, or products and scatter
 * (deform_lanes.h).
 *
 * Voxels of one head lie a whole row of E channels apart, which leaves a cache only the sets that
 * such a stride hits. So a level that is sampled more often than it has voxels, or is stored in
 * BF16, is copied: the
 * head's channels, voxel after voxel, into a tile; its gradient likewise is summed in a tile that
 * is copied out at the end.
 *
 * A thread owns (sample, head), so no two write the same channels and every sum has one order: the
 * same bits for any number of threads. */
#include "kernels/bf16.h"
#include "kernels/deform_heads.h"

#include <omp.h>

/* ---- a thread's work ----------------------------------------------------------------------------
 */

/* What the inner loops see of one head of one sample, and the thread's own memory. */
typedef struct Work {
  Points points;
  const Lanes *lanes;
  int levels, heads, channels, width;
  int group; /* heads that are copied at once */
  int64_t voxels[MAX_LEVELS];
  int stride[MAX_LEVELS];  /* floats from voxel to voxel */
  bool packed[MAX_LEVELS]; /* the level is in the tiles */
  float *tile, *dtile;     /* of the group's heads one after another */
  int64_t tile_floats;     /* of a head */
  bool scatters;           /* some level's gradient is wanted */
} Work;

static int64_t level_voxels(const Call *call, int l) {
  const int64_t *dim = call->in[IN_VALUES + l].dim;
  return dim[1] * dim[2] * dim[3];
}

static bool level_packed(const Call *call, int l) {
  const DeformAttentionOptions *o = call->options;
  if (call->in[IN_VALUES + l].type == BF16) return true;
  return o->heads > 1 && 8 * o->points * call->in[IN_OFFSETS].dim[1] >= level_voxels(call, l);
}

static int head_channels(const Call *call) {
  const DeformAttentionOptions *o = call->options;
  return (int)call->in[IN_VALUES].dim[4] / o->heads;
}

static int64_t tile_floats(const Call *call) {
  int64_t voxels = 0;
  for (int l = 0; l < call->n_in - IN_VALUES; l++)
    if (level_packed(call, l)) voxels += level_voxels(call, l);
  return (voxels * head_channels(call) + 15) / 16 * 16;
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

/* Of a thread: points, tiles. */
static size_t work_bytes(const Call *call) {
  return lines(points_bytes(call)) + (call->backward ? 2 : 1) * (size_t)heads_a_line(call) *
                                         (size_t)tile_floats(call) * sizeof(float);
}

static bool prepare(Call *call, Error *error) {
  (void)error;
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
            .group = group_heads(call),
            .tile_floats = tile_floats(call)};
  for (w.lanes = lanes_table; w.lanes->channels && w.lanes->channels != w.channels;) w.lanes++;
  for (int l = 0; l < w.levels; l++) {
    w.voxels[l] = level_voxels(call, l);
    w.packed[l] = level_packed(call, l);
    w.stride[l] = w.packed[l] ? w.channels : w.width;
    w.scatters = w.scatters || call->din[IN_VALUES + l].data;
  }
  char *at = (char *)call->scratch + lines(places_bytes(call)) +
             (size_t)omp_get_thread_num() * work_bytes(call);
  w.points = points_make(call, at, w.stride);
  w.tile = (float *)(void *)(at + lines(points_bytes(call)));
  w.dtile = w.tile + w.group * w.tile_floats;
  return w;
}

/* ---- tiles --------------------------------------------------------------------------------------
 */

/* Between the level of a sample, from the group's first channel, and the level's part of its tile.
 */
DEFORM_INLINE void rows_copy(const Work *w, int l, void *tensor, int64_t start, float *tile,
                             bool back, int channels, int group, DType type) {
  for (int64_t v = 0; v < w->voxels[l]; v++)
    for (int g = 0; g < group; g++) {
      int64_t outside = start + v * w->width + g * channels;
      float *restrict inside = tile + g * w->tile_floats + v * channels;
      for (int c = 0; c < channels; c++)
        if (back)
          real_set(tensor, outside + c, inside[c], type);
        else
          inside[c] = real_get(tensor, outside + c, type);
    }
}

DEFORM_INLINE void level_copy(const Work *w, int l, void *tensor, int64_t start, float *tile,
                              bool back, DType type) {
  if (w->channels == 8 && w->group == 2)
    rows_copy(w, l, tensor, start, tile, back, 8, 2, type);
  else if (w->channels == 16)
    rows_copy(w, l, tensor, start, tile, back, 16, 1, type);
  else
    rows_copy(w, l, tensor, start, tile, back, w->channels, w->group, type);
}

/* `start`: the element of the sample's and the group's first. */
static void level_pack(const Work *w, int l, const Tensor *values, int64_t start, float *tile) {
  TYPED(level_copy, values->type, w, l, values->data, start, tile, false);
}

static void level_unpack(const Work *w, int l, const Tensor *dvalues, int64_t start, float *tile) {
  TYPED(level_copy, dvalues->type, w, l, dvalues->data, start, tile, true);
}

/* Copies heads first .. first + group - 1 of sample n into the tiles and clears the gradients'. */
static void group_open(const Call *call, const Work *w, int64_t n, int first) {
  int64_t at = 0;
  for (int l = 0; l < w->levels; l++) {
    if (!w->packed[l]) continue;
    int64_t start = n * w->voxels[l] * w->width + (int64_t)first * w->channels;
    level_pack(w, l, &call->in[IN_VALUES + l], start, w->tile + at);
    at += w->voxels[l] * w->channels;
  }
  if (call->backward) memset(w->dtile, 0, (size_t)(w->group * w->tile_floats) * sizeof *w->dtile);
}

/* Copies what was summed in the tiles to the gradients. */
static void group_close(const Call *call, const Work *w, int64_t n, int first) {
  int64_t at = 0;
  for (int l = 0; l < w->levels; l++) {
    if (!w->packed[l]) continue;
    int64_t start = n * w->voxels[l] * w->width + (int64_t)first * w->channels;
    if (call->din[IN_VALUES + l].data)
      level_unpack(w, l, &call->din[IN_VALUES + l], start, w->dtile + at);
    at += w->voxels[l] * w->channels;
  }
}

/* Points the work at the g-th head of the group. */
static void head_open(const Call *call, const Work *w, int64_t n, int first, int g) {
  const DeformAttentionOptions *o = call->options;
  int64_t at = g * w->tile_floats;
  for (int l = 0; l < w->levels; l++) {
    int64_t start = n * w->voxels[l] * w->width + (int64_t)(first + g) * w->channels;
    bool packed = w->packed[l];
    float *dvalues = call->backward ? call->din[IN_VALUES + l].data : NULL;
    const float *source =
        packed ? w->tile + at : (const float *)call->in[IN_VALUES + l].data + start;
    float *target = !dvalues ? NULL : packed ? w->dtile + at : dvalues + start;
    for (int j = l * o->points; j < (l + 1) * o->points; j++) {
      w->points.levels[j / BLOCK].source[j % BLOCK] = source;
      w->points.levels[j / BLOCK].target[j % BLOCK] = target;
    }
    at += packed ? w->voxels[l] * w->channels : 0;
  }
}

/* ---- forward ------------------------------------------------------------------------------------
 */

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

/* Prepares the points of head m of `batch` tokens from row n T + t on and fetches what the next
 * batch will read. */
DEFORM_INLINE void batch_points(const Call *call, const Work *w, int64_t row, int m, int batch,
                                Cursor *cursor, bool backward) {
  const Points *p = &w->points;
  int64_t step = (int64_t)w->heads * p->count, first = row * step + (int64_t)m * p->count;
  const float *offsets = (const float *)call->in[IN_OFFSETS].data + 3 * first;
  const float *logits = (const float *)call->in[IN_WEIGHTS].data + first;
  for (int i = 0; i < batch; i++) {
    token_attention(p, i, logits + i * step);
    fetch(logits + (i + p->tokens) * step, p->count, false);
  }
  for (int i = 0; i < batch; i++, cursor_next(cursor)) {
    token_corners(p, i, offsets + 3 * i * step, cursor, backward);
    fetch(offsets + 3 * (i + p->tokens) * step, 3 * p->count, false);
  }
}

static void batch_forward(const Call *call, const Work *w, int64_t row, int m, int batch,
                          Cursor *cursor) {
  const Points *p = &w->points;
  float *y = (float *)call->out[0].data + row * w->width + (int64_t)m * w->channels;
  for (int i = 0; i < batch; i++) fetch(y + i * w->width, w->channels, true);
  batch_points(call, w, row, m, batch, cursor, false);
  for (int i = 0; i < batch; i++, y += w->width) {
    memset(y, 0, (size_t)w->channels * sizeof *y);
    for (int b = 0; b < p->blocks; b++)
      w->lanes->gather(&p->block[i * p->blocks + b], &p->levels[b], block_count(p, b), y,
                       w->channels);
  }
}

typedef void BatchPass(const Call *call, const Work *w, int64_t row, int m, int batch,
                       Cursor *cursor);

/* Head m of tokens first .. last - 1 of sample n. */
static void tokens_pass(const Call *call, const Work *w, int64_t n, int m, int64_t first,
                        int64_t last, BatchPass *pass) {
  int64_t tokens = call->out[0].dim[1], step = w->points.tokens;
  Cursor cursor = cursor_make(call, call->scratch, first);
  for (int64_t t = first; t < last; t += step)
    pass(call, w, n * tokens + t, m, (int)(last - t < step ? last - t : step), &cursor);
}

static void forward(const Call *call) {
  int64_t samples = call->out[0].dim[0], tokens = call->out[0].dim[1];
  places_fill(call, call->scratch);
#pragma omp parallel
  {
    Work work = work_make(call);
    int64_t groups = work.heads / work.group, parts = parts_count(samples * groups);
#pragma omp for schedule(static)
    for (int64_t i = 0; i < samples * groups * parts; i++) {
      int64_t n = i / parts / groups, part = i % parts;
      int first = (int)(i / parts % groups) * work.group;
      group_open(call, &work, n, first);
      for (int g = 0; g < work.group; g++) {
        head_open(call, &work, n, first, g);
        tokens_pass(call, &work, n, first + g, tokens * part / parts, tokens * (part + 1) / parts,
                    batch_forward);
      }
    }
  }
}

/* ---- backward -----------------------------------------------------------------------------------
 */

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
DEFORM_INLINE void block_slopes(const Block *b, float *sampled, float *doffsets) {
  Vector16 corner[8], share[6], inside[6], along[2], slope_y[2], slope_x[2];
  block_corner_rows(b->product[0], corner);
  for (int s = 0; s < 6; s++) {
    share[s] = *(const Vector16 *)b->share[s];
    inside[s] = *(const Vector16 *)b->inside[s];
  }
  for (int z = 0; z < 2; z++) {
    Vector16 line[2], slope[2]; /* at both y */
    for (int y = 0; y < 2; y++) {
      Vector16 low = corner[2 * z + y], high = corner[4 + 2 * z + y];
      line[y] = share[4] * low + share[5] * high;
      slope[y] = inside[5] * high - inside[4] * low;
    }
    along[z] = share[2] * line[0] + share[3] * line[1];
    slope_y[z] = inside[3] * line[1] - inside[2] * line[0];
    slope_x[z] = share[2] * slope[0] + share[3] * slope[1];
  }
  *(Vector16 *)sampled = share[0] * along[0] + share[1] * along[1];
  Vector16 attention = *(const Vector16 *)b->attention;
  Vector16 axis[3] = {attention * (inside[1] * along[1] - inside[0] * along[0]),
                      attention * (share[0] * slope_y[0] + share[1] * slope_y[1]),
                      attention * (share[0] * slope_x[0] + share[1] * slope_x[1])};
  block_interleave(axis, doffsets);
}

/* Gradients of the offsets and of the logits of the batch's i-th token. */
static void token_gradients(const Points *p, int i, float *doffsets, float *dlogits) {
  const Block *block = p->block + i * p->blocks;
  bool whole = p->blocks * BLOCK == p->count && doffsets;
  for (int b = 0; b < p->blocks; b++)
    block_slopes(&block[b], p->sampled + b * BLOCK,
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

static void batch_backward(const Call *call, const Work *w, int64_t row, int m, int batch,
                           Cursor *cursor) {
  const Points *p = &w->points;
  int64_t step = (int64_t)w->heads * p->count, first = row * step + (int64_t)m * p->count;
  const float *dy = (const float *)call->dout[0].data + row * w->width + (int64_t)m * w->channels;
  float *doffsets = call->din[IN_OFFSETS].data, *dlogits = call->din[IN_WEIGHTS].data;
  for (int i = 0; i < batch; i++) {
    fetch(dy + (int64_t)i * w->width, w->channels, false);
    if (doffsets) fetch(doffsets + 3 * (first + i * step), 3 * p->count, true);
    if (dlogits) fetch(dlogits + first + i * step, p->count, true);
  }
  batch_points(call, w, row, m, batch, cursor, true);
  for (int i = 0; i < batch; i++)
    for (int b = 0; b < p->blocks; b++)
      w->lanes->products(&p->block[i * p->blocks + b], &p->levels[b], block_count(p, b),
                         dy + (int64_t)i * w->width, w->channels);
  for (int i = 0; w->scatters && i < batch; i++)
    for (int b = 0; b < p->blocks; b++)
      w->lanes->scatter(&p->block[i * p->blocks + b], &p->levels[b], block_count(p, b),
                        dy + (int64_t)i * w->width, w->channels);
  for (int i = 0; i < batch; i++) {
    int64_t index = first + i * step;
    token_gradients(p, i, doffsets ? doffsets + 3 * index : NULL, dlogits ? dlogits + index : NULL);
  }
}

/* Gradients that are summed where they are, not in tiles, start at zero. */
static void clear_values(const Call *call, const Work *w, int64_t n) {
  for (int l = 0; l < w->levels; l++) {
    float *dvalues = call->din[IN_VALUES + l].data;
    size_t floats = (size_t)w->voxels[l] * (size_t)w->width;
    if (dvalues && !w->packed[l]) memset(dvalues + (size_t)n * floats, 0, floats * sizeof *dvalues);
  }
}

static void backward(const Call *call) {
  int64_t samples = call->out[0].dim[0], tokens = call->out[0].dim[1];
  places_fill(call, call->scratch);
#pragma omp parallel
  {
    Work work = work_make(call);
    int64_t groups = work.heads / work.group;
#pragma omp for schedule(static)
    for (int64_t n = 0; n < samples; n++) clear_values(call, &work, n);
#pragma omp for schedule(static)
    for (int64_t i = 0; i < samples * groups; i++) {
      int64_t n = i / groups;
      int first = (int)(i % groups) * work.group;
      group_open(call, &work, n, first);
      for (int g = 0; g < work.group; g++) {
        head_open(call, &work, n, first, g);
        tokens_pass(call, &work, n, first + g, 0, tokens, batch_backward);
      }
      group_close(call, &work, n, first);
    }
  }
}

const Kernel deform_attention_cpu = {.forward = forward,
                                     .backward = backward,
                                     .prepare = prepare,
                                     .bf16 = SAVES_ALL_IN & ~(SAVES_IN(IN_VALUES) - 1)};
