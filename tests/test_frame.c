/* Orientation, cropping and the way back to the file's grid. */
#include "src/data/prepare/preprocess.h"
#include "tests/scratch.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

/* A grid of 4x5x6 whose i, j, k grow towards the letters. */
static Grid grid_towards(const char *code) {
  Grid grid = grid_make((int[3]){4, 5, 6}, (double[3]){3, 2, 1});
  memset(grid.affine, 0, sizeof grid.affine);
  for (int column = 0; column < 3; column++) {
    int world = 0;
    while ("RAS"[world] != code[column] && "LPI"[world] != code[column]) world++;
    grid.affine[world][column] = ("RAS"[world] == code[column] ? 1 : -1) * grid.spacing[2 - column];
  }
  grid.affine[3][3] = 1;
  return grid;
}

static const char *const codes[] = {"RAS", "LPS", "LAS", "SAR", "AIL", "PSR", "IRA"};
enum { CODES = sizeof codes / sizeof *codes };

static void names_orientations(void **state) {
  (void)state;
  for (int i = 0; i < CODES; i++) {
    Grid grid = grid_towards(codes[i]);
    char code[ORIENTATION_BYTES];
    grid_orientation(&grid, code);
    assert_string_equal(code, codes[i]);
    /* 20 degrees oblique about the first world axis changes nothing */
    double c = cos(0.35), s = sin(0.35);
    for (int column = 0; column < 3; column++) {
      double y = grid.affine[1][column], z = grid.affine[2][column];
      grid.affine[1][column] = c * y - s * z, grid.affine[2][column] = s * y + c * z;
    }
    grid_orientation(&grid, code);
    assert_string_equal(code, codes[i]);
  }
}

/* The world place of a voxel of an array in this orientation must not change by turning. */
static void turning_keeps_places(void **state) {
  (void)state;
  for (int a = 0; a < CODES; a++)
    for (int b = 0; b < CODES; b++) {
      Grid file = grid_towards(codes[a]);
      float place[4 * 5 * 6][3], turned[4 * 5 * 6][3];
      for (int i = 0; i < 120; i++) {
        const int voxel[3] = {i % 6, i / 6 % 5, i / 30};
        for (int row = 0; row < 3; row++) {
          place[i][row] = 0;
          for (int column = 0; column < 3; column++)
            place[i][row] += (float)(file.affine[row][column] * voxel[column]);
        }
      }
      Frame frame;
      Error error = {0};
      assert_true(frame_make(&frame, &file, codes[b], &error));
      frame_take(&frame, place, sizeof *place, turned);
      /* one step along the turned i must go towards the first letter of b */
      const int *dim = frame.box_dim;
      const int step[3] = {1, dim[2], dim[2] * dim[1]};
      for (int letter = 0; letter < 3; letter++) {
        int world = 0;
        while ("RAS"[world] != codes[b][letter] && "LPI"[world] != codes[b][letter]) world++;
        float difference = turned[step[letter]][world] - turned[0][world];
        assert_float_equal(difference,
                           ("RAS"[world] == codes[b][letter] ? 1 : -1) * frame.box_mm[2 - letter],
                           1e-5);
      }
    }
}

static void a_bad_code_is_refused(void **state) {
  (void)state;
  Grid grid = grid_towards("RAS");
  const char *const bad[] = {"", "RA", "RAL", "XYZ", "RASS"};
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
    Frame frame;
    Error error = {0};
    assert_false(frame_make(&frame, &grid, bad[i], &error));
    assert_non_null(strstr(error.text, "three letters"));
  }
}

