/* Equal rows, dealt at random out of one pool of made-up trials: at most 5 % of tables may show a
 * verdict, and a rule that forgets a correction is seen to break that. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/rng.h"
#include "src/report/self_test.h"

#include <cmocka.h>

enum { TRIALS = 60, CASES = 8, LABELS = 3, TABLES = 4000 };

static double value[TRIALS * CASES * LABELS];
static bool collapsed[TRIALS];

static void assert_close(double found, double expected, double tolerance) {
  if (!(fabs(found - expected) <= tolerance)) fail_msg("%.12g is not %.12g", found, expected);
}

/* Seeds of spread .03, cases .05, and what seeds do to cases .01; absent: structure 1 in no even
 * case. */
static Figures draw_pool(int item, bool absent) {
  Rng rng = rng_make(7, RNG_TEST, (uint64_t)item);
  double of_case[CASES];
  for (int c = 0; c < CASES; c++) of_case[c] = 0.8 + 0.05 * rng_normal(&rng);
  for (int t = 0; t < TRIALS; t++) {
    double seed = 0.03 * rng_normal(&rng);
    for (int c = 0; c < CASES; c++)
      for (int l = 0; l < LABELS; l++) {
        double *at = &value[(t * CASES + c) * LABELS + l];
        *at = of_case[c] + seed + 0.01 * rng_normal(&rng);
        if (absent && l == 1 && c % 2 == 0) *at = NAN;
      }
  }
  memset(collapsed, 0, sizeof collapsed);
  return (Figures){
      .trials = TRIALS, .cases = CASES, .labels = LABELS, .value = value, .collapsed = collapsed};
}

static RelabelRates rates_of(const Figures *pool, int rows, int seeds, bool fixed) {
  RelabelRates rates;
  const Relabel how = {.rows = rows, .seeds = seeds, .tables = TABLES, .cases_fixed = fixed};
  relabel(pool, &how, &rates, NULL);
  return rates;
}

static void equal_rows_keep_the_promise(void **state) {
  (void)state;
  Figures pool = draw_pool(0, false);
  for (int fixed = 0; fixed < 2; fixed++) {
    RelabelRates two = rates_of(&pool, 2, 5, fixed), six = rates_of(&pool, 6, 5, fixed);
    assert_int_equal(promise_judge(&two.verdicts), PROMISE_KEPT);
    assert_int_equal(promise_judge(&six.verdicts), PROMISE_KEPT);
    assert_close(two.verdicts.value, two.claims, 1e-12); /* one claim needs no correction */
    assert_close(two.claims, 0.045, 0.015);
    assert_close(six.claims, 0.045, 0.015);
    assert_int_equal(promise_judge(&six.marks), PROMISE_KEPT);
    assert_true(six.marks.value > 0.005);                 /* structures of a trial go together */
    assert_close(six.supported, six.contradicted, 0.005); /* the sign is a toss of a coin */
    /* What the seeds are said to see in 80 of 100 tries. */
    assert_close(two.seen, 0.8, 0.05);
    assert_close(six.seen, 0.8, 0.05);
    /* |difference| of two means of five: normal, sd .03 sqrt(2/5) = .019 */
    assert_close(two.median, 0.6745 * 0.019, 0.002);
    assert_close(two.large, 1.96 * 0.019, 0.005);
    assert_true(six.verdicts.low < six.verdicts.value && six.verdicts.value < six.verdicts.high);
    assert_true(six.verdicts.independent < TABLES && six.verdicts.independent > 50);
  }
}

/* The five claims of six rows, each at 5 %: a rule that forgets Holm. */
static double judge_alone(int count, const double *paper, const Contrast *contrast, const double *p,
                          double *adjusted, Claim *claim) {
  for (int i = 0; i < count; i++) {
    adjusted[i] = p[i];
    claim[i] = claim_judge(paper[i], &contrast[i], p[i], CLAIM_ALPHA);
  }
  return CLAIM_ALPHA;
}

/* What the page says of a shape with such rates. */
static char *notes_of(const Relabel *how, const RelabelRates *rates) {
  char *text = NULL;
  size_t bytes = 0;
  SelfTestShape shape = {.rows = how->rows, .seeds = how->seeds, .dealt = true};
  SelfTest test = {.tables = how->tables, .shape = &shape, .shapes = 1};
  const Result result = {.self_test = &test};
  FILE *memory = open_memstream(&text, &bytes);
  shape.rates[0] = shape.rates[1] = *rates;
  self_test_notes(&result, "", memory);
  fclose(memory);
  return text;
}

