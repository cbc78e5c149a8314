/* Data sets laid out as AMOS22, BTCV and MSD are distributed become nnU-Net folders. */
#include "src/data/sets/import.h"
#include "src/data/sets/split.h"
#include "tests/scratch.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <sys/stat.h>

#include <cmocka.h>

static void pair_make(const Scratch *s, const char *image, const char *label, int labels) {
  image_ramp(scratch_path(s, "%s", image), 3, 4, 5, 1, -1000);
  if (label) label_ramp(scratch_path(s, "%s", label), 3, 4, 5, labels);
}

/* amos22.zip: labels keyed by their numbers as texts, files by ./, CT up to 500 and MRI behind. */
static void amos_make(const Scratch *s, bool validation_labels) {
  assert_int_equal(shell("cd %s && mkdir -p amos22/imagesTr amos22/labelsTr amos22/imagesVa "
                         "amos22/labelsVa amos22/imagesTs",
                         s->dir),
                   0);
  text_write(
      scratch_path(s, "amos22/dataset.json"),
      "{\"name\": \"AMOS\", \"description\": \"Amos\", \"tensorImageSize\": \"3D\", \"modality\": "
      "{\"0\": \"CT\"}, \"labels\": {\"0\": \"background\", \"1\": \"spleen\", \"2\": \"right "
      "kidney\", "
      "\"3\": \"left kidney\", \"4\": \"gall bladder\", \"5\": \"esophagus\", \"6\": \"liver\", "
      "\"7\": \"stomach\", \"8\": \"arota\", \"9\": \"postcava\", \"10\": \"pancreas\", "
      "\"11\": \"right adrenal gland\", \"12\": \"left adrenal gland\", \"13\": \"duodenum\", "
      "\"14\": \"bladder\", \"15\": \"prostate/uterus\"}, \"numTraining\": 3, \"numValidation\": "
      "2, "
      "\"numTest\": 2, \"training\": ["
      "{\"image\": \"./imagesTr/amos_0001.nii.gz\", \"label\": \"./labelsTr/amos_0001.nii.gz\"}, "
      "{\"image\": \"./imagesTr/amos_0410.nii.gz\", \"label\": \"./labelsTr/amos_0410.nii.gz\"}, "
      "{\"image\": \"./imagesTr/amos_0507.nii.gz\", \"label\": \"./labelsTr/amos_0507.nii.gz\"}], "
      "\"validation\": ["
      "{\"image\": \"./imagesVa/amos_0008.nii.gz\", \"label\": \"./labelsVa/amos_0008.nii.gz\"}, "
      "{\"image\": \"./imagesVa/amos_0540.nii.gz\", \"label\": \"./labelsVa/amos_0540.nii.gz\"}], "
      "\"test\": [{\"image\": \"./imagesTs/amos_0500.nii.gz\"}, "
      "{\"image\": \"./imagesTs/amos_0600.nii.gz\"}]}");
  pair_make(s, "amos22/imagesTr/amos_0001.nii.gz", "amos22/labelsTr/amos_0001.nii.gz", 16);
  pair_make(s, "amos22/imagesTr/amos_0410.nii.gz", "amos22/labelsTr/amos_0410.nii.gz", 16);
  pair_make(s, "amos22/imagesTr/amos_0507.nii.gz", "amos22/labelsTr/amos_0507.nii.gz", 16);
  pair_make(s, "amos22/imagesTs/amos_0500.nii.gz", NULL, 0);
  pair_make(s, "amos22/imagesTs/amos_0600.nii.gz", NULL, 0);
  pair_make(s, "amos22/imagesVa/amos_0008.nii.gz",
            validation_labels ? "amos22/labelsVa/amos_0008.nii.gz" : NULL, 16);
  pair_make(s, "amos22/imagesVa/amos_0540.nii.gz",
            validation_labels ? "amos22/labelsVa/amos_0540.nii.gz" : NULL, 16);
}

