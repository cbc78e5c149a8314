/* Rotation, scale and mirroring, the intensity steps, and the threads that make batches. */
#include "src/data/augment.h"
#include "src/data/intensity.h"
#include "src/data/loader.h"
#include "tests/scratch.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

enum { D = 13, H = 15, W = 17, VOXELS = D * H * W, LABELS = 4 };
static const int DIM[3] = {D, H, W};

/* Labels in lumps; channel c of the image is 1 where the label is c: an interpolated patch then
 * holds the share of every label. */
static Volume indicator_volume(void) {
  Error error = {0};
  Volume volume = {.name = "lumps"};
  Grid grid = grid_make(DIM, (double[3]){1, 1, 1});
  assert_true(image_alloc(&volume.image, &grid, LABELS, &error));
  assert_true(label_alloc(&volume.label, &grid, &error));
  Rng rng = rng_make(1, RNG_TEST, 0);
  uint8_t lump[8][8][8];
  for (int i = 0; i < 512; i++) lump[i / 64][i / 8 % 8][i % 8] = (uint8_t)rng_below(&rng, LABELS);
  for (int i = 0; i < VOXELS; i++) {
    int label = lump[i / W / H / 2][i / W % H / 2][i % W / 3];
    volume.label.data[i] = (uint8_t)label;
    volume.image.data[LABELS * i + label] = 1;
  }
  return volume;
}

static int axis_step(int axis) {
  return axis == 0 ? H * W : axis == 1 ? W : 1;
}

/* ---- draws --------------------------------------------------------------------------------------
 */

typedef struct Moments {
  double sum, square, low, high;
  int count;
} Moments;

static void moments_add(Moments *m, double x) {
  if (!m->count++) m->low = m->high = x;
  m->sum += x, m->square += x * x;
  m->low = fmin(m->low, x), m->high = fmax(m->high, x);
}

/* Uniform between these ends, by range, mean and variance (five standard errors of the mean). */
static void assert_uniform(const Moments *m, double low, double high) {
  double mean = m->sum / m->count, variance = m->square / m->count - mean * mean;
  double wide = (high - low) * (high - low) / 12, part = (high - low) / 50;
  assert_true(m->low >= low && m->low < low + part);
  assert_true(m->high <= high && m->high > high - part);
  assert_true(fabs(mean - (low + high) / 2) < 5 * sqrt(wide / m->count));
  assert_true(fabs(variance / wide - 1) < 5 / sqrt(m->count));
}

static void assert_share(int count, int of, double p) {
  assert_true(fabs(count - p * of) < 5 * sqrt(of * p * (1 - p)));
}

static void draws_are_nnunets(void **state) {
  (void)state;
  enum { DRAWS = 20000 };
  static const struct {
    int patch[3], thin;
    double degrees;
  } rows[] = {{{64, 192, 160}, -1, 30}, {{48, 192, 192}, 0, 180}, {{160, 160, 40}, 2, 180}};
  for (size_t r = 0; r < sizeof rows / sizeof *rows; r++) {
    int rotated = 0, scaled = 0, both = 0, flipped[3] = {0}, thin = rows[r].thin;
    Moments angle[3] = {0}, scale = {0};
    assert_int_equal(warp_thin_axis(rows[r].patch), thin);
    for (uint64_t item = 0; item < DRAWS; item++) {
      Rng rng = rng_make(2, RNG_TEST, item);
      Warp warp = warp_draw(rows[r].patch, (bool[3]){true, true, false}, &rng);
      bool turns = warp.angle[0] != 0 || warp.angle[1] != 0 || warp.angle[2] != 0;
      bool grows = warp.scale != 1;
      assert_int_equal(warp.moves, turns || grows);
      rotated += turns, scaled += grows, both += turns && grows;
      for (int axis = 0; axis < 3; axis++) {
        if (turns) moments_add(&angle[axis], warp.angle[axis] * 180 / M_PI);
        flipped[axis] += warp.mirror[axis];
      }
      if (grows) moments_add(&scale, warp.scale);
    }
    assert_share(rotated, DRAWS, .2);
    assert_share(scaled, DRAWS, .2);
    assert_share(both, DRAWS, .04);
    assert_uniform(&scale, .7, 1.4);
    for (int axis = 0; axis < 3; axis++) {
      if (thin < 0 || axis == thin)
        assert_uniform(&angle[axis], -rows[r].degrees, rows[r].degrees);
      else
        assert_true(angle[axis].low == 0 && angle[axis].high == 0);
    }
    assert_share(flipped[0], DRAWS, .5);
    assert_share(flipped[1], DRAWS, .5);
    assert_int_equal(flipped[2], 0);
  }
}

