#include "kernels/cpu/matching.h"

#include <math.h>
#include <string.h>

/* ---- the assignment problem ------------------------------------------------------------------ */

/* The assignment problem: rows to columns one to one at the least total cost, by shortest
 * augmenting paths with potentials (Kuhn-Munkres in the form of Jonker and Volgenant, Computing 38,
 * 1987), O(rows^2 columns). Equal costs: the lowest column wins, so the answer is deterministic. */

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

static size_t assignment_scratch(int columns) {
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

/* cost (rows, columns), finite, rows <= columns. Writes the row of each column, -1 for none.
 * scratch: assignment_scratch(columns) bytes, 8-byte aligned, any content. */
static void assignment_solve(const double *cost, int rows, int columns, int *row_of_column,
                             void *scratch) {
  Search search = search_make(cost, columns, scratch);
  for (int i = 0; i < rows; i++) search_row(&search, i);
  memcpy(row_of_column, search.row, (size_t)columns * sizeof *row_of_column);
}

/* ---- from sums to classes -------------------------------------------------------------------- */

size_t matching_sums(int queries, int classes) {
  size_t k = (size_t)queries, c = (size_t)classes;
  return 2 * k + 2 * c * k + c + 1;
}

static size_t doubles(int queries, int classes) {
  return matching_sums(queries, classes) + 2 * (size_t)queries * (size_t)classes;
}

size_t matching_bytes(int queries, int classes) {
  return doubles(queries, classes) * sizeof(double) +
         ((size_t)queries + (size_t)classes + 1) * sizeof(int) + 8 + assignment_scratch(queries);
}

Matching matching_make(void *block, int queries, int classes) {
  size_t k = (size_t)queries, c = (size_t)classes;
  Matching m = {.queries = queries, .classes = classes, .softplus = block};
  m.p = m.softplus + k;
  m.label_x = m.p + k;
  m.label_p = m.label_x + c * k;
  m.count = m.label_p + c * k;
  m.known = m.count + c;
  m.probability = m.known + 1;
  m.cost = m.probability + c * k;
  m.class_of_row = (int *)(m.cost + c * k);
  m.row_of_query = m.class_of_row + c;
  size_t ints = (k + c + 1) / 2 * 2; /* keeps the search's doubles aligned */
  m.search = m.class_of_row + ints;
  memset(block, 0, doubles(queries, classes) * sizeof(double));
  return m;
}

static double pair_cost(const Matching *m, const MatchOptions *o, int c, int q) {
  int at = c * m->queries + q;
  double bce = (m->softplus[q] - m->label_x[at]) / *m->known;
  double dice = 1 - (2 * m->label_p[at] + 1) / (m->p[q] + m->count[c] + 1);
  double cost = o->bce_weight * bce + o->dice_weight * dice -
                o->class_weight * m->probability[q * m->classes + c];
  return isfinite(cost) ? cost : 1e6;
}

void matching_solve(const Matching *m, const MatchOptions *o, int32_t *assignment) {
  int rows = 0;
  for (int q = 0; q < m->queries; q++)
    assignment[q] = o->fixed && q < m->classes && m->count[q] > 0 ? q : -1;
  if (o->fixed) return;
  for (int c = 0; c < m->classes; c++) {
    if (m->count[c] <= 0) continue;
    for (int q = 0; q < m->queries; q++) m->cost[rows * m->queries + q] = pair_cost(m, o, c, q);
    m->class_of_row[rows++] = c;
  }
  assignment_solve(m->cost, rows, m->queries, m->row_of_query, m->search);
  for (int q = 0; q < m->queries; q++)
    if (m->row_of_query[q] >= 0) assignment[q] = m->class_of_row[m->row_of_query[q]];
}
