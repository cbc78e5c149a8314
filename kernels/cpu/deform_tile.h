/* Tiles of deform_attention.cpu.c: copies of a head's values of every level of a sample, for
 * backward each voxel's gradient behind its values. */
#include "kernels/cpu/bf16.h"
#include "kernels/cpu/deform_heads.h"

/* The tiles of some heads, one after another. */
typedef struct Tile {
  int heads;
  int channels, padded, width; /* of a head; in whole vectors; of all heads where they lie */
  int voxel;                   /* floats of a voxel in a tile */
  int64_t floats;              /* of a tile */
  float *data;
} Tile;

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

/* Floats from a voxel to the next along x, y and z, and those of the level. Rows and planes start
 * in other sets of a cache than their neighbours: they are an odd number of lines of 16 floats
 * apart, and 9 more than a multiple of 32. */
static int64_t tile_strides(const Call *call, int l, int stride[3]) {
  const int64_t *dim = call->in[IN_VALUES + l].dim;
  int64_t voxel = voxel_floats(call), row = (dim[3] * voxel + 15) / 16 | 1;
  int64_t plane = dim[2] * row;
  plane += (32 + 9 - plane % 32) % 32;
  for (int a = 0; a < 3; a++) stride[a] = (int)(a == 0 ? 16 * plane : a == 1 ? 16 * row : voxel);
  return 16 * plane * dim[1];
}

static int64_t level_floats(const Call *call, int l) {
  int stride[3];
  return tile_strides(call, l, stride);
}

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
DEFORM_INLINE void row_in(const Tile *t, const void *values, int64_t first, int64_t count,
                          float *to, DType type) {
  if (t->channels == 8 && t->voxel == 8)
    voxels_in(values, first, count, t->width, to, 8, 8, type);
  else if (t->channels == 8)
    voxels_in(values, first, count, t->width, to, 8, 16, type);
  else if (t->channels == 16 && t->voxel == 16)
    voxels_in(values, first, count, t->width, to, 16, 16, type);
  else if (t->channels == 16)
    voxels_in(values, first, count, t->width, to, 16, 32, type);
  else
    voxels_in(values, first, count, t->width, to, t->channels, t->voxel, type);
}

DEFORM_INLINE void row_out(const Tile *t, void *dvalues, int64_t first, int64_t count,
                           const float *from, DType type) {
  if (t->channels == 8)
    voxels_out(dvalues, first, count, t->width, from, 8, 16, type);
  else if (t->channels == 16)
    voxels_out(dvalues, first, count, t->width, from, 16, 32, type);
  else
    voxels_out(dvalues, first, count, t->width, from, t->channels, t->voxel, type);
}

/* A level's rows; `start`: the element of the first voxel of the group's first head. */
DEFORM_INLINE void level_in(const Tile *t, const Tensor *values, const int stride[3], int64_t start,
                            float *tile, DType type) {
  int64_t height = values->dim[2], count = values->dim[3];
  for (int64_t z = 0; z < values->dim[1]; z++)
    for (int64_t y = 0; y < height; y++, start += count * t->width)
      for (int g = 0; g < t->heads; g++)
        row_in(t, values->data, start + g * t->channels, count,
               tile + g * t->floats + z * stride[0] + y * stride[1], type);
}

DEFORM_INLINE void level_out(const Tile *t, const Tensor *dvalues, const int stride[3],
                             int64_t start, const float *tile, DType type) {
  int64_t height = dvalues->dim[2], count = dvalues->dim[3];
  for (int64_t z = 0; z < dvalues->dim[1]; z++)
    for (int64_t y = 0; y < height; y++, start += count * t->width)
      for (int g = 0; g < t->heads; g++)
        row_out(t, dvalues->data, start + g * t->channels, count,
                tile + g * t->floats + z * stride[0] + y * stride[1] + t->padded, type);
}

/* Copies heads from `first` on of sample n into the tiles. */
static void tile_open(const Call *call, const Tile *t, int64_t n, int first) {
  float *tile = t->data;
  for (int l = 0; l < call->n_in - IN_VALUES; l++) {
    const Tensor *values = &call->in[IN_VALUES + l];
    int64_t start = n * (tensor_count(values) / values->dim[0]) + (int64_t)first * t->channels;
    int stride[3];
    int64_t floats = tile_strides(call, l, stride);
    TYPED(level_in, values->type, t, values, stride, start, tile);
    tile += floats;
  }
}

/* Copies what was summed in the tiles to the gradients. */
static void tile_close(const Call *call, const Tile *t, int64_t n, int first) {
  const float *tile = t->data;
  for (int l = 0; l < call->n_in - IN_VALUES; l++) {
    const Tensor *values = &call->in[IN_VALUES + l], *dvalues = &call->din[IN_VALUES + l];
    int64_t start = n * (tensor_count(values) / values->dim[0]) + (int64_t)first * t->channels;
    int stride[3];
    int64_t floats = tile_strides(call, l, stride);
    if (dvalues->data) TYPED(level_out, dvalues->type, t, dvalues, stride, start, tile);
    tile += floats;
  }
}
