/* QTSeg's random changes of pictures: how often, how far, and that labels go along. */
#include "src/data/batches/picture_change.h"
#include "src/data/batches/sampler.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

static void none_to_four_of_ten_in_any_order(void **state) {
  (void)state;
  enum { DRAWS = 20000 };
  int counts[PICTURE_MOST + 1] = {0}, drawn[PICTURE_STEPS] = {0}, first[PICTURE_STEPS] = {0};
  for (int i = 0; i < DRAWS; i++) {
    Rng rng = rng_make(1, RNG_TEST, (uint64_t)i);
    PictureStep step[PICTURE_MOST];
    int count = picture_steps(&rng, step);
    counts[count]++;
    for (int k = 0; k < count; k++) {
      drawn[step[k]]++;
      for (int j = 0; j < k; j++) assert_true(step[j] != step[k]);
    }
    if (count) first[step[0]]++;
  }
  for (int k = 0; k <= PICTURE_MOST; k++) assert_true(abs(counts[k] - DRAWS / 5) < 250);
  for (int s = 0; s < PICTURE_STEPS; s++) {
    assert_true(abs(drawn[s] - DRAWS / 5) < 250); /* 2 of 10 in the mean */
    assert_true(abs(first[s] - DRAWS * 4 / 50) < 200);
  }
}

/* Each number's least and most over many draws reach the ends of its range and stay within. */
static void reaches(double least, double most, double low, double high) {
  double room = .02 * (high - low);
  assert_true(least >= low && most <= high && least < low + room && most > high - room);
}

static void moves_have_their_ranges(void **state) {
  (void)state;
  enum { DRAWS = 4000 };
  const int size[2] = {100, 200};
  double low[5], high[5], bends = 0, flips = 0;
  for (int k = 0; k < 5; k++) low[k] = 1e9, high[k] = -1e9;
  for (int i = 0; i < DRAWS; i++) {
    Rng rng = rng_make(2, RNG_TEST, (uint64_t)i);
    PictureMove m;
    double found[5];
    flips += picture_move(i % 2 ? PICTURE_FLIP_H : PICTURE_FLIP_V, size, &rng, &m);
    assert_true(m.matrix[i % 2][i % 2] == -1 && m.matrix[!(i % 2)][!(i % 2)] == 1);
    assert_true(picture_move(PICTURE_SCALE, size, &rng, &m));
    found[0] = 1 / m.matrix[0][0];
    assert_true(picture_move(PICTURE_ROTATE, size, &rng, &m));
    found[1] = 180 / M_PI * atan2(m.matrix[0][1], m.matrix[0][0]);
    assert_true(fabs(m.matrix[0][0] * m.matrix[1][1] - m.matrix[0][1] * m.matrix[1][0] - 1) <
                1e-12);
    assert_true(picture_move(PICTURE_SHEAR, size, &rng, &m));
    found[2] = 180 / M_PI * atan(m.matrix[1][0]);
    assert_true(picture_move(PICTURE_SHIFT, size, &rng, &m));
    found[3] = m.offset[0] / size[0], found[4] = m.offset[1] / size[1];
    for (int k = 0; k < 5; k++) low[k] = fmin(low[k], found[k]), high[k] = fmax(high[k], found[k]);
    assert_true(picture_move(PICTURE_BEND, size, &rng, &m) && m.bends);
    for (int p = 0; p < 16; p++) bends += pow(m.grid[1][p / 4][p % 4] / size[1], 2) / 16 / DRAWS;
  }
  reaches(low[0], high[0], .5, 2);
  reaches(low[1], high[1], -40, 40);
  reaches(low[2], high[2], -16, 16);
  for (int k = 3; k < 5; k++) reaches(low[k], high[k], -.2, .2);
  assert_true(fabs(flips / DRAWS - .5) < .03);
  /* mean of sd^2 over .008 .. .03 */
  assert_true(fabs(bends / ((pow(.03, 3) - pow(.008, 3)) / 3 / .022) - 1) < .05);
}

/* What is drawn first moves the picture first: a shift to the right, then left and right
 * changed. */
static void moves_follow_each_other(void **state) {
  (void)state;
  const int size[2] = {5, 9};
  PictureMove shift = {.matrix = {{1, 0}, {0, 1}}, .offset = {0, -2}};
  PictureMove flip = {.matrix = {{1, 0}, {0, -1}}};
  double at[2];
  picture_source((PictureMove[]){shift, flip}, 2, size, 1, 0, at);
  assert_true(at[0] == 1 && at[1] == 6); /* 0 is 8 before the flip, 6 before the shift */
  picture_source((PictureMove[]){flip, shift}, 2, size, 1, 0, at);
  assert_true(at[0] == 1 && at[1] == 10);
  PictureMove bend = {.bends = true};
  for (int y = 0; y < 4; y++)
    for (int x = 0; x < 4; x++) bend.grid[0][y][x] = y, bend.grid[1][y][x] = x == 3;
  picture_source(&bend, 1, size, 4, 8, at);
  assert_true(fabs(at[0] - 7) < 1e-12 && fabs(at[1] - 9) < 1e-12);
  picture_source(&bend, 1, size, 2, 7, at); /* halfway, and 2.625 of 3 steps along */
  assert_true(fabs(at[0] - 3.5) < 1e-12 && fabs(at[1] - 7.625) < 1e-12);
}

