#define _GNU_SOURCE /* asprintf */
#include "src/data/metrics/instances.h"

#include <limits.h>
#include <math.h>
#include <string.h>
#include <unistd.h>

/* Objects of one map: object (pixels) from 1, 0 where none is. */
typedef struct Objects {
  int32_t *object;
  int32_t count;
  int64_t *area; /* (count + 1) */
} Objects;

static void objects_free(Objects *o) {
  free(o->object);
  free(o->area);
  *o = (Objects){0};
}

static bool areas_count(Objects *o, size_t pixels) {
  o->area = calloc((size_t)o->count + 1, sizeof *o->area);
  for (size_t i = 0; o->area && i < pixels; i++) o->area[o->object[i]]++;
  return o->area != NULL;
}

/* ---- connected parts ------------------------------------------------------------------------- */

/* Of marked pixels (-1), all that is joined to `start`, which becomes `number`. open (pixels) is a
 * stack. */
static void flood(int32_t *object, const int dim[3], size_t start, int32_t number, size_t *open) {
  size_t used = 0;
  open[used++] = start;
  object[start] = number;
  while (used) {
    size_t at = open[--used];
    int x = (int)(at % (size_t)dim[2]), y = (int)(at / (size_t)dim[2]) % dim[1];
    int z = (int)(at / (size_t)dim[2] / (size_t)dim[1]);
    for (int k = 0; k < 27; k++) {
      int nz = z + k / 9 - 1, ny = y + k / 3 % 3 - 1, nx = x + k % 3 - 1;
      if (nz < 0 || ny < 0 || nx < 0 || nz >= dim[0] || ny >= dim[1] || nx >= dim[2]) continue;
      size_t next = ((size_t)nz * (size_t)dim[1] + (size_t)ny) * (size_t)dim[2] + (size_t)nx;
      if (object[next] != -1) continue;
      object[next] = number;
      open[used++] = next;
    }
  }
}

/* known: the reference where it knows nothing at `ignore`; NULL: it knows all. */
static bool parts_find(Objects *o, const uint8_t *map, const bool holds[LABEL_VALUES],
                       const uint8_t *known, int ignore, const int dim[3]) {
  size_t pixels = (size_t)dim[0] * (size_t)dim[1] * (size_t)dim[2];
  size_t *open = malloc(pixels * sizeof *open);
  *o = (Objects){.object = malloc(pixels * sizeof *o->object)};
  bool good = open && o->object;
  for (size_t i = 0; good && i < pixels; i++)
    o->object[i] = holds[map[i]] && !(known && known[i] == ignore) ? -1 : 0;
  for (size_t i = 0; good && i < pixels; i++)
    if (o->object[i] == -1) flood(o->object, dim, i, ++o->count, open);
  free(open);
  return good && areas_count(o, pixels);
}

/* ---- numbered ones --------------------------------------------------------------------------- */

enum { NUMBERS = 1 << 16 };

/* Numbers may have gaps; only those that the structure holds are objects. */
static bool numbered_find(Objects *o, const uint8_t *map, const bool holds[LABEL_VALUES],
                          const float *numbers, size_t pixels) {
  int32_t *known = calloc(NUMBERS, sizeof *known);
  *o = (Objects){.object = malloc(pixels * sizeof *o->object)};
  bool good = known && o->object;
  for (size_t i = 0; good && i < pixels; i++) {
    int number = (int)numbers[i];
    bool there = holds[map[i]] && number > 0 && number < NUMBERS;
    if (there && !known[number]) known[number] = ++o->count;
    o->object[i] = there ? known[number] : 0;
  }
  free(known);
  return good && areas_count(o, pixels);
}

/* ---- found or not ---------------------------------------------------------------------------- */

typedef struct Pair {
  int32_t reference, prediction;
} Pair;

static int by_pair(const void *a, const void *b) {
  const Pair *x = a, *y = b;
  if (x->reference != y->reference) return x->reference < y->reference ? -1 : 1;
  return (x->prediction > y->prediction) - (x->prediction < y->prediction);
}

/* How many objects share more than half of a union; -1: no memory. */
static int64_t found_count(const Objects *reference, const Objects *prediction, size_t pixels) {
  Pair *pair = malloc((pixels + 1) * sizeof *pair);
  size_t count = 0;
  int64_t found = 0;
  if (!pair) return -1;
  for (size_t i = 0; i < pixels; i++)
    if (reference->object[i] && prediction->object[i])
      pair[count++] = (Pair){reference->object[i], prediction->object[i]};
  qsort(pair, count, sizeof *pair, by_pair);
  for (size_t i = 0, past; i < count; i = past) {
    for (past = i + 1; past < count && !by_pair(&pair[i], &pair[past]); past++) continue;
    int64_t shared = (int64_t)(past - i);
    int64_t both = reference->area[pair[i].reference] + prediction->area[pair[i].prediction];
    found += 2 * shared > both - shared;
  }
  free(pair);
  return found;
}

static bool structure_score(const bool holds[LABEL_VALUES], int ignore, const uint8_t *reference,
                            const float *numbers, const uint8_t *prediction, const int dim[3],
                            double *f1) {
  const uint8_t *known = ignore ? reference : NULL;
  size_t pixels = (size_t)dim[0] * (size_t)dim[1] * (size_t)dim[2];
  Objects there = {0}, said = {0};
  bool good = (numbers ? numbered_find(&there, reference, holds, numbers, pixels)
                       : parts_find(&there, reference, holds, NULL, 0, dim)) &&
              parts_find(&said, prediction, holds, known, ignore, dim);
  int64_t found = good ? found_count(&there, &said, pixels) : -1;
  if (found >= 0) *f1 = 2. * (double)found / fmax((double)there.count + said.count, 1);
  objects_free(&there);
  objects_free(&said);
  return found >= 0;
}

bool score_instances(const Labelling *labelling, const uint8_t *reference, const float *numbers,
                     const uint8_t *prediction, const int dim[3], Score *score, Error *error) {
  for (int s = 1; s < labelling_structures(labelling); s++) {
    bool holds[LABEL_VALUES];
    if (score[s].situation != SITUATION_BOTH) continue; /* by the metric's rule */
    for (int value = 0; value < LABEL_VALUES; value++)
      holds[value] = labelling_holds(labelling, s, value);
    if (!structure_score(holds, labelling->ignore, reference, numbers, prediction, dim,
                         &score[s].value[METRIC_instance_f1]))
      return fail(error, "no memory for the objects of %dx%d pixels", dim[1], dim[2]);
  }
  return true;
}

bool instances_read(Image *numbers, const char *dir, const char *name, const Grid *grid,
                    Error *error) {
  char path[PATH_MAX];
  *numbers = (Image){0};
  snprintf(path, sizeof path, "%.3800s/instancesTr/%.200s.png", dir, name);
  if (access(path, F_OK)) return true;
  if (!image_read(numbers, path, error)) return false;
  bool good = numbers->channels == 1 ||
              fail(error, "%s: %d channels; an instance map has one, the numbers of objects", path,
                   numbers->channels);
  good = good && (grid_same_dim(&numbers->grid, grid) ||
                  fail(error, "%s: %dx%d pixels (H,W), its label map has %dx%d", path,
                       numbers->grid.dim[1], numbers->grid.dim[2], grid->dim[1], grid->dim[2]));
  if (!good) image_free(numbers);
  return good;
}
