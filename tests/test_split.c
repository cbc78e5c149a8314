/* The folds: nnU-Net's, those of trials that were stored before, and what is wrong with a file of
 * them. */
#include "src/data/sets/split.h"
#include "tests/scratch.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

/* Every line: how many, then the order. */
static const char numpy_orders[] =
    "/usr/bin/python3 -c \""
    "import numpy\n"
    "for n in [*range(1, 200), 260, 511, 512, 513, 1000, 4097]:\n"
    "    order = numpy.arange(n); numpy.random.RandomState(12345).shuffle(order); print(n, "
    "*order)\n"
    "\" > %s";

static void shuffles_as_numpy(void **state) {
  (void)state;
  if (shell("/usr/bin/python3 -c 'import numpy' 2>/dev/null") != 0) skip();
  Scratch scratch = scratch_make();
  const char *path = scratch_path(&scratch, "orders");
  assert_int_equal(shell(numpy_orders, path), 0);
  FILE *list = fopen(path, "r");
  assert_non_null(list);
  int count, expected, lines = 0, order[4097];
  for (; fscanf(list, "%d", &count) == 1; lines++) {
    numpy_shuffle(SPLIT_SEED, order, count);
    for (int i = 0; i < count; i++) {
      assert_int_equal(fscanf(list, "%d", &expected), 1);
      if (order[i] != expected)
        fail_msg("%d: place %d is %d, NumPy says %d", count, i, order[i], expected);
    }
  }
  assert_int_equal(lines, 205);
  fclose(list);
  scratch_free(&scratch);
}

typedef struct Cases {
  char name[30][24];
  Case item[30];
  Dataset dataset;
} Cases;

/* Sorted, `each` of one patient. */
static void cases_make(Cases *c, int count, int each) {
  c->dataset = (Dataset){.dir = "nowhere", .cases = count, .item = c->item};
  for (int i = 0; i < count; i++) {
    if (each > 1)
      snprintf(c->name[i], sizeof c->name[i], "patient%03d_%d", i / each, i % each);
    else
      snprintf(c->name[i], sizeof c->name[i], "case_%02d", i);
    c->item[i] = (Case){.name = c->name[i]};
  }
}

static void expect_validation(const Dataset *dataset, const char *rule, int fold,
                              const int *expected, int count) {
  Split split;
  Error error = {0};
  if (!split_make(&split, dataset, rule, fold, &error)) fail_msg("%s", error.text);
  assert_int_equal(split.validations, count);
  assert_int_equal(split.trainings, dataset->cases - count);
  for (int i = 0; i < count; i++) assert_int_equal(split.validation[i], expected[i]);
  split_free(&split);
}

/* As scikit-learn's KFold(5, shuffle=True, random_state=12345) divides 11 samples, and patients. */
static void folds_are_nnunets(void **state) {
  (void)state;
  Cases c;
  cases_make(&c, 11, 1);
  static const int fold[5][3] = {{0, 3, 7}, {6, 10}, {8, 9}, {1, 4}, {2, 5}};
  for (int i = 0; i < 5; i++) expect_validation(&c.dataset, "kfold", i, fold[i], i ? 2 : 3);
  cases_make(&c, 22, 2);
  for (int i = 0; i < 5; i++) {
    int both[6];
    for (int k = 0; k < 6; k++) both[k] = 2 * fold[i][k / 2] + k % 2;
    expect_validation(&c.dataset, "kfold", i, both, i ? 4 : 6);
  }
}

/* A stored trial without a rule keeps the cases that it was trained on. */
static void older_folds_stay(void **state) {
  (void)state;
  Cases c;
  cases_make(&c, 11, 1);
  static const int fold[5][3] = {{1, 5, 10}, {0, 6}, {4, 9}, {2, 3}, {7, 8}};
  for (int i = 0; i < 5; i++) expect_validation(&c.dataset, NULL, i, fold[i], i ? 2 : 3);
  Error error = {0};
  Split split;
  assert_false(split_make(&split, &c.dataset, "newer", 0, &error));
  assert_non_null(strstr(error.text, "knows kfold alone"));
}

