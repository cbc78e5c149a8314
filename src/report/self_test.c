#include "src/report/self_test.h"

#include <math.h>
#include <stdlib.h>

#include "src/report/row_figures.h"
#include "src/store/field.h"

static void *memory(size_t count, size_t bytes) {
  void *block = calloc(count + 1, bytes);
  CHECK(block, "no memory for relabelled tables");
  return block;
}

static int in_order(const void *a, const void *b) {
  double x = *(const double *)a, y = *(const double *)b;
  return (x > y) - (x < y);
}

static void take_figures(SelfTest *test, const Figures *pool) {
  int count = 0;
  test->figure = memory((size_t)pool->trials, sizeof *test->figure);
  for (int t = 0; t < pool->trials; t++) {
    test->figure[count] = figures_trial(pool, t, false);
    count += !isnan(test->figure[count]);
  }
  qsort(test->figure, (size_t)count, sizeof *test->figure, in_order);
}

static void deal(SelfTestShape *shape, const Figures *pool, int tables) {
  shape->dealt = shape->rows * shape->seeds <= pool->trials;
  if (!shape->dealt) return;
  shape->count = tables * (shape->rows - 1);
  shape->p = memory((size_t)shape->count, sizeof *shape->p);
  for (int fixed = 0; fixed < 2; fixed++) {
    const Relabel how = {
        .rows = shape->rows, .seeds = shape->seeds, .tables = tables, .cases_fixed = fixed};
    relabel(pool, &how, &shape->rates[fixed], fixed ? NULL : shape->p);
  }
  qsort(shape->p, (size_t)shape->count, sizeof *shape->p, in_order);
}

static SelfTest *make(const json_t *settings, const Figures *pool, bool cases_fixed) {
  SelfTest *test = memory(1, sizeof *test);
  const json_t *shapes = json_object_get(settings, "shapes"), *item;
  size_t i;
  test->tables = field_whole(settings, "relabelings");
  test->pool = pool_describe(pool, cases_fixed);
  test->shape = memory(json_array_size(shapes), sizeof *test->shape);
  take_figures(test, pool);
  json_array_foreach(shapes, i, item) {
    SelfTestShape *shape = &test->shape[test->shapes++];
    *shape =
        (SelfTestShape){.rows = field_whole(item, "rows"), .seeds = field_whole(item, "seeds")};
    deal(shape, pool, test->tables);
  }
  return test;
}

bool self_test_load(Store *store, const Result *result, const char *settings, const char *metric,
                    SelfTest **test, Error *error) {
  RowFigures figures;
  json_t *how = json_loads(settings, 0, NULL);
  *test = NULL;
  bool good = row_figures_load(store, result->plan_id, metric, &figures, error);
  if (good && figures.rows > 1)
    good =
        fail(error, "%s: a self test is of one row, here are %d", result->experiment, figures.rows);
  const Figures none = {0};
  if (good) *test = make(how, figures.rows ? &figures.row[0] : &none, result->family.cases_fixed);
  if (good) row_figures_free(&figures);
  json_decref(how);
  return good;
}

void self_test_free(SelfTest *test) {
  if (!test) return;
  for (int i = 0; i < test->shapes; i++) free(test->shape[i].p);
  free(test->shape);
  free(test->figure);
  free(test);
}
