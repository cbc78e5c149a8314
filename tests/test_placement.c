/* One file's voxels on another's grid, and what a data set's headers say. */
#define XXH_INLINE_ALL
#include "src/data/sets/dataset_geometry.h"
#include "src/data/volumes/placement.h"
#include "tests/scratch.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <xxhash.h>

#include <cmocka.h>

static const int orders[6][3] = {{0, 1, 2}, {0, 2, 1}, {1, 0, 2}, {1, 2, 0}, {2, 0, 1}, {2, 1, 0}};
enum { ORIENTATIONS = 48, VOXELS = 4 * 5 * 6 };

/* Rotated by 20 degrees about two axes: oblique, as scanners' series are. */
static void oblique(double affine[4][4]) {
  double c = cos(0.35), s = sin(0.35);
  for (int column = 0; column < 4; column++) {
    double x = affine[0][column], y = affine[1][column], z = affine[2][column];
    double v = c * y - s * z, w = s * y + c * z;
    affine[0][column] = c * x - s * v, affine[1][column] = s * x + c * v, affine[2][column] = w;
  }
}

static void place_of(const Grid *grid, int voxel, double place[3]) {
  const int *dim = grid->dim;
  const int at[3] = {voxel % dim[2], voxel / dim[2] % dim[1], voxel / dim[2] / dim[1]};
  for (int row = 0; row < 3; row++) {
    place[row] = grid->affine[row][3];
    for (int column = 0; column < 3; column++) place[row] += grid->affine[row][column] * at[column];
  }
}

/* The grid of 4x5x6 voxels of 3x2x1 mm, stored in orientation 0..47: the same places, other
 * axes. */
static Grid grid_stored(int orientation, bool tilted) {
  const int *order = orders[orientation / 8];
  Grid straight = grid_make((int[3]){4, 5, 6}, (double[3]){3, 2, 1}), grid = straight;
  for (int column = 0; column < 3; column++) {
    int from = order[column];
    bool back = orientation >> column & 1;
    grid.dim[2 - column] = straight.dim[2 - from];
    grid.spacing[2 - column] = straight.spacing[2 - from];
    for (int row = 0; row < 3; row++) grid.affine[row][column] = 0;
    grid.affine[from][column] = back ? -straight.spacing[2 - from] : straight.spacing[2 - from];
    if (back) grid.affine[from][3] = straight.spacing[2 - from] * (straight.dim[2 - from] - 1);
  }
  for (int row = 0; row < 3; row++) grid.affine[row][3] += 7.25 * (row + 1);
  if (tilted) oblique(grid.affine);
  return grid;
}

/* Every voxel knows its place: none may change it. */
static void voxels_keep_their_places(void **state) {
  (void)state;
  for (int i = 0; i < ORIENTATIONS * ORIENTATIONS; i++) {
    Error error = {0};
    Image image;
    Grid first = grid_stored(i / ORIENTATIONS, i & 1),
         second = grid_stored(i % ORIENTATIONS, i & 1);
    assert_true(image_alloc(&image, &second, 3, &error));
    double place[3];
    for (int voxel = 0; voxel < VOXELS; voxel++) {
      place_of(&second, voxel, place);
      for (int row = 0; row < 3; row++) image.data[3 * voxel + row] = (float)place[row];
    }
    if (!image_onto((Placed){&first, "a"}, &image, "b", &error)) fail_msg("%s", error.text);
    assert_memory_equal(image.grid.dim, first.dim, sizeof first.dim);
    for (int voxel = 0; voxel < VOXELS; voxel++) {
      place_of(&first, voxel, place);
      for (int row = 0; row < 3; row++)
        assert_float_equal(image.data[3 * voxel + row], place[row], 1e-4);
    }
    image_free(&image);
  }
}

static void apart(Grid first, Grid second, const char *says) {
  Error error = {0};
  Turn turn;
  bool good = placed_alike((Placed){&first, "a.nii"}, (Placed){&second, "b.nii"}, &turn, &error);
  if (good != !says[0] || !strstr(error.text, says))
    fail_msg("expected \"%s\", found \"%s\"", says, error.text);
}

