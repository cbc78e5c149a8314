/* Batches, the sliding window and Dice. */
#include "src/data/batches/sampler.h"
#include "src/data/predict/sliding_window.h"
#include "tests/scratch.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

enum { D = 9, H = 8, W = 7, VOXELS = D * H * W };

/* Image voxel i holds i + 1 in channel 0 and -(i + 1) in channel 1: a patch tells where it is from.
 * Label 1 is the voxel (8,7,6), label 3 fills (0, 0..1, 0..6); label 2 is absent. */
static Volume volume_make(void) {
  Error error = {0};
  Volume volume = {.name = "ramp"};
  Grid grid = grid_make((int[3]){D, H, W}, (double[3]){1, 1, 1});
  assert_true(image_alloc(&volume.image, &grid, 2, &error));
  assert_true(label_alloc(&volume.label, &grid, &error));
  for (int i = 0; i < VOXELS; i++) {
    volume.image.data[2 * i] = (float)(i + 1);
    volume.image.data[2 * i + 1] = (float)-(i + 1);
  }
  volume.label.data[VOXELS - 1] = 1;
  memset(volume.label.data, 3, 14);
  return volume;
}

static void batch_is_a_function_of_seed_and_step(void **state) {
  (void)state;
  Error error = {0};
  Volume volume = volume_make();
  SamplerOptions options = {.batch = 3, .patch = {4, 3, 5}, .foreground = 0.33, .seed = 5};
  options.augment = (Augment){.spatial = true, .intensity = true, .mirror = {true, true, true}};
  Sampler *a, *b;
  assert_true(sampler_make(&a, &volume, 1, 4, &options, &error));
  assert_true(sampler_make(&b, &volume, 1, 4, &options, &error));
  enum { IN = 3 * 60 };
  assert_int_equal(sampler_size(a).image, 2 * IN);
  assert_int_equal(sampler_size(a).label, IN);
  assert_int_equal(sampler_size(a).scratch, 60 * 3); /* two channels apart and a spare one */
  float first[2 * IN], second[2 * IN], scratch[60 * 3];
  int32_t first_label[IN], second_label[IN];
  int differ = 0;
  for (uint64_t step = 0; step < 50; step++) {
    for (uint64_t other = 0; other < step % 3; other++)
      sampler_batch(b, 1000 + other, scratch, second, second_label);
    sampler_batch(a, step, scratch, first, first_label);
    sampler_batch(b, step, scratch, second, second_label);
    assert_memory_equal(first, second, sizeof first);
    assert_memory_equal(first_label, second_label, sizeof first_label);
    sampler_batch(b, step + 1, scratch, second, second_label);
    differ += memcmp(first, second, sizeof first) != 0;
  }
  assert_true(differ > 45);
  sampler_free(a);
  sampler_free(b);
  volume_free(&volume, 1);
}

/* The last of two is forced: it must hold foreground, label 1 and 3 about equally often though 3
 * has fourteen times the voxels; the first is uniform. Every patch is a true copy of its place. */
static void last_sample_sees_foreground(void **state) {
  (void)state;
  Error error = {0};
  Volume volume = volume_make();
  SamplerOptions options = {.batch = 2, .patch = {3, 3, 3}, .foreground = 0.33, .seed = 9};
  Sampler *sampler;
  assert_true(sampler_make(&sampler, &volume, 1, 4, &options, &error));
  float image[2][27][2];
  int32_t label[2][27];
  int with[4] = {0}, unforced = 0, corners[3][D] = {0};
  for (uint64_t step = 0; step < 2000; step++) {
    sampler_batch(sampler, step, NULL, &image[0][0][0], &label[0][0]);
    for (int n = 0; n < 2; n++)
      for (int i = 0; i < 27; i++) {
        int at = (int)image[n][0][0] - 1 + i / 9 * H * W + i / 3 % 3 * W + i % 3;
        assert_true(image[n][i][0] == (float)(at + 1) && image[n][i][1] == -image[n][i][0]);
        assert_int_equal(label[n][i], volume.label.data[at]);
      }
    bool has[4] = {false}, first = false;
    for (int i = 0; i < 27; i++) has[label[1][i]] = true, first |= label[0][i] > 0;
    with[1] += has[1], with[3] += has[3], unforced += first;
    assert_true(has[1] || has[3]);
    int origin = (int)image[0][0][0] - 1;
    corners[0][origin / W / H]++, corners[1][origin / W % H]++, corners[2][origin % W]++;
  }
  assert_true(with[1] > 850 && with[1] < 1150);
  assert_true(with[3] > 850 && with[3] < 1150);
  assert_true(unforced > 60 && unforced < 160); /* (1/7 1/3 + 1/210) 2000 = 105 */
  int room[3] = {D - 3, H - 3, W - 3};
  for (int axis = 0; axis < 3; axis++)
    for (int i = 0; i < D; i++) {
      double expected = i <= room[axis] ? 2000.0 / (room[axis] + 1) : 0;
      assert_true(fabs(corners[axis][i] - expected) <= 5 * sqrt(expected));
    }
  sampler_free(sampler);
  volume_free(&volume, 1);
}

