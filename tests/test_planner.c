/* Plans against those that nnU-Net is documented to make for AMOS22-CT and BTCV, and those that its
 * planners do make of data sets' fingerprints. */
#include "src/data/plan/nnunet_plans.h"
#include "src/data/plan/plan_file.h"
#include "src/data/prepare/preprocess.h"
#include "src/data/sets/json_text.h"
#include "tests/scratch.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

/* Cases whose depth at z mm gives `depth` slices at target mm. */
static Fingerprint fingerprint_of(const double *z, int cases, double target, double plane,
                                  int depth, int edge) {
  Fingerprint f = {.cases = cases, .relative = 1, .channels = 1, .orientation = "RAS"};
  f.mm = calloc((size_t)cases, sizeof *f.mm);
  f.dim = calloc((size_t)cases, sizeof *f.dim);
  for (int i = 0; i < cases; i++) {
    const double mm[3] = {z[i], plane, plane};
    const int dim[3] = {(int)rint(depth * target / z[i]), edge, edge};
    memcpy(f.mm[i], mm, sizeof mm);
    memcpy(f.dim[i], dim, sizeof dim);
  }
  return f;
}

static Planned planned_of(const Fingerprint *f, int classes) {
  Planned planned;
  Error error = {0};
  NnunetBudget budget = {planners, classes};
  if (!plan_data(f, planners, NULL, nnunet_cost, &budget, false, &planned, &error))
    fail_msg("%s", error.text);
  return planned;
}

static void expect(const Configuration *c, const int patch[3], int batch, int stages,
                   const int (*stride)[3], const int (*kernel)[3]) {
  assert_memory_equal(c->topology.patch, patch, 3 * sizeof *patch);
  assert_int_equal(c->batch, batch);
  assert_int_equal(c->topology.stages, stages);
  assert_memory_equal(c->topology.stride, stride, (size_t)stages * sizeof *stride);
  assert_memory_equal(c->topology.kernel, kernel, (size_t)stages * sizeof *kernel);
}

static const int thin_first[][3] = {{1, 3, 3}, {3, 3, 3}, {3, 3, 3},
                                    {3, 3, 3}, {3, 3, 3}, {3, 3, 3}};

/* 5 mm is the median, 2 mm the 10th percentile. */
static const double amos_z[] = {1.25, 2, 2, 5, 5, 5, 5, 5, 5, 5, 5};

static void amos_as_documented(void **state) {
  (void)state;
  Fingerprint f = fingerprint_of(amos_z, 11, 2, 0.688, 235, 582);
  double mm[3];
  target_spacing(&f, mm);
  assert_float_equal(mm[0], 2, 1e-9);
  assert_float_equal(mm[1], 0.688, 1e-9);
  Planned planned = planned_of(&f, 15);
  const int strides[][3] = {{1, 1, 1}, {1, 2, 2}, {2, 2, 2}, {2, 2, 2}, {2, 2, 2}, {2, 2, 2}};
  const double median[3] = {235, 582, 582};
  assert_memory_equal(planned.fullres.median_dim, median, sizeof median);
  expect(&planned.fullres, (int[3]){64, 192, 160}, 2, 6, strides, thin_first);
  const int width[] = {32, 64, 128, 256, 320, 320};
  assert_memory_equal(planned.fullres.topology.width, width, sizeof width);
  assert_memory_equal(planned.fullres.key_grid, ((int[3]){16, 24, 20}), 3 * sizeof(int));
  assert_true(planned.has_lowres && planned.fullres.batch_dice);
  assert_memory_equal(planned.lowres.topology.patch, ((int[3]){80, 160, 160}), 3 * sizeof(int));
  const double low[3] = {3.31, 1.67, 1.67};
  for (int i = 0; i < 3; i++) assert_float_equal(planned.lowres.mm[i], low[i], 0.06);
  fingerprint_free(&f);
}

