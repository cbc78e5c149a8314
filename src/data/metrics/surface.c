#include "src/data/metrics/surface.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* One structure in one label map. */
typedef struct Surface {
  uint8_t *mask; /* the box with one voxel of outside around it */
  uint8_t *mark; /* (D,H,W) of the lattice: 0 or what kind of surface, an index into the areas */
  float *distance, *weight; /* of its elements in scan order */
  size_t count;
} Surface;

typedef struct Pair {
  int box[3];     /* voxels of the box */
  int lattice[3]; /* where surface elements lie: the voxels, or the corners between them */
  Surface side[2];
  DistanceWork work;
} Pair;

/* ---- marching-cubes areas -------------------------------------------------------------------- */

/* Triangles in a cell of eight voxels, up to turning, mirroring and exchange of inside and outside:
 * absolute normals in eighths of a voxel face. Corner (z,y,x) is bit 4z + 2y + x. */
static const struct {
  uint8_t corners;
  uint8_t normal[4][3];
} cells[] = {
    {0x01, {{1, 1, 1}}},
    {0x03, {{2, 2, 0}, {2, 2, 0}}},
    {0x06, {{1, 1, 1}, {1, 1, 1}}},
    {0x07, {{1, 1, 1}, {2, 2, 2}, {4, 0, 0}}},
    {0x0f, {{4, 0, 0}, {4, 0, 0}}},
    {0x16, {{1, 1, 1}, {1, 1, 1}, {1, 1, 1}}},
    {0x17, {{1, 1, 1}, {1, 1, 1}, {2, 2, 2}, {2, 2, 2}}},
    {0x18, {{1, 1, 1}, {1, 1, 1}}},
    {0x19, {{0, 2, 2}, {0, 2, 2}, {1, 1, 1}}},
    {0x1b, {{0, 2, 2}, {1, 1, 1}, {2, 0, 2}, {3, 3, 3}}},
    {0x1e, {{1, 1, 1}, {1, 1, 1}, {2, 2, 2}, {4, 0, 0}}},
    {0x3c, {{2, 2, 0}, {2, 2, 0}, {2, 2, 0}, {2, 2, 0}}},
    {0x69, {{1, 1, 1}, {1, 1, 1}, {1, 1, 1}, {1, 1, 1}}},
};

/* The six orders of the axes. */
static const uint8_t orders[6][3] = {{0, 1, 2}, {0, 2, 1}, {1, 0, 2},
                                     {1, 2, 0}, {2, 0, 1}, {2, 1, 0}};

/* The corners with axis i of the result being axis order[i], mirrored where flip has bit i. */
static int corners_turned(int corners, const uint8_t order[3], int flip) {
  int turned = 0;
  for (int c = 0; c < 8; c++) {
    int axis[3] = {c >> 2 & 1, c >> 1 & 1, c & 1}, to = 0;
    for (int i = 0; i < 3; i++) to = 2 * to + (axis[order[i]] ^ (flip >> i & 1));
    turned |= (corners >> c & 1) << to;
  }
  return turned;
}

static void areas_make(const double spacing[3], float area[256]) {
  double face[3] = {spacing[1] * spacing[2], spacing[0] * spacing[2], spacing[0] * spacing[1]};
  area[0] = area[255] = 0;
  for (size_t k = 0; k < sizeof cells / sizeof *cells; k++)
    for (int o = 0; o < 6; o++) {
      double sum = 0;
      for (int t = 0; t < 4; t++) {
        double square = 0;
        for (int i = 0; i < 3; i++) {
          double n = cells[k].normal[t][orders[o][i]] * face[i] / 8;
          square += n * n;
        }
        sum += sqrt(square);
      }
      for (int flip = 0; flip < 8; flip++) {
        int corners = corners_turned(cells[k].corners, orders[o], flip);
        area[corners] = area[255 - corners] = (float)sum;
      }
    }
}

/* ---- surfaces -------------------------------------------------------------------------------- */

static size_t volume_of(const int dim[3]) {
  return (size_t)dim[0] * (size_t)dim[1] * (size_t)dim[2];
}

/* A map of one slice is a plane: it has no outside before and behind it, so what is around the mask
 * there repeats it, and its surface is its outline. */
static void mask_repeat(const Pair *pair, int axis, uint8_t *mask) {
  size_t size[3], step[3];
  for (int i = 0; i < 3; i++) size[i] = (size_t)pair->box[i] + 2;
  step[2] = 1, step[1] = size[2], step[0] = size[1] * size[2];
  int a = (axis + 1) % 3, b = (axis + 2) % 3;
  for (size_t i = 0; i < size[a]; i++)
    for (size_t k = 0; k < size[b]; k++) {
      uint8_t *before = mask + i * step[a] + k * step[b];
      before[0] = before[2 * step[axis]] = before[step[axis]];
    }
}

