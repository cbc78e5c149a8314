/* The forms of the fast sources (kernels/cpu/form.h): each is whole and compiled for what it says,
 * and what it calls the peak of arithmetic is what a loop written by hand reaches. */
#include "base/clock.h"
#include "kernels/cpu/form.h"
#include "kernels/op.h"
#include "src/machine/fma_peak.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

extern const Kernel *const kernels[OP_COUNT];
FORM_DECLARE(kernels)

static void test_every_form_has_every_kernel(void **state) {
  (void)state;
#define CHECK_KERNELS(isa, form, name)                                                             \
  for (int id = 0; id < OP_COUNT; id++) assert_non_null(name##_##form[id]->forward);
  FORMS(CHECK_KERNELS, kernels)
  for (int id = 0; id < OP_COUNT; id++) assert_ptr_equal(kernels_cpu[id], FORM_OF(kernels)[id]);
}

#if defined __x86_64__ && !defined NATIVE
#include <immintrin.h>

extern const Isa form_isa_v3, form_isa_v4;

static void test_a_form_may_use_what_it_is_named_after(void **state) {
  (void)state;
  assert_int_equal(form_isa_v3, ISA_V3);
  assert_int_equal(form_isa_v4, ISA_V4_BF16);
}

/* ---- the peak -------------------------------------------------------------------------------- */

enum { TURNS = 8192 };

#define BY_HAND(name, instructions, TYPE, chains, SPLAT, FMA, FIRST)                               \
  __attribute__((target(instructions), noinline)) static double name(const volatile float *in,     \
                                                                     volatile float *out) {        \
    TYPE a = SPLAT(in[0]), b = SPLAT(in[1]), x[chains], sum = b;                                   \
    _Pragma("GCC unroll 32") for (int c = 0; c < chains; c++) x[c] = SPLAT(in[0]);                 \
    for (int turn = 0; turn < TURNS; turn++)                                                       \
      _Pragma("GCC unroll 32") for (int c = 0; c < chains; c++) x[c] = FMA(x[c], a, b);            \
    _Pragma("GCC unroll 32") for (int c = 0; c < chains; c++) sum = FMA(x[c], a, sum);             \
    *out = FIRST(sum);                                                                             \
    return 2. * TURNS * chains * (double)(sizeof(TYPE) / sizeof(float));                           \
  }
#define TWO_STEPS(x, a, b) _mm_add_ps(_mm_mul_ps(x, a), b)
BY_HAND(by_hand_portable, "sse2", __m128, 12, _mm_set1_ps, TWO_STEPS, _mm_cvtss_f32)
BY_HAND(by_hand_v3, "avx2,fma", __m256, 12, _mm256_set1_ps, _mm256_fmadd_ps, _mm256_cvtss_f32)
BY_HAND(by_hand_v4, "avx512f", __m512, 24, _mm512_set1_ps, _mm512_fmadd_ps, _mm512_cvtss_f32)

typedef double Peak(const volatile float *in, volatile float *out);

static double rate(Peak *peak) {
  static const volatile float one_zero[2] = {1, 0};
  volatile float sink;
  double start = seconds_now(), flops = peak(one_zero, &sink);
  return flops / (seconds_now() - start) / 1e9;
}

/* In turn, each at its best: on a busy machine that takes a while. */
static void compare(const char *name, Peak *form, Peak *by_hand) {
  double found = 0, expected = 0, start = seconds_now(), passed;
  do {
    for (int i = 0; i < 20; i++) {
      found = fmax(found, rate(form));
      expected = fmax(expected, rate(by_hand));
    }
    passed = seconds_now() - start;
  } while (passed < .1 || (passed < 5 && fabs(found / expected - 1) > .1));
  print_message("%s: %.0f GFLOP/s, by hand %.0f\n", name, found, expected);
  assert_true(fabs(found / expected - 1) <= .1);
}

static void test_peaks(void **state) {
  (void)state;
  compare("portable", fma_peak_portable, by_hand_portable);
  if (processor_kernels() < ISA_V3) print_message("skip v3: not here\n");
  if (processor_kernels() >= ISA_V3) compare("v3", fma_peak_v3, by_hand_v3);
  if (processor_kernels() < ISA_V4) print_message("skip v4: not here\n");
  if (processor_kernels() >= ISA_V4) compare("v4", fma_peak_v4, by_hand_v4);
}
#endif

int main(void) {
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(test_every_form_has_every_kernel),
#if defined __x86_64__ && !defined NATIVE
    cmocka_unit_test(test_a_form_may_use_what_it_is_named_after),
    cmocka_unit_test(test_peaks),
#endif
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