static void a_rule_without_correction_is_seen_to_be_broken(void **state) {
  (void)state;
  Figures pool = draw_pool(0, false);
  Relabel how = {.rows = 6, .seeds = 5, .tables = TABLES};
  RelabelRates right, wrong;
  relabel(&pool, &how, &right, NULL);
  how.judge = judge_alone;
  relabel(&pool, &how, &wrong, NULL);
  assert_true(wrong.verdicts.value > 0.13 && wrong.verdicts.low > 0.1);
  assert_close(wrong.verdicts.value, right.uncorrected, 1e-12);
  assert_int_equal(promise_judge(&wrong.verdicts), PROMISE_BROKEN);
  char *notes = notes_of(&how, &wrong), *kept = notes_of(&how, &right);
  assert_ptr_equal(strstr(notes, "BROKEN: of tables of 6 equal rows with 5 seeds"), notes);
  assert_null(strstr(kept, "BROKEN"));
  free(notes);
  free(kept);
  const RelabelShare open = {.value = 0.06, .low = 0.04}, none = {NAN, NAN, NAN, NAN};
  assert_int_equal(promise_judge(&open), PROMISE_OPEN);
  assert_int_equal(promise_judge(&none), PROMISE_NONE);
}

static void the_same_pool_gives_the_same_page(void **state) {
  (void)state;
  Figures pool = draw_pool(0, false);
  static double p[2][50 * 3];
  RelabelRates one, other;
  const Relabel how = {.rows = 4, .seeds = 5, .tables = 50};
  relabel(&pool, &how, &one, p[0]);
  relabel(&pool, &how, &other, p[1]);
  assert_memory_equal(p[0], p[1], sizeof p[0]);
  assert_memory_equal(&one, &other, sizeof one);
}

/* A table's own code says the same of what was dealt: every trial at most once in a table. */
static void units_stand_for_cases(void **state) {
  (void)state;
  for (int absent = 0; absent < 2; absent++) {
    static const int unit[CASES] = {0, 0, 1, 1, 2, 3, 4, 5};
    Figures pool = draw_pool(1, absent), a = pool, b = pool, by_unit;
    pool.unit = unit;
    double *memory = figures_by_unit(&pool, &by_unit);
    assert_non_null(memory);
    assert_int_equal(by_unit.cases, 6);
    a = b = pool;
    a.trials = b.trials = 6;
    b.value += 6 * CASES * LABELS;
    Contrast whole, split;
    double p = contrast_claim(&b, &a, false, &whole);
    a = b = by_unit;
    a.trials = b.trials = 6;
    b.value += 6 * 6;
    assert_close(contrast_claim(&b, &a, false, &split), p, 1e-10);
    assert_close(split.variance / whole.variance, 1, 1e-10);
    assert_close(split.freedom, whole.freedom, 1e-8);
    free(memory);
  }
  Figures pool = draw_pool(2, false), by_unit;
  for (int l = 0; l < LABELS; l++) value[5 * LABELS + l] = NAN; /* a case that one trial lacks */
  assert_null(figures_by_unit(&pool, &by_unit));
  RelabelRates rates = rates_of(&pool, 2, 5, false); /* then the figures are taken as they are */
  assert_close(rates.claims, 0.045, 0.015);
}

/* A collapsed trial leaves its row with four. */
static void collapsed_trials_are_dealt_too(void **state) {
  (void)state;
  Figures pool = draw_pool(0, false);
  for (int t = 0; t < TRIALS; t += 10) collapsed[t] = true;
  RelabelRates rates = rates_of(&pool, 2, 5, false);
  Pool kind = pool_describe(&pool, false);
  assert_true(rates.claims < 0.03 && rates.claims > 0.005);
  assert_int_equal(kind.trials, 54);
  assert_int_equal(kind.collapsed, 6);
}

/* Against NumPy and SciPy (skewness biased, quantiles linear). */
static void a_pool_is_described(void **state) {
  (void)state;
  double f[] = {.61, .85, .83, .86, .79, .84, .88, .81, .83, .87};
  Figures figures = {.trials = 10, .cases = 1, .labels = 1, .value = f};
  Pool pool = pool_describe(&figures, true);
  assert_close(pool.mean, 0.817, 1e-12);
  assert_close(pool.sigma, 0.07761013679497, 1e-12);
  assert_close(pool.skewness, -2.09424217488339, 1e-9);
  assert_close(pool.low, 0.03336872364794, 1e-9);
  assert_close(pool.high, 0.18050835257841, 1e-9);
  assert_close(pool.quantile[1], 0.815, 1e-12);
  assert_close(pool.quantile[2], 0.835, 1e-12);
  assert_close(pool.halves, 0.058, 1e-12);
  assert_close(pool.halves_p, 0.28380390398477, 1e-9);
}

/* Two kinds of trials, one after the other: dealt at random they are one kind; in order they are
 * not. */
static void two_kinds_are_seen_in_their_order(void **state) {
  (void)state;
  Figures pool = draw_pool(3, false);
  assert_true(pool_describe(&pool, false).halves_p > 0.05);
  for (int i = TRIALS / 2 * CASES * LABELS; i < TRIALS * CASES * LABELS; i++) value[i] += 0.05;
  assert_true(pool_describe(&pool, false).halves_p < 1e-4);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(equal_rows_keep_the_promise),
      cmocka_unit_test(a_rule_without_correction_is_seen_to_be_broken),
      cmocka_unit_test(the_same_pool_gives_the_same_page),
      cmocka_unit_test(units_stand_for_cases),
      cmocka_unit_test(collapsed_trials_are_dealt_too),
      cmocka_unit_test(a_pool_is_described),
      cmocka_unit_test(two_kinds_are_seen_in_their_order),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