/* A data set that says how it is split has no rule; a stored rule holds whatever the data set says
 * later. */
static void a_rule_where_nothing_is_said(void **state) {
  (void)state;
  Cases c;
  Scratch scratch = scratch_make();
  cases_make(&c, 11, 1);
  c.dataset.dir = scratch.dir;
  assert_string_equal(split_rule(&c.dataset), "kfold");
  c.dataset.validation = 2;
  assert_null(split_rule(&c.dataset));
  expect_validation(&c.dataset, NULL, 0, (int[]){9, 10}, 2);
  text_write(scratch_path(&scratch, "splits_final.json"),
             "[{\"train\": [\"case_00\"], \"val\": [\"case_01\"]}]");
  c.dataset.validation = 0;
  assert_null(split_rule(&c.dataset));
  expect_validation(&c.dataset, "kfold", 1, (int[]){6, 10}, 2);
  scratch_free(&scratch);
}

/* What is chosen on an inner split has seen nothing of what is reported: its cases are training
 * cases of the fold, each once, and a patient's stay together. */
static void inner_splits_leave_validation_out(void **state) {
  (void)state;
  for (int each = 1; each <= 2; each++)
    for (int fold = 0; fold < SPLIT_FOLDS; fold++) {
      Cases c;
      Split outer, inner;
      Error error = {0};
      int use[30] = {0};
      cases_make(&c, 30, each);
      assert_true(split_make(&outer, &c.dataset, "kfold", fold, &error));
      assert_true(split_make(&inner, &c.dataset, "kfold", fold, &error));
      assert_true(split_inner(&inner, &c.dataset, 4, &error));
      assert_int_equal(inner.trainings + inner.validations, outer.trainings);
      assert_int_equal(inner.validations, 24 / 4);
      for (int i = 0; i < outer.trainings; i++) use[outer.training[i]] = 1;
      for (int i = 0; i < inner.trainings; i++) assert_int_equal(use[inner.training[i]]++, 1);
      for (int i = 0; i < inner.validations; i++) {
        assert_int_equal(use[inner.validation[i]]++, 1);
        for (int k = 0; k < inner.trainings && each == 2; k++)
          assert_int_not_equal(inner.training[k] / 2, inner.validation[i] / 2);
      }
      for (int i = 0; i < outer.validations; i++) assert_int_equal(use[outer.validation[i]], 0);
      split_free(&outer);
      split_free(&inner);
    }
}

static void inner_splits_of_few_cases(void **state) {
  (void)state;
  Cases c;
  Split split;
  Error error = {0};
  cases_make(&c, 4, 1);
  c.dataset.validation = 2;
  assert_true(split_make(&split, &c.dataset, NULL, 0, &error));
  assert_true(split_inner(&split, &c.dataset, 4, &error)); /* the last of two */
  assert_int_equal(split.trainings + split.validations, 2);
  assert_int_equal(split.training[0], 0);
  assert_int_equal(split.validation[0], 1);
  split_free(&split);
  c.dataset.validation = 3;
  assert_true(split_make(&split, &c.dataset, NULL, 0, &error));
  assert_false(split_inner(&split, &c.dataset, 4, &error));
  assert_non_null(strstr(error.text, "cannot be divided again"));
  assert_int_equal(split.validations, 3); /* as it was */
  split_free(&split);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(shuffles_as_numpy),
      cmocka_unit_test(folds_are_nnunets),
      cmocka_unit_test(older_folds_stay),
      cmocka_unit_test(a_rule_where_nothing_is_said),
      cmocka_unit_test(inner_splits_leave_validation_out),
      cmocka_unit_test(inner_splits_of_few_cases),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