static void btcv_as_documented(void **state) {
  (void)state;
  const double z[] = {3, 3, 3, 3, 5};
  Fingerprint f = fingerprint_of(z, 5, 3, 0.758, 148, 512);
  Planned planned = planned_of(&f, 14);
  const int strides[][3] = {{1, 1, 1}, {1, 2, 2}, {2, 2, 2}, {2, 2, 2}, {2, 2, 2}, {1, 2, 2}};
  expect(&planned.fullres, (int[3]){48, 192, 192}, 2, 6, strides, thin_first);
  fingerprint_free(&f);
}

/* The same data stored with the coarse axis last give the same plan with its axes exchanged. */
static void axes_may_stand_anywhere(void **state) {
  (void)state;
  Fingerprint f = fingerprint_of(amos_z, 11, 2, 0.688, 235, 582);
  for (int i = 0; i < f.cases; i++) {
    double mm = f.mm[i][0];
    int dim = f.dim[i][0];
    f.mm[i][0] = f.mm[i][2], f.mm[i][2] = mm;
    f.dim[i][0] = f.dim[i][2], f.dim[i][2] = dim;
  }
  Planned planned = planned_of(&f, 15);
  assert_memory_equal(planned.fullres.topology.patch, ((int[3]){192, 160, 64}), 3 * sizeof(int));
  assert_memory_equal(planned.fullres.topology.stride[1], ((int[3]){2, 2, 1}), 3 * sizeof(int));
  assert_memory_equal(planned.fullres.topology.kernel[0], ((int[3]){3, 3, 1}), 3 * sizeof(int));
  fingerprint_free(&f);
}

/* A small isotropic set: the patch is the median case, up to its divisor; the batch is what the
 * budget leaves but at most a twentieth of the data. */
static void small_cases_raise_the_batch(void **state) {
  (void)state;
  double z[260];
  for (int i = 0; i < 260; i++) z[i] = 1;
  Fingerprint f = fingerprint_of(z, 260, 1, 1, 36, 50);
  for (int i = 0; i < 260; i++) f.dim[i][2] = 35;
  Planned planned = planned_of(&f, 3);
  const int strides[][3] = {{1, 1, 1}, {2, 2, 2}, {2, 2, 2}, {2, 2, 2}};
  const int kernels[][3] = {{3, 3, 3}, {3, 3, 3}, {3, 3, 3}, {3, 3, 3}};
  expect(&planned.fullres, (int[3]){40, 56, 40}, 9, 4, strides, kernels);
  assert_false(planned.has_lowres || planned.fullres.batch_dice);
  f.cases = 40;
  planned = planned_of(&f, 3);
  assert_int_equal(planned.fullres.batch, 2);
  f.cases = 260;
  fingerprint_free(&f);
}

/* The share that a cost of one voxel per byte gives of 3e6 bytes. */
static bool voxel_cost(void *user, const Topology *t, int batch, double *share, Error *error) {
  (void)user, (void)error;
  *share = (double)t->patch[0] * t->patch[1] * t->patch[2] * batch / 3e6;
  return true;
}

static void an_exact_budget_is_kept(void **state) {
  (void)state;
  double z[400];
  for (int i = 0; i < 400; i++) z[i] = 1;
  Fingerprint f = fingerprint_of(z, 400, 1, 1, 64, 64);
  Planned planned;
  Error error = {0};
  assert_true(plan_data(&f, planners, NULL, voxel_cost, NULL, true, &planned, &error));
  assert_int_equal(planned.fullres.batch, 11); /* 11.4 patches of 64^3 */
  for (int i = 0; i < 400; i++)
    for (int axis = 0; axis < 3; axis++) f.dim[i][axis] = 500;
  assert_true(plan_data(&f, planners, NULL, voxel_cost, NULL, true, &planned, &error));
  double share;
  voxel_cost(NULL, &planned.fullres.topology, planned.fullres.batch, &share, &error);
  assert_true(share <= 1 && share > 0.7);
  fingerprint_free(&f);
}

static bool never(void *user, const Topology *t, int batch, double *share, Error *error) {
  (void)user, (void)t, (void)batch, (void)error;
  *share = 2;
  return true;
}

