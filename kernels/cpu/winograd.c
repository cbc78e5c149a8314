/* 3x3x3 over tiles of 2x2x2, for maps of few of them and for bf16. Compiled twice: as it stands in
 * float, and through winograd_bf16.c with points in bf16. Larger tiles: winograd_slices.h. */
#ifndef POINT_BF16
#define POINT_BF16 0
#endif
#ifndef WINOGRAD_FORM
#define WINOGRAD_FORM  winograd_float
#define WINOGRAD_FIRST 1
#endif
#include "kernels/cpu/winograd.h"

#include "kernels/cpu/winograd_planes.h"
#include "kernels/cpu/winograd_product.h"
#include "kernels/cpu/winograd_tile.h"
#include "kernels/cpu/winograd_tiles.h"

#include <omp.h>

enum {
  OUTPUTS = DEEP * SIDE * SIDE, /* of a tile */
  CACHE = VEC_BYTES == 64 ? 3 << 18
                          : 5 << 16, /* of a second level's bytes, what a block of tiles takes */
};

static const float zeros[VEC];

#ifdef WINOGRAD_FIRST
int64_t winograd_channels(void) {
  return VEC;
}
#endif

/* ---- where things lie ------------------------------------------------------------------------ */

/* Calls with the pairing of a tile as a constant. */
#define PAIRED(function, planes, tile, ...)                                                        \
  (!POINT_BF16 || !(planes)->panels ? function(__VA_ARGS__, SINGLE)                                \
   : (tile) % 2                     ? function(__VA_ARGS__, ODD)                                   \
                                    : function(__VA_ARGS__, EVEN))
/* A tile and the one after it, where points are paired. */
#if POINT_BF16
#define TOGETHER(function, ...) function##_pair(__VA_ARGS__)
#else
#define TOGETHER(function, ...) (void)0
#endif
/* The type of a map, a constant in the float form. */
#define MAP_TYPE(maps, part) (POINT_BF16 ? (maps)->type[part] : F32)

/* Tiles that one thread takes at a time: their points lie in its second-level cache. */
static int64_t tiles_at_once(const Winograd *g) {
  int64_t bytes = PLANES * (g->ins * (int64_t)sizeof(Point) + g->outs * (int64_t)sizeof(float));
  int64_t least = rounded(1536 / PLANES, ROWS); /* or the weights are read too often */
  int64_t most = clamp(CACHE / bytes / ROWS * ROWS, least, 128);
  return clamp(tile_count(g) / (2 * omp_get_max_threads()), ROWS, most);
}

/* Tiles that all threads take together for the weights' gradient: enough that a product's result
 * is worth adding to memory. Part of the order of summation: independent of the threads. */
static int64_t tiles_together(const Winograd *g) {
  int64_t most = clamp(g->ins * g->outs / 64, 48, 128) * 144 / POINTS;
  return rounded(clamp(tile_count(g), 1, most), PAIR);
}

static int64_t filter_bytes(const Winograd *g) {
  return planes_bytes(PLANES, g->ins, g->outs, sizeof(Point));
}

/* One thread's points of its inputs, then its sums. */
static int64_t share_bytes(const Winograd *g) {
  int64_t tiles = tiles_at_once(g);
  return planes_bytes(PLANES, tiles, g->ins, sizeof(Point)) +
         planes_bytes(PLANES, tiles, g->outs, sizeof(float));
}

static size_t scratch_bytes(const Winograd *g, bool backward) {
  Winograd back = *g;
  back.ins = g->outs, back.outs = g->ins;
  int64_t share = share_bytes(g), other = share_bytes(&back), together = tiles_together(g);
  if (backward && other > share) share = other;
  int64_t most = filter_bytes(g) + omp_get_max_threads() * share;
  int64_t shared = rounded(g->outs * (int64_t)sizeof(double), 64) +
                   planes_bytes(PLANES, g->outs, g->ins, sizeof(float)) +
                   planes_bytes(PLANES, together, g->ins, sizeof(Point)) +
                   planes_bytes(PLANES, together, g->outs, sizeof(Point));
  return (size_t)(backward && shared > most ? shared : most);
}

static int64_t voxel(const Winograd *g, const Run *run, int64_t z, int64_t y) {
  return ((run->n * g->out[0] + z) * g->out[1] + y) * g->out[2];
}

/* ---- tiles in and out ------------------------------------------------------------------------ */

