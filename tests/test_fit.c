/* Pictures brought to a network's size and their labels back, against brute force and by hand. */
#include "base/rng.h"
#include "src/data/predict/restore.h"
#include "src/data/prepare/fit.h"
#include "src/data/prepare/normalise.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

static Image picture(int height, int width, int channels, Rng *rng) {
  Image image;
  Error error = {""};
  Grid grid = grid_picture(height, width);
  assert_true(image_alloc(&image, &grid, channels, &error));
  for (int i = 0; i < height * width * channels; i++) image.data[i] = (float)rng_below(rng, 256);
  return image;
}

static Frame framed(FitKind kind, const Grid *file, int height, int width) {
  Frame frame;
  Error error = {""};
  if (!fit_frame(kind, file, (int[]){1, height, width}, &frame, &error)) fail_msg("%s", error.text);
  return frame;
}

static void the_longest_side_is_kept(void **state) {
  (void)state;
  static const struct {
    FitKind kind;
    int from[2], to[2], held[2];
  } rows[] = {
      {FIT_PAD, {96, 128}, {64, 64}, {48, 64}},       {FIT_PAD, {128, 96}, {64, 64}, {64, 48}},
      {FIT_PAD, {767, 1022}, {512, 512}, {384, 512}}, /* 384.25 */
      {FIT_PAD, {100, 300}, {512, 512}, {170, 512}},  /* 170.67 */
      {FIT_PAD, {1, 900}, {64, 64}, {1, 64}},         {FIT_PAD, {20, 20}, {64, 64}, {64, 64}},
      {FIT_PAD, {30, 40}, {30, 80}, {30, 40}},        {FIT_STRETCH, {96, 128}, {64, 80}, {64, 80}}};
  for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
    Grid file = grid_picture(rows[i].from[0], rows[i].from[1]);
    Frame frame = framed(rows[i].kind, &file, rows[i].to[0], rows[i].to[1]);
    int held[3];
    frame_held(&frame, held);
    assert_int_equal(held[0], 1);
    assert_int_equal(held[1], rows[i].held[0]);
    assert_int_equal(held[2], rows[i].held[1]);
    assert_true(frame.dim[1] == rows[i].to[0] && frame.dim[2] == rows[i].to[1]);
  }
  Frame frame;
  Error error = {""};
  Grid volume = grid_make((int[]){2, 8, 8}, (double[]){1, 1, 1});
  assert_false(fit_frame(FIT_PAD, &volume, (int[]){1, 8, 8}, &frame, &error));
  assert_non_null(strstr(error.text, "found 2 slices"));
  Grid file = grid_picture(8, 8);
  error = (Error){""};
  assert_false(fit_frame(FIT_PAD, &file, (int[]){1, 8, -1}, &frame, &error));
  assert_non_null(strstr(error.text, "expected sides of 1..65536"));
}

/* Every pixel `out` times, then means of `in`: what a pixel covers, in whole numbers. */
static double covered(const Image *image, int y, int x, int c, const int out[2]) {
  const int *dim = image->grid.dim;
  double sum = 0;
  for (int i = 0; i < dim[1]; i++)
    for (int k = 0; k < dim[2]; k++) {
      int row = (y * dim[1] + i) / out[0], column = (x * dim[2] + k) / out[1];
      sum += image->data[(row * dim[2] + column) * image->channels + c];
    }
  return sum / dim[1] / dim[2];
}

static double lerp(double a, double b, double t) {
  return a + t * (b - a);
}

static double on_lines(const Image *image, int y, int x, int c, const int out[2]) {
  const int *dim = image->grid.dim;
  int low[2], high[2];
  double share[2];
  for (int axis = 0; axis < 2; axis++) {
    double at = ((axis ? x : y) + .5) * dim[axis + 1] / out[axis] - .5;
    at = fmin(fmax(at, 0), dim[axis + 1] - 1);
    low[axis] = (int)at, high[axis] = low[axis] + (low[axis] + 1 < dim[axis + 1]);
    share[axis] = at - low[axis];
  }
#define AT(r, k) image->data[((r)*dim[2] + (k)) * image->channels + c]
  return lerp(lerp(AT(low[0], low[1]), AT(low[0], high[1]), share[1]),
              lerp(AT(high[0], low[1]), AT(high[0], high[1]), share[1]), share[0]);
#undef AT
}

static void pixels_are_means_or_lie_between(void **state) {
  (void)state;
  Rng rng = rng_make(1, RNG_TEST, 0);
  for (int grows = 0; grows < 2; grows++)
    for (int channels = 1; channels <= 3; channels += 2) {
      Image image = picture(grows ? 7 : 23, grows ? 5 : 31, channels, &rng), fitted;
      const int out[2] = {grows ? 17 : 9, grows ? 12 : 8};
      Frame frame = framed(FIT_STRETCH, &image.grid, out[0], out[1]);
      Error error = {""};
      assert_true(fit_image(&frame, &image, &fitted, &error));
      for (int y = 0; y < out[0]; y++)
        for (int x = 0; x < out[1]; x++)
          for (int c = 0; c < channels; c++) {
            double wanted = (grows ? on_lines : covered)(&image, y, x, c, out);
            float found = fitted.data[(y * out[1] + x) * channels + c];
            if (fabs(found - wanted) > 1e-3)
              fail_msg("%d %d: %g, expected %g", y, x, found, wanted);
          }
      image_free(&image);
      image_free(&fitted);
    }
}