static void mask_fill(const Pair *pair, const uint8_t *map, const int dim[3], const Box *box,
                      int label, uint8_t *mask) {
  size_t width = (size_t)pair->box[2] + 2, slice = ((size_t)pair->box[1] + 2) * width;
  for (int z = 0; z < pair->box[0]; z++)
    for (int y = 0; y < pair->box[1]; y++) {
      const uint8_t *in = map +
                          ((size_t)(box->low[0] + z) * (size_t)dim[1] + (size_t)(box->low[1] + y)) *
                              (size_t)dim[2] +
                          box->low[2];
      uint8_t *out = mask + (size_t)(z + 1) * slice + (size_t)(y + 1) * width + 1;
      for (int x = 0; x < pair->box[2]; x++) out[x] = in[x] == label;
    }
  int flat = (dim[0] == 1) + (dim[1] == 1) + (dim[2] == 1);
  for (int axis = 0; axis < 3; axis++)
    if (flat == 1 && dim[axis] == 1) mask_repeat(pair, axis, mask);
}

/* Voxels of the mask one of whose six neighbours is outside. */
static void mark_voxels(const Pair *pair, const uint8_t *mask, uint8_t *mark) {
  ptrdiff_t row = pair->box[2] + 2, slice = (pair->box[1] + 2) * row;
  for (int z = 0; z < pair->box[0]; z++)
    for (int y = 0; y < pair->box[1]; y++) {
      const uint8_t *m = mask + (z + 1) * slice + (y + 1) * row + 1;
      for (int x = 0; x < pair->box[2]; x++)
        mark[x] =
            m[x] & ~(m[x - 1] & m[x + 1] & m[x - row] & m[x + row] & m[x - slice] & m[x + slice]);
      mark += pair->box[2];
    }
}

/* Corners between voxels not all alike: the bits of their eight voxels. */
static void mark_corners(const Pair *pair, const uint8_t *mask, uint8_t *mark) {
  ptrdiff_t row = pair->box[2] + 2, slice = (pair->box[1] + 2) * row;
  for (int z = 0; z < pair->lattice[0]; z++)
    for (int y = 0; y < pair->lattice[1]; y++) {
      const uint8_t *m = mask + z * slice + y * row, *n = m + slice;
      for (int x = 0; x < pair->lattice[2]; x++) {
        int corners = m[x] | m[x + 1] << 1 | m[x + row] << 2 | m[x + row + 1] << 3 | n[x] << 4 |
                      n[x + 1] << 5 | n[x + row] << 6 | n[x + row + 1] << 7;
        mark[x] = (uint8_t)(corners == 255 ? 0 : corners);
      }
      mark += pair->lattice[2];
    }
}

static bool surface_make(const Pair *pair, Surface *s) {
  size_t around =
      ((size_t)pair->box[0] + 2) * ((size_t)pair->box[1] + 2) * ((size_t)pair->box[2] + 2);
  s->mask = calloc(around, 1);
  s->mark = malloc(volume_of(pair->lattice));
  return s->mask && s->mark;
}

/* Room for the distances, once it is known how many. */
static bool surface_room(const Pair *pair, Surface *s) {
  size_t lattice = volume_of(pair->lattice);
  for (size_t i = 0; i < lattice; i++) s->count += s->mark[i] != 0;
  s->distance = malloc(s->count * sizeof *s->distance);
  s->weight = malloc(s->count * sizeof *s->weight);
  return s->distance && s->weight;
}

static void surface_free(Surface *s) {
  free(s->mask);
  free(s->mark);
  free(s->distance);
  free(s->weight);
}

/* ---- what the distances say ------------------------------------------------------------------ */

/* Puts the k-th smallest (from 0) at k, none larger before it, none smaller after it. */
static float select_rank(float *value, size_t count, size_t k) {
  size_t low = 0, high = count - 1;
  while (low < high) {
    float pivot = value[low + (high - low) / 2];
    size_t i = low, j = high;
    for (;;) {
      while (value[i] < pivot) i++;
      while (value[j] > pivot) j--;
      if (i >= j) break;
      float swap = value[i];
      value[i++] = value[j];
      value[j--] = swap;
    }
    if (k <= j)
      high = j;
    else
      low = j + 1;
  }
  return value[k];
}

/* Interpolated between ranks as NumPy's and PyTorch's default; reorders the values. */
static double percentile(float *value, size_t count, double share) {
  double rank = share * (double)(count - 1);
  size_t k = (size_t)rank;
  double low = select_rank(value, count, k), high = low;
  if (k + 1 < count) {
    high = INFINITY;
    for (size_t i = k + 1; i < count; i++)
      if (value[i] < high) high = value[i];
  }
  return low + (rank - (double)k) * (high - low);
}

