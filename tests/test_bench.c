/* The statistics of benches against worked-out values, and the timing loop on work of known
 * length. */
#include "src/bench/formula.h"
#include "src/bench/op_bench.h"
#include "src/bench/row.h"
#include "src/machine/ceilings.h"
#include "src/machine/timing.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define COUNT(list) ((int)(sizeof(list) / sizeof *(list)))

static void near(double found, double expected, double tolerance) {
  if (!(fabs(found - expected) <= tolerance)) fail_msg("%.9g, expected %.9g", found, expected);
}

static void test_quantiles(void **state) {
  (void)state;
  const double five[] = {50, 10, 40, 20, 30}, four[] = {4, 1, 3, 2};
  Summary s = samples_summary(five, COUNT(five));
  near(s.median, 30, 0);
  near(s.q1, 20, 0);
  near(s.q3, 40, 0);
  near(s.min, 10, 0);
  near(s.max, 50, 0);
  near(five[0], 50, 0); /* the order of the samples is left alone */
  s = samples_summary(four, COUNT(four));
  near(s.median, 2.5, 1e-12);
  near(s.q1, 1.75, 1e-12); /* R: quantile(c(4,1,3,2), .25) */
  near(s.q3, 3.25, 1e-12);
  const double one[] = {7};
  s = samples_summary(one, 1);
  near(s.median, 7, 0);
  near(s.q3, 7, 0);
  assert_true(isnan(samples_summary(one, 0).median));
}

static void test_noise(void **state) {
  (void)state;
  Summary s = {.count = 25, .median = 10, .q1 = 9, .q3 = 11};
  near(summary_noise(&s), 1.57 * 2 / 5 / 10, 1e-12);
  s.count = 1;
  assert_true(isinf(summary_noise(&s)));
}

static void fill(double *value, int count, double centre, double spread) {
  for (int i = 0; i < count; i++)
    value[i] = centre + spread * ((i * 7) % count - count / 2) / count;
}

static Verdict judge(double new_centre, double old_centre, double spread, int count, Ratio *ratio) {
  double now[64], old[64];
  fill(now, count, new_centre, spread);
  fill(old, count, old_centre, spread);
  *ratio = ratio_of_medians(now, count, old, count);
  return ratio_verdict(ratio, count, count, .03);
}

static void test_verdicts(void **state) {
  (void)state;
  Ratio ratio;
  assert_int_equal(judge(80, 100, 4, 40, &ratio), VERDICT_FASTER);
  near(ratio.value, .8, .01);
  assert_true(ratio.low <= ratio.value && ratio.value <= ratio.high);
  assert_int_equal(judge(120, 100, 4, 40, &ratio), VERDICT_SLOWER);
  assert_int_equal(judge(100, 100, 2, 40, &ratio), VERDICT_SAME);
  assert_int_equal(judge(103, 100, 4, 40, &ratio), VERDICT_UNDECIDED);  /* on the border */
  assert_int_equal(judge(100, 100, 90, 12, &ratio), VERDICT_UNDECIDED); /* drowned in noise */
  assert_int_equal(judge(50, 100, 1, 4, &ratio), VERDICT_UNDECIDED);    /* too few samples */
  Ratio again;
  judge(103, 100, 40, 40, &ratio);
  judge(103, 100, 40, 40, &again);
  assert_memory_equal(&ratio, &again, sizeof ratio);
  double none = 0;
  assert_true(isnan(ratio_of_medians(&none, 0, &none, 0).value));
}

static void nap(void *user) {
  (*(int *)user)++;
  usleep(2000);
}

static void test_timing(void **state) {
  (void)state;
  int calls = 0;
  Samples samples = {0};
  Work work = {.run = nap, .user = &calls};
  timing_run(&work, NULL, &(TimingLimits){.seconds = .1},
             &samples); /* a target that cannot be met */
  assert_true(samples.count >= 3 && samples.count <= 60);
  assert_false(samples.met);
  Summary s = samples_summary(samples.value, samples.count);
  assert_true(s.min >= 2000 && s.min < 20000); /* microseconds */
  timing_run(&work, NULL, &(TimingLimits){.seconds = 10, .noise = 1e9},
             &samples); /* a target that every measurement meets */
  assert_true(samples.met);
  assert_int_equal(samples.count, 10);
  samples_free(&samples);
}

static void count_only(void *user) {
  (*(int *)user)++;
}

static void test_short_work_is_repeated_hot_and_single_cold(void **state) {
  (void)state;
  int calls = 0;
  Samples samples = {0};
  Flush flush = flush_make();
  Work work = {.run = count_only, .user = &calls};
  timing_run(&work, NULL, &(TimingLimits){.seconds = .02}, &samples);
  assert_true(calls > 100 * samples.count);
  calls = 0;
  timing_run(&work, &flush, &(TimingLimits){.seconds = .02}, &samples);
  assert_int_equal(calls, samples.count);
  samples_free(&samples);
  flush_free(&flush);
}

