/* The statistics of verdicts against numbers that NumPy and SciPy gave. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include "src/statistics/family.h"
#include "src/statistics/kendall.h"
#include "src/statistics/power.h"
#include "src/statistics/student.h"

#include <cmocka.h>

static void near_to(double found, double expected) {
  if (!(fabs(found - expected) <= 1e-6 * fabs(expected)))
    fail_msg("%.12g is not %.12g", found, expected);
}

static Contrast compare(const Figures *row, const Figures *above) {
  const ContrastChoice random = {false, false};
  return contrast_make(row, above, &random);
}

static void is_interval(const Contrast *contrast, double low, double high) {
  double found_low, found_high;
  contrast_interval(contrast, 0.05, &found_low, &found_high);
  near_to(found_low, low);
  near_to(found_high, high);
}

/* ---- Student --------------------------------------------------------------------------------- */

static void quantiles_and_tails_of_t(void **state) {
  (void)state;
  near_to(student_critical(0.05, 4), 2.77644511);
  near_to(student_critical(0.05, 2.5), 3.57465484);
  near_to(student_critical(1e-6, 5), 28.4784735);
  near_to(student_tail(2.5, 3.7), 0.0718220229);
  near_to(student_tail(-2.5, 3.7), 0.0718220229);
  assert_true(student_tail(0, 3) == 1);
  near_to(student_critical(0.05, 1), tan(M_PI / 2 * 0.95)); /* Cauchy */
  near_to(student_critical(0.05, 1e9), 1.959963985);
  near_to(normal_below(-1.959963985), 0.025);
}

/* The quantile is the tail's inverse wherever an interval may ask. */
static void a_quantile_is_the_inverse_of_its_tail(void **state) {
  (void)state;
  for (double nu = 1; nu < 2e5; nu *= 2.7)
    for (double p = 1e-9; p < 1; p *= 7)
      if (fabs(student_tail(student_critical(p, nu), nu) / p - 1) > 1e-9)
        fail_msg("nu %g, p %g: %.12g", nu, p, student_tail(student_critical(p, nu), nu));
}

/* ---- the difference -------------------------------------------------------------------------- */

static void seeds_alone(void **state) {
  (void)state;
  double a[30], b[30];
  for (int i = 0; i < 30; i++) a[i] = 0.60 + 0.01 * (i / 10), b[i] = 0.50 + 0.02 * (i / 10);
  Figures row = {.trials = 3, .cases = 10, .labels = 1, .value = a}, above = row;
  above.value = b;
  Contrast c = compare(&row, &above);
  near_to(c.value, 0.09);
  near_to(c.variance, 1.6666666667e-4);
  near_to(c.freedom, 2.9411764706);
  near_to(c.p, 0.0064575892);
  is_interval(&c, 0.048446005, 0.131554);
  assert_int_equal(c.state, CONTRAST_WIDE);
}

static double four_a[] = {0.82, 0.90, 0.76, 0.88, 0.84, 0.91, 0.80, 0.87,
                          0.79, 0.88, 0.74, 0.85, 0.83, 0.93, 0.77, 0.90};
static double four_b[] = {0.78, 0.87, 0.75, 0.80, 0.80, 0.85, 0.74, 0.84,
                          0.76, 0.88, 0.70, 0.81, 0.77, 0.84, 0.72, 0.79};
static const Figures row_a = {.trials = 4, .cases = 4, .labels = 1, .value = four_a};
static const Figures row_b = {.trials = 4, .cases = 4, .labels = 1, .value = four_b};

static void seeds_and_cases(void **state) {
  (void)state;
  Contrast c = compare(&row_a, &row_b);
  near_to(c.value, 0.048125);
  near_to(c.spread_row, 9.5182292e-5);
  near_to(c.spread_above, 3.8020833e-5);
  near_to(c.cases, 3.2682292e-5);
  near_to(c.residual, 2.9383681e-5);
  near_to(c.freedom, 4.8298898);
  near_to(c.p, 0.0098785109);
  is_interval(&c, 0.017770914, 0.078479086);
  const ContrastChoice fixed = {true, false};
  c = contrast_make(&row_a, &row_b, &fixed);
  near_to(c.freedom, 5.0669147);
  is_interval(&c, 0.018574433, 0.077675567);
}

static void rows_of_unlike_numbers_of_seeds(void **state) {
  (void)state;
  Figures three = row_b;
  three.trials = 3;
  Contrast c = compare(&row_a, &three);
  near_to(c.value, 0.0435416667);
  near_to(c.variance, c.spread_row + c.spread_above);
  near_to(c.freedom, 4.3932145);
  near_to(c.p, 0.015623822);
}

