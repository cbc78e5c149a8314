/* The generator against the known answers that its authors publish (Random123, kat_vectors:
 * philox4x32 with 10 rounds), and what its draws promise. */
#include "base/rng.h"
#include "kernels/volumes/normals.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

static void test_known_answers(void **state) {
  (void)state;
  static const struct {
    uint32_t counter[4], key[2], answer[4];
  } vectors[] = {{{0, 0, 0, 0}, {0, 0}, {0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}},
                 {{0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff},
                  {0xffffffff, 0xffffffff},
                  {0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}},
                 {{0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344},
                  {0xa4093822, 0x299f31d0},
                  {0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}}};
  for (size_t v = 0; v < sizeof vectors / sizeof vectors[0]; v++) {
    Rng rng = rng_make(0, RNG_TEST, 0);
    memcpy(rng.counter, vectors[v].counter, sizeof rng.counter);
    memcpy(rng.key, vectors[v].key, sizeof rng.key);
    for (int i = 0; i < 4; i++) assert_int_equal(rng_u32(&rng), vectors[v].answer[i]);
  }
}

static void test_apart(void **state) {
  (void)state;
  Rng same[] = {rng_make(7, RNG_INIT, 3), rng_make(7, RNG_INIT, 3)};
  Rng other[] = {rng_make(8, RNG_INIT, 3), rng_make(7, RNG_BATCH, 3), rng_make(7, RNG_INIT, 4),
                 rng_make(7 + (1ull << 32), RNG_INIT, 3), rng_make(7, RNG_INIT, 3 + (1ull << 32))};
  uint32_t first = rng_u32(&same[0]);
  assert_int_equal(first, rng_u32(&same[1]));
  for (size_t i = 0; i < sizeof other / sizeof other[0]; i++)
    assert_int_not_equal(first, rng_u32(&other[i]));
}

static void test_ranges(void **state) {
  (void)state;
  enum { DRAWS = 60000 };
  Rng rng = rng_make(1, RNG_TEST, 0);
  int seen[6] = {0};
  double sum = 0, square = 0;
  for (int i = 0; i < DRAWS; i++) {
    double u = rng_between(&rng, -2, 3), x = rng_normal(&rng);
    assert_true(u >= -2 && u < 3);
    assert_true(isfinite(x));
    seen[rng_below(&rng, 6)]++;
    sum += x;
    square += x * x;
  }
  assert_int_equal(rng_below(&rng, 1), 0);
  for (int i = 0; i < 6; i++) assert_in_range(seen[i], DRAWS / 6 - 500, DRAWS / 6 + 500);
  assert_true(fabs(sum / DRAWS) < .02 && fabs(square / DRAWS - 1) < .03);
}

/* Moments and tails of the normal distribution, independence of neighbours, and the same values
 * however many are asked for. */
static void test_normals(void **state) {
  (void)state;
  enum { DRAWS = 200001 };
  static float x[DRAWS], again[DRAWS];
  Rng rng = rng_make(1, RNG_TEST, 0), same = rng;
  rng_u32(&rng);
  rng_u32(&same);
  rng_normals(&rng, x, DRAWS);
  rng_normals(&same, again, 300);
  assert_memory_equal(x, again, 300 * sizeof *x);
  assert_int_not_equal(rng_u32(&rng), rng_u32(&same));
  double power[5] = {0}, lag[4] = {0};
  static const int lags[4] = {1, 64, 128, 256};
  int tail[2] = {0};
  for (int i = 0; i < DRAWS; i++) {
    double value = 1;
    for (int k = 0; k < 5; k++, value *= x[i]) power[k] += value / DRAWS;
    for (int k = 0; k < 4; k++) lag[k] += (double)x[i] * x[(i + lags[k]) % DRAWS] / DRAWS;
    tail[0] += x[i]<-2, tail[1] += x[i]> 2;
  }
  static const double expected[5] = {1, 0, 1, 0, 3}, error[5] = {1e-6, 1, 1.5, 4, 10};
  for (int k = 0; k < 5; k++)
    assert_true(fabs(power[k] - expected[k]) < 5 * error[k] / sqrt(DRAWS));
  for (int k = 0; k < 4; k++) assert_true(fabs(lag[k]) < 5 / sqrt(DRAWS));
  for (int k = 0; k < 2; k++)
    assert_true(fabs(tail[k] - .0227501 * DRAWS) < 5 * sqrt(.02275 * DRAWS));
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_known_answers),
                                     cmocka_unit_test(test_apart), cmocka_unit_test(test_ranges),
                                     cmocka_unit_test(test_normals)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
