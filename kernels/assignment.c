#include "kernels/assignment.h"

#include <math.h>
#include <string.h>

/* Columns are 0 .. columns-1; `columns` itself is the root from which a free row searches. */
typedef struct Search {
  const double *cost;
  int columns;
  double *column_potential; /* columns + 1 */
  double *distance;         /* of the shortest path to each column */
  int *row;                 /* assigned to each column, root included; -1: none */
  int *previous;            /* column before this one on the path */
  int *done;
} Search;

size_t assignment_scratch(int columns) {
  return (size_t)(columns + 1) * (2 * sizeof(double) + 3 * sizeof(int)) + 8;
}

static Search search_make(const double *cost, int columns, void *scratch) {
  size_t n = (size_t)columns + 1;
  Search s = {.cost = cost, .columns = columns, .column_potential = scratch};
  s.distance = s.column_potential + n;
  s.row = (int *)(s.distance + n);
  s.previous = s.row + n;
  s.done = s.previous + n;
  memset(s.column_potential, 0, n * sizeof *s.column_potential);
  for (size_t j = 0; j < n; j++) s.row[j] = -1;
  return s;
}

/* Relaxes the columns by the row at `from`, whose path costs `base`; returns the nearest column. */
static int search_relax(Search *s, int from, double base) {
  const double *cost = s->cost + (size_t)s->row[from] * (size_t)s->columns;
  /* The row's potential follows from its own tight edge. */
  double own = from == s->columns ? 0 : cost[from] - s->column_potential[from];
  int nearest = -1;
  for (int j = 0; j < s->columns; j++) {
    if (s->done[j]) continue;
    double length = base + cost[j] - s->column_potential[j] - own;
    if (length < s->distance[j]) {
      s->distance[j] = length;
      s->previous[j] = from;
    }
    if (nearest < 0 || s->distance[j] < s->distance[nearest]) nearest = j;
  }
  return nearest;
}

static void search_row(Search *s, int row) {
  int root = s->columns, at = root;
  double base = 0;
  for (int j = 0; j <= root; j++) {
    s->distance[j] = INFINITY;
    s->done[j] = 0;
  }
  s->row[root] = row;
  while (s->row[at] >= 0) {
    s->done[at] = 1;
    at = search_relax(s, at, base);
    base = s->distance[at];
  }
  for (int j = 0; j < s->columns; j++)
    if (s->done[j]) s->column_potential[j] += s->distance[j] - base;
  for (int j = at; j != root; j = s->previous[j]) s->row[j] = s->row[s->previous[j]];
  s->row[root] = -1;
}

void assignment_solve(const double *cost, int rows, int columns, int *row_of_column,
                      void *scratch) {
  Search search = search_make(cost, columns, scratch);
  for (int i = 0; i < rows; i++) search_row(&search, i);
  memcpy(row_of_column, search.row, (size_t)columns * sizeof *row_of_column);
}