typedef struct Weighed {
  float distance, weight;
} Weighed;

/* The first distance at which the share of the weight is reached; reorders the list. The part that
 * holds it is halved until one is left. */
static double weighed_percentile(Weighed *list, size_t count, double share) {
  double total = 0, below = 0;
  for (size_t i = 0; i < count; i++) total += list[i].weight;
  for (size_t low = 0, high = count - 1; low < high;) {
    float pivot = list[low + (high - low) / 2].distance;
    size_t i = low, j = high;
    for (;;) {
      while (list[i].distance < pivot) i++;
      while (list[j].distance > pivot) j--;
      if (i >= j) break;
      Weighed swap = list[i];
      list[i++] = list[j];
      list[j--] = swap;
    }
    double left = 0;
    for (size_t k = low; k <= j; k++) left += list[k].weight;
    if ((below + left) / total >= share) {
      high = j;
    } else {
      below += left;
      low = j + 1;
    }
    if (low >= high) return list[low].distance;
  }
  return list[0].distance;
}

/* The 95th percentile of sides first .. last - 1 taken together. scratch: room for both. */
static double percentile_of(const Pair *pair, int first, int last, SurfaceKind kind,
                            Weighed *scratch) {
  size_t count = 0;
  float *plain = (float *)scratch;
  for (int side = first; side < last; side++) {
    const Surface *s = &pair->side[side];
    if (kind == SURFACE_VOXELS) memcpy(plain + count, s->distance, s->count * sizeof *plain);
    for (size_t i = 0; i < s->count && kind == SURFACE_SURFELS; i++)
      scratch[count + i] = (Weighed){s->distance[i], s->weight[i]};
    count += s->count;
  }
  return kind == SURFACE_VOXELS ? percentile(plain, count, .95)
                                : weighed_percentile(scratch, count, .95);
}

/* A distance of exactly the tolerance is within it, however both were rounded. */
static void score_make(const Pair *pair, const SurfaceOptions *options, Weighed *scratch,
                       SurfaceScore *score) {
  double sum = 0, within = 0, total = 0, limit = options->tolerance * (1 + 1e-6);
  *score = (SurfaceScore){0};
  for (int side = 0; side < 2; side++) {
    const Surface *s = &pair->side[side];
    for (size_t i = 0; i < s->count; i++) {
      double d = s->distance[i], weight = s->weight[i];
      sum += weight * d;
      total += weight;
      if (d <= limit) within += weight;
      if (d > score->hd) score->hd = d;
    }
    double p = percentile_of(pair, side, side + 1, options->kind, scratch);
    if (p > score->hd95) score->hd95 = p;
  }
  score->hd95_pooled = percentile_of(pair, 0, 2, options->kind, scratch);
  score->assd = sum / total;
  score->nsd = within / total;
}

static void measure(Pair *pair, const double spacing[3], const SurfaceOptions *options) {
  float area[256] = {[1] = 1};
  if (options->kind == SURFACE_SURFELS) areas_make(spacing, area);
  size_t lattice = volume_of(pair->lattice);
  for (int side = 0; side < 2; side++) {
    Surface *s = &pair->side[side];
    distance_between(s->mark, pair->side[1 - side].mark, pair->lattice, spacing, &pair->work,
                     s->distance);
    float *weight = s->weight;
    for (size_t i = 0; i < lattice; i++)
      if (s->mark[i]) *weight++ = area[s->mark[i]];
  }
}

bool surface_score(const uint8_t *a, const uint8_t *b, const int dim[3], const double spacing[3],
                   int label, const Box *box, const SurfaceOptions *options, SurfaceScore *score) {
  Pair pair = {0};
  const uint8_t *map[2] = {a, b};
  bool corners = options->kind == SURFACE_SURFELS, good = true;
  for (int i = 0; i < 3; i++) {
    pair.box[i] = box->high[i] - box->low[i];
    pair.lattice[i] = pair.box[i] + corners;
  }
  for (int side = 0; good && side < 2; side++) {
    Surface *s = &pair.side[side];
    good = surface_make(&pair, s);
    if (!good) break;
    mask_fill(&pair, map[side], dim, box, label, s->mask);
    (corners ? mark_corners : mark_voxels)(&pair, s->mask, s->mark);
    good = surface_room(&pair, s);
  }
  good = good && distance_work_make(&pair.work, pair.lattice);
  Weighed *scratch =
      good ? malloc((pair.side[0].count + pair.side[1].count) * sizeof *scratch) : NULL;
  if (scratch) {
    measure(&pair, spacing, options);
    score_make(&pair, options, scratch, score);
  }
  good = scratch != NULL;
  free(scratch);
  distance_work_free(&pair.work);
  for (int side = 0; side < 2; side++) surface_free(&pair.side[side]);
  return good;
}
