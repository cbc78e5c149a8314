/* The choice among a library's suggestions, with times of our own making. */
#include "kernels/cuda/autotune.h"
#include "kernels/mode.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

typedef struct Candidate {
  double first, later; /* seconds of its first call, of the others */
  int calls;
} Candidate;

static double seconds(void *user) {
  Candidate *c = user;
  return c->calls++ ? c->later : c->first;
}

/* The index of the winner; -1: none. */
static int winner(Autotune *autotune, Candidate *list, int count) {
  int best = -1;
  for (int i = 0; i < count && autotune_open(autotune); i++)
    if (autotune_try(autotune, seconds, &list[i])) best = i;
  return best;
}

static int set_up(void **state) {
  (void)state;
  kernel_mode = (KernelMode){.tf32 = TF32_CONV};
  unsetenv("HARNESS_ENGINES");
  return 0;
}

static void test_the_fastest_wins(void **state) {
  (void)state;
  Candidate list[] = {{.5, 3e-3, 0}, {9, 2e-3, 0}, {1e-3, 4e-3, 0}, {1, 9e-3, 0}};
  Autotune autotune = autotune_begin();
  assert_int_equal(winner(&autotune, list, 4), 1); /* its slow first call does not count */
  assert_int_equal(list[0].calls, 4);
  assert_int_equal(list[2].calls, 4); /* twice as slow: still measured to the end */
  assert_int_equal(list[3].calls, 2); /* hopeless */
}

static void test_what_fails_is_no_winner(void **state) {
  (void)state;
  Candidate list[] = {{NAN, 1e-6, 0}, {1, 5e-3, 0}, {NAN, 1e-6, 0}};
  Autotune autotune = autotune_begin();
  assert_int_equal(winner(&autotune, list, 3), 1);
  Candidate broken = {NAN, 1e-6, 0};
  autotune = autotune_begin();
  assert_int_equal(winner(&autotune, &broken, 1), -1);
  assert_true(autotune_open(&autotune)); /* none was found: the next list is asked */
}

static void test_few_are_tried(void **state) {
  (void)state;
  Candidate list[20];
  for (int i = 0; i < 20; i++) list[i] = (Candidate){1, 1e-3 * (20 - i), 0};
  Autotune autotune = autotune_begin();
  assert_int_equal(winner(&autotune, list, 20), 11);
  assert_false(autotune_open(&autotune));
  autotune = autotune_begin();
  autotune.spent = 100; /* late, but nothing was found yet */
  assert_int_equal(winner(&autotune, list + 8, 12), 0);
}

/* cuDNN's suggestions are settings of engines, one engine often many times in a row. */
static void test_two_of_an_engine(void **state) {
  (void)state;
  static const int64_t suggested[] = {28, 28, 28, 22, 22, 22, 7, 28};
  static const bool admitted[] = {true, true, false, true, true, false, true, false};
  Autotune autotune = autotune_begin();
  for (int i = 0; i < 8; i++)
    assert_int_equal(autotune_admits(&autotune, suggested[i]), admitted[i]);
  autotune_again(&autotune);
  assert_true(autotune_admits(&autotune, 28));
  for (int64_t engine = 100; engine < 111; engine++)
    assert_true(autotune_admits(&autotune, engine));
  assert_false(autotune_admits(&autotune, 111)); /* twelve are enough */
  autotune.blind = true;
  assert_true(autotune_admits(&autotune, 28)); /* each is taken that can be had */
}

/* What is made before it is timed costs too. */
static void test_making_is_counted(void **state) {
  (void)state;
  Candidate one = {1e-3, 1e-3, 0};
  Autotune autotune = autotune_begin();
  assert_int_equal(winner(&autotune, &one, 1), 0);
  assert_true(autotune_open(&autotune));
  autotune.spent += 1;
  assert_false(autotune_open(&autotune));
  autotune_again(&autotune);
  assert_true(autotune_open(&autotune) && autotune.best > 0);
}

static void test_compiled_when_asked(void **state) {
  (void)state;
  assert_false(autotune_compiled());
  setenv("HARNESS_ENGINES", "compiled", 1);
  assert_true(autotune_compiled() && !autotune_begin().blind);
}

static void test_the_first_of_the_same_choice(void **state) {
  (void)state;
  Candidate list[] = {{1, 9e-3, 0}, {1, 1e-3, 0}};
  kernel_mode.deterministic = true;
  Autotune autotune = autotune_begin();
  assert_int_equal(winner(&autotune, list, 2), 0);
  assert_int_equal(list[0].calls, 0); /* not even called */
  kernel_mode.deterministic = false;
  setenv("HARNESS_ENGINES", "first", 1);
  autotune = autotune_begin();
  assert_int_equal(winner(&autotune, list, 2), 0);
  assert_int_equal(list[0].calls, 0);
}

static void test_names_of_tf32(void **state) {
  (void)state;
  Tf32 tf32;
  for (int i = TF32_OFF; i <= TF32_ON; i++) {
    assert_true(tf32_parse(tf32_name((Tf32)i), &tf32));
    assert_int_equal(tf32, i);
  }
  assert_false(tf32_parse("yes", &tf32));
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup(test_the_fastest_wins, set_up),
      cmocka_unit_test_setup(test_what_fails_is_no_winner, set_up),
      cmocka_unit_test_setup(test_few_are_tried, set_up),
      cmocka_unit_test_setup(test_two_of_an_engine, set_up),
      cmocka_unit_test_setup(test_making_is_counted, set_up),
      cmocka_unit_test_setup(test_compiled_when_asked, set_up),
      cmocka_unit_test_setup(test_the_first_of_the_same_choice, set_up),
      cmocka_unit_test_setup(test_names_of_tf32, set_up),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
