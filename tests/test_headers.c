/* What a NIfTI header says: sizes, types, units and geometry, one case each; test_volume.c compares
 * drawn ones with nibabel. */
#include "tests/nifti_files.h"

#include <math.h>
#include <nifti/nifti2.h>

static void refuses_headers_that_lie(void **state) {
  (void)state;
  Scratch scratch = scratch_make();
  nifti_1_header huge = header_of(32767, 32767, 17, DT_UINT8, 8);
  header_write(&scratch, "huge.nii", huge, "few", 3);
  image_refused(scratch_path(&scratch, "huge.nii"), "need 18252497265 bytes", "found 355");
  header_write(&scratch, "huge.nii.gz", huge, "few", 3);
  image_refused(scratch_path(&scratch, "huge.nii.gz"), "need 18252497265 bytes", "found 355");
  nifti_1_header overflow = header_of(32767, 32767, 32767, DT_FLOAT64, 64);
  overflow.dim[0] = 4, overflow.dim[4] = 32767;
  header_write(&scratch, "overflow.nii", overflow, "few", 3);
  image_refused(scratch_path(&scratch, "overflow.nii"), "9222246188486492520", "found 355");
  nifti_2_header second = {.sizeof_hdr = 540, .dim = {4, 1 << 20, 1 << 20, 1 << 20, 1 << 20}};
  memcpy(second.magic, "n+2\0\r\n\032\n", 8);
  second.datatype = DT_UINT8;
  second.vox_offset = 544;
  bytes_write(scratch_path(&scratch, "second.nii"), &second, sizeof second);
  image_refused(scratch_path(&scratch, "second.nii"), "1048576x1048576x1048576x1048576",
                "more than any file");
  nifti_1_header negative = header_of(4, -4, 4, DT_UINT8, 8);
  header_write(&scratch, "negative.nii", negative, NULL, 0);
  image_refused(scratch_path(&scratch, "negative.nii"), "dimension 2 is -4", "");
  nifti_1_header five = header_of(2, 2, 2, DT_UINT8, 8);
  five.dim[0] = 5, five.dim[5] = 3;
  header_write(&scratch, "five.nii", five, NULL, 0);
  image_refused(scratch_path(&scratch, "five.nii"), "dimension 5 is 3", "");
  header_write(&scratch, "complex.nii", header_of(1, 1, 1, DT_COMPLEX64, 64), "01234567", 8);
  image_refused(scratch_path(&scratch, "complex.nii"), "COMPLEX64", "cannot be read");
  nifti_1_header offset = header_of(1, 1, 1, DT_UINT8, 8);
  offset.vox_offset = -1e9f;
  header_write(&scratch, "offset.nii", offset, "1", 1);
  image_refused(scratch_path(&scratch, "offset.nii"), "start at byte -1e+09", "");
  nifti_1_header singular = header_of(1, 1, 1, DT_UINT8, 8);
  singular.sform_code = 1; /* rows left at zero: fall back on pixdim */
  header_write(&scratch, "singular.nii", singular, "1", 1);
  Error error = {0};
  Image image;
  assert_true(image_read(&image, scratch_path(&scratch, "singular.nii"), &error));
  assert_true(image.grid.spacing[0] == 1);
  image_free(&image);
  scratch_free(&scratch);
}

/* Every place would compare as near to it as any other. */
static void an_origin_that_is_no_number_is_no_orientation(void **state) {
  (void)state;
  Scratch scratch = scratch_make();
  nifti_1_header lost = header_of(1, 1, 1, DT_UINT8, 8);
  lost.sform_code = 1;
  lost.srow_x[0] = lost.srow_y[1] = lost.srow_z[2] = 2;
  for (int i = 0; i < 2; i++) {
    lost.srow_y[3] = i ? NAN : INFINITY;
    header_write(&scratch, "lost.nii", lost, "1", 1);
    Error error = {0};
    Image image;
    assert_true(image_read(&image, scratch_path(&scratch, "lost.nii"), &error));
    assert_true(image.grid.remarks & GRID_UNORIENTED);
    assert_true(image.grid.affine[1][3] == 0);
    image_free(&image);
  }
  scratch_free(&scratch);
}

static void label_is(const Scratch *scratch, const char *name, const uint8_t *expected,
                     size_t count) {
  Error error = {0};
  LabelMap label;
  if (!label_read(&label, scratch_path(scratch, "%s", name), &error)) fail_msg("%s", error.text);
  assert_int_equal(grid_voxels(&label.grid), count);
  assert_memory_equal(label.data, expected, count);
  label_free(&label);
}

/* As Python writes them by default, and as a way through floats leaves them. */
static void reads_labels_of_wide_and_rounded_types(void **state) {
  (void)state;
  Scratch scratch = scratch_make();
  int64_t whole[4] = {0, 255, 7, 1};
  header_write(&scratch, "i8.nii.gz", header_of(4, 1, 1, DT_INT64, 64), whole, sizeof whole);
  label_is(&scratch, "i8.nii.gz", (uint8_t[]){0, 255, 7, 1}, 4);
  header_write(&scratch, "u8.nii", header_of(4, 1, 1, DT_UINT64, 64), whole, sizeof whole);
  label_is(&scratch, "u8.nii", (uint8_t[]){0, 255, 7, 1}, 4);
  whole[1] = INT64_MAX, whole[2] = -3;
  header_write(&scratch, "i8.nii", header_of(4, 1, 1, DT_INT64, 64), whole, sizeof whole);
  label_refused(scratch_path(&scratch, "i8.nii"), "2 voxel(s)");
  image_refused(scratch_path(&scratch, "i8.nii"), "1 voxel(s) are integers too large", "(0,0,1)");
  nifti_1_header slope = header_of(2, 1, 1, DT_UINT16, 16);
  slope.scl_slope = 2.f / 65535;
  uint16_t scaled[2] = {0, 65535};
  header_write(&scratch, "slope.nii", slope, scaled, sizeof scaled);
  label_is(&scratch, "slope.nii", (uint8_t[]){0, 2}, 2);
  float near[4] = {-0.0009f, 1.0009f, 254.9991f, 3};
  header_write(&scratch, "near.nii", header_of(4, 1, 1, DT_FLOAT32, 32), near, sizeof near);
  label_is(&scratch, "near.nii", (uint8_t[]){0, 1, 255, 3}, 4);
  near[2] = 199.99885f; /* "200" with six digits */
  header_write(&scratch, "far.nii", header_of(4, 1, 1, DT_FLOAT32, 32), near, sizeof near);
  label_refused(scratch_path(&scratch, "far.nii"), "(within 0.001); the first is 199.998856 at");
  scratch_free(&scratch);
}