/* Cases of the cache, mapped in half precision, give the batches of the same cases in memory. */
static void mapped_cases_give_the_same_batches(void **state) {
  (void)state;
  Error error = {0};
  Scratch scratch = scratch_make();
  enum { CASES = 2, LABELS = 4, IN = 3 * 5 * 6 * 7 };
  const Labelling plain = labelling_plain(LABELS);
  Volume volume[CASES];
  Cached cached[CASES];
  CacheKey key = {.preprocessing = 1, .stamp = 2};
  for (int i = 0; i < CASES; i++) {
    Volume written = volume_make();
    Frame frame = frame_identity(&written.image.grid);
    const char *path = scratch_path(&scratch, "%d.vol", i);
    if (i) written.label.data[17] = 2;
    assert_true(cached_write(path, &key, &plain, &written, &frame, &error));
    assert_true(cached_open(&cached[i], path, &key, true, &error));
    assert_true(cached_volume(&cached[i], "case", &volume[i], &error));
    volume_free(&written, 1);
  }
  SamplerOptions options = {.batch = 3, .patch = {5, 6, 7}, .foreground = 0.33, .seed = 5};
  options.augment = (Augment){.spatial = true, .mirror = {true, false, true}};
  Sampler *mapped, *loaded;
  assert_true(sampler_make_mapped(&mapped, cached, CASES, &options, &error));
  assert_true(sampler_make(&loaded, volume, CASES, LABELS, &options, &error));
  float image[2][2 * IN];
  int32_t label[2][IN];
  for (uint64_t step = 0; step < 300; step++) {
    sampler_batch(mapped, step, NULL, image[0], label[0]);
    sampler_batch(loaded, step, NULL, image[1], label[1]);
    assert_memory_equal(label[0], label[1], sizeof *label);
    for (int i = 0; i < 2 * IN; i++) /* up to 504, differences of neighbours up to 57 */
      assert_true(fabsf(image[0][i] - image[1][i]) < 1e-3f);
  }
  sampler_free(mapped);
  sampler_free(loaded);
  for (int i = 0; i < CASES; i++) cached_close(&cached[i]);
  volume_free(volume, CASES);
  scratch_free(&scratch);
}

/* Cases of which nobody annotated a voxel teach nothing; one voxel is enough, background too. */
static void only_ignored_voxels_teach_nothing(void **state) {
  (void)state;
  Error error = {0};
  Labelling labelling = labelling_plain(3);
  labelling.ignore = 2;
  Volume volume = volume_make();
  for (int annotated = 0; annotated < 2; annotated++) {
    memset(volume.label.data, 2, VOXELS);
    if (annotated) volume.label.data[40] = 0;
    SamplerOptions options = {.batch = 2, .patch = {4, 4, 4}, .labelling = &labelling};
    Sampler *sampler;
    assert_true(sampler_make(&sampler, &volume, 1, 2, &options, &error));
    assert_int_equal(sampler_teaches(sampler), annotated);
    sampler_free(sampler);
  }
  volume_free(&volume, 1);
}

