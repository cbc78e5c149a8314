#include "kernels/cpu/matching.h"
#include "kernels/plane_box.h"

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

static bool has_input(const Call *call, int i) {
  return i < call->n_in && !tensor_absent(&call->in[i]);
}

MatchSizes match_sizes(const Call *call) {
  const MatchOptions *o = call->options;
  const int64_t *logits = call->in[MATCH_IN_CLASS].dim, *labels = call->in[MATCH_IN_LABELS].dim;
  MatchSizes s = {.queries = (int)logits[1],
                  .classes = (int)logits[2] - 1,
                  .group = o->group > 1 ? o->group : 1};
  s.kinds = has_input(call, MATCH_IN_AUX) ? 2 : 1;
  s.boxes = has_input(call, MATCH_IN_BOXES);
  s.regions = o->regions;
  s.depth = (int)labels[1];
  s.height = (int)labels[2];
  s.width = (int)labels[3];
  return s;
}

size_t matching_sums(int queries, int classes) {
  size_t k = (size_t)queries, c = (size_t)classes;
  return 2 * k + 2 * c * k + c + 1;
}

MatchSums match_sums_at(double *block, int queries, int classes) {
  size_t k = (size_t)queries, c = (size_t)classes;
  MatchSums s = {.softplus = block, .p = block + k};
  s.label_x = s.p + k;
  s.label_p = s.label_x + c * k;
  s.count = s.label_p + c * k;
  s.known = s.count + c;
  return s;
}

static size_t all_sums(const MatchSizes *s) {
  return (size_t)s->kinds * matching_sums(s->queries, s->classes);
}

static size_t doubles(const MatchSizes *s) {
  size_t k = (size_t)s->queries, c = (size_t)s->classes;
  return all_sums(s) + 2 * k * c + BOUNDS * k;
}

static size_t integers(const MatchSizes *s) {
  size_t k = (size_t)s->queries, c = (size_t)s->classes;
  return (BOUNDS * c + (size_t)s->group * c + c + k + 1) / 2 * 2; /* keeps the search aligned */
}

size_t matching_bytes(const MatchSizes *s) {
  return doubles(s) * sizeof(double) + integers(s) * sizeof(int) + assignment_scratch(s->queries);
}

Matching matching_make(void *block, const MatchSizes *s) {
  size_t k = (size_t)s->queries, c = (size_t)s->classes;
  Matching m = {.sizes = *s};
  for (int kind = 0; kind < s->kinds; kind++)
    m.sums[kind] =
        match_sums_at((double *)block + (size_t)kind * matching_sums(s->queries, s->classes),
                      s->queries, s->classes);
  m.probability = (double *)block + all_sums(s);
  m.box = m.probability + c * k;
  m.cost = m.box + BOUNDS * k;
  m.bounds = (int32_t *)(m.cost + c * k);
  m.present = (int *)m.bounds + BOUNDS * c;
  m.class_of_row = m.present + (size_t)s->group * c;
  m.row_of_query = m.class_of_row + c;
  m.search = (int *)m.bounds + integers(s);
  memset(block, 0, doubles(s) * sizeof(double));
  return m;
}

void matching_clear(const Matching *m) {
  memset(m->sums[0].softplus, 0, all_sums(&m->sizes) * sizeof(double));
}

/* Cross-entropy and Dice of query q's mask as class c's. */
static double mask_cost(const Matching *m, int kind, int c, int q, double by_bce, double by_dice) {
  const MatchSums *s = &m->sums[kind];
  int at = c * m->sizes.queries + q;
  double bce = (s->softplus[q] - s->label_x[at]) / *s->known;
  double dice = 1 - (2 * s->label_p[at] + 1) / (s->p[q] + s->count[c] + 1);
  return by_bce * bce + by_dice * dice;
}

static double pair_cost(const Matching *m, const MatchOptions *o, int c, int q) {
  double cost = mask_cost(m, 0, c, q, o->bce_weight, o->dice_weight) -
                o->class_weight * m->probability[q * m->sizes.classes + c];
  if (m->sizes.kinds > 1) cost += mask_cost(m, 1, c, q, o->aux_weight, o->aux_weight);
  if (m->sizes.boxes) {
    double target[BOUNDS];
    const double *box = m->box + BOUNDS * q;
    bounds_box(m->bounds + BOUNDS * c, m->sizes.width, m->sizes.height, target);
    cost += o->l1_weight * box_distance(box, target) - o->giou_weight * box_giou(box, target, NULL);
  }
  return isfinite(cost) ? cost : 1e6;
}

static void find_bounds(const Matching *m, const int32_t *labels) {
  const MatchSizes *s = &m->sizes;
  for (int c = 0; c < s->classes; c++) bounds_start(m->bounds + BOUNDS * c, s->width, s->height);
  for (int d = 0; d < s->depth; d++)
    for (int y = 0; y < s->height; y++)
      for (int x = 0; x < s->width; x++)
        bounds_add_label(m->bounds, s->classes, *labels++, s->regions, x, y);
}

void matching_add(const Matching *m, const MatchOptions *o, int item, const int32_t *labels) {
  int queries = m->sizes.queries, classes = m->sizes.classes;
  if (m->sizes.boxes) find_bounds(m, labels);
  for (int c = 0; c < classes; c++) {
    bool present = m->sums[0].count[c] > 0;
    m->present[item * classes + c] = present;
    for (int q = 0; q < queries && present && !o->fixed; q++)
      m->cost[c * queries + q] += pair_cost(m, o, c, q);
  }
}

static bool in_group(const Matching *m, int c) {
  bool any = false;
  for (int i = 0; i < m->sizes.group; i++) any = any || m->present[i * m->sizes.classes + c];
  return any;
}

/* The class of query q in the group, -1 for none. */
static int class_of(const Matching *m, const MatchOptions *o, int q) {
  if (o->fixed) return q < m->sizes.classes ? q : -1;
  return m->row_of_query[q] >= 0 ? m->class_of_row[m->row_of_query[q]] : -1;
}

void matching_solve(const Matching *m, const MatchOptions *o, int32_t *assignment) {
  int queries = m->sizes.queries, classes = m->sizes.classes, rows = 0;
  for (int c = 0; c < classes && !o->fixed; c++) {
    if (!in_group(m, c)) continue;
    memmove(m->cost + rows * queries, m->cost + c * queries, (size_t)queries * sizeof *m->cost);
    m->class_of_row[rows++] = c;
  }
  if (!o->fixed) assignment_solve(m->cost, rows, queries, m->row_of_query, m->search);
  for (int i = 0; i < m->sizes.group; i++)
    for (int q = 0; q < queries; q++) {
      int c = class_of(m, o, q);
      *assignment++ = c >= 0 && m->present[i * classes + c] ? c : -1;
    }
}