/* The sform of a turned file holds its spacing to a float's rounding, pixdim holds it exactly. */
static void an_oblique_file_has_its_pixdim(void **state) {
  (void)state;
  Scratch scratch = scratch_make();
  nifti_1_header header = header_of(4, 3, 2, DT_UINT8, 8);
  const float c = cosf(0.3f), s = sinf(0.3f);
  const float rows[3][4] = {{c, -s * 2, 0, 0}, {s, c * 2, 0, 0}, {0, 0, 3, 0}};
  memcpy(header.srow_x, rows, sizeof rows);
  header.sform_code = 1;
  header.pixdim[2] = 2, header.pixdim[3] = 3;
  uint8_t voxels[24] = {0};
  Grid grid;
  int channels;
  Error error = {0};
  header_write(&scratch, "turned.nii", header, voxels, sizeof voxels);
  assert_true(volume_inspect(scratch_path(&scratch, "turned.nii"), &grid, &channels, &error));
  assert_true(grid.spacing[0] == 3 && grid.spacing[1] == 2 && grid.spacing[2] == 1);
  assert_int_equal(grid.remarks, 0);
  header.pixdim[2] = 2.001f; /* another spacing: the affine's holds, and it is remarked */
  header_write(&scratch, "turned.nii", header, voxels, sizeof voxels);
  assert_true(volume_inspect(scratch_path(&scratch, "turned.nii"), &grid, &channels, &error));
  assert_float_equal(grid.spacing[1], 2, 1e-6);
  assert_int_equal(grid.remarks, GRID_PIXDIM_OTHER);
  scratch_free(&scratch);
}

/* Microns written without their unit, or millimetres as metres. */
static void a_missing_unit_is_remarked(void **state) {
  (void)state;
  static const struct {
    float mm;
    char unit;
    unsigned remarks;
  } rows[] = {{1, NIFTI_UNITS_MM, 0},
              {2000, NIFTI_UNITS_MM, GRID_SIZE_ODD},
              {2000, NIFTI_UNITS_MICRON, GRID_UNIT_OTHER},
              {1, NIFTI_UNITS_METER | NIFTI_UNITS_SEC, GRID_UNIT_OTHER},
              {2, NIFTI_UNITS_METER, GRID_UNIT_OTHER | GRID_SIZE_ODD},
              {0.2f, 0, GRID_SIZE_ODD},
              {1, 7, GRID_UNIT_UNKNOWN}};
  Scratch scratch = scratch_make();
  for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
    nifti_1_header header = header_of(4, 1, 1, DT_UINT8, 8);
    header.pixdim[1] = header.pixdim[2] = header.pixdim[3] = rows[i].mm;
    header.qform_code = 1;
    header.xyzt_units = rows[i].unit;
    header_write(&scratch, "unit.nii", header, "1234", 4);
    Grid grid;
    int channels;
    Error error = {0};
    assert_true(volume_inspect(scratch_path(&scratch, "unit.nii"), &grid, &channels, &error));
    assert_int_equal(grid.remarks, rows[i].remarks);
  }
  scratch_free(&scratch);
}

/* A sform far from right angles is no box: the qform holds if there is one, else the file is
 * refused. */
static void refuses_sheared_grids(void **state) {
  (void)state;
  Scratch scratch = scratch_make();
  Error error = {0};
  Image image, back;
  Grid grid = grid_make((int[3]){3, 4, 5}, (double[3]){3, 2, 1});
  grid.affine[1][2] = 1.5; /* as a gantry tilted by 27 degrees gives */
  assert_true(image_alloc(&image, &grid, 1, &error));
  const char *path = scratch_path(&scratch, "tilted.nii");
  assert_true(image_write(&image, VOXEL_F32, path, &error));
  assert_true(image_read(&back, path, &error));
  double dot = 0;
  for (int row = 0; row < 3; row++) dot += back.grid.affine[row][1] * back.grid.affine[row][2];
  assert_float_equal(dot, 0, 1e-4);
  assert_true(back.grid.remarks & GRID_SFORM_UNFIT);
  image_free(&back);
  nifti_1_header header;
  FILE *file = fopen(path, "r+b");
  assert_int_equal(fread(&header, sizeof header, 1, file), 1);
  header.qform_code = 0;
  rewind(file);
  assert_int_equal(fwrite(&header, sizeof header, 1, file), 1);
  fclose(file);
  image_refused(path, "right angles", "upright grid");
  image_free(&image);
  scratch_free(&scratch);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(refuses_headers_that_lie),
      cmocka_unit_test(an_origin_that_is_no_number_is_no_orientation),
      cmocka_unit_test(reads_labels_of_wide_and_rounded_types),
      cmocka_unit_test(an_oblique_file_has_its_pixdim),
      cmocka_unit_test(a_missing_unit_is_remarked),
      cmocka_unit_test(refuses_sheared_grids),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
