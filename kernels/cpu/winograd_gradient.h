/* The gradient of w by Winograd's filtering: the last part of winograd_slices.h.
 * Tiles are cut into parts that are summed apart, each by one thread, or where there are few parts
 * each slice by one: points never travel between threads. The cut does not depend on the number of
 * threads, and parts are added in their order. */
#ifndef KERNELS_CPU_WINOGRAD_GRADIENT_H
#define KERNELS_CPU_WINOGRAD_GRADIENT_H

/* ---- how it is cut --------------------------------------------------------------------------- */

enum {
  LEAST_PART = 64, /* tiles, or adding the parts takes too long */
  MOST_PARTS = 16,
  PARTS_BYTES = 16 << 20, /* of all parts' sums */
  GRADIENT_BLOCK = BLOCK, /* bytes of a slice's points of a block of tiles */
};

static int64_t gradient_bytes(const Winograd *g) {
  return planes_bytes(POINTS, g->outs, g->ins, sizeof(float));
}

static int64_t part_count(const Winograd *g) {
  int64_t most = clamp(PARTS_BYTES / gradient_bytes(g), 2, MOST_PARTS);
  return clamp(tile_count(g) / LEAST_PART, 1, most);
}

/* Slices that one task sums. */
static int slices_together(const Winograd *g) {
  return part_count(g) < MOST_PARTS / 2 ? 1 : SLICES;
}

/* Tiles that a thread takes at a time: enough that a product's result is worth adding to memory.
 * Part of the order of summation. */
static int64_t gradient_tiles(const Winograd *g) {
  int64_t bytes = SLICE * (g->ins + g->outs) * (int64_t)sizeof(float);
  return clamp(GRADIENT_BLOCK / bytes / 8 * 8, 16, MOST_TILES);
}

/* One thread's points of x and of dy. */
static int64_t both_bytes(const Winograd *g) {
  int64_t tiles = gradient_tiles(g);
  return planes_bytes(SLICE, tiles, g->ins, sizeof(float)) +
         planes_bytes(SLICE, tiles, g->outs, sizeof(float));
}

static int64_t sums_bytes(const Winograd *g) {
  return rounded(part_count(g) * SLICES * g->outs * (int64_t)sizeof(double), LINE);
}

/* [sums of dy, of each part and slice][points of the weights, of each part][zeros][points of tiles,
 * of each thread]. */
static int64_t gradient_scratch(const Winograd *g) {
  return sums_bytes(g) + part_count(g) * gradient_bytes(g) + zeros_bytes(g) +
         omp_get_max_threads() * both_bytes(g);
}

typedef struct Gradient {
  const Winograd *g;
  const Maps *x, *dy;
  int64_t parts;
  double *sums;  /* (parts, SLICES, outs) */
  Planes points; /* of the first part's sums; gradient_bytes further those of the next */
  const float *zeros;
  char *tiles;
} Gradient;

static Planes part_points(const Gradient *w, int64_t part) {
  Planes points = w->points;
  points.data = (char *)points.data + part * gradient_bytes(w->g);
  return points;
}

/* ---- gradients of outputs in ----------------------------------------------------------------- */

/* One plane of a tile's gradients; zeros outside. */
INLINE void plane_in(const PlaneRows *rows, int64_t at, int64_t columns, int64_t channels,
                     Vec in[SQUARE]) {
  for (int y = 0; y < SIDE; y++)
    for (int k = 0; k < SIDE; k++)
      in[SIDE * y + k] =
          rows->row[y] && k < columns ? vec_load(rows->row[y] + at + k * channels) : (Vec){0};
}

/* Returns the sum of what it read. */
INLINE Vec run_gradient_in(const Winograd *g, const Run *run, const Slice *slice, const float *dy,
                           float *to, int64_t tile_step, int64_t plane, Mix mix) {
  Vec sum = {0};
  PlaneRows near = plane_rows(g, run, slice->here, dy, g->outs);
  PlaneRows far = plane_rows(g, run, slice->there, dy, g->outs);
  for (int64_t i = 0; i < run->count; i++, to += tile_step) {
    Vec in[SQUARE], other[SQUARE], half[AXIS][SIDE]; /* x points; y of the outputs */
    int64_t at = i * SIDE * g->outs, columns = columns_inside(g, run, i);
    plane_in(&near, at, columns, g->outs, in);
    if (mix != ALONE) plane_in(&far, at, columns, g->outs, other);
    for (int k = 0; k < SQUARE; k++) {
      sum += in[k];
      if (mix == SUM) in[k] += other[k];
      if (mix == DIFFERENCE) in[k] -= other[k];
    }
    for (int y = 0; y < SIDE; y++) {
      Vec line[AXIS];
      axis_gradient(in + SIDE * y, line);
      for (int x = 0; x < AXIS; x++) half[x][y] = line[x];
    }
    for (int x = 0; x < AXIS; x++) {
      Vec line[AXIS];
      axis_gradient(half[x], line);
      for (int y = 0; y < AXIS; y++) vec_store(to + (AXIS * y + x) * plane, line[y]);
    }
  }
  return sum;
}

/* A slice's points of tiles first .. end - 1, and the plain sums of what is plain. */
static void gradients_in(const Winograd *g, const Maps *dy, const Slice *slice, int64_t first,
                         int64_t end, const Planes *to, double *sums) {
  for (int64_t tile = first; tile < end;) {
    Run run = run_at(g, tile, end);
    for (int64_t c = 0; c < g->outs; c += VEC) {
      Vec sum = MIXED(run_gradient_in, slice->out, g, &run, slice, (const float *)dy->data[0] + c,
                      point_at(to, tile - first, c), panel_width(to->channels, c), to->plane);
      for (int lane = 0; slice->plain && lane < VEC; lane++) sums[c + lane] += (double)sum[lane];
    }
    tile += run.count;
  }
}

