/* Looks at claims while seeds are added, against numbers that NumPy and SciPy gave. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include "src/statistics/looks.h"

#include <cmocka.h>

static void near_to(double found, double expected) {
  if (!(fabs(found - expected) <= 1e-6 * fabs(expected)))
    fail_msg("%.12g is not %.12g", found, expected);
}

/* Such looks, which spend the whole error between them. */
static void is_plan(const Looks *looks, const int *seeds, int count) {
  double sum = 0;
  assert_int_equal(looks->count, count);
  for (int k = 0; k < count; k++) {
    assert_int_equal(looks->seeds[k], seeds[k]);
    sum += looks->weight[k];
  }
  near_to(sum, 1);
}

static void looks_and_what_they_spend(void **state) {
  (void)state;
  const int seeds[] = {5, 7, 10, 14, 20, 28, 30};
  Looks looks = looks_plan(30);
  is_plan(&looks, seeds, 7);
  const double w[] = {0.17361111, 0.16666667, 0.35416667, 0.30555556};
  looks = looks_plan(12);
  assert_int_equal(looks.count, 4);
  for (int k = 0; k < 4; k++) near_to(looks.weight[k], w[k]);
  looks = looks_plan(5);
  assert_int_equal(looks.count, 1);
  assert_int_equal(looks_affordable(7200, 240, 1), 30);
  assert_int_equal(looks_affordable(7200, 800, 1), 9);
  assert_int_equal(looks_affordable(10, 800, 1), 5);
  assert_int_equal(looks_affordable(10, 800, 5), 1);
}

/* Five folds make a verdict with one seed; looks count seeds of every fold, and spend all alike. */
static void looks_at_folds(void **state) {
  (void)state;
  const int seeds[] = {1, 2, 3, 5, 7, 10, 14, 20, 28, 30};
  Looks looks = looks_plan_folds(30, 5);
  is_plan(&looks, seeds, 10);
  assert_int_equal(looks_least(4), 0);
  assert_int_equal(looks_least(1), 5);
}

/* Of p by look: the least p_k / w_k, then Holm. */
static void what_looks_come_to(void **state) {
  (void)state;
  const double p[3][4] = {{0.004, 0.0015, 1, 1}, {0.03, 0.02, 0.04, 0.011}, {0.6, 0.3, 0.2, 0.5}};
  const double expected[] = {0.009, 0.036, 0.56470588}, holm[] = {0.027, 0.072, 0.56470588};
  Looks looks = looks_plan(12);
  double q[3], adjusted[3];
  for (int i = 0; i < 3; i++) {
    q[i] = 1;
    for (int k = 0; k < 4; k++) q[i] = looks_spent(&looks, k, p[i][k], q[i]);
    near_to(q[i], expected[i]);
  }
  holm_adjust(q, 3, adjusted);
  for (int i = 0; i < 3; i++) near_to(adjusted[i], holm[i]);
}

enum { SEEDS = 12, CASES = 6 };

/* A row's figures: trial t has mean + spread times a fixed sequence that has no trend. */
static Figures row_of(double *value, double mean, double spread) {
  static const double wave[SEEDS] = {1, -1, .3, -.6, .2, -.1, .8, -.9, .5, -.4, .7, -.5};
  for (int i = 0; i < SEEDS * CASES; i++)
    value[i] = mean + spread * wave[i / CASES] + 0.001 * (i % CASES);
  return (Figures){.trials = SEEDS, .cases = CASES, .labels = 1, .value = value};
}

