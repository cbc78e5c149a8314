/* Folders in both layouts, what can be wrong with them, identity, splits and normalisation. */
#include "src/data/prepare/normalise.h"
#include "src/data/sets/split.h"
#include "tests/scratch.h"

#include <jansson.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static const char hippocampus[] = "../shared/data/Task04_Hippocampus";
static const char acdc[] = "../shared/data/ACDC";

static const char two_labels[] =
    "\"labels\": {\"background\": 0, \"liver\": 1, \"spleen\": 2}, \"file_ending\": \".nii.gz\"";

/* An nnU-Net folder of `cases` cases a, b, ... of 4x3x2, labels 0..2. */
static Scratch folder_make(int cases, const char *channels, int files, const char *more) {
  Scratch scratch = scratch_make();
  assert_int_equal(shell("mkdir %s/imagesTr %s/labelsTr", scratch.dir, scratch.dir), 0);
  char text[1024];
  snprintf(text, sizeof text, "{\"channel_names\": %s, %s, \"numTraining\": %d%s}\n", channels,
           two_labels, cases, more);
  text_write(scratch_path(&scratch, "dataset.json"), text);
  for (int i = 0; i < cases; i++) {
    for (int channel = 0; channel < files; channel++)
      image_ramp(scratch_path(&scratch, "imagesTr/%c_%04d.nii.gz", 'a' + i, channel), 4, 3, 2, 1,
                 100.f * (float)channel + (float)i);
    label_ramp(scratch_path(&scratch, "labelsTr/%c.nii.gz", 'a' + i), 4, 3, 2, 3);
  }
  return scratch;
}

static void open_refused(const char *dir, const char *says) {
  Error error = {0};
  Dataset dataset;
  if (dataset_open(&dataset, dir, &error)) fail_msg("%s was opened", dir);
  if (!strstr(error.text, says)) fail_msg("expected \"%s\" in: %s", says, error.text);
  assert_null(dataset.item);
}

/* The whole report of dataset_check, to be freed. */
static char *report_of(const char *dir, bool json, int *problems) {
  char *text = NULL;
  size_t size;
  FILE *out = open_memstream(&text, &size);
  json_t *head = json ? json_object() : NULL;
  *problems = dataset_check(dir, out, head);
  json_decref(head);
  fclose(out);
  return text;
}

static void opens_nnunet_channels(void **state) {
  (void)state;
  Scratch scratch = folder_make(3, "{\"0\": \"CT\", \"1\": \"PET\"}", 2, "");
  Error error = {0};
  Dataset dataset;
  if (!dataset_open(&dataset, scratch.dir, &error)) fail_msg("%s", error.text);
  assert_int_equal(dataset.cases, 3);
  assert_int_equal(dataset.labels, 3);
  assert_int_equal(dataset.channels, 2);
  assert_string_equal(dataset.label_name[2], "spleen");
  assert_string_equal(dataset.item[1].name, "b");
  Volume volume;
  if (!dataset_read(&dataset, 1, &volume, &error)) fail_msg("%s", error.text);
  assert_int_equal(volume.image.channels, 2);
  for (int i = 0; i < 24; i++) {
    assert_true(volume.image.data[2 * i] == 1 + i);
    assert_true(volume.image.data[2 * i + 1] == 101 + i);
    assert_int_equal(volume.label.data[i], i % 3);
  }
  volume_free(&volume, 1);
  dataset_free(&dataset);
  scratch_free(&scratch);
}

