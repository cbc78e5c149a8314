/* Winograd's filtering in float over tiles whose points are taken slice by slice
 * (winograd_slice.h): of a block of tiles the points of one slice lie in the nearest caches
 * together with those of the weights that they meet, so a block may have many tiles. A slice's
 * inputs are made anew of the maps, which costs no more sums than all slices together.
 * Compiled once per form: winograd_wide.c, winograd_stride.c and their like say what is done in H
 * and W, what in D, and the form's name; WINOGRAD_STRIDE where its gradient of x is another
 * form, WINOGRAD_SPREAD where it is that alone. */
#ifndef KERNELS_CPU_WINOGRAD_SLICES_H
#define KERNELS_CPU_WINOGRAD_SLICES_H

#ifndef WINOGRAD_STRIDE
#define WINOGRAD_STRIDE 0
#endif
#ifndef WINOGRAD_SPREAD
#define WINOGRAD_SPREAD 0
#endif
#include "kernels/cpu/winograd.h"

#define POINT_BF16 0
#include WINOGRAD_AXIS
#include WINOGRAD_DEEP
#include "kernels/cpu/winograd_planes.h"
#include "kernels/cpu/winograd_tiles.h"

#include <omp.h>

enum {
  SLICE = AXIS * AXIS,     /* points of one slice */
  POINTS = SLICES * SLICE, /* numbered z-major: (z * AXIS + y) * AXIS + x */
  TAPS = TAPS_DEEP * 9,    /* (z * 3 + y) * 3 + x */
  SHARED = SPAN - STEP,    /* columns that neighbouring tiles share */
  SQUARE = SIDE * SIDE,    /* outputs of one plane of a tile */
  MOST_TILES = 128,
  BLOCK = VEC_BYTES == 64 ? 3 << 17 : 5 << 15, /* bytes of a slice's points of a block */
};

/* ---- tiles ----------------------------------------------------------------------------------- */

/* Tiles that one thread takes at a time. */
static int64_t tiles_at_once(const Winograd *g) {
  int64_t bytes = SLICE * (g->ins + g->outs) * (int64_t)sizeof(float);
  int64_t most = clamp(BLOCK / bytes / ROWS * ROWS, ROWS, MOST_TILES);
  return clamp(tile_count(g) / (2 * omp_get_max_threads()), ROWS, most);
}

/* The first voxel of row (z, y) of a map; -1: outside. */
static int64_t row_at(const int64_t dim[3], const Run *run, int64_t z, int64_t y) {
  if (z < 0 || z >= dim[0] || y < 0 || y >= dim[1]) return -1;
  return ((run->n * dim[0] + z) * dim[1] + y) * dim[2];
}

/* function(..., mix) with the mix as a constant. */
#define MIXED(function, mix, ...)                                                                  \
  ((mix) == ALONE ? function(__VA_ARGS__, ALONE)                                                   \
   : (mix) == SUM ? function(__VA_ARGS__, SUM)                                                     \
                  : function(__VA_ARGS__, DIFFERENCE))

/* ---- tiles in -------------------------------------------------------------------------------- */

/* The rows of a map that a row of tiles reads for one slice, from the first voxel on; outside the
 * map a row of zeros. */
typedef struct SliceLines {
  const float *near[SPAN], *far[SPAN];
} SliceLines;

static const float *line_at(const Winograd *g, const Run *run, int64_t z, int64_t y,
                            const float *map, int64_t channels, const float *zeros) {
  int64_t row = row_at(g->in, run, z, y);
  return row < 0 ? zeros : map + row * channels;
}

static SliceLines lines_of(const Winograd *g, const Run *run, const Slice *slice, const float *map,
                           int64_t channels, const float *zeros) {
  SliceLines lines;
  int64_t z = STEP_DEEP * run->z - BEFORE_DEEP;
  for (int i = 0; i < SPAN; i++) {
    int64_t y = STEP * run->y - BEFORE + i;
    lines.near[i] = line_at(g, run, z + slice->near, y, map, channels, zeros);
    lines.far[i] = line_at(g, run, z + slice->far, y, map, channels, zeros);
  }
  return lines;
}

