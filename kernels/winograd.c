#include "kernels/winograd.h"
#include "kernels/winograd_tile.h"

#include <omp.h>

enum {
  POINTS = 64,
  TAPS = 27,
  PANEL = 2 * VEC,                /* columns that a block of a product has */
  ROWS = VEC_BYTES == 64 ? 8 : 4, /* and its rows: what fits in registers */
  PAD = 16,                       /* floats between planes, against equal cache sets */
  CENTRE = 21,                    /* the point whose value is the plain sum over a tile's outputs */
};

static const float zeros[VEC];

int64_t winograd_channels(void) {
  return VEC;
}

/* ---- where things lie ---------------------------------------------------------------------------
 */

static int64_t clamp(int64_t value, int64_t low, int64_t high) {
  return value < low ? low : value > high ? high : value;
}

static int64_t rounded(int64_t value, int64_t step) {
  return (value + step - 1) / step * step;
}

static int64_t tile_count(const Winograd *g) {
  int64_t count = g->samples;
  for (int a = 0; a < 3; a++) count *= (g->dim[a] + 1) / 2;
  return count;
}

/* Values of `count` tiles at every point: planes of (count, channels), or, in panels, of
 * (channels / PANEL, count, PANEL) with a narrower last panel. */
typedef struct Planes {
  float *data;
  int64_t plane, count, channels;
  bool panels;
} Planes;

static Planes planes_make(float *data, int64_t count, int64_t channels, bool panels) {
  return (Planes){data, count * channels + PAD, count, channels, panels};
}

static int64_t planes_floats(int64_t count, int64_t channels) {
  return POINTS * (count * channels + PAD);
}

static int64_t panel_width(int64_t channels, int64_t c) {
  int64_t left = channels - c / PANEL * PANEL;
  return left < PANEL ? left : PANEL;
}

static float *place(const Planes *p, int64_t tile, int64_t c) {
  if (!p->panels) return p->data + tile * p->channels + c;
  return p->data + c / PANEL * PANEL * p->count + tile * panel_width(p->channels, c) + c % PANEL;
}

/* Tiles that one thread takes at a time: their points lie in its second-level cache. */
static int64_t tiles_at_once(const Winograd *g) {
  int64_t most = clamp(4096 / (g->ins + g->outs), 24, 128);
  int64_t fair = tile_count(g) / (2 * omp_get_max_threads());
  return rounded(clamp(fair, 8, most), ROWS);
}

/* Tiles that all threads take together for the weights' gradient: enough that a product's result
 * is worth adding to memory. Part of the order of summation: independent of the threads. */
static int64_t tiles_together(const Winograd *g) {
  return clamp(tile_count(g), 1, clamp((1 << 14) / (g->ins + g->outs), 128, 512));
}

size_t winograd_scratch(const Winograd *g, bool backward) {
  int64_t tiles = tiles_at_once(g), together = tiles_together(g);
  int64_t channels = g->ins + g->outs, filter = planes_floats(g->ins, g->outs);
  int64_t most = filter + omp_get_max_threads() * (planes_floats(tiles, channels) + POINTS * PAD);
  int64_t shared = filter + planes_floats(together, channels) + POINTS * PAD + 2 * g->outs;
  if (backward && shared > most) most = shared;
  return (size_t)most * sizeof(float);
}

/* A run of tiles that lie in one row along x. */
typedef struct Run {
  int64_t n, z, y, x, count; /* sample; tile coordinates of the first */
} Run;

static Run run_at(const Winograd *g, int64_t tile, int64_t end) {
  int64_t across = (g->dim[2] + 1) / 2, down = (g->dim[1] + 1) / 2, deep = (g->dim[0] + 1) / 2;
  Run run = {tile / (deep * down * across), tile / (down * across) % deep, tile / across % down,
             tile % across, 0};
  run.count = across - run.x < end - tile ? across - run.x : end - tile;
  return run;
}

