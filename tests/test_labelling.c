/* Regions and the ignore label: how dataset.json says them, and how they are scored. */
#include "src/data/metrics/structures.h"
#include "src/data/sets/dataset_json.h"
#include "tests/scratch.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

/* Of a dataset.json with these lines; NULL: no problem. */
static char *problem_of(const char *lines, Dataset *dataset) {
  char text[1024];
  Problems problems = {0};
  snprintf(text, sizeof text, "{%s}", lines);
  json_t *root = json_loads(text, 0, NULL);
  if (!root) fail_msg("no JSON: %s", text);
  *dataset = (Dataset){.dir = strdup("set")};
  bool good = labels_json_read(dataset, root, &problems);
  assert_int_equal(good, problems.count == 0);
  char *problem = problems.count ? strdup(problems.text[0]) : NULL;
  problems_free(&problems);
  json_decref(root);
  return problem;
}

static const struct {
  const char *lines, *problem;
} refused[] = {
    {"\"labels\": {\"background\": 0, \"a\": 1, \"ignore\": 1}",
     "\"ignore\" marks voxels that nobody annotated and must be one value, the highest, here 2, "
     "right above the others; found 1"},
    {"\"labels\": {\"background\": 0, \"a\": 1, \"ignore\": 255}", "here 2, right above"},
    {"\"labels\": {\"background\": 0, \"a\": 2, \"ignore\": 1}", "here 2, right above"},
    {"\"labels\": {\"background\": 0, \"a\": 1, \"ignore\": [2, 3]}", "found a list, from 2"},
    {"\"labels\": {\"background\": 0, \"ignore\": 1}", "nothing to learn"},
    {"\"labels\": {\"background\": 0, \"a\": 256}", "label \"a\" is neither a value from 0 to 255"},
    {"\"labels\": {\"background\": 0, \"a\": []}", "label \"a\" is neither"},
    {"\"labels\": {\"background\": 0, \"a\": [1, 1.5]}", "label \"a\" is neither"},
    {"\"labels\": {\"background\": 0, \"a\": [1, 2], \"b\": 2}",
     "need \"regions_class_order\": a list of 2 values"},
    {"\"labels\": {\"background\": 0, \"a\": [1, 2], \"b\": 2}, \"regions_class_order\": [1]",
     "for each region, later ones over earlier ones; found 1"},
    {"\"labels\": {\"background\": 0, \"a\": [1, 2], \"b\": 2}, \"regions_class_order\": [1, 1]",
     "regions_class_order[1] is 1, which is no value of region \"b\""},
    {"\"labels\": {\"background\": 0, \"a\": [1, 2], \"b\": 2}, \"regions_class_order\": [1, 9]",
     "regions_class_order[1] is 9"},
    {"\"labels\": {\"background\": 0, \"a\": [0, 1]}, \"regions_class_order\": [1]",
     "region \"a\" holds 0, which is background"},
    {"\"labels\": {\"a\": [1, 2], \"b\": 2}, \"regions_class_order\": [1, 2]",
     "must name background"},
    {"\"labels\": {\"background\": 0, \"a\": [1, 4], \"b\": 2}, \"regions_class_order\": [1, 2]",
     "has no region with the value 3, though values up to 4 are in use"},
    {"\"labels\": {\"background\": 0, \"a\": [1, 2], \"ignore\": 2}, \"regions_class_order\": [1]",
     "must be one value, the highest, here 3"},
};

static void refuses_what_nnunet_refuses(void **state) {
  (void)state;
  for (size_t i = 0; i < sizeof refused / sizeof *refused; i++) {
    Dataset dataset;
    char *problem = problem_of(refused[i].lines, &dataset);
    if (!problem) fail_msg("%s was read", refused[i].lines);
    if (!strstr(problem, refused[i].problem))
      fail_msg("expected \"%s\" in: %s", refused[i].problem, problem);
    assert_memory_equal(problem, "set/dataset.json: ", 18);
    free(problem);
    dataset_free(&dataset);
  }
}

/* What is written is what was read, in dataset.json and in a recipe. */
static void assert_written_back(const Dataset *dataset) {
  Dataset again = {.dir = strdup("again")};
  Problems problems = {0};
  json_t *root = json_object(), *sets = labelling_json(&dataset->labelling);
  Labelling labelling;
  labels_json_write(dataset, root);
  assert_true(labels_json_read(&again, root, &problems));
  assert_memory_equal(&again.labelling, &dataset->labelling, sizeof again.labelling);
  for (int i = 0; i < dataset->labels; i++)
    assert_string_equal(again.label_name[i], dataset->label_name[i]);
  assert_true(labelling_read(&labelling, sets, dataset->labels));
  assert_memory_equal(&labelling, &dataset->labelling, sizeof labelling);
  json_decref(root);
  json_decref(sets);
  dataset_free(&again);
}