/* The column at x, transformed along z and y. */
INLINE void column_at(const Winograd *g, const SliceLines *lines, int64_t x, int64_t channels,
                      Vec column[AXIS], Mix mix) {
  if (x < 0 || x >= g->in[2]) {
    for (int i = 0; i < AXIS; i++) column[i] = (Vec){0};
    return;
  }
  Vec in[SPAN];
  for (int i = 0; i < SPAN; i++) {
    in[i] = vec_load(lines->near[i] + x * channels);
    if (mix == SUM) in[i] += vec_load(lines->far[i] + x * channels);
    if (mix == DIFFERENCE) in[i] -= vec_load(lines->far[i] + x * channels);
  }
  axis_in(in, column);
}

INLINE void run_in(const Winograd *g, const SliceLines *lines, const Run *run, int64_t channels,
                   float *to, int64_t tile_step, int64_t plane, Mix mix) {
  Vec columns[SPAN][AXIS];
  int64_t x = STEP * run->x - BEFORE;
  for (int k = 0; k < SHARED; k++) column_at(g, lines, x++, channels, columns[STEP + k], mix);
  for (int64_t i = 0; i < run->count; i++, to += tile_step) {
    for (int k = 0; k < SHARED; k++)
      for (int y = 0; y < AXIS; y++) columns[k][y] = columns[STEP + k][y];
    for (int k = SHARED; k < SPAN; k++) column_at(g, lines, x++, channels, columns[k], mix);
    for (int y = 0; y < AXIS; y++) {
      Vec line[SPAN], points[AXIS];
      for (int k = 0; k < SPAN; k++) line[k] = columns[k][y];
      axis_in(line, points);
      for (int k = 0; k < AXIS; k++) vec_store(to + (AXIS * y + k) * plane, points[k]);
    }
  }
}

/* A row of zeros is as long as one of the map, of any part. */
static int64_t zeros_bytes(const Winograd *g) {
  return rounded(g->in[2] * g->ins * (int64_t)sizeof(float), LINE);
}

/* A slice's points of tiles first .. end - 1. */
static void tiles_in(const Winograd *g, const Maps *x, const Slice *slice, int64_t first,
                     int64_t end, const Planes *to, const float *zeros) {
  for (int64_t tile = first; tile < end;) {
    Run run = run_at(g, tile, end);
    int64_t before = 0;
    for (int part = 0; part < x->count; before += x->channels[part++])
      for (int64_t c = 0; c < x->channels[part]; c += VEC) {
        int64_t channels = x->channels[part];
        const float *map = (const float *)x->data[part] + c;
        SliceLines lines = lines_of(g, &run, slice, map, channels, zeros);
        float *at = point_at(to, tile - first, before + c);
        int64_t step = to->panels ? panel_width(to->channels, before + c) : to->channels;
        MIXED(run_in, slice->in, g, &lines, &run, channels, at, step, to->plane);
      }
    tile += run.count;
  }
}

/* ---- tiles out ------------------------------------------------------------------------------- */

/* Where the rows of one plane of a row of tiles begin; NULL outside the map. */
typedef struct PlaneRows {
  float *row[SIDE];
} PlaneRows;

static PlaneRows plane_rows(const Winograd *g, const Run *run, int z, const float *map,
                            int64_t channels) {
  PlaneRows rows;
  for (int y = 0; y < SIDE; y++) {
    int64_t first = row_at(g->out, run, DEEP * run->z + z, SIDE * run->y + y);
    rows.row[y] = first < 0 ? NULL : (float *)map + (first + SIDE * run->x) * channels;
  }
  return rows;
}

/* How many columns of a tile lie inside. */
static int64_t columns_inside(const Winograd *g, const Run *run, int64_t i) {
  int64_t left = g->out[2] - SIDE * (run->x + i);
  return left < SIDE ? left : SIDE;
}

/* One plane of a tile's outputs: written, or added to what the slices before gave. */
INLINE void plane_out(const PlaneRows *rows, int64_t at, int64_t columns, int64_t channels,
                      const Vec out[SQUARE], bool begin, Vec start, bool minus) {
  for (int y = 0; y < SIDE; y++) {
    float *to = rows->row[y] + at;
    if (!rows->row[y]) continue;
    for (int k = 0; k < columns; k++, to += channels) {
      Vec before = begin ? start : vec_load(to), v = out[SIDE * y + k];
      vec_store(to, minus ? before - v : before + v);
    }
  }
}

