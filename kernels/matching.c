#include "kernels/matching.h"
#include "kernels/assignment.h"

#include <math.h>
#include <string.h>

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