static void an_impossible_budget_is_an_error(void **state) {
  (void)state;
  Fingerprint f = fingerprint_of(amos_z, 11, 2, 0.688, 235, 582);
  Planned planned;
  Error error = {0};
  assert_false(plan_data(&f, planners, NULL, never, NULL, true, &planned, &error));
  assert_non_null(strstr(error.text, "fits into the budget"));
  fingerprint_free(&f);
}

/* What is written reads back the same, and as a plan. */
static void files_read_back(void **state) {
  (void)state;
  Scratch scratch = scratch_make();
  Error error = {0};
  Fingerprint f = fingerprint_of(amos_z, 11, 2, 0.688, 235, 582), g;
  f.intensity[0] = (Intensity){49.4, 50, 137.74, -1000.25, 3000, -985, 379};
  f.orientation[0] = 'L';
  assert_true(fingerprint_write(&f, scratch_path(&scratch, "fingerprint.json"), &error));
  if (!fingerprint_read(&g, scratch_path(&scratch, "fingerprint.json"), &error))
    fail_msg("%s", error.text);
  assert_int_equal(g.cases, f.cases);
  assert_memory_equal(g.mm, f.mm, 11 * sizeof *f.mm);
  assert_memory_equal(g.dim, f.dim, 11 * sizeof *f.dim);
  assert_memory_equal(&g.intensity[0], &f.intensity[0], sizeof(Intensity));
  assert_string_equal(g.orientation, "LAS");

  char *channel[] = {"CT"};
  Dataset dataset = {.name = "amos", .labels = 15, .channels = 1, .channel_name = channel};
  Planned planned = planned_of(&f, 15);
  json_t *plan = plan_file_json(&dataset, &f, &planned, planners, "test"), *back;
  assert_true(json_text_write(plan, scratch_path(&scratch, "plan.json"), &error));
  assert_true(plan_file_load(scratch.dir, &back, &error));
  assert_true(json_equal(plan, back));
  Preprocessing p;
  assert_true(preprocessing_read(&p, json_object_get(back, "preprocessing"), "plan.json", &error));
  assert_true(p.normaliser.channel[0].scheme == SCHEME_CT && p.normaliser.channel[0].high == 379);
  json_decref(plan);
  json_decref(back);
  fingerprint_free(&f);
  fingerprint_free(&g);

  text_write(scratch_path(&scratch, "plan.json"),
             "{\"preprocessing\": {\"orientation\": \"RAS\"}}");
  assert_false(plan_file_load(scratch.dir, &back, &error));
  assert_non_null(strstr(error.text, "spacing_mm"));
  scratch_free(&scratch);
}

/* A masked z-score where cropping leaves less than three quarters, but never for CT. */
static void cropping_decides_over_the_mask(void **state) {
  (void)state;
  Fingerprint f = fingerprint_of(amos_z, 11, 2, 0.688, 235, 582);
  Planned planned = planned_of(&f, 4);
  char *names[] = {"T1", "CT"};
  for (int k = 0; k < 4; k++) {
    f.relative = k & 1 ? 0.7 : 0.8;
    Dataset dataset = {.name = "a", .labels = 4, .channels = 1, .channel_name = &names[k >> 1]};
    json_t *plan = plan_file_json(&dataset, &f, &planned, planners, "test");
    const json_t *preprocessing = json_object_get(plan, "preprocessing");
    assert_int_equal(json_is_true(json_object_get(preprocessing, "nonzero_mask")), k == 1);
    json_decref(plan);
  }
  fingerprint_free(&f);
}

/* ---- tests/fixtures/nnunet_plans.json: nnunetv2 2.8.1's planners --------------------------------
 * A row: data set, cases, shape, spacing, classes, planner, configuration, transpose_forward,
 * patch, batch, spacing, strides, kernels, widths, blocks, decoder's convolutions, batch Dice. */

enum { CASES = 1, SHAPE, MM, CLASSES, PLANNER, CONFIGURATION, TURN, PATCH, BATCH, SPACING };

static double number(const json_t *list, size_t i) {
  return json_number_value(json_array_get(list, i));
}