static int64_t voxel(const Winograd *g, const Run *run, int64_t z, int64_t y) {
  return ((run->n * g->dim[0] + z) * g->dim[1] + y) * g->dim[2];
}

/* ---- tiles in and out ---------------------------------------------------------------------------
 */

static Lines lines_of(const Winograd *g, const Run *run, const float *map, int64_t channels) {
  Lines lines = {.width = g->dim[2]};
  for (int i = 0; i < 16; i++) {
    int64_t z = 2 * run->z - 1 + i / 4, y = 2 * run->y - 1 + i % 4;
    bool inside = z >= 0 && z < g->dim[0] && y >= 0 && y < g->dim[1];
    lines.at[i] = inside ? map + voxel(g, run, z, y) * channels : zeros;
    lines.step[i] = inside ? channels : 0;
  }
  return lines;
}

/* Neighbouring tiles share two columns. */
static void run_in(const Lines *lines, const Run *run, const Planes *to, int64_t tile, int64_t c) {
  Vec columns[2][2][16];
  int64_t step = place(to, 1, c) - place(to, 0, c);
  float *at = place(to, tile, c);
  column_in(lines, 2 * run->x - 1, columns[0][0]);
  column_in(lines, 2 * run->x, columns[0][1]);
  for (int64_t i = 0; i < run->count; i++, at += step) {
    int64_t x = 2 * (run->x + i) + 1;
    column_in(lines, x, columns[~i & 1][0]);
    column_in(lines, x + 1, columns[~i & 1][1]);
    columns_to_points(columns[i & 1], columns[~i & 1], at, to->plane);
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
        Lines lines = lines_of(g, &run, x->data[part], x->channels[part]);
        for (int i = 0; i < 16; i++) lines.at[i] += lines.step[i] ? c : 0;
        run_in(&lines, &run, to, tile - base, before + c);
      }
    tile += run.count;
  }
}

static void tile_out(const Winograd *g, const Run *run, int64_t i, float *map, int64_t channels,
                     const Vec out[8]) {
  for (int k = 0; k < 8; k++) {
    int64_t z = 2 * run->z + k / 4, y = 2 * run->y + k / 2 % 2, x = 2 * (run->x + i) + k % 2;
    if (z < g->dim[0] && y < g->dim[1] && x < g->dim[2])
      vec_store(map + (voxel(g, run, z, y) + x) * channels, out[k]);
  }
}

static void tiles_out(const Winograd *g, const Planes *from, int64_t first, int64_t count,
                      const float *bias, const Maps *y) {
  for (int64_t tile = first; tile < first + count;) {
    Run run = run_at(g, tile, first + count);
    int64_t before = 0;
    for (int part = 0; part < y->count; before += y->channels[part++])
      for (int64_t c = 0; y->data[part] && c < y->channels[part]; c += VEC) {
        Vec b = bias ? vec_load(bias + before + c) : (Vec){0}, out[8];
        for (int64_t i = 0; i < run.count; i++) {
          points_to_outputs(place(from, tile - first + i, before + c), from->plane, out);
          for (int k = 0; k < 8; k++) out[k] += b;
          tile_out(g, &run, i, y->data[part] + c, y->channels[part], out);
        }
      }
    tile += run.count;
  }
}

static void gradients_in(const Winograd *g, const float *dy, int64_t first, int64_t end,
                         int64_t base, const Planes *to) {
  for (int64_t tile = first; tile < end;) {
    Run run = run_at(g, tile, end);
    for (int64_t i = 0; i < run.count; i++)
      for (int64_t c = 0; c < g->outs; c += VEC) {
        Vec in[8];
        for (int k = 0; k < 8; k++) {
          int64_t z = 2 * run.z + k / 4, y = 2 * run.y + k / 2 % 2, x = 2 * (run.x + i) + k % 2;
          bool inside = z < g->dim[0] && y < g->dim[1] && x < g->dim[2];
          in[k] = inside ? vec_load(dy + (voxel(g, &run, z, y) + x) * g->outs + c) : (Vec){0};
        }
        outputs_to_points(in, place(to, tile - base + i, c), to->plane);
      }
    tile += run.count;
  }
}

