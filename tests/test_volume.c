/* NIfTI files: against nibabel in both directions, and every way in which a file can be bad. */
#include "base/rng.h"
#include "tests/nifti_files.h"

#include <math.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <sys/resource.h>
#include <zlib.h>

#include <cmocka.h>

static const char python[] = "/usr/bin/python3 tests/oracle/nifti.py";
static const char headers[] = "/usr/bin/python3 tests/oracle/nifti_headers.py";

static bool have_nibabel(void) {
  return shell("/usr/bin/python3 -c 'import nibabel' 2>/dev/null") == 0 &&
         access("tests/oracle/nifti.py", R_OK) == 0;
}

/* The grid that the oracle described in STEM.txt, and the values of STEM.raw. */
static double *expected_read(const char *stem, Grid *grid, int *channels) {
  char path[600];
  snprintf(path, sizeof path, "%s.txt", stem);
  FILE *file = fopen(path, "r");
  assert_non_null(file);
  int got = fscanf(file, "%d %d %d %d", &grid->dim[0], &grid->dim[1], &grid->dim[2], channels);
  for (int i = 0; i < 16; i++) got += fscanf(file, "%lf", &grid->affine[i / 4][i % 4]);
  for (int i = 0; i < 3; i++) got += fscanf(file, "%lf", &grid->spacing[i]);
  got += fscanf(file, "%u", &grid->remarks);
  fclose(file);
  assert_int_equal(got, 24);
  size_t count = grid_voxels(grid) * (size_t)*channels;
  double *value = malloc(count * sizeof *value);
  snprintf(path, sizeof path, "%s.raw", stem);
  file = fopen(path, "rb");
  assert_int_equal(fread(value, sizeof *value, count, file), count);
  fclose(file);
  return value;
}

/* near: of the affine's numbers, in mm. */
static void same_as_oracle(const Scratch *scratch, const char *name, double near) {
  Error error = {0};
  Image image;
  if (!image_read(&image, scratch_path(scratch, "%s", name), &error))
    fail_msg("%s: %s", name, error.text);
  char stem[512];
  snprintf(stem, sizeof stem, "%s", scratch_path(scratch, "%s", name));
  *strchr(strrchr(stem, '/'), '.') = 0;
  Grid grid;
  int channels;
  double *value = expected_read(stem, &grid, &channels);
  assert_true(grid_same_dim(&grid, &image.grid));
  assert_int_equal(channels, image.channels);
  for (size_t i = 0; i < grid_voxels(&grid) * (size_t)channels; i++)
    if (image.data[i] != (float)value[i])
      fail_msg("%s: voxel %zu is %g, nibabel says %g", name, i, image.data[i], value[i]);
  for (int i = 0; i < 16; i++)
    if (fabs(image.grid.affine[i / 4][i % 4] - grid.affine[i / 4][i % 4]) > near)
      fail_msg("%s: affine[%d][%d] is %g, nibabel says %g", name, i / 4, i % 4,
               image.grid.affine[i / 4][i % 4], grid.affine[i / 4][i % 4]);
  for (int i = 0; i < 3; i++)
    if (fabs(image.grid.spacing[i] - grid.spacing[i]) > 1e-7)
      fail_msg("%s: spacing is %.9g, not %.9g", name, image.grid.spacing[i], grid.spacing[i]);
  if (image.grid.remarks != grid.remarks)
    fail_msg("%s: remarks are %u, not %u", name, image.grid.remarks, grid.remarks);
  free(value);
  image_free(&image);
}

static void reads_what_nibabel_wrote(void **state) {
  (void)state;
  if (!have_nibabel()) {
    print_message("python3-nibabel is not installed\n");
    skip();
  }
  Scratch scratch = scratch_make();
  assert_int_equal(shell("%s make %s > %s/list", python, scratch.dir, scratch.dir), 0);
  FILE *list = fopen(scratch_path(&scratch, "list"), "r");
  char name[128];
  int files = 0;
  for (; fscanf(list, "%127s", name) == 1; files++) same_as_oracle(&scratch, name, 1e-4);
  fclose(list);
  assert_int_equal(files, 30);
  scratch_free(&scratch);
}

/* Headers of every version, byte order, type, slope, unit and geometry: read as nibabel reads them,
 * or refused where it refuses them or we say that we do. */
static void reads_headers_as_nibabel(void **state) {
  (void)state;
  if (!have_nibabel()) skip();
  Scratch scratch = scratch_make();
  assert_int_equal(shell("%s %s 300 > %s/list", headers, scratch.dir, scratch.dir), 0);
  FILE *list = fopen(scratch_path(&scratch, "list"), "r");
  char name[128], says[128];
  int read = 0, refused = 0;
  while (fscanf(list, "%127s %127s", name, says) == 2)
    if (strcmp(says, "read")) {
      image_refused(scratch_path(&scratch, "%s", name), says, "");
      refused++;
    } else {
      /* turned by about 180 degrees, w of a quaternion is rounding: libnifti takes it for 0 */
      same_as_oracle(&scratch, name, 2e-3);
      read++;
    }
  fclose(list);
  assert_int_equal(read + refused, 300);
  assert_in_range(refused, 15, 100);
  scratch_free(&scratch);
}

