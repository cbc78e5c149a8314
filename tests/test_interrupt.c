/* Signals of one wish to end, and of another. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include "base/interrupt.h"

#include <cmocka.h>

static void a_program_and_its_group_are_told_one_wish(void **state) {
  (void)state;
  Interrupt told = {0};
  assert_int_equal(interrupt_hear(&told), 1);
  assert_int_equal(interrupt_hear(&told), 1);
  assert_int_equal(told.wishes, 1);
  told.first -= 2; /* seconds pass */
  assert_int_equal(interrupt_hear(&told), 2);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(a_program_and_its_group_are_told_one_wish),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