static void seeds_are_added_until_it_is_decided(void **state) {
  (void)state;
  static double a[SEEDS * CASES], b[SEEDS * CASES], c[SEEDS * CASES];
  Figures rows[] = {row_of(a, 0.5, 0.01), row_of(b, 0.6, 0.011), row_of(c, 0.6005, 0.012)};
  LooksClaim claims[] = {{.row = &rows[1], .above = &rows[0], .paper = 0.02},
                         {.row = &rows[2], .above = &rows[1], .paper = 0.03}};
  Looks looks = looks_plan(12);
  for (int r = 0; r < 3; r++) rows[r].trials = 4;
  LooksState now = looks_replay(&looks, claims, 2, false);
  assert_int_equal(now.looks, 0);
  assert_int_equal(now.next, 5);
  assert_int_equal(now.open, 2);
  for (int r = 0; r < 3; r++) rows[r].trials = 5;
  now = looks_replay(&looks, claims, 2, false);
  assert_int_equal(now.looks, 1);
  assert_int_equal(now.next, 7);
  assert_int_equal(claims[0].claim, CLAIM_SUPPORTED);
  assert_int_equal(claims[1].claim, CLAIM_UNDECIDED);
  assert_true(claims[0].low > 0 && claims[1].low < 0 && claims[1].high > 0);
  double first_q = claims[0].q;
  for (int r = 1; r < 3; r++) rows[r].trials = SEEDS; /* row 0 has no open claim and needs none */
  now = looks_replay(&looks, claims, 2, false);
  assert_int_equal(now.looks, 3); /* then two further seeds could no longer decide the other */
  assert_int_equal(now.next, 0);
  assert_int_equal(claims[0].looks, 1);
  assert_true(claims[0].q == first_q);
  assert_int_equal(claims[0].claim, CLAIM_SUPPORTED);
  assert_int_equal(claims[1].claim, CLAIM_OUT_OF_REACH);
  claims[0].paper = -0.02;
  looks_replay(&looks, claims, 2, false);
  assert_int_equal(claims[0].claim, CLAIM_CONTRADICTED);
}

/* Two seeds of five folds, which stand seed by seed: the first look is at five trials a row. */
static void folds_are_looked_at_seed_by_seed(void **state) {
  (void)state;
  static double a[10], b[10];
  const int fold[] = {0, 1, 2, 3, 4, 0, 1, 2, 3, 4};
  for (int t = 0; t < 10; t++) {
    a[t] = 0.8 + 0.01 * (t % 5);
    b[t] = a[t] + (t < 5 ? 0.001 * (t % 3 - 1) : 0.2 + 0.001 * (t % 5));
  }
  Figures row = {.trials = 10, .cases = 1, .labels = 1, .value = b, .fold = fold}, above = row;
  above.value = a;
  LooksClaim claim = {.row = &row, .above = &above, .paper = 0.01};
  Looks looks = looks_plan_folds(2, 5);
  row.trials = 9; /* a fold of the second seed is missing */
  LooksState now = looks_replay(&looks, &claim, 1, false);
  assert_int_equal(now.looks, 1);
  assert_int_equal(now.next, 2);
  assert_int_equal(claim.claim, CLAIM_UNDECIDED);
  row.trials = 10;
  now = looks_replay(&looks, &claim, 1, false);
  assert_int_equal(now.looks, 2);
  assert_int_equal(claim.claim, CLAIM_SUPPORTED);
}

/* A row that no further trial of which will end holds up nobody else; its claim counts in Holm. */
static void a_lost_row_holds_up_nobody(void **state) {
  (void)state;
  static double a[SEEDS * CASES], b[SEEDS * CASES], c[SEEDS * CASES];
  Figures rows[] = {row_of(a, 0.5, 0.01), row_of(b, 0.516, 0.011), row_of(c, 0.7, 0.012)};
  LooksClaim claims[] = {{.row = &rows[1], .above = &rows[0], .paper = 0.02},
                         {.row = &rows[2], .above = &rows[1], .paper = 0.03, .lost = true}};
  Looks looks = looks_plan(12);
  rows[0].trials = rows[1].trials = 7;
  rows[2].trials = 3;
  LooksState now = looks_replay(&looks, claims, 2, false);
  assert_int_equal(now.looks, 2);
  assert_int_equal(claims[1].looks, 0);
  assert_int_equal(now.next, claims[0].claim == CLAIM_UNDECIDED ? 10 : 0);
  near_to(claims[0].adjusted, fmin(1, 2 * claims[0].q));
  rows[0].trials = rows[1].trials = 4;
  now = looks_replay(&looks, claims + 1, 1, false);
  assert_int_equal(now.next, 0);
  assert_int_equal(now.open, 1);
}

