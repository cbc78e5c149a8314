/* The cache: what is written is mapped back, and nothing that is wrong goes unnoticed or harms the
 * rest. */
#include "src/data/prepare/preprocess_folder.h"
#include "tests/scratch.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <sys/stat.h>

#include <cmocka.h>

static const char description[] =
    "{\"channel_names\": {\"0\": \"MR\"}, \"labels\": {\"background\": 0, \"a\": 1, \"b\": 2}, "
    "\"numTraining\": 4, \"file_ending\": \".nii.gz\"}";

/* An nnU-Net folder of four cases, 5x6x7 at 3x2x1 mm. */
static void folder_make(const Scratch *scratch) {
  assert_int_equal(shell("mkdir -p %s/imagesTr %s/labelsTr", scratch->dir, scratch->dir), 0);
  text_write(scratch_path(scratch, "dataset.json"), description);
  for (int i = 0; i < 4; i++) {
    image_ramp(scratch_path(scratch, "imagesTr/c%d_0000.nii.gz", i), 5, 6, 7, 1, (float)i + 1);
    label_ramp(scratch_path(scratch, "labelsTr/c%d.nii.gz", i), 5, 6, 7, 3);
  }
}

static Preprocessing preprocessing_of(double mm) {
  Preprocessing p = {.orientation = "RAS", .mm = {mm, 2, 1}, .normaliser = {.channels = 1}};
  return p;
}

/* The folder opened, and what the last preprocessing of it said. */
typedef struct Fixture {
  Scratch scratch;
  Dataset dataset;
  Preprocessing p;
  PreprocessOutcome outcome;
  Error error;
} Fixture;

static Fixture fixture_make(double mm) {
  Fixture f = {.scratch = scratch_make(), .p = preprocessing_of(mm)};
  folder_make(&f.scratch);
  if (!dataset_open(&f.dataset, f.scratch.dir, &f.error)) fail_msg("%s", f.error.text);
  return f;
}

static void fixture_free(Fixture *f) {
  dataset_free(&f->dataset);
  scratch_free(&f->scratch);
}

/* Standard error is thrown away meanwhile: the failures of cases are told there. */
static bool preprocess(Fixture *f, bool verify) {
  PreprocessOptions options = {.jobs = 2, .quiet = true, .verify = verify};
  fflush(stderr);
  int kept = dup(2);
  assert_non_null(freopen("/dev/null", "w", stderr));
  bool good = preprocess_folder(&f->dataset, &f->p, &options, &f->outcome, &f->error);
  fflush(stderr);
  dup2(kept, 2);
  close(kept);
  return good;
}

static void maps_what_was_prepared(void **state) {
  (void)state;
  Fixture f = fixture_make(1.5);
  assert_true(preprocess(&f, false));
  assert_int_equal(f.outcome.made, 4);
  Volume source, prepared, back;
  Frame frame;
  assert_true(dataset_read(&f.dataset, 2, &source, &f.error));
  assert_true(prepare_volume(&f.p, &source, &prepared, &frame, &f.error));
  CacheKey key;
  assert_true(cache_key(&f.dataset.item[2], preprocessing_key(&f.p, &f.dataset), &key, &f.error));
  Cached cached;
  char *path = preprocess_path(&f.dataset, 2);
  if (!cached_open(&cached, path, &key, true, &f.error)) fail_msg("%s", f.error.text);
  assert_true(cached_volume(&cached, "c2", &back, &f.error));
  assert_memory_equal(cached.frame.dim, frame.dim, sizeof frame.dim);
  assert_int_equal(frame.dim[0], 10);
  assert_memory_equal(back.label.data, prepared.label.data, grid_voxels(&prepared.label.grid));
  for (size_t i = 0; i < grid_voxels(&prepared.image.grid); i++)
    assert_float_equal(back.image.data[i], prepared.image.data[i],
                       fabsf(prepared.image.data[i]) / 1024 + 1e-6);
  for (int label = 1; label < 3; label++) {
    uint32_t voxels = 0;
    for (size_t i = 0; i < grid_voxels(&prepared.label.grid); i++)
      voxels += prepared.label.data[i] == label;
    assert_int_equal(cached.count[label], voxels);
    for (uint32_t i = 0; i < voxels; i++)
      assert_int_equal(cached.label[cached.position[label][i]], label);
  }
  assert_int_equal((uintptr_t)cached.image % 64, 0);
  cached_close(&cached);
  volume_free(&source, 1);
  volume_free(&prepared, 1);
  volume_free(&back, 1);
  free(path);
  fixture_free(&f);
}

