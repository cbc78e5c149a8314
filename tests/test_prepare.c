/* Prepared volumes against NumPy and SciPy put together as nnU-Net does it: the mask of what was
 * recorded, every scheme of intensities, and what lies outside as a label of its own. */
#include "src/data/prepare/cache.h"
#include "src/data/prepare/preprocess.h"
#include "tests/scratch.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static const char python[] = "/usr/bin/python3 -B tests/oracle/prepare.py";

static void file_read(const char *path, void *data, size_t bytes) {
  FILE *file = fopen(path, "rb");
  assert_non_null(file);
  assert_int_equal(fread(data, 1, bytes, file), bytes);
  fclose(file);
}

static Preprocessing plan_read(const char *path) {
  Preprocessing p;
  Error error = {0};
  json_t *json = json_load_file(path, 0, NULL);
  if (!preprocessing_read(&p, json, path, &error)) fail_msg("%s", error.text);
  json_decref(json);
  return p;
}

static void volume_make(Volume *volume, const int dim[3], const double mm[3], int channels) {
  Error error = {0};
  Grid grid = grid_make(dim, mm);
  *volume = (Volume){.name = "case"};
  assert_true(image_alloc(&volume->image, &grid, channels, &error));
  assert_true(label_alloc(&volume->label, &grid, &error));
}

static void compare(const char *name, const Volume *found, const Volume *expected) {
  size_t voxels = grid_voxels(&expected->image.grid), channels = (size_t)expected->image.channels;
  assert_memory_equal(found->image.grid.dim, expected->image.grid.dim, 3 * sizeof(int));
  for (size_t i = 0; i < voxels * channels; i++)
    if (!(fabsf(found->image.data[i] - expected->image.data[i]) <= 2e-5f))
      fail_msg("%s: channel %zu of voxel %zu is %.7g, NumPy says %.7g", name, i % channels,
               i / channels, found->image.data[i], expected->image.data[i]);
  for (size_t i = 0; i < voxels; i++)
    if (found->label.data[i] != expected->label.data[i])
      fail_msg("%s: label %zu is %d, NumPy says %d", name, i, found->label.data[i],
               expected->label.data[i]);
}

static void agrees_with_numpy(void **state) {
  (void)state;
  if (shell("/usr/bin/python3 -c 'import scipy' 2>/dev/null") != 0) skip();
  Scratch scratch = scratch_make();
  assert_int_equal(shell("%s make %s > %s/list", python, scratch.dir, scratch.dir), 0);
  FILE *list = fopen(scratch_path(&scratch, "list"), "r");
  char name[32];
  int count = 0, dim[3], channels, out[3];
  double mm[3];
  for (; fscanf(list, "%31s %d %d %d %d %lf %lf %lf %d %d %d", name, dim, dim + 1, dim + 2,
                &channels, mm, mm + 1, mm + 2, out, out + 1, out + 2) == 11;
       count++) {
    Preprocessing p = plan_read(scratch_path(&scratch, "%s.plan", name));
    Volume source, expected, prepared;
    Frame frame;
    Error error = {0};
    volume_make(&source, dim, mm, channels);
    volume_make(&expected, out, p.mm, channels);
    size_t voxels = grid_voxels(&source.image.grid), outs = grid_voxels(&expected.image.grid);
    size_t values = (size_t)channels * sizeof(float);
    file_read(scratch_path(&scratch, "%s.image", name), source.image.data, voxels * values);
    file_read(scratch_path(&scratch, "%s.label", name), source.label.data, voxels);
    file_read(scratch_path(&scratch, "%s.prepared", name), expected.image.data, outs * values);
    file_read(scratch_path(&scratch, "%s.labels", name), expected.label.data, outs);
    if (!prepare_volume(&p, &source, &prepared, &frame, &error)) fail_msg("%s", error.text);
    compare(name, &prepared, &expected);
    volume_free(&source, 1);
    volume_free(&expected, 1);
    volume_free(&prepared, 1);
  }
  fclose(list);
  assert_int_equal(count, 4);
  scratch_free(&scratch);
}

