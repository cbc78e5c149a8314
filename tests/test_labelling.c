/* Regions and the ignore label: how dataset.json says them, how they are sampled, painted and
 * scored. */
#include "base/rng.h"
#include "src/data/batches/sampler.h"
#include "src/data/metrics/score.h"
#include "src/data/predict/restore.h"
#include "src/data/sets/dataset_json.h"
#include "src/train/watch.h"
#include "tests/scratch.h"

#include <math.h>

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
    {"\"labels\": {\"background\": 0, \"a\": [1, 2], \"b\": 2}, \"regions_class_order\": [1, "
     "\"2\"]",
     "regions_class_order[1] is \"2\", which is no value of region \"b\""},
    {"\"labels\": {\"background\": 0, \"a\": [0, 1]}, \"regions_class_order\": [1]",
     "region \"a\" holds 0, which is background"},
    {"\"labels\": {\"a\": [1, 2], \"b\": 2}, \"regions_class_order\": [1, 2]",
     "0 is what is not labelled"},
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

/* ---- scores ---------------------------------------------------------------------------------- */

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
  Score overlap[3];
  assert_true(score_structures(&labelling, reference, prediction, &grid, &surface, found, &error));
  assert_true(score_labels(known, kept, &grid, 3, &surface, expected, &error));
  assert_true(score_structures(&labelling, reference, prediction, &grid, NULL, overlap, &error));
  for (int l = 1; l < 3; l++) {
    assert_int_equal(found[l].situation, expected[l].situation); /* padding follows it */
    assert_memory_equal(&found[l].reference, &expected[l].reference,
                        sizeof *found - offsetof(Score, reference));
    assert_true(overlap[l].value[METRIC_dice] == expected[l].value[METRIC_dice]);
  }
  assert_true(found[1].value[METRIC_dice] == 2. * 3 / (3 + 4));
  assert_true(found[1].reference == 3 && found[1].prediction == 4);
  assert_true(found[1].value[METRIC_hd] == 4); /* not the 2 mm that voxel 8 would make it */
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
  assert_true(
      score_structures(&dataset.labelling, reference, prediction, &grid, &surface, score, &error));
  static const int64_t expected[4][3] = {{0}, {6, 7, 6}, {3, 5, 3}, {2, 2, 1}};
  for (int s = 1; s < 4; s++) {
    assert_int_equal(score[s].reference, expected[s][0]);
    assert_int_equal(score[s].prediction, expected[s][1]);
    assert_int_equal(score[s].overlap, expected[s][2]);
    assert_true(score[s].value[METRIC_dice] ==
                2. * (double)expected[s][2] / (double)(expected[s][0] + expected[s][1]));
    assert_true(score[s].value[METRIC_hd] > 0);
  }
  dataset_free(&dataset);
}

/* ---- training and prediction ----------------------------------------------------------------- */

enum { D = 6, H = 5, W = 8, VOXELS = D * H * W };

/* Half of the volume is ignored; of the rest 40 voxels are 1, 8 are 2, 2 are 3. */
static Volume annotated(void) {
  Error error = {""};
  Volume volume = {.name = "half"};
  Grid grid = grid_make((int[]){D, H, W}, (double[]){1, 1, 1});
  assert_true(image_alloc(&volume.image, &grid, 1, &error));
  assert_true(label_alloc(&volume.label, &grid, &error));
  for (int i = 0; i < VOXELS; i++)
    volume.label.data[i] = (uint8_t)(i < 2 ? 3 : i < 10 ? 2 : i < 50 ? 1 : i < VOXELS / 2 ? 0 : 4);
  return volume;
}

/* Patches of one voxel are the voxels that they are centred on: the first of a batch on any that is
 * annotated, the last on one of a region, each region as often as another. */
static void assert_centres(const Sampler *sampler) {
  enum { STEPS = 3000 };
  int forced[8] = {0}, background = 0;
  for (uint64_t step = 0; step < STEPS; step++) {
    float image[2];
    int32_t label[2];
    sampler_batch(sampler, step, NULL, image, label);
    assert_true(label[0] == 0 || label[0] == 1 || label[0] == 3 || label[0] == 7);
    assert_true(label[1] == 1 || label[1] == 3 || label[1] == 7);
    background += label[0] == 0;
    forced[label[1]]++;
  }
  /* inner: a third by itself, 2 of 10 of the core's, 2 of 50 of the whole's */
  assert_true(fabs(forced[7] - STEPS / 3. * (1 + .2 + .04)) < 4 * sqrt(STEPS * .41 * .59));
  assert_true(fabs(forced[1] - STEPS / 3. * .8) < 4 * sqrt(STEPS * .27 * .73));
  assert_true(fabs(background - STEPS * 70. / 120) < 4 * sqrt(STEPS * .58 * .42));
}