/* Only what is missing, changed, or made by another plan is made again. */
static void keeps_what_is_there(void **state) {
  (void)state;
  Fixture f = fixture_make(3);
  assert_true(preprocess(&f, false));
  assert_true(preprocess(&f, true));
  assert_true(f.outcome.made == 0 && f.outcome.kept == 4);
  char *path = preprocess_path(&f.dataset, 1);
  assert_int_equal(remove(path), 0);
  assert_true(preprocess(&f, false));
  assert_true(f.outcome.made == 1 && f.outcome.kept == 3);
  image_ramp(scratch_path(&f.scratch, "imagesTr/c3_0000.nii.gz"), 5, 6, 7, 1, 77);
  assert_true(preprocess(&f, false));
  assert_true(f.outcome.made == 1 && f.outcome.kept == 3);
  assert_int_equal(shell("touch %s/imagesTr/*", f.scratch.dir), 0); /* as a copy: the same bytes */
  assert_true(preprocess(&f, false));
  assert_true(f.outcome.made == 0 && f.outcome.kept == 4);
  f.p = preprocessing_of(2);
  assert_true(preprocess(&f, false));
  assert_true(f.outcome.made == 4);
  free(path);
  fixture_free(&f);
}

static void describe(Fixture *f, const char *labels) {
  char text[512];
  snprintf(text, sizeof text,
           "{\"channel_names\": {\"0\": \"MR\"}, \"labels\": {\"background\": 0, %s}, "
           "\"file_ending\": \".nii.gz\"}",
           labels);
  text_write(scratch_path(&f->scratch, "dataset.json"), text);
  dataset_free(&f->dataset);
  if (!dataset_open(&f->dataset, f->scratch.dir, &f->error)) fail_msg("%s", f->error.text);
}

/* Volumes follow dataset.json: prepared with a label that is taken away afterwards, they are not
 * taken for good. */
static void follows_the_labels(void **state) {
  (void)state;
  Fixture f = fixture_make(3);
  assert_true(preprocess(&f, false));
  describe(&f, "\"A\": 1, \"B\": 2"); /* other names are the same volumes */
  assert_true(preprocess(&f, false));
  assert_int_equal(f.outcome.kept, 4);
  describe(&f, "\"a\": 1, \"b\": 2, \"c\": 3");
  assert_true(preprocess(&f, false));
  assert_int_equal(f.outcome.made, 4);
  describe(&f, "\"a\": 1");
  assert_false(preprocess(&f, false));
  assert_int_equal(f.outcome.failed, 4);
  assert_non_null(strstr(f.error.text, "holds values that dataset.json does not name: 2 ("));
  fixture_free(&f);
}

static void bytes_poke(const char *path, long at, int value) {
  FILE *file = fopen(path, "r+b");
  assert_non_null(file);
  assert_int_equal(fseek(file, at, at < 0 ? SEEK_END : SEEK_SET), 0);
  fputc(value, file);
  fclose(file);
}

/* Damage in the header is seen at once, elsewhere by verifying; both are repaired by preprocessing
 * again. */
static void damage_is_seen(void **state) {
  (void)state;
  Fixture f = fixture_make(3);
  assert_true(preprocess(&f, false));
  const long where[] = {20, 100, 8192 + 5, -1};
  for (size_t i = 0; i < sizeof where / sizeof *where; i++) {
    char *path = preprocess_path(&f.dataset, 0);
    bytes_poke(path, where[i], 0xA5);
    Cached cached;
    Error damaged = {0}, unseen = {0};
    assert_false(cached_open(&cached, path, NULL, true, &damaged));
    assert_non_null(strstr(damaged.text, "damaged"));
    bool in_header = where[i] >= 0 && where[i] < 8192;
    bool opened = cached_open(&cached, path, NULL, false, &unseen);
    assert_int_equal(opened, !in_header);
    if (opened) cached_close(&cached);
    assert_true(preprocess(&f, true));
    assert_true(f.outcome.made == 1 && f.outcome.kept == 3);
    free(path);
  }
  char *path = preprocess_path(&f.dataset, 0);
  Cached cached;
  for (int bytes = 0; bytes < 9000; bytes += 2999) {
    assert_int_equal(truncate(path, bytes), 0);
    Error cut = {0};
    assert_false(cached_open(&cached, path, NULL, false, &cut));
    assert_non_null(strstr(cut.text, "truncated"));
    assert_true(preprocess(&f, false));
  }
  free(path);
  fixture_free(&f);
}