static void opens_msd_with_channels_in_one_file(void **state) {
  (void)state;
  Scratch scratch = scratch_make();
  assert_int_equal(shell("mkdir %s/imagesTr %s/labelsTr", scratch.dir, scratch.dir), 0);
  text_write(scratch_path(&scratch, "dataset.json"),
             "{\"name\": \"Two\", \"modality\": {\"0\": \"T1\", \"1\": \"T2\"},"
             " \"labels\": {\"0\": \"background\", \"1\": \"edema\"}, \"training\": ["
             "{\"image\": \"./imagesTr/x.nii.gz\", \"label\": \"./labelsTr/x.nii.gz\"}]}");
  image_ramp(scratch_path(&scratch, "imagesTr/x.nii.gz"), 2, 3, 4, 2, 0);
  label_ramp(scratch_path(&scratch, "labelsTr/x.nii.gz"), 2, 3, 4, 2);
  Error error = {0};
  Dataset dataset;
  Volume volume;
  if (!dataset_open(&dataset, scratch.dir, &error)) fail_msg("%s", error.text);
  assert_string_equal(dataset.name, "Two");
  assert_string_equal(dataset.label_name[1], "edema");
  if (!dataset_read(&dataset, 0, &volume, &error)) fail_msg("%s", error.text);
  for (int i = 0; i < 48; i++) assert_true(volume.image.data[i] == i);
  volume_free(&volume, 1);
  dataset_free(&dataset);
  scratch_free(&scratch);
}

static void refuses_bad_folders(void **state) {
  (void)state;
  open_refused("/no/such/folder", "No such file");
  Scratch scratch = scratch_make();
  open_refused(scratch.dir, "empty folder");
  text_write(scratch_path(&scratch, "readme"), "x");
  open_refused(scratch.dir, "dataset.json: not found");
  text_write(scratch_path(&scratch, "dataset.json"), "{\n \"labels\": {},\n oops\n}");
  open_refused(scratch.dir, "dataset.json:3:");
  text_write(scratch_path(&scratch, "dataset.json"), "[]");
  open_refused(scratch.dir, "expected a JSON object");
  text_write(scratch_path(&scratch, "dataset.json"), "{\"channel_names\": {\"0\": \"CT\"}}");
  open_refused(scratch.dir, "\"labels\" must name");
  text_write(scratch_path(&scratch, "dataset.json"),
             "{\"labels\": {\"background\": 0, \"liver\": 2}, \"channel_names\": {\"0\": \"CT\"}}");
  open_refused(scratch.dir, "label \"liver\" is not one of the values 0..1");
  text_write(scratch_path(&scratch, "dataset.json"),
             "{\"labels\": {\"background\": 0, \"liver\": 1}, \"channel_names\": {\"1\": \"CT\"}}");
  open_refused(scratch.dir, "channel \"0\" has no name");
  text_write(scratch_path(&scratch, "dataset.json"),
             "{\"labels\": {\"background\": 0, \"liver\": 1}, \"channel_names\": {\"0\": \"CT\"}}");
  open_refused(scratch.dir, "cannot list");
  assert_int_equal(shell("mkdir %s/imagesTr %s/labelsTr", scratch.dir, scratch.dir), 0);
  open_refused(scratch.dir, "no labelled case");
  scratch_free(&scratch);
}

/* One folder with one case of every kind of damage: all of it must be listed. */
static void lists_every_problem(void **state) {
  (void)state;
  Scratch scratch = folder_make(6, "{\"0\": \"CT\"}", 1, "");
  assert_int_equal(
      shell("rm %s/labelsTr/a.nii.gz %s/imagesTr/b_0000.nii.gz", scratch.dir, scratch.dir), 0);
  label_ramp(scratch_path(&scratch, "labelsTr/c.nii.gz"), 4, 3, 3, 3);
  label_ramp(scratch_path(&scratch, "labelsTr/d.nii.gz"), 4, 3, 2, 5);
  assert_int_equal(shell("echo broken > %s/imagesTr/e_0000.nii.gz", scratch.dir), 0);
  int problems;
  char *text = report_of(scratch.dir, false, &problems);
  static const char *const expected[] = {
      "case a: imagesTr/a_0000.nii.gz has no label",
      "b_0000.nii.gz is missing",
      "c_0000.nii.gz is 4x3x2,",
      "c.nii.gz is 4x3x3",
      "does not name: 3 (5 voxels), 4 (4 voxels); known are 0..2",
      "case e: ",
      "numTraining is 6, found 4",
      "6 problem(s)",
  };
  assert_int_equal(problems, 6);
  for (size_t i = 0; i < sizeof expected / sizeof *expected; i++)
    if (!strstr(text, expected[i])) fail_msg("expected \"%s\" in:\n%s", expected[i], text);
  free(text);
  open_refused(scratch.dir, "more: `harness data check");
  text = report_of(scratch.dir, true, &problems);
  json_t *root = json_loads(text, 0, NULL);
  assert_non_null(root);
  assert_int_equal(json_array_size(json_object_get(root, "problems")), 6);
  assert_int_equal(json_integer_value(json_object_get(root, "cases_read")), 1);
  json_decref(root);
  free(text);
  scratch_free(&scratch);
}