enum { SIDE = 48 };

/* A disc of 200 on 20, and its labels. */
static void disc(float *image, int32_t *label) {
  for (int i = 0; i < SIDE * SIDE; i++) {
    bool inside = hypot(i / SIDE - 20., i % SIDE - 26.) < 11;
    label[i] = inside ? 3 : 0;
    for (int c = 0; c < 3; c++) image[3 * i + c] = inside ? 200 : 20;
  }
}

static void labels_go_along(void **state) {
  (void)state;
  static float image[3 * SIDE * SIDE], again[3 * SIDE * SIDE], scratch[4 * SIDE * SIDE];
  static int32_t label[SIDE * SIDE], label_again[SIDE * SIDE], before[SIDE * SIDE];
  int moved = 0, same = 0;
  disc(image, before);
  for (int i = 0; i < 400; i++) {
    Rng rng = rng_make(3, RNG_TEST, (uint64_t)i), other = rng;
    disc(image, label);
    disc(again, label_again);
    picture_change((int[]){SIDE, SIDE}, 3, &rng, scratch, image, label);
    picture_change((int[]){SIDE, SIDE}, 3, &other, scratch, again, label_again);
    assert_memory_equal(image, again, sizeof image);
    assert_memory_equal(label, label_again, sizeof label);
    int wrong = 0;
    for (int k = 0; k < SIDE * SIDE; k++) {
      assert_true(label[k] == 0 || label[k] == 3);
      assert_true(image[3 * k] > 19.99 && image[3 * k] < 200.01);
      wrong += (image[3 * k] > 110) != (label[k] == 3);
    }
    /* pixels of the edge, where a blurred or bilinear disc is half; less contrast keeps the
     * middle */
    assert_true(wrong < 60);
    moved += memcmp(label, before, sizeof label) != 0;
    bool whole = true;
    for (int k = 0; k < 3 * SIDE * SIDE && whole; k++)
      whole = image[k] == (before[k / 3] ? 200 : 20);
    same += whole;
  }
  assert_true(moved > 200 && moved < 360 && same > 60); /* a fifth has no step at all */
}

static void noise_and_contrast_have_their_size(void **state) {
  (void)state;
  static float image[3 * SIDE * SIDE], scratch[4 * SIDE * SIDE];
  static int32_t label[SIDE * SIDE];
  int noisy = 0, flat = 0, apart = 0;
  for (int i = 0; i < 600; i++) {
    Rng rng = rng_make(4, RNG_TEST, (uint64_t)i), peek = rng;
    PictureStep step[PICTURE_MOST];
    int steps = picture_steps(&peek, step);
    if (steps != 1 || (step[0] != PICTURE_NOISE && step[0] != PICTURE_CONTRAST)) continue;
    for (int k = 0; k < 3 * SIDE * SIDE; k++) image[k] = k % 3 == 0 ? 100 : 180;
    image[0] = 0, image[1] = 255;
    picture_change((int[]){SIDE, SIDE}, 3, &rng, scratch, image, label);
    double sum = 0, square = 0, count = SIDE * SIDE - 3;
    for (int k = 3; k < SIDE * SIDE; k++) sum += image[3 * k];
    for (int k = 3; k < SIDE * SIDE; k++) square += pow(image[3 * k] - sum / count, 2);
    double mean = sum / count, sd = sqrt(square / count);
    if (step[0] == PICTURE_NOISE) {
      noisy++;
      assert_true(fabs(sd - 1.275) < .1 && fabs(mean - 100) < .15);
      continue;
    }
    double first = (mean - 127.5) / (100 - 127.5), second = (image[31] - 127.5) / (180 - 127.5);
    flat++;
    apart += fabs(first - second) > 1e-3;
    assert_true(sd < 1e-2 && first >= .499 && first <= 1.501 && second >= .499 && second <= 1.501);
  }
  assert_true(noisy > 2 && flat > 2 && apart > 0 && apart < flat);
}

static void volumes_are_refused(void **state) {
  (void)state;
  Augment augment;
  Error error = {""};
  assert_true(augment_parse("qtseg", "dhw", &augment, &error));
  assert_true(augment.picture && !augment.intensity && !augment.mirror[1]);
  Grid grid = grid_make((int[]){4, 8, 8}, (double[]){1, 1, 1});
  Volume volume = {.name = "v"};
  assert_true(image_alloc(&volume.image, &grid, 1, &error) &&
              label_alloc(&volume.label, &grid, &error));
  SamplerOptions options = {.batch = 1, .patch = {2, 8, 8}, .augment = augment};
  Sampler *sampler;
  assert_false(sampler_make(&sampler, &volume, 1, 2, &options, &error));
  assert_non_null(strstr(error.text, "augment = qtseg is for pictures"));
  volume_free(&volume, 1);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(none_to_four_of_ten_in_any_order),
      cmocka_unit_test(moves_have_their_ranges),
      cmocka_unit_test(moves_follow_each_other),
      cmocka_unit_test(labels_go_along),
      cmocka_unit_test(noise_and_contrast_have_their_size),
      cmocka_unit_test(volumes_are_refused),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
