/* Resampling: against SciPy put together as nnU-Net does it, and what can be said without. */
#include "src/data/prepare/resample.h"
#include "tests/scratch.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static const char python[] = "/usr/bin/python3 tests/oracle/resample.py";

static void *file_read(const char *path, size_t bytes) {
  void *data = malloc(bytes);
  FILE *file = fopen(path, "rb");
  assert_non_null(file);
  assert_int_equal(fread(data, 1, bytes, file), bytes);
  fclose(file);
  return data;
}

typedef struct Example {
  char name[32], kind[8];
  int dim[3], channels, out_dim[3];
  Interpolation order[3];
} Example;

static bool example_read(FILE *list, Example *example) {
  int order[3];
  if (fscanf(list, "%31s %7s %d %d %d %d %d %d %d %d %d %d", example->name, example->kind,
             &example->dim[0], &example->dim[1], &example->dim[2], &example->channels,
             &example->out_dim[0], &example->out_dim[1], &example->out_dim[2], &order[0], &order[1],
             &order[2]) != 12)
    return false;
  for (int i = 0; i < 3; i++)
    example->order[i] = order[i] == 3 ? CUBIC : order[i] == 1 ? LINEAR : NEAREST;
  return true;
}

static size_t voxels_of(const int dim[3]) {
  return (size_t)dim[0] * (size_t)dim[1] * (size_t)dim[2];
}

static void values_compare(const Example *example, const float *in, const float *expected) {
  size_t count = voxels_of(example->out_dim) * (size_t)example->channels;
  float *out = malloc(count * sizeof *out);
  Error error = {0};
  assert_true(resample_values(in, example->dim, example->channels, example->out_dim, example->order,
                              out, &error));
  for (size_t i = 0; i < count; i++)
    if (!(fabsf(out[i] - expected[i]) <= 1e-4f))
      fail_msg("%s: value %zu is %.7g, SciPy says %.7g", example->name, i, out[i], expected[i]);
  free(out);
}

static void labels_compare(const Example *example, const uint8_t *in, const uint8_t *expected) {
  size_t count = voxels_of(example->out_dim);
  uint8_t *out = malloc(count);
  resample_labels(in, example->dim, example->out_dim, example->order, out);
  for (size_t i = 0; i < count; i++)
    if (out[i] != expected[i])
      fail_msg("%s: label %zu is %d, SciPy says %d", example->name, i, out[i], expected[i]);
  free(out);
}

static void agrees_with_scipy(void **state) {
  (void)state;
  if (shell("/usr/bin/python3 -c 'import scipy' 2>/dev/null") != 0) skip();
  Scratch scratch = scratch_make();
  assert_int_equal(shell("%s make %s > %s/list", python, scratch.dir, scratch.dir), 0);
  FILE *list = fopen(scratch_path(&scratch, "list"), "r");
  assert_non_null(list);
  Example example;
  int count = 0;
  for (; example_read(list, &example); count++) {
    bool labels = !strcmp(example.kind, "labels");
    size_t width = labels ? 1 : sizeof(float) * (size_t)example.channels;
    void *in =
        file_read(scratch_path(&scratch, "%s.in", example.name), voxels_of(example.dim) * width);
    void *expected = file_read(scratch_path(&scratch, "%s.out", example.name),
                               voxels_of(example.out_dim) * width);
    if (labels)
      labels_compare(&example, in, expected);
    else
      values_compare(&example, in, expected);
    free(in);
    free(expected);
  }
  fclose(list);
  assert_int_equal(count, 26);
  scratch_free(&scratch);
}

/* nnU-Net: above 3 in the source, else in the target; never two axes. */
static void the_separate_axis(void **state) {
  (void)state;
  const double even[3] = {1, 1, 1}, thick[3] = {9, 1.5, 1.5}, edge[3] = {3, 1, 1};
  const double flat[3] = {0.24, 1.25, 1.25}, wide[3] = {1, 1, 4};
  assert_int_equal(resample_separate_axis(even, even), -1);
  assert_int_equal(resample_separate_axis(edge, even), -1);
  assert_int_equal(resample_separate_axis(thick, even), 0);
  assert_int_equal(resample_separate_axis(even, wide), 2);
  assert_int_equal(resample_separate_axis(flat, wide), -1);
  Interpolation order[3];
  resample_orders(thick, even, CUBIC, order);
  assert_true(order[0] == NEAREST && order[1] == CUBIC && order[2] == CUBIC);
}

static void the_size_at_another_spacing(void **state) {
  (void)state;
  const int dim[3] = {235, 512, 1};
  const double from[3] = {5, 0.7, 1}, to[3] = {2, 0.688, 9};
  int out[3];
  resample_dim(dim, from, to, out);
  assert_int_equal(out[0], 588); /* 587.5, to even */
  assert_int_equal(out[1], 521);
  assert_int_equal(out[2], 1);
  resample_dim(dim, from, (double[3]){1e-12, 1e12, 1}, out); /* beyond any int */
  assert_int_equal(out[0], RESAMPLED_MOST);
  assert_int_equal(out[1], 1);
}

/* Constants stay, and what is coarsened and refined again by a whole factor keeps its mean. */
static void constants_stay(void **state) {
  (void)state;
  const int dim[3] = {5, 6, 7}, out_dim[3] = {11, 4, 9};
  float in[5 * 6 * 7], out[11 * 4 * 9];
  for (size_t i = 0; i < sizeof in / sizeof *in; i++) in[i] = -12.5f;
  const Interpolation all[] = {NEAREST, LINEAR, CUBIC};
  for (int k = 0; k < 3; k++) {
    const Interpolation order[3] = {all[k], all[k], all[k]};
    Error error = {0};
    assert_true(resample_values(in, dim, 1, out_dim, order, out, &error));
    for (size_t i = 0; i < sizeof out / sizeof *out; i++) assert_true(out[i] == -12.5f);
  }
}

/* Taps are what resample_values does. */
static void taps_interpolate_alike(void **state) {
  (void)state;
  const int dim[3] = {1, 1, 9}, out_dim[3] = {1, 1, 14};
  float in[9], out[14];
  for (int i = 0; i < 9; i++) in[i] = (float)(i * i % 7);
  for (int k = 0; k < 2; k++) {
    const Interpolation each = k ? LINEAR : NEAREST, order[3] = {each, each, each};
    Tap tap[14];
    Error error = {0};
    resample_taps(9, 14, each, tap);
    assert_true(resample_values(in, dim, 1, out_dim, order, out, &error));
    for (int i = 0; i < 14; i++)
      assert_float_equal(
          out[i], in[tap[i].below] * (1 - tap[i].share) + in[tap[i].above] * tap[i].share, 1e-6);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(agrees_with_scipy),           cmocka_unit_test(the_separate_axis),
      cmocka_unit_test(the_size_at_another_spacing), cmocka_unit_test(constants_stay),
      cmocka_unit_test(taps_interpolate_alike),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