static void cases_that_decide(void **state) {
  (void)state;
  double a[] = {0.50, 0.60, 0.52, 0.58, 0.60, 0.50, 0.58, 0.53,
                0.55, 0.56, 0.54, 0.55, 0.56, 0.54, 0.57, 0.55};
  double b[] = {0.48, 0.53, 0.55, 0.48, 0.54, 0.47, 0.50, 0.52,
                0.51, 0.52, 0.49, 0.50, 0.50, 0.49, 0.53, 0.51};
  Figures row = {.trials = 4, .cases = 4, .labels = 1, .value = a}, above = row;
  above.value = b;
  Contrast c = compare(&row, &above);
  near_to(c.variance, 1.0807292e-5);
  near_to(c.variance, c.cases);
  near_to(c.freedom, 2.9215437);
  near_to(c.p, 0.0010059219);
}

static void absent_structures_keep_the_printed_figure(void **state) {
  (void)state;
  double value[] = {0.9, 0.4, 0.8, NAN, 0.7, 0.6, 0.8, 0.5, 0.9, 0, 0.6, 0.3};
  const double z[] = {0.625, 0.65, 0.675, 0.65, 0.45, 0.45};
  Figures figures = {.trials = 2, .cases = 3, .labels = 2, .value = value};
  const int place[] = {0, 1, 2};
  near_to(figures_trial(&figures, 0, false), 0.65);
  near_to(figures_trial(&figures, 1, false), 1.55 / 3);
  for (int t = 0; t < 2; t++) {
    double found[3];
    figures_split(&figures, t, figures_trial(&figures, t, false), place, 3, found);
    for (int p = 0; p < 3; p++) near_to(found[p], z[t * 3 + p]);
  }
  near_to(figures_mean(&figures), (0.65 + 1.55 / 3) / 2);
  figures.trials = 0;
  assert_true(isnan(figures_mean(&figures)));
}

/* Two volumes of one patient say as much as their mean: the interval is that of the means. */
static void patients_are_units(void **state) {
  (void)state;
  double a[40], b[40];
  for (int i = 0; i < 40; i++) a[i] = four_a[i % 16] + 0.01 * (i % 7), b[i] = four_b[i % 16];
  const int unit[] = {0, 0, 1, 1, 2, 2, 3, 3};
  Figures row = {.trials = 5, .cases = 8, .labels = 1, .value = a, .unit = unit}, above = row;
  above.value = b;
  double mean_a[20], mean_b[20];
  for (int i = 0; i < 20; i++) {
    mean_a[i] = (a[2 * i] + a[2 * i + 1]) / 2;
    mean_b[i] = (b[2 * i] + b[2 * i + 1]) / 2;
  }
  Figures few = {.trials = 5, .cases = 4, .labels = 1, .value = mean_a}, few_above = few;
  few_above.value = mean_b;
  Contrast c = compare(&row, &above), expected = compare(&few, &few_above);
  assert_int_equal(c.units, 4);
  near_to(c.variance, expected.variance);
  near_to(c.p, expected.p);
  assert_int_equal(c.state, CONTRAST_WIDE); /* four patients are too few for a verdict */
}

static void folds_are_paired(void **state) {
  (void)state;
  double a[] = {0.8847, 0.8876, 0.8886, 0.8903, 0.8797},
         b[] = {0.8844, 0.8883, 0.8878, 0.8849, 0.8742};
  const int fold[] = {0, 1, 2, 3, 4}, other[] = {3, 2, 1, 0};
  Figures above = {.trials = 5, .cases = 1, .labels = 1, .value = a, .fold = fold}, row = above;
  row.value = b;
  Contrast c = compare(&row, &above);
  near_to(c.value, -0.00226);
  near_to(sqrt(c.variance), 0.0013246132);
  near_to(c.p, 0.16317329);
  is_interval(&c, -0.0059377157, 0.0014177157);
  assert_int_equal(c.state, CONTRAST_WHOLE);
  /* The fifth fold has no partner, and order is none. */
  double four[] = {0.8849, 0.8878, 0.8883, 0.8844};
  row = (Figures){.trials = 4, .cases = 1, .labels = 1, .value = four, .fold = other};
  c = compare(&row, &above);
  assert_int_equal(c.folds, 4);
  near_to(c.value, (-0.0003 + 0.0007 - 0.0008 - 0.0054) / 4);
  assert_int_equal(c.state, CONTRAST_WIDE);
}