static void reads_the_ignore_label(void **state) {
  (void)state;
  Dataset dataset;
  int32_t target[LABEL_VALUES];
  char *problem =
      problem_of("\"labels\": {\"background\": 0, \"ignore\": 3, \"b\": [2], \"a\": 1}", &dataset);
  if (problem) fail_msg("%s", problem);
  const Labelling *l = &dataset.labelling;
  assert_int_equal(dataset.labels, 3);
  assert_string_equal(dataset.label_name[2], "b");
  assert_int_equal(l->values, 4);
  assert_int_equal(l->ignore, 3);
  assert_int_equal(labelling_classes(l), 3);
  assert_false(labelling_is_plain(l));
  labelling_targets(l, target);
  for (int value = 0; value < 4; value++) assert_int_equal(target[value], value < 3 ? value : -1);
  assert_written_back(&dataset);
  dataset_free(&dataset);
}

/* BraTS as nnU-Net v2 writes it, with voxels that nobody annotated. */
static const char brats[] =
    "\"labels\": {\"background\": 0, \"whole tumor\": [1, 2, 3], \"tumor core\": [2, 3],"
    "\"enhancing tumor\": 3, \"ignore\": 4}, \"regions_class_order\": [1, 2, 3]";

static void reads_regions_in_their_order(void **state) {
  (void)state;
  Dataset dataset;
  int32_t target[LABEL_VALUES];
  char *problem = problem_of(brats, &dataset);
  if (problem) fail_msg("%s", problem);
  const Labelling *l = &dataset.labelling;
  assert_int_equal(dataset.labels, 4);
  assert_int_equal(labelling_classes(l), 3);
  assert_string_equal(dataset.label_name[0], "background");
  assert_string_equal(dataset.label_name[2], "tumor core");
  labelling_targets(l, target);
  static const int32_t expected[] = {0, 1, 3, 7, -1};
  for (int value = 0; value < 5; value++) assert_int_equal(target[value], expected[value]);
  for (int r = 0; r < 3; r++) assert_int_equal(l->order[r], r + 1);
  assert_true(labelling_holds(l, 2, 3) && !labelling_holds(l, 2, 1) && labelling_holds(l, 0, 0));
  assert_written_back(&dataset);
  dataset_free(&dataset);
}

/* ---- scores ----------------------------------------------------------------------------------*/

/* A row of 12 voxels of 2 mm, the last four ignored, whatever is predicted there. */
static void what_is_ignored_counts_nowhere(void **state) {
  (void)state;
  const uint8_t reference[12] = {0, 1, 1, 2, 2, 0, 0, 1, 3, 3, 3, 3};
  const uint8_t prediction[12] = {0, 1, 1, 2, 1, 0, 0, 1, 1, 2, 2, 3};
  const uint8_t kept[12] = {0, 1, 1, 2, 1, 0, 0, 1}, known[12] = {0, 1, 1, 2, 2, 0, 0, 1};
  Labelling labelling = {.values = 4, .ignore = 3};
  Grid grid = grid_make((int[]){1, 1, 12}, (double[]){1, 1, 2});
  SurfaceOptions surface = {.tolerance = 1};
  Error error = {""};
  Score found[3], expected[3];
  Dice dice[3];
  assert_true(score_structures(&labelling, reference, prediction, &grid, &surface, found, &error));
  assert_true(score_labels(known, kept, &grid, 3, &surface, expected, &error));
  assert_true(dice_structures(&labelling, prediction, reference, 12, dice, &error));
  for (int l = 1; l < 3; l++) {
    assert_memory_equal(&found[l], &expected[l], sizeof *found);
    assert_true(dice[l].value == expected[l].value[METRIC_DICE]);
  }
  assert_true(found[1].value[METRIC_DICE] == 2. * 3 / (3 + 4));
  assert_true(found[1].reference == 3 && found[1].prediction == 4);
  assert_true(found[1].value[METRIC_HD] == 4); /* not the 2 mm that voxel 8 would make it */
}

/* nnU-Net: (reference in region) against (prediction in region). */
static void regions_overlap_in_their_scores(void **state) {
  (void)state;
  const uint8_t reference[12] = {0, 1, 1, 2, 3, 3, 0, 0, 1, 4, 4, 0};
  const uint8_t prediction[12] = {1, 1, 2, 2, 2, 3, 0, 0, 3, 3, 0, 0};
  Dataset dataset;
  assert_null(problem_of(brats, &dataset));
  Grid grid = grid_make((int[]){1, 3, 4}, (double[]){1, 1, 1});
  SurfaceOptions surface = {.tolerance = 1};
  Error error = {""};
  Score score[4];
  Dice dice[4];
  assert_true(
      score_structures(&dataset.labelling, reference, prediction, &grid, &surface, score, &error));
  assert_true(dice_structures(&dataset.labelling, prediction, reference, 12, dice, &error));
  static const int64_t expected[4][3] = {{0}, {6, 7, 6}, {3, 5, 3}, {2, 2, 1}};
  for (int s = 1; s < 4; s++) {
    assert_int_equal(score[s].reference, expected[s][0]);
    assert_int_equal(score[s].prediction, expected[s][1]);
    assert_int_equal(score[s].overlap, expected[s][2]);
    assert_true(score[s].value[METRIC_DICE] == dice[s].value);
    assert_true(score[s].value[METRIC_HD] > 0);
  }
  dataset_free(&dataset);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(refuses_what_nnunet_refuses),
      cmocka_unit_test(reads_the_ignore_label),
      cmocka_unit_test(reads_regions_in_their_order),
      cmocka_unit_test(what_is_ignored_counts_nowhere),
      cmocka_unit_test(regions_overlap_in_their_scores),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