static void reports_a_sound_folder(void **state) {
  (void)state;
  Scratch scratch = folder_make(2, "{\"0\": \"CT\"}", 1, "");
  int problems;
  char *text = report_of(scratch.dir, false, &problems);
  assert_int_equal(problems, 0);
  assert_non_null(strstr(text, "depth              4         4         4"));
  assert_non_null(strstr(text, "    2  spleen                         2            16   33.3333"));
  free(text);
  text = report_of("/no/such", true, &problems);
  assert_int_equal(problems, 1);
  free(text);
  scratch_free(&scratch);
}

static void identity(const char *dir, char hex[DATASET_HASH_BYTES]) {
  Error error = {0};
  Dataset dataset;
  if (!dataset_open(&dataset, dir, &error)) fail_msg("%s", error.text);
  if (!dataset_hash(&dataset, hex, &error)) fail_msg("%s", error.text);
  dataset_free(&dataset);
}

static void hash_follows_content_alone(void **state) {
  (void)state;
  Scratch scratch = folder_make(2, "{\"0\": \"CT\"}", 1, "");
  char first[DATASET_HASH_BYTES], second[DATASET_HASH_BYTES];
  identity(scratch.dir, first);
  assert_int_equal(strlen(first), 32);
  assert_int_equal(shell("mkdir %s/moved && cp -r %s/*Tr %s/dataset.json %s/moved", scratch.dir,
                         scratch.dir, scratch.dir, scratch.dir),
                   0);
  identity(scratch_path(&scratch, "moved"), second);
  assert_string_equal(first, second);
  label_ramp(scratch_path(&scratch, "labelsTr/b.nii.gz"), 4, 3, 2, 2);
  identity(scratch.dir, second);
  assert_string_not_equal(first, second);
  assert_int_equal(shell("echo '[{\"train\": [\"a\"], \"val\": [\"b\"]}]' "
                         "> %s/moved/splits_final.json",
                         scratch.dir),
                   0);
  identity(scratch_path(&scratch, "moved"), second);
  assert_string_not_equal(first, second);
  scratch_free(&scratch);
}

/* Every case validates in exactly one fold, about as many in each; cases whose names share the
 * first `patient` characters never stand on both sides. */
static void folds_check(const Dataset *dataset, int folds, size_t patient) {
  Error error = {0};
  int *seen = calloc((size_t)dataset->cases, sizeof(int));
  for (int fold = 0; fold < folds; fold++) {
    Split split, again;
    if (!split_make(&split, dataset, NULL, fold, &error)) fail_msg("%s", error.text);
    assert_true(split_make(&again, dataset, NULL, fold, &error));
    assert_memory_equal(split.validation, again.validation,
                        (size_t)split.validations * sizeof(int));
    assert_int_equal(split.trainings + split.validations, dataset->cases);
    assert_in_range(split.validations, dataset->cases / folds - 2, dataset->cases / folds + 2);
    for (int v = 0; v < split.validations; v++) {
      seen[split.validation[v]]++;
      for (int t = 0; t < split.trainings; t++) {
        const char *a = dataset->item[split.validation[v]].name;
        const char *b = dataset->item[split.training[t]].name;
        assert_string_not_equal(a, b);
        if (patient && !strncmp(a, b, patient)) fail_msg("%s trains, %s validates", b, a);
      }
    }
    split_free(&split);
    split_free(&again);
  }
  for (int i = 0; i < dataset->cases; i++) assert_int_equal(seen[i], 1);
  free(seen);
}