static void patches_are_centred_on_what_is_annotated(void **state) {
  (void)state;
  Dataset dataset;
  assert_null(problem_of(brats, &dataset));
  Volume volume = annotated();
  SamplerOptions options = {.batch = 2, .patch = {1, 1, 1}, .foreground = .33, .seed = 3};
  options.labelling = &dataset.labelling;
  Error error = {""};
  Sampler *sampler;
  assert_true(sampler_make(&sampler, &volume, 1, dataset.labels, &options, &error));
  assert_centres(sampler);
  sampler_free(sampler);
  Scratch scratch = scratch_make();
  const char *path = scratch_path(&scratch, "half.vol");
  Frame frame = frame_identity(&volume.image.grid);
  CacheKey key = {1, 2, NULL};
  Cached cached;
  assert_true(cached_write(path, &key, &dataset.labelling, &volume, &frame, &error));
  assert_true(cached_open(&cached, path, &key, true, &error));
  static const uint32_t counts[] = {120, 50, 10, 2};
  for (int l = 0; l < 4; l++) assert_int_equal(cached.count[l], counts[l]);
  for (uint32_t i = 0; i < 10; i++) assert_int_equal(cached.position[2][i], i);
  assert_true(sampler_make_mapped(&sampler, &cached, 1, &options, &error));
  assert_centres(sampler);
  sampler_free(sampler);
  cached_close(&cached);
  volume_free(&volume, 1);
  dataset_free(&dataset);
  scratch_free(&scratch);
}

/* Of a box within the file: what is beyond it is background, and no region. */
static void regions_are_painted_one_over_another(void **state) {
  (void)state;
  enum { REGIONS = 3 };
  const uint8_t order[REGIONS] = {1, 3, 2};
  static float maps[VOXELS * REGIONS], probability[VOXELS * REGIONS];
  uint8_t label[VOXELS];
  Rng rng = rng_make(7, RNG_TEST, 0);
  for (int i = 0; i < VOXELS * REGIONS; i++) maps[i] = (float)rng_uniform(&rng);
  Grid file = grid_make((int[]){D, H, W}, (double[]){1, 1, 1});
  Frame frame = frame_identity(&file);
  frame.box_first[1] = 1;
  frame.box_dim[1] = frame.dim[1] = H - 1;
  Restore restore;
  Error error = {""};
  assert_true(restore_begin(&restore, &frame, REGIONS, label, probability, &error));
  restore_regions(&restore, order);
  assert_true(restore_slab(&restore, 0, D, maps, &error));
  restore_end(&restore);
  for (int i = 0; i < VOXELS; i++) {
    int z = i / (H * W), y = i / W % H, x = i % W, painted = 0;
    for (int r = 0; r < REGIONS; r++) {
      float p = y ? maps[((z * (H - 1) + y - 1) * W + x) * REGIONS + r] : 0;
      assert_true(probability[i * REGIONS + r] == p);
      if (p > .5f) painted = order[r];
    }
    assert_int_equal(label[i], painted);
  }
}

static void looks_count_regions(void **state) {
  (void)state;
  /* predicted 1, 1+2, none, 2, 1+2; labelled 1, 2, 1+2, none, unknown */
  const float map[5][2] = {{.9f, .1f}, {.6f, .7f}, {.5f, 0}, {0, .51f}, {1, 1}};
  const int32_t labels[5] = {1, 2, 3, 0, -1};
  int64_t counts[3][3] = {{0}};
  patch_dice_count_regions(map[0], labels, 5, 2, .5f, counts + 1);
  double dice = patch_dice_mean((const int64_t(*)[3])counts, 3);
  assert_true(fabs(dice - (2. * 1 / (2 + 2) + 2. * 1 / (2 + 2)) / 2) < 1e-12);
  const float classes[2][2] = {{0, 1}, {0, 1}};
  int64_t plain[2][3] = {{0}};
  patch_dice_count(classes[0], (int32_t[]){1, -1}, 2, 2, plain);
  assert_true(patch_dice_mean((const int64_t(*)[3])plain, 2) == 1);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(refuses_what_nnunet_refuses),
      cmocka_unit_test(reads_the_ignore_label),
      cmocka_unit_test(reads_regions_in_their_order),
      cmocka_unit_test(what_is_ignored_counts_nowhere),
      cmocka_unit_test(regions_overlap_in_their_scores),
      cmocka_unit_test(patches_are_centred_on_what_is_annotated),
      cmocka_unit_test(regions_are_painted_one_over_another),
      cmocka_unit_test(looks_count_regions),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