/* matrix^T matrix = scale^2 (1 along the thin axis), and a determinant of the mirrorings' sign. */
static void matrices_turn_and_scale(void **state) {
  (void)state;
  for (uint64_t item = 0; item < 200; item++) {
    Rng rng = rng_make(3, RNG_TEST, item);
    const int *patch = item % 2 ? (int[3]){10, 64, 64} : (int[3]){32, 64, 64};
    Warp warp = warp_draw(patch, (bool[3]){true, true, true}, &rng);
    double(*m)[3] = warp.matrix, determinant = 0;
    for (int a = 0; a < 3; a++) {
      int b = (a + 1) % 3, c = (a + 2) % 3;
      determinant += m[0][a] * (m[1][b] * m[2][c] - m[1][c] * m[2][b]);
      for (int k = 0; k < 3; k++) {
        double product = m[0][a] * m[0][k] + m[1][a] * m[1][k] + m[2][a] * m[2][k];
        double length = a == warp.thin ? 1 : warp.scale;
        assert_true(fabs(product - (a == k ? length * length : 0)) < 1e-12);
      }
    }
    int flips = warp.mirror[0] + warp.mirror[1] + warp.mirror[2];
    assert_true((determinant < 0) == (flips % 2 == 1));
  }
}

/* ---- reading ------------------------------------------------------------------------------------
 */

/* The label has the largest share of the weight, and the shares are those that the image shows. */
static void labels_stay_on_their_image(void **state) {
  (void)state;
  static const int patches[][3] = {{9, 11, 10}, {20, 16, 70}, {4, 17, 15}, {1, 5, 1}};
  Volume volume = indicator_volume();
  static float image[20 * 16 * 70][LABELS];
  static int32_t label[20 * 16 * 70];
  int moved = 0, seen[LABELS] = {0};
  for (uint64_t item = 0; item < 400; item++) {
    const int *patch = patches[item % 4];
    Rng rng = rng_make(4, RNG_TEST, item);
    Warp warp = warp_draw(patch, (bool[3]){true, true, true}, &rng);
    int origin[3];
    for (int axis = 0; axis < 3; axis++)
      origin[axis] = (int)rng_below(&rng, (uint32_t)DIM[axis]) - patch[axis] / 2;
    warp_read(&warp, &volume, origin, patch, &image[0][0], label);
    moved += warp.moves;
    for (int i = 0; i < patch[0] * patch[1] * patch[2]; i++) {
      float share[LABELS] = {1 - image[i][1] - image[i][2] - image[i][3], image[i][1], image[i][2],
                             image[i][3]};
      seen[label[i]]++;
      for (int l = 0; l < LABELS; l++) {
        assert_true(image[i][l] >= -1e-5f && image[i][l] <= 1 + 1e-5f);
        assert_true(share[label[i]] >= share[l] - 1e-4f);
      }
    }
  }
  assert_true(moved > 100 && moved < 180);
  for (int l = 0; l < LABELS; l++) assert_true(seen[l] > 1000);
  volume_free(&volume, 1);
}

