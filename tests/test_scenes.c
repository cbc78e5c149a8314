/* The scenes with prompts: four objects are asked for in every one, prompts are what they say they
 * are, and a case is its seed and its index. */
#include "src/data/phantom/scenes.h"
#include "src/data/sets/dataset.h"
#include "tests/scratch.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <xxhash.h>

#include <cmocka.h>

enum { BOXES = SCENES_COLOURS, MASKS = BOXES + SCENES_TARGETS, H = 40, W = 48, D = 12 };

static const ScenesOptions options = {.size = {D, H, W}, .cases = 3, .validation = 1, .seed = 1};

/* First and last row and column of what is asked for: of a label, or where a channel is above 0. */
typedef struct Extent {
  int low[2], high[2], pixels;
} Extent;

static void extent_add(Extent *e, int h, int w) {
  int at[2] = {h, w};
  for (int axis = 0; axis < 2; axis++) {
    if (!e->pixels || at[axis] < e->low[axis]) e->low[axis] = at[axis];
    if (!e->pixels || at[axis] > e->high[axis]) e->high[axis] = at[axis];
  }
  e->pixels++;
}

/* Returns how many targets reach all four edges: the ground. */
static int check_slice(const float *image, const uint8_t *label) {
  int grounds = 0;
  for (int t = 0; t < SCENES_TARGETS; t++) {
    Extent object = {.pixels = 0}, box = {.pixels = 0};
    for (int i = 0; i < H * W; i++) {
      float inside = image[i * SCENES_CHANNELS + BOXES + t];
      assert_true(fabsf(inside) == 1);
      if (label[i] == t + 1) extent_add(&object, i / W, i % W);
      if (inside > 0) extent_add(&box, i / W, i % W);
    }
    bool ground =
        !object.low[0] && !object.low[1] && object.high[0] == H - 1 && object.high[1] == W - 1;
    grounds += ground;
    assert_true(object.pixels >= H * W / 160 && (ground || object.pixels < H * W / 2));
    int area = 1;
    for (int axis = 0; axis < 2; axis++) {
      double size = object.high[axis] - object.low[axis] + 1, off = .1 * size + .5;
      assert_true(fabs((double)box.low[axis] - object.low[axis]) <= off);
      assert_true(fabs((double)box.high[axis] - object.high[axis]) <= off);
      area *= box.high[axis] - box.low[axis] + 1;
    }
    assert_int_equal(area, box.pixels); /* a whole rectangle */
  }
  return grounds;
}

/* A mask is the object, or differs from it at its border alone: all added, or all gone. */
static void check_masks(const float *image, const uint8_t *label, int changed[3]) {
  for (int m = 0; m < SCENES_MASKED; m++) {
    int target = SCENES_TARGETS - SCENES_MASKED + m + 1, grown = 0, gone = 0;
    for (int i = 0; i < H * W; i++) {
      float value = image[i * SCENES_CHANNELS + MASKS + m];
      bool in = value > 0, is = label[i] == target, border = false;
      int h = i / W, w = i % W;
      assert_true(fabsf(value) == 4);
      border |= h > 0 && (label[i - W] == target) != is;
      border |= h < H - 1 && (label[i + W] == target) != is;
      border |= w > 0 && (label[i - 1] == target) != is;
      border |= w < W - 1 && (label[i + 1] == target) != is;
      assert_true(in == is || border);
      grown += in && !is, gone += !in && is;
    }
    assert_true(!grown || !gone);
    changed[grown ? 2 : gone ? 0 : 1]++;
  }
}

static void prompts_are_of_the_objects(void **state) {
  (void)state;
  Error error = {""};
  Image image;
  LabelMap label;
  int changed[3] = {0}, grounds = 0;
  assert_true(scenes_case(&options, 0, &image, &label, &error));
  assert_int_equal(image.channels, SCENES_CHANNELS);
  for (int d = 0; d < D; d++) {
    const float *slice = image.data + d * H * W * SCENES_CHANNELS;
    grounds += check_slice(slice, label.data + d * H * W);
    check_masks(slice, label.data + d * H * W, changed);
  }
  for (int way = 0; way < 3; way++) assert_true(changed[way] > 0);
  assert_in_range(grounds, 1, D);
  image_free(&image);
  label_free(&label);
}

static uint64_t seen(uint64_t seed, int index) {
  ScenesOptions o = options;
  Error error = {""};
  Image image;
  LabelMap label;
  o.seed = seed;
  assert_true(scenes_case(&o, index, &image, &label, &error));
  uint64_t hash =
      XXH3_64bits(image.data, grid_voxels(&image.grid) * SCENES_CHANNELS * sizeof(float));
  image_free(&image);
  label_free(&label);
  return hash;
}

static void a_case_is_its_seed_and_index(void **state) {
  (void)state;
  assert_true(seen(1, 0) == seen(1, 0));
  assert_true(seen(1, 0) != seen(1, 1));
  assert_true(seen(1, 0) != seen(2, 0));
}

static void folder_reads_back(void **state) {
  (void)state;
  Scratch scratch = scratch_make();
  Error error = {""};
  Image image;
  LabelMap label;
  Dataset dataset;
  Volume volume;
  char dir[512];
  snprintf(dir, sizeof dir, "%s", scratch_path(&scratch, "scenes"));
  assert_true(scenes_make(&options, dir, &error));
  FILE *nowhere = fopen("/dev/null", "w");
  assert_int_equal(dataset_check(dir, nowhere, NULL), 0);
  fclose(nowhere);
  assert_true(dataset_open(&dataset, dir, &error));
  assert_int_equal(dataset.channels, SCENES_CHANNELS);
  assert_int_equal(dataset.labels, 1 + SCENES_TARGETS);
  assert_int_equal(dataset.validation, 1);
  assert_true(dataset_read(&dataset, 2, &volume, &error));
  assert_true(scenes_case(&options, 2, &image, &label, &error));
  size_t voxels = grid_voxels(&image.grid);
  assert_memory_equal(volume.image.data, image.data, voxels * SCENES_CHANNELS * sizeof(float));
  assert_memory_equal(volume.label.data, label.data, voxels);
  image_free(&image);
  label_free(&label);
  volume_free(&volume, 1);
  dataset_free(&dataset);
  scratch_free(&scratch);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(prompts_are_of_the_objects),
      cmocka_unit_test(a_case_is_its_seed_and_index),
      cmocka_unit_test(folder_reads_back),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