/* Seeds that spread alike in all rows and differ by .0149 (q .035 at the first look) and .011 (q
 * .016 at the second). The first claim is decided with the second one, by its first look: in the
 * last two seeds its difference turns. */
static void a_verdict_is_of_the_look_that_decided_it(void **state) {
  (void)state;
  enum { TRIALS = 7, ALL = TRIALS * CASES };
  static const double wave[TRIALS] = {.01, -.01, .005, -.005};
  static double value[3][ALL];
  Figures rows[3];
  for (int i = 0; i < ALL; i++) {
    int t = i / CASES;
    value[0][i] = 0.5 + wave[t] + 0.001 * (i % CASES);
    value[1][i] = value[0][i] + (t < 5 ? 0.0149 : -0.2);
    value[2][i] = value[0][i] + 0.011;
  }
  for (int r = 0; r < 3; r++)
    rows[r] = (Figures){.trials = TRIALS, .cases = CASES, .labels = 1, .value = value[r]};
  LooksClaim claims[] = {{.row = &rows[1], .above = &rows[0], .paper = 0.1},
                         {.row = &rows[2], .above = &rows[0], .paper = 0.1}};
  Looks looks = looks_plan(TRIALS);
  LooksState now = looks_replay(&looks, claims, 2, false);
  assert_int_equal(now.looks, 2);
  assert_true(claims[0].q > 0.025 && claims[0].q < 0.05 && claims[0].contrast.value < 0);
  near_to(claims[0].difference, 0.0149);
  assert_int_equal(claims[0].claim, CLAIM_SUPPORTED);
  assert_int_equal(claims[1].claim, CLAIM_SUPPORTED);
}

/* A paper's difference far below what twelve seeds see, and rows that are equal: given up. */
static void what_cannot_be_decided_is_given_up(void **state) {
  (void)state;
  static double a[SEEDS * CASES], b[SEEDS * CASES];
  Figures rows[] = {row_of(a, 0.5, 0.03), row_of(b, 0.5, 0.03)};
  for (int i = 0; i < SEEDS * CASES; i++) b[i] += i % 7 * 1e-4;
  LooksClaim claim = {.row = &rows[1], .above = &rows[0], .paper = 0.002};
  Looks looks = looks_plan(12);
  LooksState now = looks_replay(&looks, &claim, 1, false);
  assert_int_equal(claim.claim, CLAIM_OUT_OF_REACH);
  assert_int_equal(claim.looks, 1);
  assert_int_equal(now.open, 0);
  claim.paper = 0.08; /* it could still turn out as the paper says */
  rows[0].trials = rows[1].trials = 5;
  looks_replay(&looks, &claim, 1, false);
  assert_int_equal(claim.claim, CLAIM_UNDECIDED);
  claim.paper = 0; /* it says nothing: the rows are equal as far as five seeds can tell */
  looks_replay(&looks, &claim, 1, false);
  assert_int_equal(claim.claim, CLAIM_OUT_OF_REACH);
  for (int i = 0; i < SEEDS * CASES; i++) b[i] -= 0.2;
  looks_replay(&looks, &claim, 1, false);
  assert_int_equal(claim.claim, CLAIM_DIFFERS);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(looks_and_what_they_spend),
      cmocka_unit_test(what_looks_come_to),
      cmocka_unit_test(looks_at_folds),
      cmocka_unit_test(folds_are_looked_at_seed_by_seed),
      cmocka_unit_test(a_lost_row_holds_up_nobody),
      cmocka_unit_test(seeds_are_added_until_it_is_decided),
      cmocka_unit_test(a_verdict_is_of_the_look_that_decided_it),
      cmocka_unit_test(what_cannot_be_decided_is_given_up),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