/* A quarter turn, a mirroring and no change at all go through the interpolation without a trace. */
static void whole_steps_are_exact(void **state) {
  (void)state;
  enum { P = 7, CUBE = P * P * P };
  Volume volume = indicator_volume();
  static const double matrix[][3][3] = {{{1, 0, 0}, {0, 1, 0}, {0, 0, 1}},
                                        {{-1, 0, 0}, {0, 1, 0}, {0, 0, 1}},
                                        {{1, 0, 0}, {0, 0, -1}, {0, 1, 0}},
                                        {{0, 0, 1}, {0, 1, 0}, {-1, 0, 0}}};
  static const int patch[3] = {P, P, P}, origin[3] = {4, -2, 12};
  for (int m = 0; m < 4; m++) {
    Warp warp = warp_identity();
    warp.moves = true;
    memcpy(warp.matrix, matrix[m], sizeof warp.matrix);
    float image[CUBE][LABELS];
    int32_t label[CUBE];
    warp_read(&warp, &volume, origin, patch, &image[0][0], label);
    for (int i = 0; i < CUBE; i++) {
      int offset[3] = {i / P / P - P / 2, i / P % P - P / 2, i % P - P / 2}, at = 0;
      bool inside = true;
      for (int axis = 0; axis < 3; axis++) {
        int v = origin[axis] + P / 2;
        for (int k = 0; k < 3; k++) v += (int)matrix[m][axis][k] * offset[k];
        inside &= v >= 0 && v < DIM[axis];
        at += v * axis_step(axis);
      }
      assert_int_equal(label[i], inside ? volume.label.data[at] : 0);
      for (int l = 0; l < LABELS; l++)
        assert_true(image[i][l] == (inside ? volume.image.data[LABELS * at + l] : 0));
    }
  }
  volume_free(&volume, 1);
}

/* Copies, each axis mirrored or not, equal the same map sent through the interpolation. */
static void mirrored_copies_equal_the_map(void **state) {
  (void)state;
  static const int patch[3] = {6, 9, 30}, origin[3] = {-2, 5, -4};
  enum { P = 6 * 9 * 30 };
  Volume volume = indicator_volume();
  static float image[2][P * LABELS];
  static int32_t label[2][P];
  for (int axes = 0; axes < 8; axes++) {
    Warp warp = warp_identity();
    for (int axis = 0; axis < 3; axis++) {
      warp.mirror[axis] = axes >> axis & 1;
      if (warp.mirror[axis]) warp.matrix[axis][axis] = -1;
    }
    for (int moves = 0; moves < 2; moves++) {
      warp.moves = moves;
      memset(image[moves], 1, sizeof *image);
      warp_read(&warp, &volume, origin, patch, image[moves], label[moves]);
    }
    assert_memory_equal(label[0], label[1], sizeof *label);
    for (int i = 0; i < P * LABELS; i++) assert_true(image[0][i] == image[1][i]);
  }
  volume_free(&volume, 1);
}

/* ---- options ------------------------------------------------------------------------------------
 */

static void names_are_parsed(void **state) {
  (void)state;
  Augment augment;
  Error error = {0};
  assert_true(augment_parse("nnunet", "dw", &augment, &error));
  assert_true(augment.spatial && augment.intensity);
  assert_true(augment.mirror[0] && !augment.mirror[1] && augment.mirror[2]);
  assert_true(augment_parse("intensity", "dhw", &augment, &error));
  assert_true(augment.intensity && !augment.spatial && !augment.mirror[0]);
  assert_true(augment_parse("none", "none", &augment, &error));
  assert_false(augment.intensity || augment.spatial);
  assert_false(augment_parse("strong", "none", &augment, &error));
  assert_non_null(strstr(error.text, "strong"));
  error = (Error){0};
  assert_false(augment_parse("nnunet", "dd", &augment, &error));
  assert_non_null(strstr(error.text, "mirror = \"dd\""));
}

/* ---- loader -------------------------------------------------------------------------------------
 */

enum { BATCH_IMAGE = 2 * 6 * 7 * 8 * LABELS, BATCH_LABEL = 2 * 6 * 7 * 8, STEPS = 40 };

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
  Volume volume = indicator_volume();
  Sampler *sampler = sampler_of(&volume);
  static float expected[STEPS][BATCH_IMAGE], image[BATCH_IMAGE], scratch[6 * 7 * 8 * (LABELS + 1)];
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
  Volume volume = indicator_volume();
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
      cmocka_unit_test(draws_are_nnunets),
      cmocka_unit_test(matrices_turn_and_scale),
      cmocka_unit_test(labels_stay_on_their_image),
      cmocka_unit_test(whole_steps_are_exact),
      cmocka_unit_test(mirrored_copies_equal_the_map),
      cmocka_unit_test(names_are_parsed),
      cmocka_unit_test(batches_do_not_depend_on_workers),
      cmocka_unit_test(loaders_end_at_any_time),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
