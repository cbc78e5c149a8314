/* A picture on its way to SAM and back: by hand on a few pixels. */
#include "src/train/sam_picture.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { SIDE = 2 };

static Image image_of(int height, int width, int channels, unsigned remarks, const float *pixels) {
  Image image = {.channels = channels};
  Grid grid = grid_picture(height, width);
  Error error = {""};
  grid.remarks |= remarks;
  assert_true(image_alloc(&image, &grid, channels, &error));
  memcpy(image.data, pixels, (size_t)(height * width * channels) * sizeof *pixels);
  return image;
}

static float normalised(double value, int channel) {
  static const double mean[] = {123.675, 116.28, 103.53}, deviation[] = {58.395, 57.12, 57.375};
  return (float)((value - mean[channel]) / deviation[channel]);
}

/* Four columns become two: with a triangle of two pixels to each side, weights .75 .75 .25 of 1.75;
 * two rows become one, their mean. What the picture does not fill is zero. */
static void test_shrinks(void **state) {
  (void)state;
  static const float pixels[] = {10, 20, 60, 200, 30, 40, 80, 100};
  Image image = image_of(2, 4, 1, 0, pixels);
  float square[SIDE * SIDE * 3];
  SamPicture picture;
  sam_picture_prepare(&image, SIDE, square, &picture);
  assert_int_equal(picture.seen[0], 1);
  assert_int_equal(picture.seen[1], 2);
  assert_true(picture.factor_x == .5 && picture.factor_y == .5);
  double left = (.75 * 20 + .75 * 30 + .25 * 70) / 1.75;
  double right = (.25 * 30 + .75 * 70 + .75 * 150) / 1.75;
  for (int c = 0; c < 3; c++) {
    assert_true(fabsf(square[c] - normalised(left, c)) < 1e-5f);
    assert_true(fabsf(square[3 + c] - normalised(right, c)) < 1e-5f);
    assert_true(square[6 + c] == 0 && square[9 + c] == 0);
  }
  image_free(&image);
}

/* Colours stay apart, what says how opaque a pixel is counts for nothing, and 65535 is 255. */
static void test_channels(void **state) {
  (void)state;
  static const float pixels[] = {257, 2 * 257, 3 * 257, 65535, 0, 0, 65535, 65535};
  Image image = image_of(1, 2, 4, GRID_ALPHA, pixels);
  float square[SIDE * SIDE * 3];
  SamPicture picture;
  Error error = {""};
  assert_true(sam_picture_check(&image, "p.png", &error));
  sam_picture_prepare(&image, SIDE, square, &picture);
  for (int c = 0; c < 3; c++) {
    assert_true(fabsf(square[c] - normalised(1 + c, c)) < 1e-5f);
    assert_true(fabsf(square[3 + c] - normalised(c == 2 ? 255 : 0, c)) < 1e-5f);
  }
  image.channels = 2;
  image.grid.remarks = GRID_PICTURE;
  assert_false(sam_picture_check(&image, "p.png", &error));
  assert_string_equal(error.text,
                      "p.png: SAM sees a picture of one or three channels, found 1 slices of 2");
  image_free(&image);
}

/* Logits of 4 x 4 show a square of 8 x 8, of which a picture of 4 x 2 takes the left half: rows of
 * one sign end half-way, what lies to the right is not seen, of two masks the larger wins. */
static void test_masks(void **state) {
  (void)state;
  SamPicture picture = {.side = 8, .height = 4, .width = 2, .seen = {8, 4}};
  static const int64_t dim[5] = {1, 1, 4, 4, 2};
  float logits[32];
  uint8_t label[8];
  for (int i = 0; i < 16; i++) {
    int y = i / 4, x = i % 4;
    logits[2 * i] = y < 2 ? 1 : -1;
    logits[2 * i + 1] = x >= 2 ? 1.5f : y == 0 ? 2 : -1;
  }
  sam_picture_masks(&picture, logits, dim, label);
  static const uint8_t expected[8] = {2, 2, 1, 1, 0, 0, 0, 0};
  assert_int_equal(label[1], 2);
  for (int i = 0; i < 8; i += 2) assert_int_equal(label[i], expected[i]);
  assert_int_equal(label[7], 0);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_shrinks),
      cmocka_unit_test(test_channels),
      cmocka_unit_test(test_masks),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