/* Labels that are 0 outside the image's box come back to where they were. */
static void restore_undoes_take(void **state) {
  (void)state;
  for (int b = 0; b < CODES; b++) {
    Grid file = grid_towards("PSR");
    Image image;
    Error error = {0};
    assert_true(image_alloc(&image, &file, 2, &error));
    uint8_t label[120] = {0}, box[120], back[120];
    for (int d = 1; d < 3; d++)
      for (int h = 2; h < 5; h++)
        for (int w = 1; w < 4; w++) {
          int i = (d * 5 + h) * 6 + w;
          label[i] = (uint8_t)(i + 1);
          image.data[2 * i + i % 2] = 1;
        }
    Frame frame;
    assert_true(frame_make(&frame, &file, codes[b], &error));
    frame_crop(&frame, &image);
    assert_int_equal(frame.box_dim[0] * frame.box_dim[1] * frame.box_dim[2], 2 * 3 * 3);
    frame_take(&frame, label, 1, box);
    for (int i = 0; i < 18; i++) assert_int_not_equal(box[i], 0);
    frame_restore(&frame, box, back);
    assert_memory_equal(back, label, sizeof label);
    image_free(&image);
  }
}

static void an_empty_image_stays_whole(void **state) {
  (void)state;
  Grid file = grid_towards("RAS");
  Image image;
  Frame frame = frame_identity(&file), whole = frame;
  Error error = {0};
  assert_true(image_alloc(&image, &file, 1, &error));
  assert_true(image_is_constant(&image));
  frame_crop(&frame, &image);
  assert_memory_equal(frame.box_first, whole.box_first, sizeof whole.box_first);
  assert_memory_equal(frame.box_dim, whole.box_dim, sizeof whole.box_dim);
  image.data[119] = 1;
  assert_false(image_is_constant(&image));
  image_free(&image);
}

/* A file that does not say how it lies is not turned by a guess. */
static void an_unoriented_file_stays_as_it_is(void **state) {
  (void)state;
  Grid file = grid_towards("PSR");
  Frame frame, whole = frame_identity(&file);
  Error error = {0};
  assert_true(frame_make(&frame, &file, "LPS", &error));
  assert_memory_not_equal(frame.axis, whole.axis, sizeof whole.axis);
  file.remarks = GRID_UNORIENTED;
  assert_true(frame_make(&frame, &file, "LPS", &error));
  assert_memory_equal(frame.axis, whole.axis, sizeof whole.axis);
  assert_memory_equal(frame.flip, whole.flip, sizeof whole.flip);
  file.remarks = 0;
  assert_true(frame_make(&frame, &file, ORIENTATION_ANY, &error));
  assert_memory_equal(frame.axis, whole.axis, sizeof whole.axis);
}

static const char plan[] = "{\"orientation\": \"RAS\", \"spacing_mm\": [1.5, 2, 1], \"channels\": "
                           "[{\"name\": \"CT\", \"scheme\": \"ct\", \"low\": -50, \"high\": 150, "
                           "\"mean\": 50, \"sd\": 25},"
                           " {\"name\": \"MR\", \"scheme\": \"zscore\"}]}";

static Preprocessing plan_of(const char *text) {
  Preprocessing preprocessing;
  Error error = {0};
  json_t *json = json_loads(text, 0, NULL);
  assert_non_null(json);
  if (!preprocessing_read(&preprocessing, json, "test", &error)) fail_msg("%s", error.text);
  json_decref(json);
  return preprocessing;
}

/* Turned, cropped, scaled as planned; labels follow. */
static void prepares_a_volume(void **state) {
  (void)state;
  Preprocessing preprocessing = plan_of(plan);
  Grid file = grid_towards("LPS");
  Error error = {0};
  Volume source = {.name = "a"}, prepared;
  assert_true(image_alloc(&source.image, &file, 2, &error));
  assert_true(label_alloc(&source.label, &file, &error));
  for (int i = 0; i < 120; i++) {
    int w = i % 6;
    source.image.data[2 * i] = w < 3 ? 100 : -1000; /* CT: +2 where low w, clipped to -4 else */
    source.image.data[2 * i + 1] = (float)(w + 1);
    source.label.data[i] = w < 3 ? 1 : 0;
  }
  Frame frame;
  assert_true(prepare_volume(&preprocessing, &source, &prepared, &frame, &error));
  const int expected[3] = {8, 5, 6};
  assert_memory_equal(prepared.image.grid.dim, expected, sizeof expected);
  assert_memory_equal(prepared.label.grid.dim, expected, sizeof expected);
  double sum = 0, square = 0;
  for (int i = 0; i < 240; i++) {
    int w = i % 6; /* turned: high w of the file comes first */
    assert_float_equal(prepared.image.data[2 * i], w < 3 ? -4 : 2, 1e-5);
    assert_int_equal(prepared.label.data[i], w < 3 ? 0 : 1);
    sum += prepared.image.data[2 * i + 1];
    square += prepared.image.data[2 * i + 1] * prepared.image.data[2 * i + 1];
  }
  assert_float_equal(sum / 240, 0, 1e-5);
  assert_float_equal(square / 240, 1, 1e-4);
  volume_free(&source, 1);
  volume_free(&prepared, 1);
}

