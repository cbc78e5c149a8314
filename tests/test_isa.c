/* What the processor may do: the rule against every pair of processor and program, and that oneDNN
 * and a peer keep to it. */
#include "kernels/cpu/processor.h"

#include <dnnl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

static void test_all_there_is_is_used(void **state) {
  (void)state;
  const char *const unset[] = {NULL, ""};
  for (int has = 0; has < ISA_COUNT; has++)
    for (int least = 0; least <= has; least++)
      for (int i = 0; i < 2; i++) {
        Error error = {""};
        Isa isa = ISA_PORTABLE;
        assert_true(isa_choose((Isa)has, (Isa)least, unset[i], &isa, &error));
        assert_int_equal(isa, has);
      }
}

static void test_only_less_can_be_asked_for(void **state) {
  (void)state;
  for (int has = 0; has < ISA_COUNT; has++)
    for (int asked = 0; asked < ISA_COUNT; asked++) {
      Error error = {""};
      Isa isa = ISA_PORTABLE;
      bool good = isa_choose((Isa)has, ISA_PORTABLE, isa_name((Isa)asked), &isa, &error);
      assert_int_equal(good, asked <= has);
      assert_int_equal(isa, good ? asked : has);
      if (!good) assert_non_null(strstr(error.text, isa_name((Isa)has))); /* what there is */
    }
}

static void test_what_is_wrong_is_said(void **state) {
  (void)state;
  Isa isa;
  Error error = {""};
  assert_false(isa_choose(ISA_V3, ISA_PORTABLE, "avx2", &isa, &error));
  assert_string_equal(error.text,
                      "HARNESS_ISA=avx2 is no instruction set; here it is one of: portable, v3");
  error = (Error){""};
  assert_false(isa_choose(ISA_V3, ISA_PORTABLE, "v4", &isa, &error));
  assert_string_equal(error.text, "HARNESS_ISA=v4: this processor has no more than v3; here it is "
                                  "one of: portable, v3");
  error = (Error){""}; /* for one machine, and not for this one */
  assert_false(isa_choose(ISA_V3, ISA_V4_BF16, NULL, &isa, &error));
  assert_non_null(strstr(error.text, "compiled for v4+bf16, this processor has v3"));
}

/* Runs `ask` in a process whose HARNESS_ISA is `asked`; its exit code. */
static int ask_apart(const char *asked, int (*ask)(void)) {
  pid_t child = fork();
  if (child == 0) {
    setenv("HARNESS_ISA", asked, 1);
    _exit(ask());
  }
  int status;
  assert_int_equal(waitpid(child, &status, 0), child);
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static int look_at_onednn(void) {
  Error none = {""};
  if (!processor_check(&none) || processor_libraries() != ISA_PORTABLE) return 1;
  if (dnnl_get_effective_cpu_isa() > dnnl_cpu_isa_avx) return 2;
  return processor_no_bf16() ? 0 : 3;
}

static int look_at_peers(void) {
  const char *const names[] = {"ATEN_CPU_CAPABILITY", "ONEDNN_MAX_CPU_ISA", "DNNL_MAX_CPU_ISA"};
  for (int i = 0; i < 3; i++) unsetenv(names[i]);
  processor_limit_peers();
  for (int i = 0; i < 3; i++)
    if (!getenv(names[i])) return 1;
  return strcmp(getenv("ATEN_CPU_CAPABILITY"), "default") ? 2 : 0;
}

static int look_at_a_typo(void) {
  Error error = {""};
  return !processor_check(&error) && strstr(error.text, "portable") ? 0 : 1;
}

static void test_libraries_and_peers_keep_to_it(void **state) {
  (void)state;
  if (processor_libraries() == ISA_PORTABLE) skip(); /* there is nothing less than that */
  assert_int_equal(ask_apart("portable", look_at_peers), 0);
  assert_int_equal(ask_apart("v5", look_at_a_typo), 0);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_all_there_is_is_used),
      cmocka_unit_test(test_only_less_can_be_asked_for),
      cmocka_unit_test(test_what_is_wrong_is_said),
      cmocka_unit_test(test_libraries_and_peers_keep_to_it),
  };
  int code = ask_apart("portable", look_at_onednn); /* before this process asks for itself */
  if (code) printf("FAIL HARNESS_ISA=portable: %d\n", code);
  return cmocka_run_group_tests(tests, NULL, NULL) || code;
}
