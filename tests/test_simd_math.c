/* The vectorised functions against libm's double ones, over their whole ranges. */
#include "kernels/cpu/simd_math.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>

enum { STEPS = 400000 };

/* Largest |found - exact| / max(|exact|, floor) over [low, high]. */
static double worst(float (*found)(float), double (*exact)(double), double low, double high,
                    double floor_) {
  double largest = 0;
  for (int i = 0; i <= STEPS; i++) {
    float x = (float)(low + (high - low) * i / STEPS);
    double wanted = exact((double)x), scale = fmax(fabs(wanted), floor_);
    double error = fabs((double)found(x) - wanted) / scale;
    largest = error > largest || isnan(error) ? error : largest;
  }
  return largest;
}

static double d_sigmoid(double x) {
  return 1 / (1 + exp(-x));
}
static double d_silu(double x) {
  return x * d_sigmoid(x);
}
static double d_silu_slope(double x) {
  return d_sigmoid(x) * (1 + x * d_sigmoid(-x));
}
static double d_softplus(double x) {
  return (x > 0 ? x : 0) + log1p(exp(-fabs(x)));
}
static double d_gelu(double x) {
  return x * .5 * erfc(-x * M_SQRT1_2);
}
static double d_gelu_slope(double x) {
  return .5 * erfc(-x * M_SQRT1_2) + x * exp(-.5 * x * x) * M_SQRT1_2 * .5 * M_2_SQRTPI;
}

static void test_errors(void **state) {
  (void)state;
  static const struct {
    const char *name;
    float (*found)(float);
    double (*exact)(double);
    double low, high, floor_, bound;
  } rows[] = {{"exp", simd_exp, exp, -87.2, 88, 0, 2.4e-7},
              {"exp near 0", simd_exp, exp, -1, 1, 0, 1.2e-7},
              {"log", simd_log, log, 1e-30, 1e30, 1, 1.2e-7},
              {"log near 1", simd_log, log, .5, 2, 1, 1.2e-7},
              {"log1p", simd_log1p_unit, log1p, 0, 1, 1e-30, 2e-7},
              {"log1p near 0", simd_log1p_unit, log1p, 0, 1e-5, 1e-30, 2e-7},
              {"sigmoid", simd_sigmoid, d_sigmoid, -80, 80, 0, 4e-7},
              {"silu", simd_silu, d_silu, -80, 80, 1e-30, 4e-7},
              {"silu slope", simd_silu_slope, d_silu_slope, -80, 80, 1, 2.5e-7},
              {"softplus", simd_softplus, d_softplus, -80, 80, 0, 4e-7},
              {"gelu", simd_gelu, d_gelu, -30, 30, 1, 2e-7},
              {"gelu slope", simd_gelu_slope, d_gelu_slope, -30, 30, 1, 2e-7}};
  for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
    double error = worst(rows[i].found, rows[i].exact, rows[i].low, rows[i].high, rows[i].floor_);
    printf("%-14s %.2e\n", rows[i].name, error);
    if (!(error <= rows[i].bound))
      fail_msg("%s: error %g > %g", rows[i].name, error, rows[i].bound);
  }
}

static void test_ends(void **state) {
  (void)state;
  assert_true(simd_exp(0.f) == 1.f);
  assert_true(simd_exp(-INFINITY) == 0.f);
  assert_true(simd_exp(-1e30f) == 0.f);
  assert_true(simd_exp(INFINITY) > 1.6e38f && isfinite(simd_exp(INFINITY)));
  assert_true(simd_sigmoid(-INFINITY) == 0.f && simd_sigmoid(INFINITY) == 1.f);
  assert_true(simd_softplus(1e4f) == 1e4f && simd_softplus(-1e4f) == 0.f);
  assert_true(isnan(simd_exp(NAN)) && isnan(simd_sigmoid(NAN)) && isnan(simd_gelu(NAN)));
  assert_true(simd_gelu(-100.f) == 0.f && simd_gelu(100.f) == 100.f);
}

/* Vector lanes and single values must agree: kernels of one op may use both. */
static void test_lanes(void **state) {
  (void)state;
  enum { COUNT = 1003 };
  static float x[COUNT], y[COUNT];
  for (int i = 0; i < COUNT; i++) x[i] = (float)(i - COUNT / 2) * .1f;
#pragma omp simd
  for (int i = 0; i < COUNT; i++) y[i] = simd_softplus(x[i]) + simd_gelu(x[i]);
  for (int i = 0; i < COUNT; i++) {
    volatile float one = x[i];
    assert_true(y[i] == simd_softplus(one) + simd_gelu(one));
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_errors), cmocka_unit_test(test_ends),
                                     cmocka_unit_test(test_lanes)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
