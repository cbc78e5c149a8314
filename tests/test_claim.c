/* Differences, intervals, verdicts and rank correlation against figures worked out by hand. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include "src/report/claim.h"

#include <cmocka.h>

static void near_to(double found, double expected, double tolerance) {
  if (!(fabs(found - expected) <= tolerance)) fail_msg("%.9g is not %.9g", found, expected);
}

/* A figure per structure is a mean over its own cases: (0.8 + 0.6) / 2 and 0.4 alone -> 0.55. */
static void the_mean_leaves_out_what_is_absent(void **state) {
  (void)state;
  double value[] = {0.8, 0.4, 0.6, NAN};
  Figures one = {1, 2, 2, value};
  near_to(bootstrap_mean(&one), 0.55, 1e-15);
  Figures none = {0, 2, 2, value};
  assert_true(isnan(bootstrap_mean(&none)));
}

/* Three trials without spread in either row, cases that differ by the same amount: nothing that
 * is drawn changes the difference, so the interval is the point. Paired by case or not is the
 * whole difference here: unpaired, cases of 0.2 .. 0.9 would give an interval across 0. */
static void pairing_by_case_removes_what_cases_share(void **state) {
  (void)state;
  double low[12], high[12];
  const double cases[] = {0.2, 0.5, 0.7, 0.9};
  for (int i = 0; i < 12; i++) low[i] = cases[i % 4], high[i] = cases[i % 4] + 0.05;
  Figures above = {3, 4, 1, low}, row = {3, 4, 1, high};
  Difference d = figures_difference(&row, &above);
  near_to(d.value, 0.05, 1e-12);
  assert_true(d.interval);
  near_to(d.low, 0.05, 1e-12);
  near_to(d.high, 0.05, 1e-12);
  assert_int_equal(claim_of(0.01, &d), CLAIM_SUPPORTED);
  assert_int_equal(claim_of(-0.01, &d), CLAIM_NOT_SUPPORTED);
}

/* Seeds of 0.50 0.52 0.54 against 0.60 0.61 0.62, equal cases: two of three are drawn in each row,
 * so the means go from 0.50 to 0.54 and 0.60 to 0.62; at 4 degrees of freedom the tail is
 * P(N < -2.776) = 0.00275 and each extreme pair has (1/9)(1/9) = 0.0123: the interval reaches the
 * extremes, 0.60 - 0.54 and 0.62 - 0.50. */
static void few_seeds_reach_their_extremes(void **state) {
  (void)state;
  double a[30], b[30];
  for (int t = 0; t < 3; t++)
    for (int c = 0; c < 10; c++) a[t * 10 + c] = 0.50 + 0.02 * t, b[t * 10 + c] = 0.60 + 0.01 * t;
  Figures above = {3, 10, 1, a}, row = {3, 10, 1, b};
  Difference d = figures_difference(&row, &above);
  near_to(d.value, 0.09, 1e-12);
  near_to(d.low, 0.06, 1e-12);
  near_to(d.high, 0.12, 1e-12);
  Difference back = figures_difference(&above, &row);
  near_to(back.low, -0.12, 1e-12);
  assert_int_equal(claim_of(0.02, &back), CLAIM_NOT_SUPPORTED);
}

/* Many seeds: the interval of a difference of means is about +- 1.96 s sqrt(2 / n). */
static void many_seeds_give_the_normal_interval(void **state) {
  (void)state;
  enum { N = 60, CASES = 60 };
  static double a[N * CASES], b[N * CASES];
  double squares = 0, middle = (N - 1) / 2.0;
  for (int t = 0; t < N; t++) squares += (t - middle) * (t - middle) * 1e-4;
  for (int i = 0; i < N * CASES; i++) a[i] = b[i] = 0.01 * (i / CASES);
  Figures above = {N, CASES, 1, a}, row = {N, CASES, 1, b};
  Difference d = figures_difference(&row, &above);
  double expected = 2.0 * sqrt(squares / (N - 1) * 2 / N); /* t of 59 degrees: 2.001 */
  near_to(d.value, 0, 1e-12);
  near_to(d.high, expected, 0.06 * expected);
  near_to(d.low, -expected, 0.06 * expected);
  assert_int_equal(claim_of(0.5, &d), CLAIM_UNDECIDED);
  Difference again = figures_difference(&row, &above);
  assert_true(again.low == d.low && again.high == d.high);
}