typedef bool (*Reader)(Import *import, const ImportOptions *options, Error *error);

/* Imports one folder of the scratch folder into another, which `options` need not name. */
static bool run(Reader reader, const Scratch *s, const char *source, const char *target,
                ImportOptions options, ImportOutcome *outcome, Error *error) {
  char from[600], to[600];
  snprintf(from, sizeof from, "%s/%s", s->dir, source);
  snprintf(to, sizeof to, "%s/%s", s->dir, target);
  options.source = from;
  options.target = to;
  Import import;
  bool good = reader(&import, &options, error) && import_write(&import, &options, outcome, error);
  import_free(&import);
  return good;
}

static ImportOutcome imports(Reader reader, const Scratch *s, const char *source,
                             const char *target, ImportOptions options) {
  ImportOutcome outcome;
  Error error = {0};
  if (!run(reader, s, source, target, options, &outcome, &error)) fail_msg("%s", error.text);
  return outcome;
}

static void refuses(Reader reader, const Scratch *s, const char *source, const char *target,
                    ImportOptions options, const char *words) {
  ImportOutcome outcome;
  Error error = {0};
  assert_false(run(reader, s, source, target, options, &outcome, &error));
  if (!strstr(error.text, words)) fail_msg("not said that %s: %s", words, error.text);
}

/* Everything in the source: names, sizes, contents, times. */
static void source_state(const Scratch *s, const char *name, const char *out) {
  assert_int_equal(
      shell("cd %s/%s && (find . -type f -printf '%%p %%s %%T@ ' -exec md5sum {} \\; | "
            "sort) > %s/%s",
            s->dir, name, s->dir, out),
      0);
}

static Dataset imported(const Scratch *s, const char *name) {
  Dataset dataset;
  Error error = {0};
  if (!dataset_open(&dataset, scratch_path(s, "%s", name), &error)) fail_msg("%s", error.text);
  Volume volume;
  for (int i = 0; i < dataset.cases; i++) {
    if (!dataset_read(&dataset, i, &volume, &error)) fail_msg("%s", error.text);
    volume_free(&volume, 1);
  }
  return dataset;
}

static void amos_of_both_kinds(void **state) {
  (void)state;
  Scratch s = scratch_make();
  amos_make(&s, true);
  source_state(&s, "amos22", "before");
  ImportOptions options = {0}; /* the folder above amos22/ will do */
  ImportOutcome outcome = imports(import_amos, &s, ".", "new/AMOS", options);
  assert_true(outcome.training == 5 && outcome.validation == 2 && outcome.test == 2);
  Dataset dataset = imported(&s, "new/AMOS");
  assert_int_equal(dataset.cases, 5);
  assert_int_equal(dataset.labels, 16);
  assert_string_equal(dataset.label_name[15], "prostate/uterus");
  assert_string_equal(dataset.channel_name[0], "CT or MRI");
  assert_string_equal(dataset.item[0].name, "amos_0001");
  dataset_free(&dataset);
  source_state(&s, "amos22", "after");
  assert_int_equal(shell("cmp -s %s/before %s/after", s.dir, s.dir), 0);
  struct stat a, b; /* a hard link, not a copy */
  assert_int_equal(stat(scratch_path(&s, "amos22/imagesTr/amos_0001.nii.gz"), &a), 0);
  assert_int_equal(stat(scratch_path(&s, "new/AMOS/imagesTr/amos_0001_0000.nii.gz"), &b), 0);
  assert_true(a.st_ino == b.st_ino);
  refuses(import_amos, &s, ".", "new/AMOS", options, "data set already");
  scratch_free(&s);
}