/* ---- products -----------------------------------------------------------------------------------
 */

/* c (ROWS, cols * VEC) = or += a (ROWS, depth) b (depth, cols * VEC), steps in floats. */
typedef struct Operand {
  int64_t row, k;
} Operand;

INLINE void block(int cols, const float *a, Operand step, const float *b, float *c, int64_t c_row,
                  int64_t depth, bool add) {
  Vec sum[ROWS][2];
  for (int r = 0; r < ROWS; r++)
    for (int v = 0; v < cols; v++) sum[r][v] = add ? vec_load(c + r * c_row + v * VEC) : (Vec){0};
  for (int64_t k = 0; k < depth; k++, b += cols * VEC, a += step.k) {
    Vec right[2];
    for (int v = 0; v < cols; v++) right[v] = vec_load(b + v * VEC);
    for (int r = 0; r < ROWS; r++)
      for (int v = 0; v < cols; v++) sum[r][v] += a[r * step.row] * right[v];
  }
  for (int r = 0; r < ROWS; r++)
    for (int v = 0; v < cols; v++) vec_store(c + r * c_row + v * VEC, sum[r][v]);
}

/* One panel of columns for all rows. */
static void panel(int64_t width, const float *a, Operand step, int64_t rows, const float *b,
                  float *c, int64_t c_row, int64_t depth, bool add) {
  for (int64_t r = 0; r < rows; r += ROWS)
    if (width == PANEL)
      block(2, a + r * step.row, step, b, c + r * c_row, c_row, depth, add);
    else
      block(1, a + r * step.row, step, b, c + r * c_row, c_row, depth, add);
}

/* ---- forward, and the gradient of x -------------------------------------------------------------
 */

/* `filter`: the weights' points, planes of (ins, outs) in panels. */
static void convolve(const Winograd *g, const Maps *x, const Planes *filter, const float *bias,
                     const Maps *y, float *scratch) {
  int64_t at_once = tiles_at_once(g), count = tile_count(g);
  int64_t share = planes_floats(at_once, g->ins) + planes_floats(at_once, g->outs);
#pragma omp parallel for schedule(dynamic)
  for (int64_t first = 0; first < count; first += at_once) {
    float *mine = scratch + share * omp_get_thread_num();
    Planes in = planes_make(mine, at_once, g->ins, false);
    Planes out = planes_make(mine + planes_floats(at_once, g->ins), at_once, g->outs, false);
    int64_t tiles = count - first < at_once ? count - first : at_once;
    tiles_in(g, x, first, first + tiles, first, &in);
    for (int p = 0; p < POINTS; p++)
      for (int64_t c = 0; c < g->outs; c += PANEL)
        panel(panel_width(g->outs, c), in.data + p * in.plane, (Operand){g->ins, 1},
              rounded(tiles, ROWS), place(filter, 0, c) + p * filter->plane,
              out.data + p * out.plane + c, g->outs, g->ins, false);
    tiles_out(g, &out, first, tiles, bias, y);
  }
}

/* The 27 taps of VEC x VEC weights with the output channel fastest: to[tap][i][o]. */
static void turn(const float *w, int64_t ins, float to[TAPS][VEC][VEC]) {
  for (int o = 0; o < VEC; o++)
    for (int tap = 0; tap < TAPS; tap++)
      for (int i = 0; i < VEC; i++) to[tap][i][o] = w[(o * TAPS + tap) * ins + i];
}