static void what_lies_elsewhere_is_refused(void **state) {
  (void)state;
  Grid first = grid_stored(0, false), other = first;
  apart(first, other, "");
  other.affine[1][3] += 0.05;
  apart(first, other, "");
  other.affine[1][3] += 0.5;
  apart(first, other, "a.nii and b.nii lie differently in space: a voxel up to 0.55 mm from where");
  other = first;
  other.affine[2][2] = other.spacing[0] = 4;
  apart(first, other, "up to 3 mm from where the first has it (spacing 3x2x1 and 4x2x1 mm)");
  other = first;
  oblique(other.affine);
  apart(first, other, "lie differently");
  other = first;
  other.dim[1] = 7;
  apart(first, other, "different shapes (D,H,W): a.nii is 4x5x6, b.nii is 4x7x6");
  other = grid_stored(8, false); /* axes exchanged, but the affine of the first */
  memcpy(other.affine, first.affine, sizeof first.affine);
  apart(first, other, "lie differently");
  other = first; /* read backwards, the origin left where it was */
  other.affine[0][0] = -1;
  apart(first, other, "up to 5 mm");
}

/* A file that does not say how it lies is taken as the other is stored, if shape and spacing
 * fit. */
static void an_unoriented_file_lies_as_the_other(void **state) {
  (void)state;
  Grid first = grid_stored(7, true);
  Grid other = grid_make(first.dim, first.spacing);
  Turn turn;
  Error error = {0};
  apart(first, other, "lie differently");
  other.remarks = GRID_UNORIENTED;
  assert_true(placed_alike((Placed){&first, "a"}, (Placed){&other, "b"}, &turn, &error));
  assert_true(turn_is_none(&turn));
  assert_true(placed_alike((Placed){&other, "a"}, (Placed){&first, "b"}, &turn, &error));
  assert_true(turn_is_none(&turn));
  other.spacing[0] = 1;
  apart(first, other, "up to 6 mm");
  other = grid_make((int[3]){6, 5, 4}, (double[3]){1, 2, 3});
  other.remarks = GRID_UNORIENTED;
  apart(first, other, "different shapes");
}

/* ---- data sets ------------------------------------------------------------------------------- */

/* An image and a label map of this grid: voxel i has the value of its place in orientation 0. */
static void case_write(const Scratch *scratch, char name, const Grid *image_grid,
                       const Grid *label_grid) {
  Error error = {0};
  Image image;
  LabelMap label;
  assert_true(image_alloc(&image, image_grid, 1, &error));
  assert_true(label_alloc(&label, label_grid, &error));
  for (int i = 0; i < VOXELS; i++) {
    double place[3];
    place_of(image_grid, i, place);
    image.data[i] = (float)(place[0] + 10 * place[1] + 100 * place[2]);
    place_of(label_grid, i, place);
    label.data[i] = place[0] > 9.5 && place[1] > 18.5 && place[2] > 26;
  }
  assert_true(
      image_write(&image, VOXEL_F32, scratch_path(scratch, "imagesTr/%c_0000.nii", name), &error));
  assert_true(label_write(&label, scratch_path(scratch, "labelsTr/%c.nii", name), &error));
  image_free(&image);
  label_free(&label);
}

/* Cases a, b, ... whose images and labels are stored in these orientations; 'u': without one. */
static Scratch set_make(const char *images, const char *labels) {
  Scratch scratch = scratch_make();
  assert_int_equal(shell("mkdir %s/imagesTr %s/labelsTr", scratch.dir, scratch.dir), 0);
  text_write(scratch_path(&scratch, "dataset.json"),
             "{\"channel_names\": {\"0\": \"MRI\"}, \"labels\": {\"background\": 0, \"a\": 1}, "
             "\"file_ending\": \".nii\"}");
  for (int i = 0; images[i]; i++) {
    Grid grid[2];
    for (int k = 0; k < 2; k++) {
      char how = k ? labels[i] : images[i];
      grid[k] = grid_stored(how == 'u' ? 0 : how - '0', false);
      if (how == 'u') grid[k].remarks = GRID_UNORIENTED;
    }
    case_write(&scratch, (char)('a' + i), &grid[0], &grid[1]);
  }
  return scratch;
}

static Dataset opened(const Scratch *scratch) {
  Dataset dataset;
  Error error = {0};
  if (!dataset_open(&dataset, scratch->dir, &error)) fail_msg("%s", error.text);
  return dataset;
}

static void labels_follow_their_images(void **state) {
  (void)state;
  Scratch scratch = set_make("0352", "0570");
  Dataset dataset = opened(&scratch);
  Error error = {0};
  for (int i = 0; i < 4; i++) {
    Volume volume;
    LabelMap label;
    if (!dataset_read(&dataset, i, &volume, &error)) fail_msg("%s", error.text);
    assert_true(dataset_label(&dataset, i, &label, &error));
    assert_memory_equal(label.data, volume.label.data, VOXELS);
    int inside = 0;
    for (int v = 0; v < VOXELS; v++) {
      double place[3];
      place_of(&volume.image.grid, v, place);
      assert_float_equal(volume.image.data[v], place[0] + 10 * place[1] + 100 * place[2], 1e-3);
      assert_int_equal(label.data[v], place[0] > 9.5 && place[1] > 18.5 && place[2] > 26);
      inside += label.data[v];
    }
    assert_int_equal(inside, 3 * 2 * 2);
    label_free(&label);
    volume_free(&volume, 1);
  }
  dataset_free(&dataset);
  scratch_free(&scratch);
}