static void test_ceilings(void **state) {
  (void)state;
  Machine machine = {.fma_gflops = 100, .copy_gbps = 10};
  const char *bound;
  near(machine_least_us(&machine, 1e9, 1e6, &bound), 1e4, 1e-6);
  assert_string_equal(bound, "compute");
  near(machine_least_us(&machine, 1e6, 1e8, &bound), 1e4, 1e-6);
  assert_string_equal(bound, "memory");
  Flush flush = flush_make();
  machine = machine_begin(1, .02, &flush);
  machine_end(&machine, .02);
  assert_true(machine.fma_gflops > .5 && machine.fma_gflops < 2000); /* of one core */
  assert_true(machine.copy_gbps > .1 && machine.copy_gbps < 2000);
  flush_free(&flush);
}

/* ---- a wrong kernel is seen ------------------------------------------------------------------ */

static void forward_off(const Call *call) {
  kernels_portable[OP_add]->forward(call);
  ((float *)call->out[0].data)[3] += 1;
}

static void forward_lazy(const Call *call) {
  (void)call; /* leaves what was there: the poison */
}

static double error_of(void (*forward)(const Call *), int pass) {
  Kernel kernel = *kernels_portable[OP_add];
  if (forward) kernel.forward = forward;
  OpBench bench;
  OpCheck check;
  Error error = {""};
  assert_true(op_bench_make(&bench, OP_add, op_cases[OP_add], F32, &kernel, &error));
  assert_true(op_bench_check(&bench, &check, &error));
  op_bench_free(&bench);
  return check.error[pass];
}

static void test_wrong_kernels_are_seen(void **state) {
  (void)state;
  assert_true(error_of(NULL, 0) < 1e-6);
  assert_true(error_of(NULL, 1) < 1e-6);
  assert_true(error_of(forward_off, 0) > .1);
  assert_true(isinf(error_of(forward_lazy, 0)));
}

/* ---- long sums ------------------------------------------------------------------------------- */

static void test_tolerance_follows_the_sum(void **state) {
  (void)state;
  OpBench bench;
  Error error = {""};
  const OpCase *c = op_cases[OP_conv];
  while (strcmp(c->name, "quick s0 decoder") != 0) c++;
  assert_true(op_bench_make(&bench, OP_conv, c, F32, kernels_portable[OP_conv], &error));
  const Call *call = &bench.forward;
  near(op_tolerance(call, -1, PRECISION_FLOAT), 1e-5, 0); /* 27 x 32 terms: a few roundings */
  for (int i = 0; i < 2; i++)                             /* weights and bias: every voxel */
    near(op_tolerance(call, i, PRECISION_FLOAT), 4 * 256 * 0x1p-24, 1e-12);
  near(op_tolerance(call, 2, PRECISION_FLOAT), 1e-5, 0);
  near(op_tolerance(call, 0, PRECISION_BF16), 1e-2, 0);
  op_bench_free(&bench);
}

enum { ROWS = 65536, WIDTH = 2 };
static const OpCase long_linear = {
    .name = "long sums", .n_in = 3, .in = {{2, {WIDTH, WIDTH}}, {1, {WIDTH}}, {2, {ROWS, WIDTH}}}};
static const OpCase long_conv = {
    .name = "long sums",
    .n_in = 3,
    .in = {{5, {WIDTH, 1, 1, 1, WIDTH}}, {1, {WIDTH}}, {5, {1, 64, 32, 32, WIDTH}}}};

/* The gradient of a weight lacks one of its 65,536 terms, one that is not small by chance. */
static void backward_short(const Call *call) {
  const float *x = call->in[2].data, *dy = call->dout[0].data;
  int64_t row = 0;
  kernels_cpu[op_find(call->op->name)]->backward(call);
  while (fabsf(x[row * WIDTH] * dy[row * WIDTH]) < .5f) row++;
  ((float *)call->din[0].data)[0] -= x[row * WIDTH] * dy[row * WIDTH];
}

static bool gradient_is_wrong(OpId id, const OpCase *c, void (*backward)(const Call *)) {
  Kernel kernel = *kernels_cpu[id];
  if (backward) kernel.backward = backward;
  OpBench bench;
  OpCheck check;
  Error error = {""};
  assert_true(op_bench_make(&bench, id, c, F32, &kernel, &error));
  assert_true(op_bench_check(&bench, &check, &error));
  op_bench_free(&bench);
  BenchRow row = row_make();
  row.error = check.error[1];
  row.tolerance = check.tolerance[1];
  return row_wrong(&row);
}

static void test_one_missing_term_is_seen(void **state) {
  (void)state;
  assert_false(gradient_is_wrong(OP_linear, &long_linear, NULL));
  assert_true(gradient_is_wrong(OP_linear, &long_linear, backward_short));
  assert_false(gradient_is_wrong(OP_conv, &long_conv, NULL));
  assert_true(gradient_is_wrong(OP_conv, &long_conv, backward_short));
}

/* ---- rows without a time --------------------------------------------------------------------- */