/* Our copy of a file that nibabel described must satisfy nibabel under the same description. */
static void nibabel_reads_what_we_wrote(void **state) {
  (void)state;
  if (!have_nibabel()) skip();
  static const struct {
    const char *from, *to, *type;
    VoxelType stored;
  } rows[] = {{"i2_le.nii.gz", "a.nii.gz", "int16", VOXEL_I16},
              {"f4_be.nii.gz", "b.nii", "float32", VOXEL_F32},
              {"u1_le.nii.gz", "c.nii.gz", "uint8", VOXEL_U8},
              {"oblique_sform.nii.gz", "d.nii.gz", "float32", VOXEL_F32},
              {"channels.nii.gz", "e.nii.gz", "int16", VOXEL_I16},
              {"flat.nii.gz", "f.nii", "float32", VOXEL_F32}};
  Scratch scratch = scratch_make();
  assert_int_equal(shell("%s make %s > %s/list", python, scratch.dir, scratch.dir), 0);
  for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
    Error error = {0};
    Image image;
    assert_true(image_read(&image, scratch_path(&scratch, "%s", rows[i].from), &error));
    const char *out = scratch_path(&scratch, "%s", rows[i].to);
    if (!image_write(&image, rows[i].stored, out, &error)) fail_msg("%s", error.text);
    int stem = (int)(strchr(rows[i].from, '.') - rows[i].from);
    const char *raw = scratch_path(&scratch, "%.*s.raw", stem, rows[i].from);
    if (shell("test \"$(%s verify %s %s)\" = %s", python, out, raw, rows[i].type))
      fail_msg("nibabel disagrees about %s", rows[i].to);
    image_free(&image);
  }
  LabelMap label;
  Error error = {0};
  assert_true(label_read(&label, scratch_path(&scratch, "u1_be.nii.gz"), &error));
  assert_true(label_write(&label, scratch_path(&scratch, "l.nii.gz"), &error));
  assert_int_equal(shell("test \"$(%s verify %s/l.nii.gz %s/u1_be.raw)\" = uint8", python,
                         scratch.dir, scratch.dir),
                   0);
  label_free(&label);
  scratch_free(&scratch);
}

static void refuses_what_is_no_volume(void **state) {
  (void)state;
  Scratch scratch = scratch_make();
  image_refused(scratch_path(&scratch, "none.nii.gz"), "none.nii.gz", "No such file");
  text_write(scratch_path(&scratch, "empty.nii"), "");
  image_refused(scratch_path(&scratch, "empty.nii"), "empty file", "");
  text_write(scratch_path(&scratch, "text.nii.gz"), "this is a letter, not a scan");
  image_refused(scratch_path(&scratch, "text.nii.gz"), "not a NIfTI file", "");
  bytes_write(scratch_path(&scratch, "short.nii"), &(int){348}, 4);
  image_refused(scratch_path(&scratch, "short.nii"), "not a NIfTI file", "first 4 bytes");
  image_refused(scratch.dir, "not a regular file", "");
  nifti_1_header pair = header_of(2, 2, 2, DT_UINT8, 8);
  memcpy(pair.magic, "ni1", 4);
  header_write(&scratch, "pair.nii", pair, NULL, 0);
  image_refused(scratch_path(&scratch, "pair.nii"), ".hdr/.img", "");
  scratch_free(&scratch);
}

static void refuses_damaged_files(void **state) {
  (void)state;
  Scratch scratch = scratch_make();
  char whole[512]; /* outlives the four paths that are valid at a time */
  snprintf(whole, sizeof whole, "%s", scratch_path(&scratch, "whole.nii.gz"));
  image_ramp(whole, 9, 8, 7, 1, 0);
  assert_int_equal(shell("head -c 600 %s > %s/cut.nii.gz", whole, scratch.dir), 0);
  image_refused(scratch_path(&scratch, "cut.nii.gz"), "truncated", "need 2368 bytes");
  assert_int_equal(shell("head -c -4 %s > %s/tail.nii.gz", whole, scratch.dir), 0);
  image_refused(scratch_path(&scratch, "tail.nii.gz"), "corrupt", "end of file");
  assert_int_equal(shell("zcat %s > %s/a.nii && head -c 2367 %s/a.nii > %s/cut.nii", whole,
                         scratch.dir, scratch.dir, scratch.dir),
                   0);
  image_refused(scratch_path(&scratch, "cut.nii"), "need 2368 bytes, found 2367", "");
  for (int from_end = 8; from_end >= 5; from_end -= 3) { /* checksum, low and high byte */
    assert_int_equal(shell("cp %s %s/crc.nii.gz && printf '\\125' | dd of=%s/crc.nii.gz bs=1 "
                           "seek=$(($(stat -c %%s %s)-%d)) conv=notrunc status=none",
                           whole, scratch.dir, scratch.dir, whole, from_end),
                     0);
    Error error = {0};
    Image image;
    assert_false(image_read(&image, scratch_path(&scratch, "crc.nii.gz"), &error));
    if (!strstr(error.text, "corrupt") || strstr(strstr(error.text, "crc.nii") + 1, "crc.nii"))
      fail_msg("expected one path and \"corrupt\" in: %s", error.text);
  }
  scratch_free(&scratch);
}

