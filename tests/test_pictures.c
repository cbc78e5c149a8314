/* PNG and JPEG files against what tests/oracle/pictures.py packed by hand, their writing, and that
 * nothing damaged harms. */
#include "tests/nifti_files.h"

#include "src/data/volumes/volume_format.h"

#include <math.h>

static const char python[] = "/usr/bin/python3 -B tests/oracle/pictures.py";

typedef struct Expected {
  int height, width, channels;
  unsigned remarks;
  double near;
  double *value; /* (H,W,C) */
} Expected;

static Expected expected_read(const char *path) {
  Expected e;
  char name[600];
  snprintf(name, sizeof name, "%s.txt", path);
  FILE *file = fopen(name, "r");
  assert_non_null(file);
  assert_int_equal(
      fscanf(file, "%d %d %d %u %lf", &e.height, &e.width, &e.channels, &e.remarks, &e.near), 5);
  fclose(file);
  size_t count = (size_t)(e.height * e.width * e.channels);
  e.value = malloc(count * sizeof *e.value);
  snprintf(name, sizeof name, "%s.raw", path);
  file = fopen(name, "rb");
  assert_int_equal(fread(e.value, sizeof *e.value, count, file), count);
  fclose(file);
  return e;
}

static void grid_is(const char *path, const Grid *grid, const Expected *e) {
  if (grid->dim[0] != 1 || grid->dim[1] != e->height || grid->dim[2] != e->width)
    fail_msg("%s: %dx%dx%d", path, grid->dim[0], grid->dim[1], grid->dim[2]);
  if (grid->remarks != e->remarks)
    fail_msg("%s: remarks %#x, not %#x", path, grid->remarks, e->remarks);
  assert_true(grid->spacing[0] == 999 && grid->spacing[1] == 1 && grid->spacing[2] == 1);
}

static void image_is(const char *path, const Expected *e) {
  Error error = {""};
  Image image;
  Grid grid;
  int channels;
  if (!volume_inspect(path, &grid, &channels, &error) || !image_read(&image, path, &error))
    fail_msg("%s", error.text);
  grid_is(path, &grid, e);
  grid_is(path, &image.grid, e);
  assert_int_equal(channels, e->channels);
  assert_int_equal(image.channels, e->channels);
  for (int i = 0; i < e->height * e->width * e->channels; i++)
    if (fabs(image.data[i] - e->value[i]) > e->near)
      fail_msg("%s: value %d is %g, not %g", path, i, image.data[i], e->value[i]);
  image_free(&image);
}

static void label_is(const char *path, const Expected *e) {
  Error error = {""};
  LabelMap label;
  if (!label_read(&label, path, &error)) fail_msg("%s", error.text);
  grid_is(path, &label.grid, e);
  for (int i = 0; i < e->height * e->width; i++)
    if (label.data[i] != e->value[i])
      fail_msg("%s: pixel %d is %d, not %g", path, i, label.data[i], e->value[i]);
  label_free(&label);
}

/* Walks what the oracle lists: KIND NAME WORDS. */
static void every_file_is_as_the_oracle_says(void **state) {
  (void)state;
  Scratch scratch = scratch_make();
  assert_int_equal(shell("%s make %s >%s/list", python, scratch.dir, scratch.dir), 0);
  FILE *list = fopen(scratch_path(&scratch, "list"), "r");
  char line[512], kind[16], name[128];
  int words, files = 0;
  for (; fgets(line, sizeof line, list); files++) {
    line[strcspn(line, "\n")] = 0;
    assert_int_equal(sscanf(line, "%15s %127s %n", kind, name, &words), 2);
    const char *path = scratch_path(&scratch, "%s", name);
    if (!strcmp(kind, "bad-image")) image_refused(path, line + words, path);
    if (!strcmp(kind, "bad-label")) label_refused(path, line + words);
    if (!strncmp(kind, "bad", 3)) continue;
    Expected e = expected_read(path);
    (strcmp(kind, "image") ? label_is : image_is)(path, &e);
    free(e.value);
  }
  fclose(list);
  assert_true(files > 100);
  scratch_free(&scratch);
}