/* Inside the nonzero region only, a closed hole included. */
static void a_mask_scales_its_inside(void **state) {
  (void)state;
  Preprocessing preprocessing =
      plan_of("{\"orientation\": \"RAS\", \"spacing_mm\": [1, 1, 1], \"nonzero_mask\": true, "
              "\"channels\": [{\"name\": \"MR\", \"scheme\": \"zscore\"}]}");
  Grid file = grid_make((int[3]){5, 5, 7}, (double[3]){1, 1, 1});
  Image image, prepared;
  Error error = {0};
  assert_true(image_alloc(&image, &file, 1, &error));
  for (int d = 0; d < 5; d++)
    for (int h = 0; h < 5; h++)
      for (int w = 0; w < 7; w++)
        if (w < 5 || (d == 0 && h == 0))
          image.data[(d * 5 + h) * 7 + w] = (float)(1 + (d + h + w) % 3);
  image.data[(2 * 5 + 2) * 7 + 2] = 0; /* a hole */
  Frame frame;
  assert_true(prepare_image(&preprocessing, &image, &prepared, &frame, &error));
  double sum = 0;
  for (int i = 0; i < 175; i++) {
    bool inside = i % 7 < 5 || i < 7;
    if (!inside) assert_float_equal(prepared.data[i], 0, 0);
    sum += prepared.data[i];
  }
  assert_float_equal(sum, 0, 1e-3);
  assert_true(prepared.data[(2 * 5 + 2) * 7 + 2] < -1);
  image_free(&image);
  image_free(&prepared);
}

static void keys_tell_plans_apart(void **state) {
  (void)state;
  Preprocessing a = plan_of(plan), b = plan_of(plan);
  const Dataset two = {.labels = 2, .channels = 1, .labelling = labelling_plain(2)};
  Dataset other = two;
  const uint64_t key = preprocessing_key(&a, &two);
  assert_true(key == preprocessing_key(&b, &other));
  b.mm[1] += 1e-9;
  assert_true(key != preprocessing_key(&b, &two));
  b = a;
  b.normaliser.channel[0].sd++;
  assert_true(key != preprocessing_key(&b, &two));
  b = a;
  b.normaliser.channel[0].scheme = SCHEME_NONE;
  assert_true(key != preprocessing_key(&b, &two));
  b = a;
  strcpy(b.orientation, "LPS");
  assert_true(key != preprocessing_key(&b, &two));
  other.labels = 3, other.labelling = labelling_plain(3);
  assert_true(key != preprocessing_key(&a, &other));
  other = two;
  other.labelling.values = 3, other.labelling.ignore = 2;
  assert_true(key != preprocessing_key(&a, &other));
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(names_orientations),
      cmocka_unit_test(turning_keeps_places),
      cmocka_unit_test(a_bad_code_is_refused),
      cmocka_unit_test(restore_undoes_take),
      cmocka_unit_test(an_empty_image_stays_whole),
      cmocka_unit_test(an_unoriented_file_stays_as_it_is),
      cmocka_unit_test(prepares_a_volume),
      cmocka_unit_test(a_mask_scales_its_inside),
      cmocka_unit_test(keys_tell_plans_apart),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