static Lines lines_of(const Winograd *g, const Run *run, const void *map, int64_t channels,
                      int64_t c, DType type) {
  Lines lines;
  int64_t x = run->x > 0 ? SIDE * run->x - 1 : 0;
  for (int i = 0; i < LINES; i++) {
    int64_t z = DEEP * run->z + i / (SIDE + 2) - (DEEP > 1), y = SIDE * run->y + i % (SIDE + 2) - 1;
    bool inside = z >= 0 && z < g->out[0] && y >= 0 && y < g->out[1];
    lines.at[i] = inside ? real_at(map, (voxel(g, run, z, y) + x) * channels + c, type) : zeros;
    lines.step[i] = inside ? channels * (type == BF16 ? 2 : 4) : 0;
  }
  return lines;
}

/* The column at x, which is the next one inside the volume. */
INLINE void next_column(const Winograd *g, Lines *lines, int64_t x, Vec column[LINES], DType type) {
  if (x < 0 || x >= g->out[2]) {
    for (int i = 0; i < LINES; i++) column[i] = (Vec){0};
    return;
  }
  column_in(lines, column, type);
  for (int i = 0; i < LINES; i++) lines->at[i] += lines->step[i];
}

/* Neighbouring tiles share two columns. Where products run over tiles in pairs, both are stored
 * together. */
INLINE void run_in(const Winograd *g, Lines *lines, const Run *run, const Planes *to, int64_t tile,
                   int64_t c, DType type) {
  Vec columns[3][SIDE][LINES];
  int at = 0;
  for (int k = SIDE - 2; k < SIDE; k++)
    next_column(g, lines, SIDE * (run->x - 1) + k + 1, columns[0][k], type);
  for (int64_t i = 0; i < run->count;) {
    bool pair = POINT_BF16 && to->panels && tile % 2 == 0 && i + 1 < run->count;
    const Vec(*left)[LINES] = &columns[at][SIDE - 2];
    for (int k = 0; k <= pair; k++) {
      int64_t x = SIDE * (run->x + i + k) + 1;
      at = (at + 1) % 3;
      for (int s = 0; s < SIDE; s++) next_column(g, lines, x + s, columns[at][s], type);
    }
    Point *points = point_at(to, tile, c);
    if (pair)
      TOGETHER(columns_to_points, left, columns[(at + 2) % 3], columns[at], points, to->plane);
    else
      PAIRED(columns_to_points, to, tile, left, columns[at], points, to->plane);
    i += 1 + pair;
    tile += 1 + pair;
  }
}

/* The points of tiles first .. end - 1; tile `base` is the first of `to`. */
static void tiles_in(const Winograd *g, const Maps *x, int64_t first, int64_t end, int64_t base,
                     const Planes *to) {
  for (int64_t tile = first; tile < end;) {
    Run run = run_at(g, tile, end);
    int64_t before = 0;
    for (int part = 0; part < x->count; before += x->channels[part++])
      for (int64_t c = 0; c < x->channels[part]; c += VEC) {
        DType type = MAP_TYPE(x, part);
        Lines lines = lines_of(g, &run, x->data[part], x->channels[part], c, type);
        TYPED(run_in, type, g, &lines, &run, to, tile - base, before + c);
      }
    tile += run.count;
  }
}

/* The first voxel of a row (z, y) of a tile's outputs, or -1 outside. */
static int64_t row_at(const Winograd *g, const Run *run, int64_t i, int row) {
  int64_t z = DEEP * run->z + row / SIDE, y = SIDE * run->y + row % SIDE;
  return z < g->out[0] && y < g->out[1] ? voxel(g, run, z, y) + SIDE * (run->x + i) : -1;
}

static int64_t inside_along_x(const Winograd *g, const Run *run, int64_t i) {
  return g->out[2] - SIDE * (run->x + i);
}

INLINE void tile_out(const Winograd *g, const Run *run, int64_t i, void *map, int64_t channels,
                     int64_t c, const Vec out[OUTPUTS], DType type) {
  int64_t inside = inside_along_x(g, run, i);
  for (int row = 0; row < DEEP * SIDE; row++) {
    int64_t first = row_at(g, run, i, row);
    if (first < 0) continue;
    for (int x = 0; x < SIDE; x++)
      if (x < inside) real_store(map, (first + x) * channels + c, out[row * SIDE + x], type);
  }
}