static void amos_ct_as_nnunet_converts_it(void **state) {
  (void)state;
  Scratch s = scratch_make();
  amos_make(&s, true);
  ImportOptions options = {.how = IMPORT_COPY, .validation = VALIDATION_SPLIT, .ct_only = true};
  ImportOutcome outcome = imports(import_amos, &s, "amos22", "ct", options);
  assert_true(outcome.training == 3 && outcome.validation == 1 && outcome.test == 1);
  Dataset dataset = imported(&s, "ct");
  assert_string_equal(dataset.channel_name[0], "CT");
  Split split;
  Error error = {0};
  assert_true(split_make(&split, &dataset, NULL, 0, &error));
  assert_true(split.trainings == 2 && split.validations == 1);
  assert_string_equal(dataset.item[split.validation[0]].name, "amos_0008");
  split_free(&split);
  dataset_free(&dataset);
  struct stat a, b;
  assert_int_equal(stat(scratch_path(&s, "amos22/imagesTr/amos_0001.nii.gz"), &a), 0);
  assert_int_equal(stat(scratch_path(&s, "ct/imagesTr/amos_0001_0000.nii.gz"), &b), 0);
  assert_true(a.st_ino != b.st_ino && a.st_size == b.st_size);
  scratch_free(&s);
}

/* The first release had no validation labels. */
static void amos_without_validation_labels(void **state) {
  (void)state;
  Scratch s = scratch_make();
  amos_make(&s, false);
  ImportOptions options = {.how = IMPORT_SYMLINK, .ct_only = true};
  refuses(import_amos, &s, "amos22", "out", options, "--validation leave");
  options.validation = VALIDATION_LEAVE;
  ImportOutcome outcome = imports(import_amos, &s, "amos22", "out", options);
  assert_true(outcome.training == 2 && outcome.validation == 0);
  Dataset dataset = imported(&s, "out");
  dataset_free(&dataset);
  scratch_free(&s);
}

static void btcv_of_raw_data(void **state) {
  (void)state;
  Scratch s = scratch_make();
  assert_int_equal(shell("cd %s && mkdir -p RawData/Training/img RawData/Training/label "
                         "RawData/Testing/img",
                         s.dir),
                   0);
  pair_make(&s, "RawData/Training/img/img0001.nii.gz", "RawData/Training/label/label0001.nii.gz",
            14);
  pair_make(&s, "RawData/Training/img/img0040.nii.gz", "RawData/Training/label/label0040.nii.gz",
            14);
  pair_make(&s, "RawData/Testing/img/img0061.nii.gz", NULL, 0);
  ImportOptions options = {0};
  ImportOutcome outcome = imports(import_btcv, &s, ".", "out", options);
  assert_true(outcome.training == 2 && outcome.test == 1);
  Dataset dataset = imported(&s, "out");
  assert_int_equal(dataset.labels, 14);
  assert_string_equal(dataset.label_name[11], "pancreas");
  assert_string_equal(dataset.item[1].name, "img0040");
  dataset_free(&dataset);
  assert_int_equal(shell("rm -r %s/out %s/RawData/Training/label/label0040.nii.gz", s.dir, s.dir),
                   0);
  refuses(import_btcv, &s, ".", "out", options, "label0040.nii.gz: missing");
  scratch_free(&s);
}

static void btcv_of_averaged_images(void **state) {
  (void)state;
  Scratch s = scratch_make();
  assert_int_equal(shell("cd %s && mkdir averaged-training-images averaged-training-labels", s.dir),
                   0);
  pair_make(&s, "averaged-training-images/DET0000101_avg.nii.gz",
            "averaged-training-labels/DET0000101_avg_seg.nii.gz", 14);
  pair_make(&s, "averaged-training-images/DET0000201_avg.nii.gz",
            "averaged-training-labels/DET0000201_avg_seg.nii.gz", 14);
  imports(import_btcv, &s, ".", "out", (ImportOptions){0});
  Dataset dataset = imported(&s, "out");
  assert_int_equal(dataset.cases, 2);
  assert_string_equal(dataset.item[0].name, "DET0000101_avg");
  dataset_free(&dataset);
  scratch_free(&s);
}

/* Two channels in one file become two files; labels and test images as the Decathlon writes
 * them. */