static void case_break(const Scratch *scratch, int how) {
  const char *image = scratch_path(scratch, "imagesTr/c1_0000.nii.gz");
  const char *label = scratch_path(scratch, "labelsTr/c1.nii.gz");
  if (how == 0) assert_int_equal(truncate(image, 250), 0);
  if (how == 1) text_write(image, "this is no image");
  if (how == 2) image_ramp(image, 5, 6, 7, 1, NAN);
  if (how == 3) image_ramp(image, 5, 6, 8, 1, 1);
  if (how == 4) label_ramp(label, 5, 6, 7, 7);
  if (how == 5) assert_int_equal(shell("rm %s && mkdir %s", image, image), 0);
  if (how == 6) {
    Image zero;
    Error error = {0};
    Grid grid = grid_make((int[3]){5, 6, 7}, (double[3]){3, 2, 1});
    assert_true(image_alloc(&zero, &grid, 1, &error));
    assert_true(image_write(&zero, VOXEL_F32, image, &error));
    image_free(&zero);
  }
}

/* One bad case of four: named with what is wrong, the other three are made and can be used; once it
 * is repaired the fourth follows. */
static void a_bad_case_harms_no_other(void **state) {
  (void)state;
  static const char *const words[] = {"truncated",
                                      "not a NIfTI",
                                      "not a finite",
                                      "different shapes",
                                      "does not name",
                                      "not a regular",
                                      "every voxel of the image is 0"};
  for (int how = 0; how < 7; how++) {
    Fixture f = fixture_make(3);
    case_break(&f.scratch, how);
    assert_false(preprocess(&f, false));
    assert_true(f.outcome.made == 3 && f.outcome.failed == 1);
    if (!strstr(f.error.text, words[how]) && !strstr(f.error.text, "cannot read"))
      fail_msg("break %d says: %s", how, f.error.text);
    assert_non_null(strstr(f.error.text, "case c1"));
    for (int i = 0; i < 4; i++) {
      char *path = preprocess_path(&f.dataset, i);
      Cached cached;
      Error inner = {0};
      assert_int_equal(cached_open(&cached, path, NULL, true, &inner), i != 1);
      if (i != 1) cached_close(&cached);
      free(path);
    }
    assert_int_equal(shell("rm -rf %s/imagesTr/c1*", f.scratch.dir), 0);
    folder_make(&f.scratch);
    assert_true(preprocess(&f, false));
    assert_int_equal(f.outcome.failed, 0);
    fixture_free(&f);
  }
}

/* Root may do everything: as nobody meanwhile. */
static void rights_drop(const Scratch *scratch) {
  if (geteuid()) return;
  assert_int_equal(shell("chmod -R go+rX %s", scratch->dir), 0);
  assert_int_equal(seteuid(65534), 0);
}

static void rights_back(void) {
  if (!getuid()) assert_int_equal(seteuid(0), 0);
}

static void a_folder_that_cannot_be_written(void **state) {
  (void)state;
  Fixture f = fixture_make(3);
  assert_int_equal(chmod(f.scratch.dir, 0555), 0);
  rights_drop(&f.scratch);
  bool good = preprocess(&f, false);
  rights_back();
  assert_false(good);
  assert_non_null(strstr(f.error.text, "--cache"));
  fixture_free(&f);
}

static void a_file_that_cannot_be_read(void **state) {
  (void)state;
  Fixture f = fixture_make(3);
  assert_int_equal(shell("mkdir %s/preprocessed", f.scratch.dir), 0);
  assert_int_equal(
      shell("chmod -R go+rX %s; chmod 000 %s/labelsTr/c2.nii.gz; chmod 777 %s/preprocessed",
            f.scratch.dir, f.scratch.dir, f.scratch.dir),
      0);
  if (!geteuid()) assert_int_equal(seteuid(65534), 0);
  bool good = preprocess(&f, false);
  rights_back();
  assert_false(good);
  assert_true(f.outcome.made == 3 && f.outcome.failed == 1);
  assert_non_null(strstr(f.error.text, "c2.nii.gz: cannot open: Permission denied"));
  fixture_free(&f);
}

static void a_cache_elsewhere(void **state) {
  (void)state;
  Fixture f = fixture_make(3);
  assert_true(preprocess_place(&f.dataset, scratch_path(&f.scratch, "elsewhere"), &f.error));
  assert_true(preprocess_place(&f.dataset, scratch_path(&f.scratch, "elsewhere"), &f.error));
  assert_true(preprocess(&f, false));
  assert_int_equal(access(scratch_path(&f.scratch, "elsewhere/c3.vol"), R_OK), 0);
  assert_false(preprocess_place(&f.dataset, scratch_path(&f.scratch, "third"), &f.error));
  assert_non_null(strstr(f.error.text, "already in"));
  fixture_free(&f);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(maps_what_was_prepared),
      cmocka_unit_test(keeps_what_is_there),
      cmocka_unit_test(follows_the_labels),
      cmocka_unit_test(damage_is_seen),
      cmocka_unit_test(a_bad_case_harms_no_other),
      cmocka_unit_test(a_folder_that_cannot_be_written),
      cmocka_unit_test(a_file_that_cannot_be_read),
      cmocka_unit_test(a_cache_elsewhere),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