static void refuses_values_that_are_none(void **state) {
  (void)state;
  Scratch scratch = scratch_make();
  float values[2 * 3 * 4] = {0};
  values[1 * 12 + 2 * 4 + 3] = NAN;
  values[0 * 12 + 1 * 4 + 2] = INFINITY;
  header_write(&scratch, "nan.nii.gz", header_of(4, 3, 2, DT_FLOAT32, 32), values, sizeof values);
  image_refused(scratch_path(&scratch, "nan.nii.gz"), "2 voxel(s)", "inf at (d,h,w) = (0,1,2)");
  double large[1] = {1e300};
  header_write(&scratch, "large.nii", header_of(1, 1, 1, DT_FLOAT64, 64), large, sizeof large);
  image_refused(scratch_path(&scratch, "large.nii"), "1 voxel(s)", "1e+300");
  float half[4] = {0, 1, 2.5f, 3};
  header_write(&scratch, "half.nii", header_of(4, 1, 1, DT_FLOAT32, 32), half, sizeof half);
  label_refused(scratch_path(&scratch, "half.nii"), "2.5 at (d,h,w) = (0,0,2)");
  int16_t wide[3] = {0, 256, -1};
  header_write(&scratch, "wide.nii", header_of(3, 1, 1, DT_INT16, 16), wide, sizeof wide);
  label_refused(scratch_path(&scratch, "wide.nii"), "2 voxel(s) are not a whole number");
  image_ramp(scratch_path(&scratch, "four.nii"), 2, 2, 2, 3, 0);
  label_refused(scratch_path(&scratch, "four.nii"), "found 3 channels");
  float whole[3] = {0, 255, 7};
  header_write(&scratch, "float.nii", header_of(3, 1, 1, DT_FLOAT32, 32), whole, sizeof whole);
  LabelMap label;
  Error error = {0};
  assert_true(label_read(&label, scratch_path(&scratch, "float.nii"), &error));
  assert_memory_equal(label.data, ((uint8_t[]){0, 255, 7}), 3);
  label_free(&label);
  scratch_free(&scratch);
}

static void writes_whole_or_not_at_all(void **state) {
  (void)state;
  Scratch scratch = scratch_make();
  Error error = {0};
  LabelMap label;
  Grid grid = grid_make((int[3]){40, 40, 40}, (double[3]){1, 1, 1});
  assert_true(label_alloc(&label, &grid, &error));
  Rng rng = rng_make(1, RNG_TEST, 0);
  for (int i = 0; i < 64000; i++) label.data[i] = (uint8_t)rng_u32(&rng);
  assert_false(label_write(&label, scratch_path(&scratch, "no/such.nii.gz"), &error));
  assert_non_null(strstr(error.text, "No such file"));
  error = (Error){0};
  assert_false(label_write(&label, scratch_path(&scratch, "label.mha"), &error));
  assert_non_null(strstr(error.text, ".nii.gz"));
  /* A file-size limit fails in the middle of the voxels, as a full disk does. */
  text_write(scratch_path(&scratch, "old.nii.gz"), "old");
  struct rlimit limit, small;
  getrlimit(RLIMIT_FSIZE, &limit);
  small = limit;
  small.rlim_cur = 9000;
  signal(SIGXFSZ, SIG_IGN);
  setrlimit(RLIMIT_FSIZE, &small);
  error = (Error){0};
  bool written = label_write(&label, scratch_path(&scratch, "old.nii.gz"), &error);
  setrlimit(RLIMIT_FSIZE, &limit);
  assert_false(written);
  assert_non_null(strstr(error.text, "File too large"));
  assert_int_equal(shell("test \"$(ls %s)\" = old.nii.gz && grep -q old %s/old.nii.gz", scratch.dir,
                         scratch.dir),
                   0);
  error = (Error){0};
  assert_true(label_write(&label, scratch_path(&scratch, "old.nii.gz"), &error));
  LabelMap back;
  assert_true(label_read(&back, scratch_path(&scratch, "old.nii.gz"), &error));
  assert_memory_equal(back.data, label.data, 64000);
  assert_int_equal(shell("test \"$(ls %s)\" = old.nii.gz", scratch.dir), 0);
  label_free(&back);
  label_free(&label);
  scratch_free(&scratch);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(reads_what_nibabel_wrote),   cmocka_unit_test(nibabel_reads_what_we_wrote),
      cmocka_unit_test(reads_headers_as_nibabel),   cmocka_unit_test(refuses_what_is_no_volume),
      cmocka_unit_test(refuses_damaged_files),      cmocka_unit_test(refuses_values_that_are_none),
      cmocka_unit_test(writes_whole_or_not_at_all),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
