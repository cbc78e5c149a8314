/* Parameters alone: how they are drawn, what an optimiser's step moves, what a checkpoint holds. */
#include "engine/optimizer.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static void test_sgd_clips_groups_and_spares_nan(void **state) {
  (void)state;
  Error error = {0};
  Params *params = params_make(F64);
  int64_t one[1] = {1};
  Init start = {INIT_CONSTANT, 1, 0, 0};
  const ParamAs slow = {.group = GROUP_TRANSFORMER, .init = start};
  Param *cnn = params_get(params, "cnn", 1, one, &(ParamAs){.init = start}, &error);
  Param *transformer = params_get(params, "t", 1, one, &slow, &error);
  params->group[GROUP_TRANSFORMER].factor = 0.1;
  optimizer_states(&(Optimizer){0}, params);
  assert_true(params_allocate(params, 0, &error));
  double *w0 = params_weight(params, cnn), *w1 = params_weight(params, transformer);
  double *g0 = params_gradient(params, cnn), *g1 = params_gradient(params, transformer);
  *g0 = 3;
  *g1 = 4;
  Optimizer sgd = {.momentum = 0.5, .weight_decay = 0.1, .clip = 2.5};
  assert_float_equal(optimizer_step(&sgd, params, 0.2), 5, 1e-12);
  /* d = g/2 + .1; m = d; w = 1 - lr (d + .5 m) */
  assert_float_equal(*w0, 1 - 0.2 * 1.5 * 1.6, 1e-12);
  assert_float_equal(*w1, 1 - 0.02 * 1.5 * 2.1, 1e-12);
  *g0 = NAN;
  double before = *w0;
  assert_true(isnan(optimizer_step(&sgd, params, 0.2)));
  assert_true(*w0 == before);
  params_free(params);
}

static void test_init_depends_on_name_and_seed_only(void **state) {
  (void)state;
  Error error = {0};
  int64_t dim[1] = {5};
  const ParamAs normal = {.init = {INIT_NORMAL, 1, 0, 0}};
  Params *a = params_make(F64), *b = params_make(F64);
  Param *x = params_get(a, "x", 1, dim, &normal, &error);
  params_get(b, "other", 1, dim, &normal, &error);
  Param *y = params_get(b, "x", 1, dim, &normal, &error);
  assert_null(params_get(b, "x", 1, (int64_t[]){6}, &normal, &error));
  assert_non_null(strstr(error.text, "parameter x: has shape (5), asked for (6)"));
  assert_true(params_allocate(a, 9, &error) && params_allocate(b, 9, &error));
  assert_memory_equal(params_weight(a, x), params_weight(b, y), 5 * sizeof(double));
  params_free(a);
  params_free(b);
}

/* One of each, of five numbers drawn by name. */
static Params *of_each_kind(Param *made[PARAM_KINDS]) {
  static const char *const name[PARAM_KINDS] = {"trained", "frozen", "buffer"};
  Params *params = params_make(F32);
  for (int k = 0; k < PARAM_KINDS; k++) {
    const ParamAs as = {.kind = (ParamKind)k, .init = {INIT_NORMAL, 1, 0, 0}};
    made[k] = params_get(params, name[k], 1, (int64_t[]){5}, &as, &(Error){0});
  }
  optimizer_states(&(Optimizer){0}, params);
  assert_true(params_allocate(params, 4, &(Error){0}));
  return params;
}

static void set(const Params *params, const Param *param, float value) {
  for (int i = 0; i < 5; i++) ((float *)params_weight(params, param))[i] = value;
}

static void test_only_the_trained_have_gradients_and_states(void **state) {
  (void)state;
  Param *made[PARAM_KINDS];
  Params *params = of_each_kind(made);
  assert_int_equal(params_trained(params), 5);
  assert_int_equal(params_total(params), 10);
  assert_int_equal(params_numbers(params, PARAM_BUFFER), 5);
  assert_int_equal(params_bytes(params), 5 * PARAM_UNIT * sizeof(float)); /* 3 of these trained */
  assert_null(params_gradient(params, made[PARAM_FROZEN]));
  float before[PARAM_KINDS][5];
  for (int k = 0; k < PARAM_KINDS; k++) memcpy(before[k], params_weight(params, made[k]), 20);
  for (int i = 0; i < 5; i++) ((float *)params_gradient(params, made[PARAM_TRAINED]))[i] = 1;
  optimizer_step(&(Optimizer){.momentum = .9, .weight_decay = .1}, params, .1);
  for (int k = 0; k < PARAM_KINDS; k++)
    for (int i = 0; i < 5; i++)
      assert_int_equal(((float *)params_weight(params, made[k]))[i] == before[k][i], k != 0);
  const ParamAs trained = {.init = {INIT_NORMAL, 1, 0, 0}};
  Error error = {0};
  assert_null(params_get(params, "frozen", 1, (int64_t[]){5}, &trained, &error));
  assert_string_equal(error.text, "parameter frozen: is frozen, asked for as trained");
  params_free(params);
}

/* What is frozen comes from elsewhere: a checkpoint does not hold it, and loading leaves it. */
static void test_checkpoints_hold_what_changes(void **state) {
  (void)state;
  Error error = {0};
  Param *made[PARAM_KINDS];
  Params *params = of_each_kind(made);
  char path[] = "/tmp/harness-test-XXXXXX";
  close(mkstemp(path));
  for (int k = 0; k < PARAM_KINDS; k++) set(params, made[k], 1);
  params->updates = 17;
  assert_true(params_save(params, true, NULL, path, &error));
  for (int k = 0; k < PARAM_KINDS; k++) set(params, made[k], 2);
  params->updates = 0;
  assert_true(params_load(params, true, path, &error));
  assert_int_equal(params->updates, 17);
  for (int k = 0; k < PARAM_KINDS; k++)
    assert_true(*(float *)params_weight(params, made[k]) == (k == PARAM_FROZEN ? 2 : 1));
  checkpoint_remove(path);
  params_free(params);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_sgd_clips_groups_and_spares_nan),
      cmocka_unit_test(test_init_depends_on_name_and_seed_only),
      cmocka_unit_test(test_only_the_trained_have_gradients_and_states),
      cmocka_unit_test(test_checkpoints_hold_what_changes),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