static void tiles_out(const Winograd *g, const Planes *from, int64_t first, int64_t count,
                      const float *bias, const Maps *y) {
  for (int64_t tile = first; tile < first + count;) {
    Run run = run_at(g, tile, first + count);
    int64_t before = 0;
    for (int part = 0; part < y->count; before += y->channels[part++])
      for (int64_t c = 0; y->data[part] && c < y->channels[part]; c += VEC) {
        Vec b = bias ? vec_load(bias + before + c) : (Vec){0}, out[OUTPUTS];
        for (int64_t i = 0; i < run.count; i++) {
          points_to_outputs(sum_at(from, tile - first + i, before + c), from->plane, out);
          for (int k = 0; k < OUTPUTS; k++) out[k] += b;
          TYPED(tile_out, MAP_TYPE(y, part), g, &run, i, y->data[part], y->channels[part], c, out);
        }
      }
    tile += run.count;
  }
}

INLINE void gradient_in(const Winograd *g, const Run *run, int64_t i, const void *dy, int64_t c,
                        Vec in[OUTPUTS], DType type) {
  int64_t inside = inside_along_x(g, run, i);
  for (int row = 0; row < DEEP * SIDE; row++) {
    int64_t first = row_at(g, run, i, row);
    for (int x = 0; x < SIDE; x++)
      in[row * SIDE + x] =
          first >= 0 && x < inside ? real_load(dy, (first + x) * g->outs + c, type) : (Vec){0};
  }
}

static void gradients_in(const Winograd *g, const Maps *dy, int64_t first, int64_t end,
                         int64_t base, const Planes *to) {
  for (int64_t tile = first; tile < end;) {
    Run run = run_at(g, tile, end);
    for (int64_t i = 0; i < run.count;) {
      int64_t at = tile - base + i;
      bool pair = POINT_BF16 && at % 2 == 0 && i + 1 < run.count;
      for (int64_t c = 0; c < g->outs; c += VEC) {
        Vec in[OUTPUTS], next[OUTPUTS];
        TYPED(gradient_in, MAP_TYPE(dy, 0), g, &run, i, dy->data[0], c, in);
        if (pair) TYPED(gradient_in, MAP_TYPE(dy, 0), g, &run, i + 1, dy->data[0], c, next);
        if (pair)
          TOGETHER(outputs_to_points, in, next, point_at(to, at, c), to->plane);
        else
          PAIRED(outputs_to_points, to, at, in, point_at(to, at, c), to->plane);
      }
      i += 1 + pair;
    }
    tile += run.count;
  }
}

/* ---- forward, and the gradient of x ---------------------------------------------------------- */

/* `filter`: the weights' points, planes of (ins, outs) in panels. */
static void convolve(const Winograd *g, const Maps *x, const Planes *filter, const float *bias,
                     const Maps *y, char *scratch) {
  int64_t at_once = tiles_at_once(g), count = tile_count(g), share = share_bytes(g);
#pragma omp parallel for schedule(dynamic)
  for (int64_t first = 0; first < count; first += at_once) {
    char *mine = scratch + share * omp_get_thread_num();
    Planes in = planes_make(mine, at_once, g->ins, sizeof(Point), false);
    mine += planes_bytes(PLANES, at_once, g->ins, sizeof(Point));
    Planes out = planes_make(mine, at_once, g->outs, sizeof(float), false);
    int64_t tiles = count - first < at_once ? count - first : at_once;
    tiles_in(g, x, first, first + tiles, first, &in);
    for (int p = 0; p < POINTS; p++)
      for (int64_t c = 0; c < g->outs; c += PANEL)
        panel(panel_width(g->outs, c), (const Point *)in.data + p * in.plane,
              (Operand){g->ins, PAIR}, tiles, point_at(filter, 0, c) + p * filter->plane,
              (float *)out.data + p * out.plane + c, g->outs, g->ins, false);
    tiles_out(g, &out, first, tiles, bias, y);
  }
}

/* Weights' points of VEC channels, `k` being the row of the filter. */
INLINE void filter_points(const float *w, int64_t tap, const Planes *filter, int64_t k, int64_t c) {
  Vec points[POINTS];
  taps_to_points(w, tap, (float *)points, VEC);
  Point *to = point_at(filter, k, c);
  for (int p = 0; p < POINTS; p++)
    PAIRED(point_store, filter, k, to + p * filter->plane, points[p]);
}

static void forward(const Winograd *g, const Maps *x, const float *w, const float *b, const Maps *y,
                    void *scratch) {
  Planes filter = planes_make(scratch, g->ins, g->outs, sizeof(Point), true);
  int64_t across = g->ins / VEC;
#pragma omp parallel for schedule(static)
  for (int64_t task = 0; task < across * (g->outs / VEC); task++) {
    float taps[TAPS][VEC][VEC];
    int64_t o = task / across * VEC, i = task % across * VEC;
    turn(w + o * TAPS * g->ins + i, TAPS, g->ins, taps[0][0]);
    for (int k = 0; k < VEC; k++) filter_points(taps[0][k], VEC * VEC, &filter, i + k, o);
  }
  convolve(g, x, &filter, b, y, (char *)scratch + filter_bytes(g));
}

