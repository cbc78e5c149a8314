/* Which files of a folder are one image to predict, and under which name. */
#include "src/data/predict/new_images.h"
#include "src/data/volumes/volume_format.h"
#include "tests/scratch.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static void picture(const char *path, int channels) {
  Error error = {""};
  Image image;
  Grid grid = grid_picture(2, 2);
  CHECK(image_alloc(&image, &grid, channels, &error) && image_write(&image, VOXEL_U8, path, &error),
        "%s", error.text);
  image_free(&image);
}

/* A folder of the named files, each with so many channels of its own; names end at NULL. */
static Scratch folder_of(int channels, const char *const *names) {
  Scratch scratch = scratch_make();
  for (int i = 0; names[i]; i++) {
    const char *path = scratch_path(&scratch, "%s", names[i]);
    if (is_picture(path))
      picture(path, channels);
    else
      image_ramp(path, 2, 2, 2, channels, 0);
  }
  return scratch;
}

/* expected: "NAME:FILES NAME:FILES", or NULL where `says` is why not. */
static void finds(int channels, int held, const char *const *names, const char *expected,
                  const char *says) {
  Scratch scratch = folder_of(held, names);
  Error error = {""};
  NewImages images;
  char found[256] = "";
  bool good = new_images_find(&images, scratch.dir, channels, &error);
  for (int i = 0; i < images.cases; i++) {
    size_t used = strlen(found);
    snprintf(found + used, sizeof found - used, "%s%s:%d", i ? " " : "", images.item[i].name,
             images.item[i].images);
  }
  if (good != (expected != NULL)) fail_msg("%s: %s", names[0], good ? found : error.text);
  if (good) assert_string_equal(found, expected);
  if (!good && !strstr(error.text, says)) fail_msg("\"%s\" is not in: %s", says, error.text);
  new_images_free(&images);
  scratch_free(&scratch);
}

#define FILES(...)                                                                                 \
  (const char *const[]) {                                                                          \
    __VA_ARGS__, NULL                                                                              \
  }

static void channels_of_cases(void **state) {
  (void)state;
  finds(1, 1, FILES("a_0000.nii.gz", "b_0000.nii.gz"), "a:1 b:1", NULL);
  finds(2, 1, FILES("a_0000.nii.gz", "a_0001.nii.gz", "b_0000.nii", "b_0001.nii"), "a:2 b:2", NULL);
  finds(2, 1, FILES("a_0000.nii.gz", "b_0000.nii.gz", "b_0001.nii.gz"), NULL,
        "a_0001.nii.gz: channel 1 of a is missing");
  finds(2, 1, FILES("a_0000.nii.gz", "a_0001.nii.gz", "a_0002.nii.gz"), NULL,
        "a_0002.nii.gz: channel 2 of the case a, or a case of its own?");
}

static void names_that_end_in_digits(void **state) {
  (void)state;
  finds(1, 1, FILES("scan_0000.nii.gz", "scan_0001.nii.gz"), NULL, "scan_0001.nii.gz: channel 1");
  finds(1, 1, FILES("amos_0001.nii.gz", "amos_0013.nii.gz"), "amos_0001:1 amos_0013:1", NULL);
  finds(2, 2, FILES("scan_0000.nii.gz", "scan_0001.nii.gz"), "scan_0000:1 scan_0001:1", NULL);
  finds(1, 1, FILES("a_000.nii.gz", "a_00000.nii.gz"), "a_000:1 a_00000:1", NULL);
}

static void one_name_twice(void **state) {
  (void)state;
  finds(1, 1, FILES("a.nii", "a.nii.gz"), NULL, "a.nii.gz are the same case");
  finds(1, 1, FILES("a.nii.gz", "a_0000.nii.gz"), NULL, "a_0000.nii.gz are the same case");
  finds(1, 1, FILES("a-b.nii.gz", "a.nii", "A.nii.gz"), "A:1 a-b:1 a:1", NULL);
}

/* nnU-Net calls a picture in colours NAME_0000; where others are numbered too these are frames. */
static void pictures_in_colours(void **state) {
  (void)state;
  finds(3, 3, FILES("a_0000.png", "b_0000.png"), "a:1 b:1", NULL);
  finds(3, 4, FILES("a_0000.png", "photo.png"), "a:1 photo:1", NULL);
  finds(3, 3, FILES("film_0000.png", "film_0001.png"), "film_0000:1 film_0001:1", NULL);
  finds(3, 3, FILES("film_0007.png", "film_0008.png"), "film_0007:1 film_0008:1", NULL);
  finds(2, 1, FILES("a_0000.png", "a_0001.png"), "a:2", NULL);
  finds(4, 2, FILES("a_0000.png", "a_0001.png"), "a:2", NULL);
  finds(1, 1, FILES("a_0000.png", "b_0000.png"), "a:1 b:1", NULL);
  finds(1, 1, FILES("a.nii.gz", "a.png", "b.png"), "a:1", NULL);
}

static void other_formats(void **state) {
  (void)state;
  Scratch scratch = folder_of(1, FILES("a.nii.gz"));
  Error error = {""};
  NewImages images;
  text_write(scratch_path(&scratch, "a.nrrd"), "the same, before it was converted");
  text_write(scratch_path(&scratch, "a.json"), "{}");
  assert_true(new_images_find(&images, scratch.dir, 1, &error));
  assert_int_equal(images.cases, 1);
  new_images_free(&images);
  text_write(scratch_path(&scratch, "b.MHA"), "not converted");
  assert_false(new_images_find(&images, scratch.dir, 1, &error));
  assert_non_null(strstr(error.text, "1 volume(s) are of another format, first b.MHA; only NIfTI"));
  new_images_free(&images);
  scratch_free(&scratch);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(channels_of_cases), cmocka_unit_test(names_that_end_in_digits),
      cmocka_unit_test(one_name_twice), cmocka_unit_test(pictures_in_colours),
      cmocka_unit_test(other_formats)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