static void too_little_is_said_so(void **state) {
  (void)state;
  Figures a = row_a, b = row_b;
  a.trials = 2;
  assert_int_equal(compare(&a, &b).state, CONTRAST_FEW);
  near_to(compare(&a, &b).value, 0.8475 - 0.79375);
  a.trials = 0;
  assert_int_equal(compare(&a, &b).state, CONTRAST_NOTHING);
  assert_int_equal(compare(&row_a, &row_a).state, CONTRAST_WIDE); /* seeds' spread is there */
  double flat[20] = {0};
  Figures copies = {.trials = 5, .cases = 4, .labels = 1, .value = flat};
  assert_int_equal(compare(&copies, &copies).state, CONTRAST_SAME);
  Figures lone = {.trials = 5, .cases = 1, .labels = 1, .value = four_a}, other = lone;
  other.value = four_b;
  assert_int_equal(compare(&lone, &other).state, CONTRAST_FEW);
  const ContrastChoice fixed = {true, false};
  assert_int_equal(contrast_make(&lone, &other, &fixed).state, CONTRAST_WHOLE);
}

/* Six trials a row, one collapsed in the better one: 0.01 apart without it, far below with it. */
static void a_collapsed_trial_takes_the_verdict_away(void **state) {
  (void)state;
  double a[36], b[36];
  for (int i = 0; i < 36; i++) {
    a[i] = 0.5 + 0.001 * (i / 6) + 0.0001 * (i % 5);
    b[i] = a[i] + 0.1 + 0.0001 * (i % 4);
  }
  const bool collapsed[] = {false, false, true, false, false, false};
  Figures above = {.trials = 6, .cases = 6, .labels = 1, .value = a}, row = above;
  row.value = b;
  Contrast c;
  assert_true(contrast_claim(&row, &above, false, &c) < 1e-6);
  row.collapsed = collapsed;
  for (int i = 12; i < 18; i++) b[i] = NAN;
  assert_true(contrast_claim(&row, &above, false, &c) > 0.5);
  assert_true(c.p < 1e-6);
  assert_int_equal(c.trials_row, 5);
  above.collapsed = collapsed; /* in the worse row it changes nothing, and is no trial */
  row.collapsed = NULL;
  double p = contrast_claim(&row, &above, false, &c);
  assert_true(p >= c.p);
  above.lower = row.lower = true; /* 0 mm would be the best of all */
  assert_true(contrast_claim(&row, &above, false, &c) == 1);
}

/* ---- many claims ----------------------------------------------------------------------------- */

static void holm_of_five(void **state) {
  (void)state;
  const double p[] = {0.012, 0.20, 0.001, 0.030, 0.9}, expected[] = {0.048, 0.4, 0.005, 0.09, 0.9};
  double adjusted[5];
  holm_adjust(p, 5, adjusted);
  for (int i = 0; i < 5; i++) near_to(adjusted[i], expected[i]);
  near_to(holm_level(adjusted, 5, 0.05), 0.05 / 3);
  const double all[] = {0.01, 0.02};
  near_to(holm_level(all, 2, 0.05), 0.05);
}

static void verdicts(void **state) {
  (void)state;
  Contrast up = {.state = CONTRAST_WHOLE, .value = 0.1},
           few = {.state = CONTRAST_FEW, .value = 0.1};
  assert_int_equal(claim_judge(0.02, &up, 0.04, 0.05), CLAIM_SUPPORTED);
  assert_int_equal(claim_judge(-0.02, &up, 0.04, 0.05), CLAIM_CONTRADICTED);
  assert_int_equal(claim_judge(0.02, &up, 0.06, 0.05), CLAIM_UNDECIDED);
  assert_int_equal(claim_judge(0.02, &few, 1, 0.05), CLAIM_TOO_FEW);
  assert_int_equal(claim_judge(NAN, &up, 0.04, 0.05), CLAIM_DIFFERS);
  assert_int_equal(claim_judge(0, &up, 0.04, 0.05), CLAIM_DIFFERS);
  assert_int_equal(claim_judge(NAN, &up, 0.06, 0.05), CLAIM_UNDECIDED);
  assert_int_equal(claim_collapse(0, 0), CLAIM_NONE);
  assert_int_equal(claim_collapse(3, 3), CLAIM_TOO_FEW);
  assert_int_equal(claim_collapse(5, 5), CLAIM_SUPPORTED);
  assert_int_equal(claim_collapse(1, 5), CLAIM_UNDECIDED);
  assert_int_equal(claim_collapse(0, 5), CLAIM_CONTRADICTED);
}

/* ---- power ----------------------------------------------------------------------------------- */