/* A convolution of dy with the weights turned around and their channels exchanged. */
static void backward_x(const Winograd *g, const Maps *dy, const float *w, const Maps *dx,
                       void *scratch) {
  Winograd back = *g;
  back.ins = g->outs, back.outs = g->ins;
  Planes filter = planes_make(scratch, back.ins, back.outs, sizeof(Point), true);
#pragma omp parallel for schedule(static)
  for (int64_t task = 0; task < g->outs / 2; task++)
    for (int64_t i = 0; i < g->ins; i += VEC)
      for (int64_t o = 2 * task; o < 2 * task + 2; o++)
        filter_points(w + (o * TAPS + TAPS - 1) * g->ins + i, -g->ins, &filter, o, i);
  convolve(&back, dy, &filter, NULL, dx, (char *)scratch + filter_bytes(g));
}

/* ---- the gradient of w ----------------------------------------------------------------------- */

static void add_columns(const Planes *dy, int64_t tiles, double *sums) {
  for (int64_t o = 0; o < dy->channels; o++) {
    const Point *plane = (const Point *)dy->data + PLAIN * dy->plane;
    float sum = 0;
    for (int64_t t = 0; t < tiles; t++)
      sum += real_get(plane, place(dy, t, o) + t % PAIR, POINT_BF16 ? BF16 : F32);
    sums[o] += (double)sum;
  }
}

/* dw += the product over the tiles at one point, (outs, ins). */
static void point_gradient(const Planes *x, const Planes *dy, int p, int64_t tiles, bool add,
                           const Planes *dw) {
  for (int64_t c = 0; c < x->channels; c += PANEL)
    for (int64_t o = 0; o < dy->channels; o += PANEL) {
      int64_t width = panel_width(dy->channels, o);
      panel(panel_width(x->channels, c), point_at(dy, 0, o) + p * dy->plane,
            (Operand){PAIR, PAIR * width}, width, point_at(x, 0, c) + p * x->plane,
            sum_at(dw, o, c) + p * dw->plane, x->channels, tiles, add);
    }
}

static void gradient_back(const Winograd *g, const Planes *points, float *dw) {
#pragma omp for schedule(static)
  for (int64_t o = 0; o < g->outs; o++)
    for (int64_t i = 0; i < g->ins; i += VEC)
      points_to_taps(sum_at(points, o, i), points->plane, dw + o * TAPS * g->ins + i, g->ins);
}

/* All threads transform a number of tiles, then share out the points: each weight is summed by one
 * thread in the order of the tiles. */
static void backward_w(const Winograd *g, const Maps *x, const Maps *dy, float *dw, float *db,
                       void *scratch) {
  int64_t together = tiles_together(g), count = tile_count(g);
  double *sums = scratch;
  char *memory = (char *)scratch + rounded(g->outs * (int64_t)sizeof(double), 64);
  Planes points = planes_make(memory, g->outs, g->ins, sizeof(float), false);
  memory += planes_bytes(PLANES, g->outs, g->ins, sizeof(float));
  Planes in = planes_make(memory, together, g->ins, sizeof(Point), true);
  Planes out = planes_make(memory + planes_bytes(PLANES, together, g->ins, sizeof(Point)), together,
                           g->outs, sizeof(Point), true);
  for (int64_t o = 0; o < g->outs; o++) sums[o] = 0;
#pragma omp parallel
  {
    for (int64_t first = 0; first < count; first += together) {
      int64_t tiles = count - first < together ? count - first : together;
      int64_t piece = rounded((tiles + omp_get_num_threads() - 1) / omp_get_num_threads(), 4);
#pragma omp for schedule(static)
      for (int64_t t = 0; t < tiles; t += piece) {
        int64_t end = first + (tiles - t < piece ? tiles : t + piece);
        tiles_in(g, x, first + t, end, first, &in);
        gradients_in(g, dy, first + t, end, first, &out);
      }
#pragma omp for schedule(static)
      for (int p = 0; p < PLANES; p++) {
        if (p < POINTS) point_gradient(&in, &out, p, tiles, first > 0, &points);
        if (p == PLAIN) add_columns(&out, tiles, sums);
      }
    }
    gradient_back(g, &points, dw);
  }
  for (int64_t o = 0; db && o < g->outs; o++) db[o] = (float)sums[o];
}

const WinogradForm WINOGRAD_FORM = {scratch_bytes, forward, backward_x, backward_w};
