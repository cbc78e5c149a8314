/* The threads that make batches ahead of the training. */
#include "kernels/volumes/normals.h"
#include "src/data/batches/loader.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

enum {
  CHANNELS = 2,
  LABELS = 3,
  BATCH_IMAGE = 2 * 6 * 7 * 8 * CHANNELS,
  BATCH_LABEL = 2 * 6 * 7 * 8,
  STEPS = 40
};

static Volume noise_volume(void) {
  Error error = {0};
  Volume volume = {.name = "noise"};
  Grid grid = grid_make((int[3]){9, 12, 11}, (double[3]){1, 1, 1});
  assert_true(image_alloc(&volume.image, &grid, CHANNELS, &error));
  assert_true(label_alloc(&volume.label, &grid, &error));
  Rng rng = rng_make(1, RNG_TEST, 0);
  rng_normals(&rng, volume.image.data, grid_voxels(&grid) * CHANNELS);
  for (size_t i = 0; i < grid_voxels(&grid); i++)
    volume.label.data[i] = (uint8_t)rng_below(&rng, LABELS);
  return volume;
}

static Sampler *sampler_of(const Volume *volume) {
  Error error = {0};
  Sampler *sampler;
  SamplerOptions options = {.batch = 2, .patch = {6, 7, 8}, .foreground = 0.33, .seed = 5};
  assert_true(augment_parse("nnunet", "dhw", &options.augment, &error));
  assert_true(sampler_make(&sampler, volume, 1, LABELS, &options, &error));
  return sampler;
}

/* Whoever makes them, wherever one starts: the same bits for the same step. */
static void batches_do_not_depend_on_workers(void **state) {
  (void)state;
  Volume volume = noise_volume();
  Sampler *sampler = sampler_of(&volume);
  static float expected[STEPS][BATCH_IMAGE], image[BATCH_IMAGE],
      scratch[6 * 7 * 8 * (CHANNELS + 1)];
  static int32_t labels[STEPS][BATCH_LABEL], label[BATCH_LABEL];
  assert_int_equal(sampler_size(sampler).scratch * sizeof(float), sizeof scratch);
  for (uint64_t step = 0; step < STEPS; step++)
    sampler_batch(sampler, step, scratch, expected[step], labels[step]);
  static const int workers[] = {0, 1, 3, 8};
  static const uint64_t firsts[] = {0, 1, 17, STEPS - 1};
  for (int w = 0; w < 4; w++)
    for (int f = 0; f < 4; f++) {
      Error error = {0};
      Loader *loader;
      assert_true(loader_make(&loader, sampler, workers[w], firsts[f], STEPS, &error));
      for (uint64_t step = firsts[f]; step < STEPS; step++) {
        assert_true(loader_next(loader, image, label) >= 0);
        assert_memory_equal(image, expected[step], sizeof image);
        assert_memory_equal(label, labels[step], sizeof label);
      }
      loader_free(loader);
    }
  sampler_free(sampler);
  volume_free(&volume, 1);
}

/* Ends in the middle, before the first batch, and when there is none to make. */
static void loaders_end_at_any_time(void **state) {
  (void)state;
  Volume volume = noise_volume();
  Sampler *sampler = sampler_of(&volume);
  static float image[BATCH_IMAGE];
  static int32_t label[BATCH_LABEL];
  for (int taken = 0; taken < 60; taken++) {
    Error error = {0};
    Loader *loader;
    assert_true(loader_make(&loader, sampler, 1 + taken % 4, 7, 7 + 1000, &error));
    for (int i = 0; i < taken % 6; i++) loader_next(loader, image, label);
    loader_free(loader);
    assert_true(loader_make(&loader, sampler, 2, 9, 9, &error));
    loader_free(loader);
  }
  Error error = {0};
  Loader *loader;
  assert_false(loader_make(&loader, sampler, -1, 0, 1, &error));
  assert_null(loader);
  assert_non_null(strstr(error.text, "workers = -1"));
  loader_free(NULL);
  sampler_free(sampler);
  volume_free(&volume, 1);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(batches_do_not_depend_on_workers),
      cmocka_unit_test(loaders_end_at_any_time),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