static void folds_check_at(const char *dir, size_t patient) {
  Error error = {0};
  Dataset dataset;
  if (access(dir, R_OK)) {
    print_message("%s is not there\n", dir);
    skip();
  }
  if (!dataset_open(&dataset, dir, &error)) fail_msg("%s", error.text);
  folds_check(&dataset, SPLIT_FOLDS, patient);
  dataset_free(&dataset);
}

static void folds_keep_patients_together(void **state) {
  (void)state;
  char name[26][24];
  Case item[26];
  for (int i = 0; i < 26; i++) {
    snprintf(name[i], sizeof name[i], "patient%03d_frame%02d", i / 2, i % 2);
    item[i] = (Case){.name = name[i]};
  }
  folds_check(&(Dataset){.dir = "here", .cases = 26, .item = item}, SPLIT_FOLDS,
              strlen("patient001_"));
  Error error = {0};
  Split split;
  assert_false(
      split_make(&split, &(Dataset){.dir = "here", .cases = 8, .item = item}, NULL, 0, &error));
  assert_non_null(strstr(error.text, "4 independent case(s)"));
}

static void folds_of_real_patients(void **state) {
  (void)state;
  folds_check_at(acdc, strlen("patient001_"));
}

static void folds_from_blocks_and_files(void **state) {
  (void)state;
  Scratch scratch = folder_make(7, "{\"0\": \"CT\"}", 1, ", \"harness_validation\": 2");
  Error error = {0};
  Dataset dataset;
  Split split;
  assert_true(dataset_open(&dataset, scratch.dir, &error));
  assert_true(split_make(&split, &dataset, NULL, 0, &error));
  assert_int_equal(split.validations, 2);
  assert_string_equal(dataset.item[split.validation[0]].name, "f");
  assert_string_equal(dataset.item[split.validation[1]].name, "g");
  split_free(&split);
  assert_true(split_make(&split, &dataset, NULL, 2, &error));
  assert_string_equal(dataset.item[split.validation[0]].name, "b");
  split_free(&split);
  assert_false(split_make(&split, &dataset, NULL, 3, &error));
  assert_non_null(strstr(error.text, "folds 0..2"));
  static const struct {
    const char *json, *says;
  } bad[] = {{"[{\"train\": [\"a\"], \"val\": [\"a\"]}]", "case a stands twice"},
             {"[{\"train\": [\"a\"], \"val\": [\"z\"]}]", "names case z"},
             {"[{\"train\": [\"a\"]}]", "\"val\" is missing"},
             {"[]", "expected a list of folds"},
             {"[\n", "splits_final.json:"}};
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
    text_write(scratch_path(&scratch, "splits_final.json"), bad[i].json);
    error = (Error){0};
    assert_false(split_make(&split, &dataset, NULL, 0, &error));
    if (!strstr(error.text, bad[i].says)) fail_msg("%s", error.text);
  }
  text_write(scratch_path(&scratch, "splits_final.json"),
             "[{\"train\": [\"c\", \"a\"], \"val\": [\"b\"]}]");
  error = (Error){0};
  assert_true(split_make(&split, &dataset, NULL, 0, &error));
  assert_int_equal(split.trainings, 2);
  assert_int_equal(split.training[0], 0);
  assert_int_equal(split.training[1], 2);
  assert_int_equal(split.validation[0], 1);
  split_free(&split);
  dataset_free(&dataset);
  scratch_free(&scratch);
}