static void small_volumes_are_padded_evenly(void **state) {
  (void)state;
  Error error = {0};
  Volume volume = volume_make();
  SamplerOptions options = {.batch = 2, .patch = {13, 8, 10}, .foreground = 1, .seed = 1};
  Sampler *sampler;
  assert_true(sampler_make(&sampler, &volume, 1, 4, &options, &error));
  static float image[2][13][8][10][2];
  static int32_t label[2][13][8][10];
  int seen[2] = {0};
  for (uint64_t step = 0; step < 20; step++) {
    sampler_batch(sampler, step, NULL, &image[0][0][0][0][0], &label[0][0][0][0]);
    for (int n = 0; n < 2; n++) {
      int left = image[n][2][0][1][0] == 1 ? 1 : 2; /* 3 missing along W: 1 or 2 before */
      seen[left - 1]++;
      for (int d = 0; d < 13; d++)
        for (int h = 0; h < 8; h++)
          for (int w = 0; w < 10; w++) {
            bool inside = d >= 2 && d < 11 && w >= left && w < left + W;
            int at = ((d - 2) * H + h) * W + w - left;
            assert_true(image[n][d][h][w][0] == (inside ? (float)(at + 1) : 0));
            assert_int_equal(label[n][d][h][w], inside ? volume.label.data[at] : 0);
          }
    }
  }
  assert_true(seen[0] > 5 && seen[1] > 5);
  sampler_free(sampler);
  options.batch = 0;
  assert_false(sampler_make(&sampler, &volume, 1, 4, &options, &error));
  assert_null(sampler);
  assert_non_null(strstr(error.text, "batch = 0"));
  volume_free(&volume, 1);
}

static void tiles_are_nnunets(void **state) {
  (void)state;
  static const struct {
    int size, patch;
    double step;
    int count, origin[5];
  } rows[] = {{110, 64, 0.5, 3, {0, 23, 46}},
              {128, 64, 0.5, 3, {0, 32, 64}},
              {123, 54, 0.25, 7, {0, 12, 23, 34, 46}},
              {64, 64, 0.5, 1, {0}},
              {40, 64, 0.5, 1, {-12}},
              {41, 64, 0.5, 1, {-11}},
              {65, 64, 1, 2, {0, 1}},
              {4, 1, 0.5, 4, {0, 1, 2, 3}}};
  for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
    int origin[64];
    int count = window_origins(rows[i].size, rows[i].patch, rows[i].step, origin, 64);
    assert_int_equal(count, rows[i].count);
    for (int k = 0; k < count && k < 5; k++) assert_int_equal(origin[k], rows[i].origin[k]);
  }
  assert_int_equal(window_origins(1000, 2, 0.5, (int[64]){0}, 64), 0);
}

typedef struct Calls {
  int calls, windows, fail_at;
  int batch, voxels;
} Calls;

/* Class maps = the two input channels, third class = 7; also checks that spare windows are zero. */
static bool echo(void *user, int count, const float *patches, float *maps, Error *error) {
  Calls *calls = user;
  if (calls->calls++ == calls->fail_at) return (fail)(error, "device lost");
  calls->windows += count;
  for (int i = 0; i < calls->batch * calls->voxels; i++) {
    if (i >= count * calls->voxels) assert_true(patches[2 * i] == 0 && patches[2 * i + 1] == 0);
    maps[3 * i] = patches[2 * i];
    maps[3 * i + 1] = patches[2 * i + 1];
    maps[3 * i + 2] = 7;
  }
  return true;
}

/* Whatever the tiling, padding and flips, windows that echo their input merge to the input. */
static void windows_merge_to_the_input(void **state) {
  (void)state;
  static const int patches[][3] = {{4, 3, 5}, {9, 8, 7}, {12, 5, 16}, {1, 1, 1}, {2, 8, 11}};
  Volume volume = volume_make();
  static float maps[VOXELS * 3];
  for (int p = 0; p < 5; p++)
    for (int mirror = 0; mirror < 8; mirror++) {
      Error error = {0};
      WindowOptions options = {.step = 0.5, .batch = 4, .classes = 3};
      for (int axis = 0; axis < 3; axis++) options.mirror[axis] = mirror >> axis & 1;
      memcpy(options.patch, patches[p], sizeof options.patch);
      Calls calls = {.fail_at = -1, .batch = 4};
      calls.voxels = patches[p][0] * patches[p][1] * patches[p][2];
      if (!sliding_window(&volume.image, &options, echo, &calls, maps, &error))
        fail_msg("%s", error.text);
      for (int i = 0; i < VOXELS; i++) {
        assert_true(fabsf(maps[3 * i] / (float)(i + 1) - 1) < 1e-5f);
        assert_true(fabsf(maps[3 * i + 1] / (float)(i + 1) + 1) < 1e-5f);
        assert_true(fabsf(maps[3 * i + 2] - 7) < 1e-4f);
      }
      int flips = 1 << __builtin_popcount((unsigned)mirror);
      if (p == 1) assert_int_equal(calls.windows, flips);
      assert_true(calls.calls >= (calls.windows + 3) / 4); /* a batch has one first plane */
    }
  volume_free(&volume, 1);
}