void winograd_forward(const Winograd *g, const Maps *x, const float *w, const float *b, float *y,
                      void *scratch) {
  Planes filter = planes_make(scratch, g->ins, g->outs, true);
  int64_t across = g->ins / VEC;
#pragma omp parallel for schedule(static)
  for (int64_t task = 0; task < across * (g->outs / VEC); task++) {
    float taps[TAPS][VEC][VEC];
    int64_t o = task / across * VEC, i = task % across * VEC;
    turn(w + o * TAPS * g->ins + i, g->ins, taps);
    for (int k = 0; k < VEC; k++)
      taps_to_points(taps[0][k], VEC * VEC, place(&filter, i + k, o), filter.plane);
  }
  Maps out = {1, {y}, {g->outs}};
  convolve(g, x, &filter, b, &out, (float *)scratch + planes_floats(g->ins, g->outs));
}

/* A convolution of dy with the weights turned around and their channels exchanged. */
void winograd_backward_x(const Winograd *g, const float *dy, const float *w, const Maps *dx,
                         void *scratch) {
  Winograd back = *g;
  back.ins = g->outs, back.outs = g->ins;
  Planes filter = planes_make(scratch, back.ins, back.outs, true);
#pragma omp parallel for schedule(static)
  for (int64_t o = 0; o < g->outs; o++)
    for (int64_t i = 0; i < g->ins; i += VEC)
      taps_to_points(w + (o * TAPS + TAPS - 1) * g->ins + i, -g->ins, place(&filter, o, i),
                     filter.plane);
  Maps in = {1, {(float *)(uintptr_t)dy}, {g->outs}};
  convolve(&back, &in, &filter, NULL, dx, (float *)scratch + planes_floats(g->ins, g->outs));
}

/* ---- the gradient of w --------------------------------------------------------------------------
 */

static void add_columns(const Planes *dy, int64_t tiles, double *sums) {
  for (int64_t o = 0; o < dy->channels; o++) {
    const float *at = place(dy, 0, o) + CENTRE * dy->plane;
    int64_t step = panel_width(dy->channels, o);
    float sum = 0;
    for (int64_t t = 0; t < tiles; t++) sum += at[t * step];
    sums[o] += (double)sum;
  }
}

/* dw += the product over the tiles at one point, (outs, ins). */
static void point_gradient(const Planes *x, const Planes *dy, int p, int64_t tiles, bool add,
                           const Planes *dw) {
  for (int64_t c = 0; c < x->channels; c += PANEL)
    for (int64_t o = 0; o < dy->channels; o += PANEL) {
      int64_t width = panel_width(dy->channels, o);
      panel(panel_width(x->channels, c), place(dy, 0, o) + p * dy->plane, (Operand){1, width},
            width, place(x, 0, c) + p * x->plane, place(dw, o, c) + p * dw->plane, x->channels,
            tiles, add);
    }
}

static void gradient_back(const Winograd *g, const Planes *points, float *dw) {
#pragma omp for schedule(static)
  for (int64_t o = 0; o < g->outs; o++)
    for (int64_t i = 0; i < g->ins; i += VEC)
      points_to_taps(place(points, o, i), points->plane, dw + o * TAPS * g->ins + i, g->ins);
}

/* All threads transform a number of tiles, then share out the points: each weight is summed by one
 * thread in the order of the tiles. */
void winograd_backward_w(const Winograd *g, const Maps *x, const float *dy, float *dw, float *db,
                         void *scratch) {
  int64_t together = tiles_together(g), count = tile_count(g);
  double *sums = scratch;
  float *memory = (float *)scratch + rounded(2 * g->outs, PAD);
  Planes points = planes_make(memory, g->outs, g->ins, false);
  memory += planes_floats(g->outs, g->ins);
  Planes in = planes_make(memory, together, g->ins, true);
  Planes out = planes_make(memory + planes_floats(together, g->ins), together, g->outs, true);
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
      for (int p = 0; p < POINTS; p++) {
        point_gradient(&in, &out, p, tiles, first > 0, &points);
        if (p == CENTRE) add_columns(&out, tiles, sums);
      }
    }
    gradient_back(g, &points, dw);
  }
  for (int64_t o = 0; db && o < g->outs; o++) db[o] = (float)sums[o];
}