static void headers_are_counted(void **state) {
  (void)state;
  DatasetGeometry geometry;
  Error error = {0};
  Scratch scratch = set_make("300u", "33uu");
  Dataset dataset = opened(&scratch);
  assert_false(dataset_geometry(&dataset, &geometry, &error));
  if (!strstr(error.text, "1 case(s) have no orientation") ||
      !strstr(error.text, "(RAS, but LPS in case a)") || !strstr(error.text, "first "))
    fail_msg("%s", error.text);
  dataset_free(&dataset);
  scratch_free(&scratch);

  error = (Error){0};
  scratch = set_make("33u", "0uu");
  dataset = opened(&scratch);
  if (!dataset_geometry(&dataset, &geometry, &error)) fail_msg("%s", error.text);
  assert_string_equal(geometry.orientation, "LPS");
  assert_int_equal(geometry.turned, 0);
  assert_int_equal(geometry.unoriented, 1);
  char *text = geometry_remark(&geometry, 0);
  if (!text || strncmp(text, "3 file(s): no orientation in the header", 38)) fail_msg("%s", text);
  free(text);
  text = geometry_remark(&geometry, GEOMETRY_REMARKS - 1);
  if (!text || strncmp(text, "1 file(s): stored in another orientation", 39)) fail_msg("%s", text);
  free(text);
  assert_null(geometry_remark(&geometry, 1));
  dataset_free(&dataset);
  scratch_free(&scratch);

  scratch = set_make("uu", "uu");
  dataset = opened(&scratch);
  assert_true(dataset_geometry(&dataset, &geometry, &error));
  assert_string_equal(geometry.orientation, ORIENTATION_ANY);
  assert_int_equal(geometry.unoriented, 2);
  assert_false(geometry_matters(&geometry, 2));
  dataset_free(&dataset);
  scratch_free(&scratch);
}

/* Names, bytes and sizes alone, as the identity was at the time when headers did not count. */
static void bytes_hash(const Scratch *scratch, char hex[DATASET_HASH_BYTES]) {
  static const char *const files[] = {"dataset.json", "imagesTr/a_0000.nii", "labelsTr/a.nii",
                                      "imagesTr/b_0000.nii", "labelsTr/b.nii"};
  XXH3_state_t state;
  XXH3_INITSTATE(&state);
  XXH3_128bits_reset(&state);
  for (int i = 0; i < 5; i++) {
    char bytes[4096];
    FILE *file = fopen(scratch_path(scratch, "%s", files[i]), "rb");
    uint64_t size = fread(bytes, 1, sizeof bytes, file);
    fclose(file);
    const char *slash = strrchr(files[i], '/'), *name = slash ? slash + 1 : files[i];
    XXH3_128bits_update(&state, name, strlen(name) + 1);
    XXH3_128bits_update(&state, bytes, size);
    XXH3_128bits_update(&state, &size, sizeof size);
  }
  XXH128_hash_t hash = XXH3_128bits_digest(&state);
  snprintf(hex, DATASET_HASH_BYTES, "%016llx%016llx", (unsigned long long)hash.high64,
           (unsigned long long)hash.low64);
}

/* What was trained on mirrored labels is not what is trained now; what was sound keeps its name. */
static void identity_follows_what_is_read(void **state) {
  (void)state;
  static const char *const images[] = {"03", "uu", "03", "3u"};
  static const char *const labels[] = {"03", "uu", "00", "3u"};
  for (int i = 0; i < 4; i++) {
    Scratch scratch = set_make(images[i], labels[i]);
    Dataset dataset = opened(&scratch);
    Error error = {0};
    char hex[DATASET_HASH_BYTES], bytes[DATASET_HASH_BYTES];
    if (!dataset_hash(&dataset, hex, &error)) fail_msg("%s", error.text);
    bytes_hash(&scratch, bytes);
    if (!strcmp(hex, bytes) != (i < 2)) fail_msg("set %d: %s, its bytes %s", i, hex, bytes);
    dataset_free(&dataset);
    scratch_free(&scratch);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(voxels_keep_their_places),
      cmocka_unit_test(what_lies_elsewhere_is_refused),
      cmocka_unit_test(an_unoriented_file_lies_as_the_other),
      cmocka_unit_test(labels_follow_their_images),
      cmocka_unit_test(headers_are_counted),
      cmocka_unit_test(identity_follows_what_is_read),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