static void what_seeds_could_see(void **state) {
  (void)state;
  Power power = {.sigma = 0.03, .tau = 0.005, .units = 8, .claims = 3};
  if (fabs(power_detectable(&power, 5) - 0.079505) > 5e-7)
    fail_msg("%.9g", power_detectable(&power, 5));
  /* In sigma, cases without a spread; to the two digits of the table. */
  const int seeds[] = {3, 4, 5, 6, 8, 12, 20}, claims[] = {1, 3, 5};
  const double table[3][7] = {{3.40, 2.54, 2.12, 1.86, 1.55, 1.22, 0.92},
                              {4.76, 3.28, 2.65, 2.29, 1.86, 1.44, 1.07},
                              {5.57, 3.68, 2.92, 2.49, 2.01, 1.54, 1.14}};
  for (int m = 0; m < 3; m++)
    for (int s = 0; s < 7; s++) {
      Power unit = {.sigma = 1, .tau = 0, .units = 8, .claims = claims[m]};
      if (fabs(power_detectable(&unit, seeds[s]) - table[m][s]) > 0.0051)
        fail_msg("%d claims, %d seeds: %g", claims[m], seeds[s], power_detectable(&unit, seeds[s]));
    }
}

static void how_many_seeds_a_difference_needs(void **state) {
  (void)state;
  Power power = {.sigma = 0.03, .tau = 0, .units = 8, .claims = 3};
  assert_true(fabs(power_seeds(&power, 0.009) - 235) <= 2.5);
  assert_true(fabs(power_seeds(&power, -0.004) - 1180) <= 5);
  power.sigma = 0.004;
  near_to(power_seeds(&power, 0.009), 7);
  near_to(power_seeds(&power, 0.004), 23);
  near_to(power_seeds(&power, 0.5), 5);
  power.tau = 0.01;
  near_to(power_floor(&power),
          (student_critical(0.05 / 3, 7) + student_critical(0.4, 7)) * 0.01 / sqrt(8));
  assert_true(isinf(power_seeds(&power, 0.9 * power_floor(&power))));
  assert_true(isfinite(power_seeds(&power, 1.01 * power_floor(&power))));
  near_to(power_detectable_folds(0.003, 5, 1),
          (student_critical(0.05, 4) + student_critical(0.4, 4)) * 0.003 / sqrt(5));
}

/* ---- orders ---------------------------------------------------------------------------------- */

static void tau_of_small_orders(void **state) {
  (void)state;
  double up[] = {1, 2, 3, 4}, down[] = {4, 3, 2, 1}, swap[] = {1, 2, 4, 3}, p, least;
  near_to(kendall_tau(up, up, 4, &p, &least), 1);
  near_to(p, 2.0 / 24); /* this order and its reverse */
  near_to(least, 2.0 / 24);
  near_to(kendall_tau(up, down, 4, &p, &least), -1);
  near_to(kendall_tau(up, swap, 4, &p, &least), 4.0 / 6);
  near_to(p, 8.0 / 24); /* 1 + 3 orders of at most one inversion, and their reverses */
  /* Concordant 4 (12 13 14 24), discordant 0, tied one pair in x and one in y: 4 / sqrt(5 * 5). */
  double x[] = {1, 2, 2, 3}, y[] = {1, 2, 3, 3};
  near_to(kendall_tau(x, y, 4, &p, &least), 0.8);
  double flat[] = {1, 1, 1, 1};
  assert_true(isnan(kendall_tau(flat, up, 4, &p, &least)));
  double six[] = {1, 2, 3, 4, 5, 6};
  kendall_tau(six, six, 6, &p, &least);
  near_to(p, 2.0 / 720);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(quantiles_and_tails_of_t),
      cmocka_unit_test(a_quantile_is_the_inverse_of_its_tail),
      cmocka_unit_test(seeds_alone),
      cmocka_unit_test(seeds_and_cases),
      cmocka_unit_test(rows_of_unlike_numbers_of_seeds),
      cmocka_unit_test(cases_that_decide),
      cmocka_unit_test(absent_structures_keep_the_printed_figure),
      cmocka_unit_test(patients_are_units),
      cmocka_unit_test(folds_are_paired),
      cmocka_unit_test(too_little_is_said_so),
      cmocka_unit_test(a_collapsed_trial_takes_the_verdict_away),
      cmocka_unit_test(holm_of_five),
      cmocka_unit_test(verdicts),
      cmocka_unit_test(what_seeds_could_see),
      cmocka_unit_test(how_many_seeds_a_difference_needs),
      cmocka_unit_test(tau_of_small_orders),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
