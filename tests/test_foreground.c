/* The distribution of foreground intensities against NumPy's, of whole numbers and of reals. */
#include "src/data/plan/foreground.h"
#include "tests/scratch.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

enum { CASES = 3 };
static const int voxels[CASES] = {60070, 120140, 240280};

/* Cases count alike, so NumPy is shown the smaller ones several times over. */
static const char numpy_percentiles[] =
    "/usr/bin/python3 -c \""
    "import numpy\n"
    "r = numpy.random.default_rng(1)\n"
    "def tail(a): return numpy.where(r.random(a.size) < .02, r.uniform(-900, 2000, a.size), a)\n"
    "c = [tail(r.normal(m, s, n)).astype('f4') for m, s, n in "
    "((40, 30, 60070), (-60, 9, 120140), (45, 80, 240280))]\n"
    "if %d: c = [a.round() for a in c]\n"
    "for i, a in enumerate(c): a.tofile('%s/%%d' %% i)\n"
    "v = numpy.concatenate([numpy.tile(a, 240280 // a.size) for a in c]).astype('f8')\n"
    "print(v.mean(), numpy.median(v), v.std(), v.min(), v.max())\n"
    "print(*numpy.percentile(v, (.5, 99.5), method='inverted_cdf'))\n"
    "\" > %s/expected";

static void case_read(const Scratch *scratch, int i, Volume *volume) {
  Error error = {0};
  size_t count = (size_t)voxels[i];
  Grid grid = grid_make((int[3]){1, 1, voxels[i] + 1}, (double[3]){1, 1, 1});
  *volume = (Volume){.name = "case"};
  assert_true(image_alloc(&volume->image, &grid, 2, &error));
  assert_true(label_alloc(&volume->label, &grid, &error));
  float *value = malloc(count * sizeof *value);
  FILE *file = fopen(scratch_path(scratch, "%d", i), "rb");
  assert_int_equal(fread(value, sizeof *value, count, file), count);
  fclose(file);
  memset(volume->label.data, 2, count + 1);
  volume->label.data[0] = 0; /* whose intensity must not count */
  volume->image.data[0] = volume->image.data[1] = 1e9f;
  for (size_t k = 0; k < count; k++) {
    volume->image.data[2 * (k + 1)] = value[k];
    volume->image.data[2 * (k + 1) + 1] = -value[k];
  }
  free(value);
}

static void compare(const Scratch *scratch, int quota, double tolerance) {
  Foreground foreground[2 * CASES + 2];
  Error error = {0};
  Volume volume;
  for (int i = 0; i < CASES; i++) {
    case_read(scratch, i, &volume);
    Frame frame = frame_identity(&volume.image.grid);
    assert_true(foreground_take(foreground + 2 * i, &volume, &frame, quota, &error));
    assert_true(foreground[2 * i].kept <= quota + 1);
    if (i == 0) { /* nobody labelled anything in a fourth case */
      memset(volume.label.data, 0, grid_voxels(&volume.label.grid));
      assert_true(foreground_take(foreground + 2 * CASES, &volume, &frame, quota, &error));
    }
    volume_free(&volume, 1);
  }
  Intensity in = foreground_intensity(foreground, CASES + 1, 2);
  Intensity turned = foreground_intensity(foreground + 1, CASES + 1, 2);
  const double found[] = {in.mean, in.median, in.sd, in.least, in.most, in.low, in.high};
  FILE *file = fopen(scratch_path(scratch, "expected"), "r");
  for (int i = 0; i < 7; i++) {
    double expected;
    assert_int_equal(fscanf(file, "%lf", &expected), 1);
    if (!(fabs(found[i] - expected) <= tolerance * in.sd))
      fail_msg("figure %d is %.9g, NumPy says %.9g (sd %g, %d values a case)", i, found[i],
               expected, in.sd, quota);
  }
  fclose(file);
  assert_float_equal(turned.least, -in.most, 0);
  assert_float_equal(turned.mean, -in.mean, 1e-9);
  assert_float_equal(turned.low, -in.high, tolerance * in.sd);
  foreground_free(foreground, 2 * CASES + 2);
}

/* Exactly where all different values are kept, within a hundredth of the sd where they are not. */
static void agrees_with_numpy(void **state) {
  (void)state;
  if (shell("/usr/bin/python3 -c 'import numpy' 2>/dev/null") != 0) skip();
  for (int whole = 0; whole < 2; whole++) {
    Scratch scratch = scratch_make();
    assert_int_equal(shell(numpy_percentiles, whole, scratch.dir, scratch.dir), 0);
    compare(&scratch, 1 << 16, whole ? 1e-9 : 1e-2);
    compare(&scratch, 8000, whole ? 1e-9 : 1e-2);
    scratch_free(&scratch);
  }
}

/* 256 MiB for all, whatever the data set. */
static void memory_is_bounded(void **state) {
  (void)state;
  static const int sizes[][2] = {{1, 1}, {20, 1}, {500, 4}, {3000, 4}, {30000, 1}};
  for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
    double quota = foreground_quota(sizes[i][0], sizes[i][1]);
    assert_true(quota >= 1000 && 8 * quota * sizes[i][0] * sizes[i][1] <= 256 * 0x1p20);
  }
}

static void nothing_is_nothing(void **state) {
  (void)state;
  const Foreground none = {0};
  Intensity in = foreground_intensity(&none, 1, 1);
  assert_true(in.sd == 0 && in.low == 0 && in.high == 0);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(agrees_with_numpy),
      cmocka_unit_test(memory_is_bounded),
      cmocka_unit_test(nothing_is_nothing),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