/* list: by planned axis, without the first in 2D; value: by data axis. */
static bool same(const json_t *list, const json_t *turn, const double value[3], double missing) {
  size_t gone = 3 - json_array_size(list);
  bool good = !gone || value[(int)number(turn, 0)] == missing;
  for (size_t axis = gone; axis < 3; axis++)
    good &= fabs(value[(int)number(turn, axis)] - number(list, axis - gone)) < 1e-9;
  return good;
}

static bool same_ints(const json_t *list, const json_t *turn, const int value[3]) {
  return same(list, turn, (double[3]){value[0], value[1], value[2]}, 1);
}

static bool same_stages(const json_t *list, const json_t *turn, const int (*value)[3]) {
  bool good = true;
  for (size_t i = 0; i < json_array_size(list); i++)
    good &= same_ints(json_array_get(list, i), turn, value[i]);
  return good;
}

static bool same_numbers(const json_t *wanted, const json_t *found) {
  return !found || json_equal(wanted, found);
}

static Planned planned_by(const json_t *row, const Planner *planner) {
  Fingerprint f = {.cases = (int)number(row, CASES), .relative = 1, .channels = 1};
  f.mm = calloc((size_t)f.cases, sizeof *f.mm);
  f.dim = calloc((size_t)f.cases, sizeof *f.dim);
  for (int i = 0; i < f.cases; i++)
    for (size_t axis = 0; axis < 3; axis++) {
      f.mm[i][axis] = number(json_array_get(row, MM), axis);
      f.dim[i][axis] = (int)number(json_array_get(row, SHAPE), axis);
    }
  NnunetBudget budget = {planner, (int)number(row, CLASSES)};
  Planned planned;
  Error error = {""};
  if (!plan_data(&f, planner, NULL, nnunet_cost, &budget, false, &planned, &error))
    fail_msg("%s", error.text);
  fingerprint_free(&f);
  return planned;
}

/* The configuration of this name, NULL where there is none. */
static const Configuration *configuration_of(const Planned *p, const char *name) {
  bool flat = p->fullres.topology.flat;
  if (!strcmp(name, "3d_lowres")) return p->has_lowres ? &p->lowres : NULL;
  if (!strcmp(name, "2d") && !flat) return p->has_slices ? &p->slices : NULL;
  return flat == !strcmp(name, "2d") ? &p->fullres : NULL;
}

static int configurations(const Planned *p) {
  return 1 + p->has_lowres + p->has_slices;
}

/* What plan.json says of the network. */
static bool same_network(const json_t *row, const Planner *planner, const Planned *p) {
  char *channel[] = {"CT"};
  Dataset dataset = {.name = "a", .labels = 2, .channels = 1, .channel_name = channel};
  Fingerprint f = {.cases = 1};
  json_t *plan = plan_file_json(&dataset, &f, p, planner, "test"), *of = plan;
  const char *name = json_string_value(json_array_get(row, CONFIGURATION));
  if (!strcmp(name, "3d_lowres")) of = json_object_get(plan, "lowres");
  if (!strcmp(name, "2d") && !p->fullres.topology.flat) of = json_object_get(plan, "2d");
  bool good =
      same_numbers(json_array_get(row, SPACING + 3), json_object_get(of, "widths")) &&
      same_numbers(json_array_get(row, SPACING + 4), json_object_get(of, "encoder_blocks")) &&
      json_equal(json_array_get(row, SPACING + 6), json_object_get(of, "batch_dice")) &&
      planner->residual == (json_object_get(of, "encoder") != NULL);
  json_decref(plan);
  return good;
}