/* Trials that agree, cases that do not: 8 cases favour the row by 0.1, 4 the other by 0.1. */
static void cases_alone_can_leave_it_undecided(void **state) {
  (void)state;
  double a[24], b[24];
  for (int i = 0; i < 24; i++) a[i] = 0.5, b[i] = i % 12 < 8 ? 0.6 : 0.4;
  Figures above = {2, 12, 1, a}, row = {2, 12, 1, b};
  Difference d = figures_difference(&row, &above);
  near_to(d.value, 0.1 * (8 - 4) / 12, 1e-12);
  assert_true(d.low < 0 && d.high > 0);
  assert_int_equal(claim_of(1, &d), CLAIM_UNDECIDED);
}

static void what_the_seeds_cannot_support_is_refused(void **state) {
  (void)state;
  double value[] = {0.5, 0.6, 0.7, 0.8};
  Figures one = {1, 4, 1, value}, two = {2, 2, 1, value}, none = {0, 4, 1, value};
  Figures single = {1, 2, 1, value}, lone_case = {4, 1, 1, value};
  Difference d = figures_difference(&one, &one);
  assert_false(d.interval);
  near_to(d.value, 0, 0);
  assert_int_equal(claim_of(0.1, &d), CLAIM_TOO_FEW);
  d = figures_difference(&two, &single);
  assert_int_equal(claim_of(0.1, &d), CLAIM_TOO_FEW);
  d = figures_difference(&lone_case, &lone_case);
  assert_int_equal(claim_of(0.1, &d), CLAIM_TOO_FEW);
  d = figures_difference(&one, &none);
  assert_true(isnan(d.value));
  assert_int_equal(claim_of(0.1, &d), CLAIM_NONE);
  d = figures_difference(&two, &two);
  assert_int_equal(claim_of(NAN, &d), CLAIM_NONE);
  assert_int_equal(claim_of(0, &d), CLAIM_NONE);
  assert_int_equal(claim_of(0.1, &d), CLAIM_UNDECIDED);
}

static void a_claimed_collapse_is_counted(void **state) {
  (void)state;
  assert_int_equal(collapse_of(0, 0), CLAIM_NONE);
  assert_int_equal(collapse_of(1, 1), CLAIM_TOO_FEW);
  assert_int_equal(collapse_of(3, 3), CLAIM_SUPPORTED);
  assert_int_equal(collapse_of(1, 3), CLAIM_UNDECIDED);
  assert_int_equal(collapse_of(0, 3), CLAIM_NOT_SUPPORTED);
}

static void tau_of_small_orders(void **state) {
  (void)state;
  double up[] = {1, 2, 3, 4}, down[] = {4, 3, 2, 1}, swap[] = {1, 2, 4, 3}, p, least;
  near_to(kendall_tau(up, up, 4, &p, &least), 1, 1e-15);
  near_to(p, 2.0 / 24, 1e-15); /* this order and its reverse */
  near_to(least, 2.0 / 24, 1e-15);
  near_to(kendall_tau(up, down, 4, &p, &least), -1, 1e-15);
  near_to(kendall_tau(up, swap, 4, &p, &least), 4.0 / 6, 1e-15);
  near_to(p, 8.0 / 24, 1e-15); /* 1 + 3 orders of at most one inversion, and their reverses */
  /* Concordant 4 (12 13 14 24), discordant 0, tied one pair in x and one in y: 4 / sqrt(5 * 5). */
  double x[] = {1, 2, 2, 3}, y[] = {1, 2, 3, 3};
  near_to(kendall_tau(x, y, 4, &p, &least), 0.8, 1e-15);
  double flat[] = {1, 1, 1, 1};
  assert_true(isnan(kendall_tau(flat, up, 4, &p, &least)));
  double six[] = {1, 2, 3, 4, 5, 6};
  kendall_tau(six, six, 6, &p, &least);
  near_to(p, 2.0 / 720, 1e-15);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(the_mean_leaves_out_what_is_absent),
      cmocka_unit_test(pairing_by_case_removes_what_cases_share),
      cmocka_unit_test(few_seeds_reach_their_extremes),
      cmocka_unit_test(many_seeds_give_the_normal_interval),
      cmocka_unit_test(cases_alone_can_leave_it_undecided),
      cmocka_unit_test(what_the_seeds_cannot_support_is_refused),
      cmocka_unit_test(a_claimed_collapse_is_counted),
      cmocka_unit_test(tau_of_small_orders),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