/* Each window answers with its own number: the merge must be the Gaussian mean, worked out here
 * from the definition. Volume 6, patch 4 (sigma .5), origins 0 and 2. */
static bool number(void *user, int count, const float *patches, float *maps, Error *error) {
  (void)patches, (void)error;
  int *next = user;
  for (int n = 0; n < count; n++, ++*next)
    for (int i = 0; i < 4; i++) maps[4 * n + i] = (float)*next;
  return true;
}

typedef struct Slabs {
  int next, tallest;
  float maps[VOXELS * 3];
} Slabs;

static bool take_slab(void *user, int first, int end, const float *maps, Error *error) {
  (void)error;
  Slabs *slabs = user;
  assert_int_equal(first, slabs->next ? slabs->next - 1 : 0); /* begins with the last one's end */
  assert_true(end > slabs->next);
  if (end - first > slabs->tallest) slabs->tallest = end - first;
  memcpy(slabs->maps + first * H * W * 3, maps, (size_t)((end - first) * H * W * 3) * sizeof *maps);
  slabs->next = end;
  return true;
}

/* Finished planes are handed on as soon as no window reaches them: no slab is higher than a
 * patch. */
static void slabs_ascend_and_stay_low(void **state) {
  (void)state;
  Volume volume = volume_make();
  static Slabs slabs;
  Error error = {0};
  WindowOptions options = {.patch = {2, 3, 5}, .step = 0.5, .batch = 3, .classes = 3};
  Calls calls = {.fail_at = -1, .batch = 3, .voxels = 30};
  assert_true(
      sliding_window_slabs(&volume.image, &options, echo, &calls, take_slab, &slabs, &error));
  assert_int_equal(slabs.next, D);
  assert_true(slabs.tallest <= 3);
  for (int i = 0; i < VOXELS; i++)
    assert_true(fabsf(slabs.maps[3 * i] / (float)(i + 1) - 1) < 1e-5f);
  volume_free(&volume, 1);
}

static void windows_weigh_as_gaussian(void **state) {
  (void)state;
  Error error = {0};
  Image image;
  Grid grid = grid_make((int[3]){1, 1, 6}, (double[3]){1, 1, 1});
  assert_true(image_alloc(&image, &grid, 1, &error));
  WindowOptions options = {.patch = {1, 1, 4}, .step = 0.5, .batch = 1, .classes = 1};
  float maps[6];
  int next = 0;
  assert_true(sliding_window(&image, &options, number, &next, maps, &error));
  assert_int_equal(next, 2);
  double edge = exp(-8), half = exp(-2); /* weights: exp(-8) exp(-2) 1 exp(-2) */
  double expected[6] = {0, 0, edge / (1 + edge), 0.5, 1, 1};
  for (int i = 0; i < 6; i++) assert_true(fabs(maps[i] - expected[i]) < 1e-6 * (1 + half));
  Calls calls = {.fail_at = 0};
  assert_false(sliding_window(&image, &options, echo, &calls, maps, &error));
  assert_string_equal(error.text, "device lost");
  error = (Error){0};
  options.step = 0;
  assert_false(sliding_window(&image, &options, echo, &calls, maps, &error));
  assert_non_null(strstr(error.text, "step = 0"));
  image_free(&image);
  uint8_t label[3];
  class_argmax((float[]){1, 3, 2, 5, 5, 1, -3, -2, -1}, 3, 3, label);
  assert_memory_equal(label, ((uint8_t[]){1, 0, 2}), 3);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(batch_is_a_function_of_seed_and_step),
      cmocka_unit_test(last_sample_sees_foreground),
      cmocka_unit_test(mapped_cases_give_the_same_batches),
      cmocka_unit_test(only_ignored_voxels_teach_nothing),
      cmocka_unit_test(small_volumes_are_padded_evenly),
      cmocka_unit_test(tiles_are_nnunets),
      cmocka_unit_test(windows_merge_to_the_input),
      cmocka_unit_test(slabs_ascend_and_stay_low),
      cmocka_unit_test(windows_weigh_as_gaussian),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