INLINE void tile_out(const float *from, int64_t plane, Vec out[SQUARE]) {
  Vec half[SIDE][AXIS]; /* x of the outputs; y points */
  for (int y = 0; y < AXIS; y++) {
    Vec points[AXIS], line[SIDE];
    for (int x = 0; x < AXIS; x++) points[x] = vec_load(from + (AXIS * y + x) * plane);
    axis_out(points, line);
    for (int x = 0; x < SIDE; x++) half[x][y] = line[x];
  }
  for (int x = 0; x < SIDE; x++) {
    Vec line[SIDE];
    axis_out(half[x], line);
    for (int y = 0; y < SIDE; y++) out[SIDE * y + x] = line[y];
  }
}

/* Whether no slice before this one gives anything to plane z. */
static bool begins(int slice, int z) {
  for (int s = 0; s < slice; s++)
    if (slices[s].here == z || (slices[s].out != ALONE && slices[s].there == z)) return false;
  return true;
}

INLINE void run_out(const Winograd *g, const Run *run, int s, const float *from, int64_t tile_step,
                    int64_t plane, float *y, int64_t channels, Vec bias) {
  const Slice *slice = &slices[s];
  bool here = begins(s, slice->here), there = begins(s, slice->there);
  PlaneRows near = plane_rows(g, run, slice->here, y, channels);
  PlaneRows far = plane_rows(g, run, slice->there, y, channels);
  for (int64_t i = 0; i < run->count; i++, from += tile_step) {
    Vec out[SQUARE];
    int64_t at = i * SIDE * channels, columns = columns_inside(g, run, i);
    tile_out(from, plane, out);
    if (columns == SIDE)
      plane_out(&near, at, SIDE, channels, out, here, bias, false);
    else
      plane_out(&near, at, columns, channels, out, here, bias, false);
    if (slice->out == ALONE) continue;
    plane_out(&far, at, columns, channels, out, there, bias, slice->out == DIFFERENCE);
  }
}

/* What slice s adds to tiles first .. end - 1. */
static void tiles_out(const Winograd *g, const Planes *from, int s, int64_t first, int64_t end,
                      const float *bias, const Maps *y) {
  for (int64_t tile = first; tile < end;) {
    Run run = run_at(g, tile, end);
    int64_t before = 0;
    for (int part = 0; part < y->count; before += y->channels[part++])
      for (int64_t c = 0; y->data[part] && c < y->channels[part]; c += VEC)
        run_out(g, &run, s, sum_at(from, tile - first, before + c), from->channels, from->plane,
                (float *)y->data[part] + c, y->channels[part],
                bias ? vec_load(bias + before + c) : (Vec){0});
    tile += run.count;
  }
}

/* ---- forward, and the gradient of x ---------------------------------------------------------- */

static int64_t filter_bytes(const Winograd *g) {
  return planes_bytes(POINTS, g->ins, g->outs, sizeof(float));
}

/* One thread's points of its inputs, then its sums. */
static int64_t share_bytes(const Winograd *g) {
  int64_t tiles = tiles_at_once(g);
  return planes_bytes(SLICE, tiles, g->ins, sizeof(float)) +
         planes_bytes(SLICE, tiles, g->outs, sizeof(float));
}

static int64_t convolve_bytes(const Winograd *g) {
  return filter_bytes(g) + zeros_bytes(g) + omp_get_max_threads() * share_bytes(g);
}

/* `filter`: the weights' points, planes of (ins, outs) in panels. */
static void convolve(const Winograd *g, const Maps *x, const Planes *filter, const float *bias,
                     const Maps *y, char *scratch) {
  int64_t at_once = tiles_at_once(g), count = tile_count(g), share = share_bytes(g);
  const float *zeros = memset(scratch, 0, (size_t)zeros_bytes(g));
  scratch += zeros_bytes(g);
#pragma omp parallel for schedule(dynamic)
  for (int64_t first = 0; first < count; first += at_once) {
    char *mine = scratch + share * omp_get_thread_num();
    Planes in = planes_make(mine, at_once, g->ins, sizeof(float), false);
    mine += planes_bytes(SLICE, at_once, g->ins, sizeof(float));
    Planes out = planes_make(mine, at_once, g->outs, sizeof(float), false);
    int64_t tiles = count - first < at_once ? count - first : at_once;
    for (int s = 0; s < SLICES; s++) {
      tiles_in(g, x, &slices[s], first, first + tiles, &in, zeros);
      for (int p = 0; p < SLICE; p++)
        for (int64_t c = 0; c < g->outs; c += PANEL)
          panel(panel_width(g->outs, c), point_at(&in, 0, 0) + p * in.plane,
                (Operand){g->ins, PAIR}, tiles,
                point_at(filter, 0, c) + (SLICE * s + p) * filter->plane,
                sum_at(&out, 0, c) + p * out.plane, g->outs, g->ins, false);
      tiles_out(g, &out, s, first, first + tiles, bias, y);
    }
  }
}