/* ---- sums over tiles ------------------------------------------------------------------------- */

/* dw += the product over the tiles at one point, (outs, ins). */
static void point_gradient(const Planes *x, const Planes *dy, int p, int64_t tiles, bool add,
                           float *dw) {
  for (int64_t c = 0; c < x->channels; c += PANEL)
    for (int64_t o = 0; o < dy->channels; o += PANEL) {
      int64_t width = panel_width(dy->channels, o);
      panel(panel_width(x->channels, c), point_at(dy, 0, o) + p * dy->plane, (Operand){1, width},
            width, point_at(x, 0, c) + p * x->plane, dw + o * x->channels + c, x->channels, tiles,
            add);
    }
}

/* Some slices of one part. */
static void sum_part(const Gradient *w, int64_t part, int begin, int end) {
  const Winograd *g = w->g;
  int64_t at_once = gradient_tiles(g), count = tile_count(g);
  int64_t start = count * part / w->parts, stop = count * (part + 1) / w->parts;
  char *mine = w->tiles + both_bytes(g) * omp_get_thread_num();
  Planes in = planes_make(mine, at_once, g->ins, sizeof(float), true);
  mine += planes_bytes(SLICE, at_once, g->ins, sizeof(float));
  Planes out = planes_make(mine, at_once, g->outs, sizeof(float), true);
  Planes points = part_points(w, part);
  for (int64_t first = start; first < stop; first += at_once)
    for (int s = begin; s < end; s++) {
      int64_t tiles = stop - first < at_once ? stop - first : at_once;
      tiles_in(g, w->x, &slices[s], first, first + tiles, &in, w->zeros);
      gradients_in(g, w->dy, &slices[s], first, first + tiles, &out,
                   w->sums + (part * SLICES + s) * g->outs);
      for (int p = 0; p < SLICE; p++)
        point_gradient(&in, &out, p, tiles, first > start,
                       sum_at(&points, 0, 0) + (SLICE * s + p) * points.plane);
    }
}

/* Gradients at the points to the taps. */
INLINE void points_to_taps(const float *from, int64_t plane, float *to, int64_t tap) {
  Vec solid[9][SLICES]; /* y and x taps; z points */
  for (int z = 0; z < SLICES; z++) {
    Vec half[3][AXIS]; /* x taps; y points */
    for (int y = 0; y < AXIS; y++) {
      Vec points[AXIS], line[3];
      for (int x = 0; x < AXIS; x++)
        points[x] = vec_load(from + (SLICE * z + AXIS * y + x) * plane);
      axis_taps_back(points, line);
      for (int x = 0; x < 3; x++) half[x][y] = line[x];
    }
    for (int x = 0; x < 3; x++) {
      Vec line[3];
      axis_taps_back(half[x], line);
      for (int y = 0; y < 3; y++) solid[3 * y + x][z] = line[y];
    }
  }
  for (int i = 0; i < 9; i++) {
    Vec out[TAPS_DEEP];
    deep_taps_back(solid[i], out);
    for (int z = 0; z < TAPS_DEEP; z++) vec_store(to + (9 * z + i) * tap, out[z]);
  }
}

/* The parts in their order, then back to taps. */
static void gradient_back(const Gradient *w, int64_t o, float *dw) {
  const Winograd *g = w->g;
  for (int64_t i = 0; i < g->ins; i += VEC) {
    float *sum = sum_at(&w->points, o, i);
    for (int64_t part = 1; part < w->parts; part++) {
      const float *other = sum + part * gradient_bytes(g) / (int64_t)sizeof *other;
      for (int64_t p = 0; p < POINTS * w->points.plane; p += w->points.plane)
        vec_store(sum + p, vec_load(sum + p) + vec_load(other + p));
    }
    points_to_taps(sum, w->points.plane, dw + o * TAPS * g->ins + i, g->ins);
  }
}

static void backward_w(const Winograd *g, const Maps *x, const Maps *dy, float *dw, float *db,
                       void *scratch) {
  Planes points =
      planes_make((char *)scratch + sums_bytes(g), g->outs, g->ins, sizeof(float), false);
  Gradient w = {g, x, dy, part_count(g), scratch, points, NULL, NULL};
  w.zeros = memset((char *)points.data + w.parts * gradient_bytes(g), 0, (size_t)zeros_bytes(g));
  w.tiles = (char *)points.data + w.parts * gradient_bytes(g) + zeros_bytes(g);
  memset(w.sums, 0, (size_t)sums_bytes(g));
  int together = slices_together(g);
#pragma omp parallel
  {
#pragma omp for schedule(dynamic)
    for (int64_t task = 0; task < w.parts * (SLICES / together); task++) {
      int begin = (int)(task % (SLICES / together)) * together;
      sum_part(&w, task / (SLICES / together), begin, begin + together);
    }
#pragma omp for schedule(static)
    for (int64_t o = 0; o < g->outs; o++) gradient_back(&w, o, dw);
  }
  for (int64_t o = 0; db && o < g->outs; o++) {
    double sum = 0;
    for (int64_t i = o; i < w.parts * SLICES * g->outs; i += g->outs) sum += w.sums[i];
    db[o] = (float)sum;
  }
}

#endif
