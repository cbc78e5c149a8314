/* Which rate tries choose. */
#include "src/store/tries.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

enum { MOST = 12 };

static Try try_of(double lr, int seed, Status status, double dice) {
  return (Try){.lr = lr, .seed = seed, .status = status, .dice = dice, .used = NAN, .cases = 6};
}

static int choice(Try *tries, int count, TriedRate rate[MOST]) {
  int rates = tries_rates(tries, count, rate);
  assert_int_equal(tries_group(rate, rates), rates);
  return tries_choice(rate, rates);
}

static void the_best_mean_wins(void **state) {
  (void)state;
  TriedRate rate[MOST];
  Try tries[] = {try_of(0.2, 1001, STATUS_DONE, 0.5),  try_of(0.1, 1000, STATUS_DONE, 0.7),
                 try_of(0.2, 1000, STATUS_DONE, 0.9),  try_of(0.1, 1001, STATUS_DONE, 0.6),
                 try_of(0.4, 1000, STATUS_DONE, 0.95), try_of(0.4, 1001, STATUS_COLLAPSED, NAN)};
  assert_int_equal(choice(tries, 6, rate), 1);
  assert_float_equal(rate[1].lr, 0.2, 0);
  assert_float_equal(rate[1].dice, 0.7, 1e-12);
  assert_float_equal(rate[2].dice, 0.475, 1e-12); /* a collapsed one counts as 0 */
  assert_int_equal(rate[2].collapsed, 1);
  assert_int_equal(rate[0].first_seed, 1000);
  assert_int_equal(rate[0].last_seed, 1001);
}

static void of_equal_ones_the_smaller(void **state) {
  (void)state;
  TriedRate rate[MOST];
  Try tries[] = {try_of(0.4, 1000, STATUS_DONE, 0.8), try_of(0.2, 1000, STATUS_DONE, 0.8),
                 try_of(0.1, 1000, STATUS_DONE, 0.7)};
  assert_int_equal(choice(tries, 3, rate), 1);
  Try collapsed[] = {try_of(0.4, 1000, STATUS_COLLAPSED, NAN),
                     try_of(0.2, 1000, STATUS_COLLAPSED, NAN)};
  assert_int_equal(choice(collapsed, 2, rate), 0);
  assert_float_equal(rate[0].lr, 0.2, 0);
}

static void what_failed_is_lost(void **state) {
  (void)state;
  TriedRate rate[MOST];
  static const Status bad[] = {STATUS_FAILED, STATUS_OOM, STATUS_TIMEOUT};
  for (int i = 0; i < 3; i++) {
    Try tries[] = {try_of(0.1, 1000, STATUS_COLLAPSED, NAN), try_of(0.2, 1000, STATUS_DONE, 0.9),
                   try_of(0.2, 1001, bad[i], NAN)};
    assert_int_equal(choice(tries, 3, rate), 0);
    assert_int_equal(rate[1].lost, 1);
    assert_int_equal(choice(tries + 2, 1, rate), -1);
  }
  /* An earlier figure of a trial that was repeated and failed is none. */
  Try again[] = {try_of(0.1, 1000, STATUS_FAILED, 0.9), try_of(0.2, 1000, STATUS_DONE, NAN)};
  assert_int_equal(choice(again, 2, rate), -1);
}

static void open_ones_are_told(void **state) {
  (void)state;
  TriedRate rate[MOST];
  Try tries[] = {try_of(0.1, 1000, STATUS_DONE, 0.7), try_of(0.2, 1000, STATUS_PLANNED, NAN),
                 try_of(0.4, 1000, STATUS_INTERRUPTED, NAN),
                 try_of(0.8, 1000, STATUS_RUNNING, NAN)};
  choice(tries, 4, rate);
  for (int i = 0; i < 4; i++) assert_int_equal(rate[i].open, i > 0);
}

/* Rows and folds each have their own. */
static void groups_are_apart(void **state) {
  (void)state;
  TriedRate rate[MOST];
  Try tries[8];
  for (int i = 0; i < 8; i++) {
    tries[i] = try_of(i & 1 ? 0.1 : 0.2, 1000, STATUS_DONE, 0.1 * i);
    tries[i].position = i >> 2;
    tries[i].fold = i >> 1 & 1;
    tries[i].used = 0.2;
  }
  int rates = tries_rates(tries, 8, rate);
  assert_int_equal(rates, 8);
  for (int at = 0; at < 8; at += 2) {
    assert_int_equal(tries_group(&rate[at], rates - at), 2);
    assert_int_equal(rate[at].position, at >> 2);
    assert_int_equal(rate[at].fold, at >> 1 & 1);
    assert_int_equal(tries_choice(&rate[at], 2), 0);
    assert_false(rate[at].used);
    assert_true(rate[at + 1].used);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(the_best_mean_wins),  cmocka_unit_test(of_equal_ones_the_smaller),
      cmocka_unit_test(what_failed_is_lost), cmocka_unit_test(open_ones_are_told),
      cmocka_unit_test(groups_are_apart),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