static void said(const BenchRow *row, const char *expected) {
  char *text = NULL;
  size_t bytes = 0;
  FILE *out = open_memstream(&text, &bytes);
  row_print(row, out, 10, true);
  fclose(out);
  if (!strstr(text, expected)) fail_msg("'%s' is not in '%s'", expected, text);
  assert_null(strstr(text, "nan"));
  free(text);
  json_t *object = row_json(row, 1, true);
  const char *why = json_string_value(json_object_get(object, "not_timed"));
  assert_true(why && strstr(expected, why));
  assert_true(json_is_null(json_object_get(object, "median_us")));
  assert_int_equal(json_is_true(json_object_get(object, "wrong")), row_wrong(row));
  json_decref(object);
}

static void test_why_a_row_has_no_time(void **state) {
  (void)state;
  Error why = {"this processor cannot"};
  BenchRow row = row_make();
  row.error = 1.1e-5, row.tolerance = 1e-5;
  said(&row, "not timed: wrong result: 1.1e-05 is beyond the tolerance of 1.0e-05");
  row = row_make();
  samples_add(&row.hot, 1);
  row_give_up(&row, true, &why);
  assert_false(row_wrong(&row));
  said(&row, "not timed: this processor cannot");
  row_give_up(&row, false, &why);
  assert_true(row_wrong(&row));
  said(&row, "not timed: this processor cannot");
}

/* What --explain says is what the op counts: both passes of every case that is not large. */
static void test_formulas(void **state) {
  (void)state;
  int evaluated = 0;
  for (int id = 0; id < OP_COUNT; id++)
    for (const OpCase *c = op_cases[id]; c->name; c++) {
      OpBench bench;
      Error error = {""};
      double elements = 0;
      for (int i = 0; i < c->n_in; i++) {
        double count = 1;
        for (int a = 0; a < c->in[i].rank; a++) count *= (double)c->in[i].dim[a];
        elements += count;
      }
      if (elements > 1e6) continue;
      if (!op_bench_make(&bench, (OpId)id, c, F32, kernels_portable[id], &error))
        fail_msg("%s", error.text);
      for (int pass = 0; pass <= bench.has_backward; pass++) {
        const Call *call = pass ? &bench.backward : &bench.forward;
        const char *text = formula_flops((OpId)id, pass);
        double counted = op_cost(call).flops, said = formula_value(text, call);
        if (isnan(said)) continue; /* in words */
        if (fabs(said - counted) > 1e-9 * counted)
          fail_msg("%s, %s: \"%s\" comes to %.9g, counted are %.9g", op_table[id]->name, c->name,
                   text, said, counted);
        evaluated += counted > 0;
      }
      op_bench_free(&bench);
    }
  assert_true(evaluated > 60);
}

static void seen(double least, double median, const char *bound, const char *kernel,
                 const char *formula, const char *mark) {
  BenchRow row = row_make();
  snprintf(row.kernel, sizeof row.kernel, "%s", kernel);
  snprintf(row.formula, sizeof row.formula, "%s", formula);
  row.bound = bound;
  row.least_us = least;
  samples_add(&row.hot, median);
  const Above *above = row_above(&row);
  assert_string_equal(above ? above->mark : "", mark);
  samples_free(&row.hot);
}

static void test_shares_above_the_ceiling_are_told(void **state) {
  (void)state;
  seen(100, 100, "compute", "conv", "x", "");
  seen(156, 100, "compute", "conv", "x", "(w)");
  seen(156, 100, "compute", "attention", "x", "(f)");
  seen(156, 100, "memory", "conv", "x", "(c)");
  seen(156, 100, "compute", "step:unet-32", "", "(s)");
  seen(NAN, 100, "", "step:unet-32", "", "");
}

/* Calls are counted: as many as are asked for, whatever time and noise say. */
static void test_warmup_and_samples_are_as_asked(void **state) {
  (void)state;
  int calls = 0;
  const TimingLimits limits = {.seconds = 1e-9, .noise = 1, .warmup = 7, .samples = 13};
  Work work = {.run = count_only, .user = &calls};
  Samples samples = {0};
  timing_warm(&work, &limits);
  assert_int_equal(calls, 7);
  timing_run(&work, &(Flush){0}, &limits, &samples);
  assert_int_equal(samples.count, 13);
  assert_int_equal(calls, 20);
  samples_free(&samples);
}

static void test_clock(void **state) {
  (void)state;
  bool slowed = true;
  double mhz = machine_clock(&(Machine){.threads = 1}, &slowed);
  assert_false(slowed);
  if (!(mhz > 300 && mhz < 9000)) fail_msg("%.0f MHz", mhz);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_quantiles),
      cmocka_unit_test(test_noise),
      cmocka_unit_test(test_verdicts),
      cmocka_unit_test(test_timing),
      cmocka_unit_test(test_short_work_is_repeated_hot_and_single_cold),
      cmocka_unit_test(test_ceilings),
      cmocka_unit_test(test_wrong_kernels_are_seen),
      cmocka_unit_test(test_tolerance_follows_the_sum),
      cmocka_unit_test(test_one_missing_term_is_seen),
      cmocka_unit_test(test_why_a_row_has_no_time),
      cmocka_unit_test(test_formulas),
      cmocka_unit_test(test_shares_above_the_ceiling_are_told),
      cmocka_unit_test(test_warmup_and_samples_are_as_asked),
      cmocka_unit_test(test_clock),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