static void normalises_as_nnunet(void **state) {
  (void)state;
  Scratch scratch = folder_make(2, "{\"0\": \"ct\", \"1\": \"MRI\"}", 2, "");
  Error error = {0};
  Dataset dataset;
  Volume volume[2];
  Normaliser normaliser;
  assert_true(dataset_open(&dataset, scratch.dir, &error));
  assert_true(dataset_load(&dataset, (int[]){0, 1}, 2, volume, &error));
  assert_true(normaliser_fit(&normaliser, &dataset, volume, 2, &error));
  assert_true(normaliser.channel[0].scheme == SCHEME_CT);
  assert_int_equal(normaliser.channel[1].scheme, SCHEME_ZSCORE);
  /* Foreground of case a: 1 2 4 5 7 8 .. 22 23; of case b each one more. numpy gives these. */
  assert_true(fabs(normaliser.channel[0].mean - 12.5) < 1e-12);
  assert_true(fabs(normaliser.channel[0].sd - sqrt(0.25 + 0.25 + 47.25)) < 1e-12);
  assert_true(fabs(normaliser.channel[0].low - 1.155) < 1e-9);
  assert_true(fabs(normaliser.channel[0].high - 23.845) < 1e-9);
  double ct = normaliser.channel[0].sd, mr = sqrt((24 * 24 - 1) / 12.0);
  assert_true(normaliser_apply(&normaliser, NULL, &volume[0].image, &error));
  assert_true(fabs(volume[0].image.data[0] - (1.155 - 12.5) / ct) < 1e-6);
  assert_true(fabs(volume[0].image.data[2 * 10] - (10 - 12.5) / ct) < 1e-6);
  assert_true(fabs(volume[0].image.data[2 * 10 + 1] - (10 - 11.5) / mr) < 1e-6);
  volume_free(volume, 2);
  dataset_free(&dataset);
  scratch_free(&scratch);
}

static void reads_the_hippocampus(void **state) {
  (void)state;
  if (access(hippocampus, R_OK)) {
    print_message("%s is not there\n", hippocampus);
    skip();
  }
  int problems;
  char *text = report_of(hippocampus, true, &problems);
  json_t *root = json_loads(text, 0, NULL);
  if (problems) fail_msg("%s", text);
  assert_int_equal(json_integer_value(json_object_get(root, "cases_read")), 208);
  const json_t *depth = json_array_get(json_object_get(root, "shape_dhw"), 0);
  const json_t *width = json_array_get(json_object_get(root, "shape_dhw"), 2);
  assert_true(json_real_value(json_object_get(depth, "min")) == 24);
  assert_true(json_real_value(json_object_get(depth, "max")) == 47);
  assert_true(json_real_value(json_object_get(width, "min")) == 31);
  assert_true(json_real_value(json_object_get(width, "max")) == 43);
  const json_t *anterior = json_array_get(json_object_get(root, "labels"), 1);
  assert_int_equal(json_integer_value(json_object_get(anterior, "cases")), 208);
  json_decref(root);
  free(text);
  folds_check_at(hippocampus, 0);
}

/* splits_final.json must not train on a patient that it validates on. */
static void a_split_patient_is_refused(void **state) {
  (void)state;
  Scratch scratch = scratch_make();
  Error error = {0};
  char *names[] = {"patient001_a", "patient001_b", "patient002_a", "patient003_a"};
  Case item[4] = {{.name = names[0]}, {.name = names[1]}, {.name = names[2]}, {.name = names[3]}};
  Dataset dataset = {.dir = scratch.dir, .cases = 4, .item = item};
  Split split;
  text_write(scratch_path(&scratch, "splits_final.json"),
             "[{\"train\": [\"patient001_a\", \"patient002_a\"], \"val\": [\"patient001_b\"]},"
             "{\"train\": [\"patient003_a\", \"patient002_a\"], "
             "\"val\": [\"patient001_b\", \"patient001_a\"]}]");
  assert_false(split_make(&split, &dataset, NULL, 0, &error));
  assert_non_null(strstr(error.text, "of one patient"));
  error.text[0] = 0;
  if (!split_make(&split, &dataset, NULL, 1, &error)) fail_msg("%s", error.text);
  split_free(&split);
  scratch_free(&scratch);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(a_split_patient_is_refused),
      cmocka_unit_test(opens_nnunet_channels),
      cmocka_unit_test(opens_msd_with_channels_in_one_file),
      cmocka_unit_test(refuses_bad_folders),
      cmocka_unit_test(lists_every_problem),
      cmocka_unit_test(reports_a_sound_folder),
      cmocka_unit_test(hash_follows_content_alone),
      cmocka_unit_test(folds_keep_patients_together),
      cmocka_unit_test(folds_of_real_patients),
      cmocka_unit_test(folds_from_blocks_and_files),
      cmocka_unit_test(normalises_as_nnunet),
      cmocka_unit_test(reads_the_hippocampus),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