/* What python reads from the file: "DEPTH CHANNELS VALUES". */
static void file_holds(const char *path, const char *says) {
  char command[700], line[256] = "";
  snprintf(command, sizeof command, "%s verify %s", python, path);
  FILE *told = popen(command, "r");
  assert_non_null(fgets(line, sizeof line, told));
  assert_int_equal(pclose(told), 0);
  line[strcspn(line, "\n")] = 0;
  assert_string_equal(line, says);
}

static void written_pictures_hold_the_values(void **state) {
  (void)state;
  Scratch scratch = scratch_make();
  Error error = {""};
  const char *path = scratch_path(&scratch, "a.png");
  uint8_t number[6] = {0, 1, 2, 3, 254, 7};
  LabelMap label = {.grid = grid_picture(2, 3), .data = number};
  assert_true(label_write(&label, path, &error));
  file_holds(path, "8 1 0 1 2 3 254 7");
  number[5] = 255;
  assert_true(label_write(&label, path, &error));
  file_holds(path, "16 1 0 1 2 3 254 255");
  float value[12] = {-3, 0.4f, 0.6f, 255, 300, 1000, 65535, 1e6f, 4, 5, 6, 7};
  Image image = {.grid = grid_picture(2, 2), .channels = 3, .data = value};
  assert_true(image_write(&image, VOXEL_U8, path, &error));
  file_holds(path, "8 3 0 0 1 255 255 255 255 255 4 5 6 7");
  assert_true(image_write(&image, VOXEL_I16, path, &error));
  file_holds(path, "16 3 0 0 1 255 300 1000 65535 65535 4 5 6 7");
  scratch_free(&scratch);
}

static void refused(bool done, Error *error, const char *says) {
  assert_false(done);
  if (!strstr(error->text, says)) fail_msg("expected \"%s\" in: %s", says, error->text);
  error->text[0] = 0;
}

static void what_a_picture_cannot_hold_is_refused(void **state) {
  (void)state;
  Scratch scratch = scratch_make();
  Error error = {""};
  float value[4] = {0};
  uint8_t number[4] = {0};
  Grid deep = grid_make((int[3]){4, 1, 1}, (double[3]){1, 1, 1});
  LabelMap label = {.grid = deep, .data = number};
  Image image = {.grid = grid_picture(2, 2), .channels = 1, .data = value};
  refused(label_write(&label, scratch_path(&scratch, "a.png"), &error), &error,
          "a PNG holds one slice, and the volume has 4 (4x1x1)");
  refused(image_write(&image, VOXEL_F32, scratch_path(&scratch, "a.png"), &error), &error,
          "a PNG holds whole numbers");
  refused(label_write(&label, scratch_path(&scratch, "a.jpg"), &error), &error,
          "JPEG does not keep the values");
  refused(image_write(&image, VOXEL_U8, scratch_path(&scratch, "none/a.png"), &error), &error,
          "cannot write: No such file");
  assert_int_equal(shell("test -z \"$(ls -A %s)\"", scratch.dir), 0);
  scratch_free(&scratch);
}

/* A full disk: the sentence says so, and nothing is left. */
static void a_full_disk_is_told(void **state) {
  (void)state;
  if (access("/dev/full", W_OK)) skip();
  Scratch scratch = scratch_make();
  Error error = {""};
  uint8_t number[4] = {0};
  LabelMap label = {.grid = grid_picture(2, 2), .data = number};
  const char *path = scratch_path(&scratch, "a.png");
  assert_int_equal(shell("ln -s /dev/full %s.tmp-%ld", path, (long)getpid()), 0);
  refused(label_write(&label, path, &error), &error, "a.png: not written: No space left on device");
  assert_int_equal(shell("test -z \"$(ls -A %s)\"", scratch.dir), 0);
  scratch_free(&scratch);
}

/* ---- damage ---------------------------------------------------------------------------------- */