static void as_nnunet_plans(void **state) {
  (void)state;
  Error error = {""};
  json_t *rows = json_file_load("tests/fixtures/nnunet_plans.json", 0, &error), *row;
  assert_non_null(rows);
  size_t i;
  int found = 0, wrong = 0;
  json_array_foreach(rows, i, row) {
    const Planner *planner = planner_named(json_string_value(json_array_get(row, PLANNER)));
    Planned p = planned_by(row, planner);
    const json_t *turn = json_array_get(row, TURN);
    const Configuration *c =
        configuration_of(&p, json_string_value(json_array_get(row, CONFIGURATION)));
    const Topology *t = c ? &c->topology : NULL;
    bool good = c && t->stages == (int)json_array_size(json_array_get(row, SPACING + 1)) &&
                same_ints(json_array_get(row, PATCH), turn, t->patch) &&
                c->batch == (int)number(row, BATCH) &&
                same(json_array_get(row, SPACING), turn, c->mm, FLAT_MM) &&
                same_stages(json_array_get(row, SPACING + 1), turn, t->stride) &&
                same_stages(json_array_get(row, SPACING + 2), turn, t->kernel) &&
                same_network(row, planner, &p);
    if (!good) print_error("row %zu: %s\n", i, json_dumps(row, JSON_COMPACT)), wrong++;
    if (!strcmp(json_string_value(json_array_get(row, CONFIGURATION)), "2d"))
      found -= configurations(&p); /* each data set and planner has one */
    found++;
  }
  json_decref(rows);
  assert_int_equal(wrong, 0);
  assert_int_equal(found, 0); /* nor did we find one that nnU-Net has not */
}

/* ---- tests/fixtures/nnunet_resenc_l.json, of nnU-Net's ResEnc L planner -------------------- */

static Dataset acdc(char **channel, const char *dir) {
  return (Dataset){
      .name = "acdc", .dir = (char *)dir, .labels = 4, .channels = 1, .channel_name = channel};
}

static void nnunet_files_are_plans(void **state) {
  (void)state;
  char *ct[] = {"CT"}, *mr[] = {"MR"};
  Dataset dataset = acdc(ct, "."), other = acdc(mr, ".");
  Error error = {""};
  NnunetPlans plans;
  static const char *const file = "tests/fixtures/nnunet_resenc_l.json";
  if (!nnunet_plans_read(&plans, file, NULL, &dataset, &error)) fail_msg("%s", error.text);
  const Topology *t = &plans.planned.fullres.topology;
  assert_memory_equal(t->patch, ((int[]){10, 256, 224}), 3 * sizeof(int));
  assert_memory_equal(t->blocks, ((int[]){1, 3, 4, 6, 6, 6}), 6 * sizeof(int));
  assert_memory_equal(t->stride[1], ((int[]){1, 2, 2}), 3 * sizeof(int));
  assert_int_equal(plans.planned.fullres.batch, 17);
  assert_true(plans.planner.residual && !t->flat);
  json_t *plan = plan_file_json(&dataset, &plans.fingerprint, &plans.planned, &plans.planner, "");
  assert_string_equal(json_string_value(json_object_get(plan, "planner")), "nnUNetPlannerResEncL");
  assert_string_equal(json_string_value(json_object_get(plan, "encoder")), "residual");
  json_decref(plan);
  fingerprint_free(&plans.fingerprint);
  assert_true(nnunet_plans_read(&plans, file, "2d", &dataset, &error));
  assert_memory_equal(t->patch, ((int[]){1, 256, 224}), 3 * sizeof(int));
  assert_float_equal(plans.planned.fullres.mm[0], FLAT_MM, 0);
  assert_true(t->flat && plans.planned.fullres.batch_dice && t->width[5] == 512);
  fingerprint_free(&plans.fingerprint);
  assert_false(nnunet_plans_read(&plans, file, "3d_lowres", &dataset, &error));
  assert_non_null(strstr(error.text, "there is no configuration 3d_lowres"));
  error = (Error){""};
  assert_false(nnunet_plans_read(&plans, file, NULL, &other, &error));
  assert_non_null(strstr(error.text, "channel 0 is scaled by CTNormalization"));
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(amos_as_documented),      cmocka_unit_test(btcv_as_documented),
      cmocka_unit_test(axes_may_stand_anywhere), cmocka_unit_test(small_cases_raise_the_batch),
      cmocka_unit_test(an_exact_budget_is_kept), cmocka_unit_test(an_impossible_budget_is_an_error),
      cmocka_unit_test(files_read_back),         cmocka_unit_test(cropping_decides_over_the_mask),
      cmocka_unit_test(as_nnunet_plans),         cmocka_unit_test(nnunet_files_are_plans),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
