/* Deformable attention beside voxels that are infinite, by the kernels of every form: a sample
 * point that touches no voxel takes nothing from any and leaves nothing in any, one that touches a
 * finite voxel alone takes its share of that. */
#include "kernels/cpu/form.h"
#include "src/bench/op_bench.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

extern const Kernel *const kernels[OP_COUNT];
FORM_DECLARE(kernels)

enum { TOKENS = 8, POINTS = 8, WIDTH = 16 };

/* More voxels than points of a head, and fewer: values are read where they lie, and copied. */
#define LEVELS(what, D, H, W)                                                                      \
  {                                                                                                \
    .name = what, .options = "heads=2 points=2 query_grids=2,2,2", .n_in = 4,                      \
    .in = {{3, {1, TOKENS, 3 * POINTS}},                                                           \
           {3, {1, TOKENS, POINTS}},                                                               \
           {5, {1, D, H, W, WIDTH}},                                                               \
           {5, {1, 1, 2, 2, WIDTH}}},                                                              \
  }
static const OpCase cases[] = {LEVELS("in place", 4, 5, 6), LEVELS("copied", 2, 2, 3)};
enum { CASES = sizeof cases / sizeof *cases };

static OpBench make(const OpCase *c, const Kernel *kernel) {
  OpBench bench;
  Error error = {""};
  if (!op_bench_make(&bench, OP_deform_attention, c, F32, kernel, &error))
    fail_msg("%s", error.text);
  for (int l = 2; l < 4; l++)
    for (int64_t i = 0; i < tensor_count(&bench.in[l]); i++)
      ((float *)bench.in[l].data)[i] = INFINITY;
  return bench;
}

static void all_are(const Tensor *tensor, float expected, const char *what) {
  for (int64_t i = 0; i < tensor_count(tensor); i++) {
    float found = ((const float *)tensor->data)[i];
    if (!(fabsf(found - expected) <= 1e-6f))
      fail_msg("%s, element %d: %g, not %g", what, (int)i, (double)found, (double)expected);
  }
}

/* Every point leaves the grid along one axis, to either side, by a voxel at least. */
static void check_far(const OpCase *c, const char *form, const Kernel *kernel) {
  OpBench bench = make(c, kernel);
  float *offsets = bench.in[0].data;
  for (int i = 0; i < TOKENS * POINTS; i++)
    for (int a = 0; a < 3; a++)
      offsets[3 * i + a] = a != i % 3 ? 0 : i % 2 ? 7 + .25f * (float)(i % 5) : -8.f;
  print_message("%s, %s: outside\n", form, c->name);
  op_bench_forward(&bench);
  all_are(&bench.out[0], 0, "y");
  op_bench_backward(&bench);
  all_are(&bench.din[0], 0, "gradient of the offsets");
  all_are(&bench.din[1], 0, "gradient of the logits");
  all_are(&bench.din[2], 0, "gradient of level 0");
  all_are(&bench.din[3], 0, "gradient of level 1");
  op_bench_free(&bench);
}

/* Every point lies half a voxel beyond the first one along each axis: an eighth of it is there. */
static void check_corner(const OpCase *c, const char *form, const Kernel *kernel) {
  OpBench bench = make(c, kernel);
  float *offsets = bench.in[0].data;
  for (int i = 0; i < TOKENS * POINTS; i++)
    for (int a = 0; a < 3; a++) {
      const Tensor *values = &bench.in[2 + i % 4 / 2];
      int64_t cell = i / POINTS >> (2 - a) & 1;
      offsets[3 * i + a] = (float)(-((double)cell + .5) * (double)values->dim[1 + a] / 2);
    }
  for (int l = 2; l < 4; l++)
    for (int i = 0; i < WIDTH; i++) ((float *)bench.in[l].data)[i] = 2;
  print_message("%s, %s: an eighth of a voxel\n", form, c->name);
  op_bench_forward(&bench);
  all_are(&bench.out[0], .25f, "y");
  op_bench_free(&bench);
}

static void test_nothing_comes_from_where_no_point_is(void **state) {
  (void)state;
#define CHECK_FORM(isa, form, name)                                                                \
  for (int i = 0; isa != ISA_V4_BF16 && processor_kernels() >= isa && i < CASES; i++) {            \
    check_far(&cases[i], #form, name##_##form[OP_deform_attention]);                               \
    check_corner(&cases[i], #form, name##_##form[OP_deform_attention]);                            \
  }
  FORMS(CHECK_FORM, kernels)
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_nothing_comes_from_where_no_point_is)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
