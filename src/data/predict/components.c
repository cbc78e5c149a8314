#include "src/data/predict/components.h"

#include <stdlib.h>
#include <string.h>

/* Voxels first .. last - 1 of one row. The components are trees of runs: parent[i] <= i, a root is
 * its own. */
typedef struct Run {
  int first, last, parent;
  int64_t voxels; /* of the component, at its root */
} Run;

typedef struct Runs {
  Run *run;
  int count, capacity;
  int *row; /* (D * H + 1): the first run of each row */
} Runs;

static int root_of(Run *run, int i) {
  while (run[i].parent != i) {
    run[i].parent = run[run[i].parent].parent;
    i = run[i].parent;
  }
  return i;
}

static void join(Run *run, int a, int b) {
  a = root_of(run, a);
  b = root_of(run, b);
  if (a == b) return;
  int low = a < b ? a : b, high = a < b ? b : a;
  run[high].parent = low;
  run[low].voxels += run[high].voxels;
}

static bool add_run(Runs *runs, int first, int last) {
  if (runs->count == runs->capacity) {
    int capacity = runs->capacity ? 2 * runs->capacity : 1024;
    Run *grown = realloc(runs->run, (size_t)capacity * sizeof *grown);
    if (!grown) return false;
    runs->run = grown;
    runs->capacity = capacity;
  }
  runs->run[runs->count] = (Run){first, last, runs->count, last - first};
  runs->count++;
  return true;
}

static bool list_row(Runs *runs, const uint8_t *map, int width, const bool labels[256]) {
  for (int x = 0; x < width;) {
    while (x < width && !labels[map[x]]) x++;
    int first = x;
    while (x < width && labels[map[x]]) x++;
    if (x > first && !add_run(runs, first, x)) return false;
  }
  return true;
}

/* Joins the runs of two neighbouring rows that touch, at corners too. */
static void join_rows(Runs *runs, int row, int other) {
  int a = runs->row[row], b = runs->row[other];
  while (a < runs->row[row + 1] && b < runs->row[other + 1]) {
    const Run *p = &runs->run[a], *q = &runs->run[b];
    if (p->first <= q->last && q->first <= p->last) join(runs->run, a, b);
    if (p->last < q->last)
      a++;
    else
      b++;
  }
}

static bool list_runs(Runs *runs, const uint8_t *map, const int dim[3], const bool labels[256]) {
  runs->row = malloc(((size_t)dim[0] * (size_t)dim[1] + 1) * sizeof *runs->row);
  if (!runs->row) return false;
  for (int row = 0; row < dim[0] * dim[1]; row++) {
    runs->row[row] = runs->count;
    if (!list_row(runs, map + (size_t)row * (size_t)dim[2], dim[2], labels)) return false;
    runs->row[row + 1] = runs->count;
    int y = row % dim[1], above = row - dim[1];
    if (y > 0) join_rows(runs, row, row - 1);
    for (int dy = -1; dy <= 1 && above >= 0; dy++)
      if (y + dy >= 0 && y + dy < dim[1]) join_rows(runs, row, above + dy);
  }
  return true;
}

bool components_keep_largest(uint8_t *map, const int dim[3], const bool labels[256],
                             int64_t *cleared) {
  Runs runs = {0};
  int64_t gone = 0;
  int largest = 0;
  bool good = list_runs(&runs, map, dim, labels);
  for (int i = 0; good && i < runs.count; i++)
    if (runs.run[i].parent == i && runs.run[i].voxels > runs.run[largest].voxels) largest = i;
  for (int row = 0; good && row < dim[0] * dim[1]; row++)
    for (int i = runs.row[row]; i < runs.row[row + 1]; i++) {
      if (root_of(runs.run, i) == largest) continue;
      const Run *run = &runs.run[i];
      gone += run->last - run->first;
      memset(map + (size_t)row * (size_t)dim[2] + (size_t)run->first, 0,
             (size_t)(run->last - run->first));
    }
  free(runs.run);
  free(runs.row);
  if (cleared) *cleared = gone;
  return good;
}