/* Padding is 0 in picture and labels; a label is the pixel's at floor(i in / out). */
static void padding_lies_behind(void **state) {
  (void)state;
  Rng rng = rng_make(2, RNG_TEST, 0);
  Image image = picture(9, 12, 3, &rng), fitted;
  LabelMap label, small;
  Error error = {""};
  assert_true(label_alloc(&label, &image.grid, &error));
  for (int i = 0; i < 9 * 12; i++) label.data[i] = (uint8_t)(1 + i);
  Frame frame = framed(FIT_PAD, &image.grid, 8, 8);
  assert_true(fit_image(&frame, &image, &fitted, &error) &&
              fit_label(&frame, &label, &small, &error));
  for (int y = 0; y < 8; y++)
    for (int x = 0; x < 8; x++) {
      bool inside = y < 6; /* 9 * 8 / 12 */
      assert_int_equal(small.data[8 * y + x], inside ? 1 + y * 9 / 6 * 12 + x * 12 / 8 : 0);
      if (!inside) assert_true(fitted.data[3 * (8 * y + x)] == 0);
    }
  assert_true(fitted.grid.remarks & GRID_PICTURE);
  image_free(&image);
  image_free(&fitted);
  label_free(&label);
  label_free(&small);
}

/* What is said of padding is nothing to the picture: its maps are interpolated to its own
 * pixels. */
static void maps_go_back_without_the_padding(void **state) {
  (void)state;
  Grid file = grid_picture(9, 12);
  Frame frame = framed(FIT_PAD, &file, 8, 8);
  float maps[8 * 8 * 2];
  for (int y = 0; y < 8; y++)
    for (int x = 0; x < 8; x++) {
      float one = y < 6 ? (float)(x + y) / 16 : 1000; /* a slope in the picture */
      maps[2 * (8 * y + x)] = .5f, maps[2 * (8 * y + x) + 1] = one;
    }
  uint8_t label[9 * 12];
  float probability[9 * 12 * 2];
  Restore restore;
  Error error = {""};
  assert_true(restore_begin(&restore, &frame, 2, label, probability, &error));
  assert_true(restore_slab(&restore, 0, 1, maps, &error));
  restore_end(&restore);
  for (int y = 0; y < 9; y++)
    for (int x = 0; x < 12; x++) {
      double v = fmin(fmax((y + .5) * 6 / 9 - .5, 0), 5),
             u = fmin(fmax((x + .5) * 8 / 12 - .5, 0), 7);
      assert_true(fabs(probability[2 * (12 * y + x) + 1] - (v + u) / 16) < 1e-5);
      assert_int_equal(label[12 * y + x], (v + u) / 16 > .5);
    }
}

/* Values as OpenCV's COLOR_RGB2YCrCb has them. */
static void skin_in_ycrcb(void **state) {
  (void)state;
  static const int rows[][6] = {{255, 0, 0, 76, 255, 85},
                                {0, 255, 0, 150, 21, 43},
                                {0, 0, 255, 29, 107, 255},
                                {255, 255, 255, 255, 128, 128},
                                {200, 150, 120, 162, 155, 104}};
  for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
    float value[3] = {(float)rows[i][0], (float)rows[i][1], (float)rows[i][2]};
    Image image = {.grid = grid_picture(1, 1), .channels = 3, .data = value};
    Error error = {""};
    assert_true(colours_ycrcb(&image, &error));
    for (int c = 0; c < 3; c++) assert_int_equal((int)value[c], rows[i][3 + c]);
    image.channels = 1;
    assert_false(colours_ycrcb(&image, &error));
    assert_non_null(strstr(error.text, "found 1 channel"));
    image.channels = 3, value[1] = 256, error = (Error){""};
    assert_false(colours_ycrcb(&image, &error));
    assert_non_null(strstr(error.text, "found 256"));
  }
}

/* Least and most of all channels together. */
static void channels_share_a_range(void **state) {
  (void)state;
  float value[] = {0, 50, 100, 10, 20, 200};
  Image image = {.grid = grid_picture(1, 2), .channels = 3, .data = value};
  Normaliser normaliser = {.channels = 3};
  Error error = {""};
  normaliser_join(&normaliser, SCHEME_UNIT);
  assert_true(normaliser_apply(&normaliser, NULL, &image, &error));
  for (int i = 0; i < 6; i++)
    assert_true(fabsf(value[i] - (float[]){0, .25f, .5f, .05f, .1f, 1}[i]) < 1e-6f);
  normaliser_join(&normaliser, SCHEME_SYMMETRIC);
  assert_true(normaliser_apply(&normaliser, NULL, &image, &error));
  for (int i = 0; i < 6; i++)
    assert_true(fabsf(value[i] - (float[]){-1, -.5f, 0, -.9f, -.8f, 1}[i]) < 1e-6f);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(the_longest_side_is_kept),
      cmocka_unit_test(pixels_are_means_or_lie_between),
      cmocka_unit_test(padding_lies_behind),
      cmocka_unit_test(maps_go_back_without_the_padding),
      cmocka_unit_test(skin_in_ycrcb),
      cmocka_unit_test(channels_share_a_range),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