static void msd_of_two_channels(void **state) {
  (void)state;
  Scratch s = scratch_make();
  assert_int_equal(
      shell("cd %s && mkdir -p Task05/imagesTr Task05/labelsTr Task05/imagesTs", s.dir), 0);
  text_write(scratch_path(&s, "Task05/dataset.json"),
             "{\"name\": \"PROSTATE\", \"tensorImageSize\": \"4D\", \"modality\": {\"0\": \"T2\", "
             "\"1\": \"ADC\"}, \"labels\": {\"0\": \"background\", \"1\": \"PZ\", \"2\": \"TZ\"}, "
             "\"numTraining\": 2, \"numTest\": 1, \"training\": ["
             "{\"image\": \"./imagesTr/prostate_00.nii.gz\", \"label\": "
             "\"./labelsTr/prostate_00.nii.gz\"},"
             "{\"image\": \"./imagesTr/prostate_04.nii.gz\", \"label\": "
             "\"./labelsTr/prostate_04.nii.gz\"}],"
             "\"test\": [\"./imagesTs/prostate_03.nii.gz\"]}");
  const char *const names[] = {"imagesTr/prostate_00", "imagesTr/prostate_04",
                               "imagesTs/prostate_03"};
  for (int i = 0; i < 3; i++)
    image_ramp(scratch_path(&s, "Task05/%s.nii.gz", names[i]), 3, 4, 5, 2, (float)i);
  label_ramp(scratch_path(&s, "Task05/labelsTr/prostate_00.nii.gz"), 3, 4, 5, 3);
  label_ramp(scratch_path(&s, "Task05/labelsTr/prostate_04.nii.gz"), 3, 4, 5, 3);
  imports(import_msd, &s, "Task05", "out", (ImportOptions){0});
  Dataset dataset = imported(&s, "out"), original;
  assert_int_equal(dataset.channels, 2);
  assert_int_equal(access(scratch_path(&s, "out/imagesTs/prostate_03_0001.nii.gz"), R_OK), 0);
  Error error = {0};
  assert_true(dataset_open(&original, scratch_path(&s, "Task05"), &error));
  Volume a, b;
  assert_true(dataset_read(&dataset, 1, &a, &error) && dataset_read(&original, 1, &b, &error));
  assert_memory_equal(a.image.data, b.image.data, 3 * 4 * 5 * 2 * sizeof(float));
  volume_free(&a, 1);
  volume_free(&b, 1);
  dataset_free(&dataset);
  dataset_free(&original);
  scratch_free(&s);
}

static void what_is_wrong_is_said(void **state) {
  (void)state;
  Scratch s = scratch_make();
  amos_make(&s, true);
  ImportOptions options = {0};
  refuses(import_amos, &s, "amos22", "amos22", options, "same folder");
  label_ramp(scratch_path(&s, "amos22/labelsTr/amos_0001.nii.gz"), 3, 4, 6, 16);
  refuses(import_amos, &s, "amos22", "out", options, "case amos_0001: different shapes");
  assert_int_not_equal(access(scratch_path(&s, "out/dataset.json"), F_OK), 0);
  assert_int_equal(shell("rm %s/amos22/imagesTr/amos_0410.nii.gz", s.dir), 0);
  label_ramp(scratch_path(&s, "amos22/labelsTr/amos_0001.nii.gz"), 3, 4, 5, 16);
  refuses(import_amos, &s, "amos22", "out", options, "amos_0410.nii.gz");
  refuses(import_btcv, &s, "amos22", "out", options, "neither RawData");
  scratch_free(&s);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(amos_of_both_kinds),
      cmocka_unit_test(amos_ct_as_nnunet_converts_it),
      cmocka_unit_test(amos_without_validation_labels),
      cmocka_unit_test(btcv_of_raw_data),
      cmocka_unit_test(btcv_of_averaged_images),
      cmocka_unit_test(msd_of_two_channels),
      cmocka_unit_test(what_is_wrong_is_said),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