/* Without labels the mask is what was recorded alone. */
static void a_label_beside_the_mask(void **state) {
  (void)state;
  Preprocessing p = {.orientation = "RAS", .mm = {1, 1, 1}};
  p.normaliser = (Normaliser){.channels = 1, .masked = true};
  Volume source, with;
  Image without;
  Frame frame;
  Error error = {0};
  volume_make(&source, (int[3]){1, 2, 4}, (double[3]){1, 1, 1}, 1);
  const float value[8] = {1, 2, 3, 4, 5, 0, 0, 0};
  memcpy(source.image.data, value, sizeof value);
  source.label.data[7] = 1;
  assert_true(prepare_image(&p, &source.image, &without, &frame, &error));
  assert_true(prepare_volume(&p, &source, &with, &frame, &error));
  assert_float_equal(without.data[0], (1 - 3) / sqrt(2), 1e-6);
  assert_float_equal(without.data[7], 0, 0);
  assert_float_equal(with.image.data[0], (1 - 2.5) / sqrt(35 / 12.), 1e-6);
  assert_float_equal(with.image.data[7], (0 - 2.5) / sqrt(35 / 12.), 1e-6);
  assert_float_equal(with.image.data[6], 0, 0);
  volume_free(&source, 1);
  volume_free(&with, 1);
  image_free(&without);
}

static void colours_have_a_range(void **state) {
  (void)state;
  Normaliser n = {.channels = 1, .channel = {{.scheme = SCHEME_RGB}}};
  Volume volume;
  Error error = {0};
  volume_make(&volume, (int[3]){1, 1, 2}, (double[3]){1, 1, 1}, 1);
  volume.image.data[1] = 256;
  assert_false(normaliser_apply(&n, NULL, &volume.image, &error));
  assert_non_null(strstr(error.text, "rgb_to_0_1, from 0 .. 255, but holds 0 .. 256"));
  volume_free(&volume, 1);
}

static void names_choose_schemes(void **state) {
  (void)state;
  assert_int_equal(scheme_of_channel("ct"), SCHEME_CT);
  assert_int_equal(scheme_of_channel("NoNorm"), SCHEME_NONE);
  assert_int_equal(scheme_of_channel("RGB_to_0_1"), SCHEME_RGB);
  assert_int_equal(scheme_of_channel("rescale_to_0_1"), SCHEME_RESCALE);
  assert_int_equal(scheme_of_channel("zscore"), SCHEME_ZSCORE);
  assert_int_equal(scheme_of_channel("none"), SCHEME_ZSCORE); /* a name like any other */
  Preprocessing p;
  Error error = {0};
  json_t *plan = json_pack("{s:s, s:[f,f,f], s:[{s:s, s:s}]}", "orientation", "RAS", "spacing_mm",
                           1., 1., 1., "channels", "name", "T1", "scheme", "histogram");
  assert_false(preprocessing_read(&p, plan, "plan.json", &error));
  assert_non_null(strstr(error.text, "expected zscore, ct, none, rescale_to_0_1 or rgb_to_0_1"));
  json_decref(plan);
}

static void plans_that_cannot_be_are_refused(void **state) {
  (void)state;
  Preprocessing p;
  Error error = {0};
  json_t *plan = json_pack("{s:s, s:[f,f,f], s:[{s:s, s:s}]}", "orientation", "RRR", "spacing_mm",
                           1e-9, 1., 1., "channels", "name", "T1", "scheme", "zscore");
  assert_false(preprocessing_read(&p, plan, "plan.json", &error));
  assert_non_null(strstr(error.text, "plan.json: orientation \"RRR\": expected three letters"));
  json_object_set_new(plan, "orientation", json_string("RAS"));
  assert_true(preprocessing_read(&p, plan, "plan.json", &error));
  json_decref(plan);
  Grid grid = grid_make((int[3]){3, 4, 5}, (double[3]){1, 1, 1});
  Image image, prepared;
  Frame frame;
  assert_true(image_alloc(&image, &grid, 1, &error));
  error = (Error){""};
  assert_false(prepare_image(&p, &image, &prepared, &frame, &error));
  assert_non_null(strstr(error.text, "3 voxels of 1 mm become more than 1048576"));
  image_free(&image);
}

/* nnU-Net's class_locations: 10,000, but at least 1 %. */
static void positions_are_enough(void **state) {
  (void)state;
  static const uint32_t pair[][2] = {
      {0, 0},           {1, 1},           {9999, 9999},     {10001, 10000},
      {1000000, 10000}, {1000001, 10001}, {2000000, 20000}, {4000000001, 40000001}};
  for (size_t i = 0; i < sizeof pair / sizeof *pair; i++)
    assert_int_equal(cache_positions(pair[i][0]), pair[i][1]);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(agrees_with_numpy),    cmocka_unit_test(a_label_beside_the_mask),
      cmocka_unit_test(colours_have_a_range), cmocka_unit_test(names_choose_schemes),
      cmocka_unit_test(positions_are_enough), cmocka_unit_test(plans_that_cannot_be_are_refused),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