/* 27 or 9 taps, `tap` floats apart (negative: turned around), to the points. */
INLINE void taps_to_points(const float *from, int64_t tap, float *to, int64_t plane) {
  Vec solid[TAPS_DEEP][SLICE]; /* z taps; y and x points */
  for (int z = 0; z < TAPS_DEEP; z++) {
    Vec half[AXIS][3]; /* x points; y taps */
    for (int y = 0; y < 3; y++) {
      Vec taps[3], line[AXIS];
      for (int x = 0; x < 3; x++) taps[x] = vec_load(from + ((z * 3 + y) * 3 + x) * tap);
      axis_taps(taps, line);
      for (int x = 0; x < AXIS; x++) half[x][y] = line[x];
    }
    for (int x = 0; x < AXIS; x++) {
      Vec line[AXIS];
      axis_taps(half[x], line);
      for (int y = 0; y < AXIS; y++) solid[z][AXIS * y + x] = line[y];
    }
  }
  for (int i = 0; i < SLICE; i++) {
    Vec taps[TAPS_DEEP], line[SLICES];
    for (int z = 0; z < TAPS_DEEP; z++) taps[z] = solid[z][i];
    deep_taps(taps, line);
    for (int z = 0; z < SLICES; z++) vec_store(to + (SLICE * z + i) * plane, line[z]);
  }
}

#if !WINOGRAD_SPREAD
static void forward(const Winograd *g, const Maps *x, const float *w, const float *b, const Maps *y,
                    void *scratch) {
  Planes filter = planes_make(scratch, g->ins, g->outs, sizeof(float), true);
  int64_t across = g->ins / VEC;
#pragma omp parallel for schedule(static)
  for (int64_t task = 0; task < across * (g->outs / VEC); task++) {
    float taps[TAPS][VEC][VEC];
    int64_t o = task / across * VEC, i = task % across * VEC;
    turn(w + o * TAPS * g->ins + i, TAPS, g->ins, taps[0][0]);
    for (int k = 0; k < VEC; k++)
      taps_to_points(taps[0][k], VEC * VEC, point_at(&filter, i + k, o), filter.plane);
  }
  convolve(g, x, &filter, b, y, (char *)scratch + filter_bytes(g));
}
#endif

static Winograd turned_around(const Winograd *g) {
  Winograd back = {.samples = g->samples, .ins = g->outs, .outs = g->ins};
  memcpy(back.in, g->out, sizeof back.in);
  memcpy(back.out, g->in, sizeof back.out);
  return back;
}

/* A convolution of dy with the weights turned around and their channels exchanged. */
static void backward_x(const Winograd *g, const Maps *dy, const float *w, const Maps *dx,
                       void *scratch) {
  Winograd back = turned_around(g);
  Planes filter = planes_make(scratch, back.ins, back.outs, sizeof(float), true);
#pragma omp parallel for schedule(static)
  for (int64_t o = 0; o < g->outs; o++)
    for (int64_t i = 0; i < g->ins; i += VEC)
      taps_to_points(w + (o * TAPS + TAPS - 1) * g->ins + i, -g->ins, point_at(&filter, o, i),
                     filter.plane);
  convolve(&back, dy, &filter, NULL, dx, (char *)scratch + filter_bytes(g));
}

#if WINOGRAD_SPREAD
static size_t scratch_bytes(const Winograd *g, bool backward) {
  Winograd back = turned_around(g);
  return backward ? (size_t)convolve_bytes(&back) : 0;
}

const WinogradForm WINOGRAD_FORM = {.scratch = scratch_bytes, .backward_x = backward_x};
#else
#include "kernels/cpu/winograd_gradient.h"

static size_t scratch_bytes(const Winograd *g, bool backward) {
  Winograd back = turned_around(g);
  int64_t here = convolve_bytes(g),
          there = backward && !WINOGRAD_STRIDE ? convolve_bytes(&back) : 0;
  int64_t gradient = backward ? gradient_scratch(g) : 0;
  int64_t most = here > there ? here : there;
  return (size_t)(gradient > most ? gradient : most);
}

const WinogradForm WINOGRAD_FORM = {scratch_bytes, forward, WINOGRAD_STRIDE ? NULL : backward_x,
                                    backward_w};
#endif

#endif