static unsigned draw(unsigned *seed) {
  return *seed = *seed * 1664525 + 1013904223, *seed >> 8;
}

/* Chunks of a PNG get the checksum of what they hold, so that damage is looked at. */
static void checksums_mend(char *data, size_t bytes) {
  unsigned char *d = (unsigned char *)data;
  for (size_t at = 8, length; at + 12 <= bytes; at += 12 + length) {
    length = (size_t)d[at] << 24 | (size_t)d[at + 1] << 16 | (size_t)d[at + 2] << 8 | d[at + 3];
    if (length > bytes - at - 12) return;
    uLong sum = crc32(0, d + at + 4, (uInt)length + 4);
    for (int i = 0; i < 4; i++)
      d[at + 8 + length + (size_t)i] = (unsigned char)(sum >> (24 - 8 * i));
  }
}

/* Whatever is read or refused, nothing is read beyond a buffer and nothing leaks, as the sanitizers
 * tell. HARNESS_FUZZ: rounds of each file. */
static void damage(const Scratch *scratch, const char *name, int rounds, unsigned seed) {
  char raw[1 << 14], bent[1 << 14];
  FILE *file = fopen(scratch_path(scratch, "%s", name), "rb");
  size_t bytes = fread(raw, 1, sizeof raw, file);
  fclose(file);
  const char *path = scratch_path(scratch, "bent_%s", name);
  for (int round = 0; round < rounds; round++) {
    size_t kept = draw(&seed) % 4 ? bytes : draw(&seed) % (bytes + 1);
    memcpy(bent, raw, bytes);
    for (unsigned k = draw(&seed) % 6; k > 0; k--) bent[draw(&seed) % bytes] = (char)draw(&seed);
    if (strstr(name, ".png") && draw(&seed) % 2) checksums_mend(bent, bytes);
    bytes_write(path, bent, kept);
    Error error = {""};
    Image image;
    LabelMap label;
    if (image_read(&image, path, &error)) image_free(&image);
    assert_null(image.data);
    error.text[0] = 0;
    if (label_read(&label, path, &error)) label_free(&label);
    assert_null(label.data);
  }
}

static void damaged_files_harm_nothing(void **state) {
  (void)state;
  static const char *const names[] = {"rgba16_23x17i.png", "palette4_23x17.png", "turned.png",
                                      "label8i.png",       "jpeg3_19x13.jpg",    "turned.jpg"};
  const char *more = getenv("HARNESS_FUZZ");
  Scratch scratch = scratch_make();
  assert_int_equal(shell("%s make %s >/dev/null", python, scratch.dir), 0);
  for (size_t i = 0; i < sizeof names / sizeof *names; i++)
    damage(&scratch, names[i], more ? atoi(more) : 150, (unsigned)i + 1);
  scratch_free(&scratch);
}

static void endings_name_formats(void **state) {
  (void)state;
  const char *ending;
  assert_string_equal(volume_format("d/a_0000.nii.gz", &ending)->name, "NIfTI");
  assert_string_equal(ending, ".nii.gz");
  assert_string_equal(volume_format("a.JPEG", &ending)->name, "JPEG");
  assert_string_equal(ending, ".JPEG");
  assert_null(volume_format("a.NII", NULL));
  assert_null(volume_format(".png", NULL));
  assert_string_equal(format_of_ending(".PNG")->name, "PNG");
  assert_null(format_of_ending("x.png"));
  assert_null(format_of_ending(".png.bak"));
  assert_string_equal(label_ending("a.jpg"), ".png");
  assert_string_equal(label_ending("a.nii"), ".nii.gz");
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(every_file_is_as_the_oracle_says),
      cmocka_unit_test(written_pictures_hold_the_values),
      cmocka_unit_test(what_a_picture_cannot_hold_is_refused),
      cmocka_unit_test(a_full_disk_is_told),
      cmocka_unit_test(damaged_files_harm_nothing),
      cmocka_unit_test(endings_name_formats),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
