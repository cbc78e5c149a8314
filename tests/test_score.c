/* Metrics of label maps against values worked out by hand and against brute force. */
#include "base/rng.h"
#include "src/data/metrics/distance.h"
#include "src/data/metrics/instances.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static void assert_near(double found, double expected) {
  if (fabs(found - expected) <= 1e-6 * fmax(1, fabs(expected))) return;
  print_message("found %.9g, expected %.9g\n", found, expected);
  fail_msg("the values differ");
}

static void fill(uint8_t *map, const int dim[3], const int low[3], const int high[3], int label) {
  for (int z = low[0]; z < high[0]; z++)
    for (int y = low[1]; y < high[1]; y++)
      for (int x = low[2]; x < high[2]; x++) map[(z * dim[1] + y) * dim[2] + x] = (uint8_t)label;
}

static void score(const uint8_t *a, const uint8_t *b, const Grid *grid, SurfaceKind kind,
                  double tolerance, Score *out) {
  Error error = {""};
  SurfaceOptions options = {kind, tolerance};
  assert_true(score_labels(a, b, grid, 4, &options, out, &error));
}

/* 26 of the 27 voxels of each cube are surface; two slices of 2 mm apart: 9 at 4 mm, 8 at 2, 9 at
 * 0. */
static void two_cubes_at_a_known_distance(void **state) {
  (void)state;
  const int dim[3] = {8, 6, 7};
  Grid grid = grid_make(dim, (double[]){2, 1, 0.5});
  uint8_t a[8 * 6 * 7] = {0}, b[8 * 6 * 7] = {0};
  fill(a, dim, (int[]){1, 2, 3}, (int[]){4, 5, 6}, 2);
  fill(b, dim, (int[]){3, 2, 3}, (int[]){6, 5, 6}, 2);
  Score s[4];
  score(a, b, &grid, SURFACE_VOXELS, 2, s);
  assert_int_equal(s[2].situation, SITUATION_BOTH);
  assert_int_equal(s[2].reference, 27);
  assert_int_equal(s[2].overlap, 9);
  assert_near(s[2].value[METRIC_dice], 1.0 / 3);
  assert_near(s[2].value[METRIC_iou], 0.2);
  assert_near(s[2].value[METRIC_hd], 4);
  assert_near(s[2].value[METRIC_hd95], 4);
  assert_near(s[2].value[METRIC_assd], (9 * 4 + 8 * 2) / 26.0);
  assert_near(s[2].value[METRIC_nsd], 17.0 / 26);
  assert_near(s[2].value[METRIC_reference_ml], 0.027);
  score(a, b, &grid, SURFACE_VOXELS, 1.99, s);
  assert_near(s[2].value[METRIC_nsd], 9.0 / 26);
  assert_int_equal(s[1].situation, SITUATION_ABSENT);
}

/* In a slice the surface is the outline: of a square of 4 pixels a side 12 of 16, and of one that
 * lies a pixel beside it as many; where the slice lies, and how thick it is, is nothing to it. */
static void a_slice_has_outlines(void **state) {
  (void)state;
  for (int axis = 0; axis < 3; axis++) {
    int dim[3] = {9, 9, 9}, low[3] = {2, 2, 2}, high[3] = {6, 6, 6}, moved[2][3];
    double mm[3] = {0.5, 0.5, 0.5};
    int beside = (axis + 1) % 3;
    dim[axis] = 1, low[axis] = 0, high[axis] = 1, mm[axis] = 5;
    memcpy(moved[0], low, sizeof low), memcpy(moved[1], high, sizeof high);
    moved[0][beside]++, moved[1][beside]++;
    uint8_t a[81] = {0}, b[81] = {0};
    Grid grid = grid_make(dim, mm);
    fill(a, dim, low, high, 1);
    fill(b, dim, moved[0], moved[1], 1);
    Score s[4];
    score(a, b, &grid, SURFACE_VOXELS, 0.1, s);
    assert_near(s[1].value[METRIC_hd], 0.5);
    assert_near(s[1].value[METRIC_assd], 0.5 * 6 / 12); /* 4 of the far side, 2 inside the other */
    assert_near(s[1].value[METRIC_nsd], 0.5);
    score(a, b, &grid, SURFACE_SURFELS, 0.1, s);
    assert_near(s[1].value[METRIC_hd], 0.5);
  }
}

/* A line of 21 voxels against its first: distances 0, 0.5 .. 10 and one 0. */
static void percentiles_lie_between_ranks(void **state) {
  (void)state;
  const int dim[3] = {1, 1, 21};
  Grid grid = grid_make(dim, (double[]){3, 3, 0.5});
  uint8_t a[21], b[21] = {1};
  memset(a, 1, sizeof a);
  Score s[4];
  score(a, b, &grid, SURFACE_VOXELS, 1, s);
  assert_near(s[1].value[METRIC_hd95], 9.5);
  assert_near(s[1].value[METRIC_hd95_pooled], 9.475);
  assert_near(s[1].value[METRIC_assd], 105.0 / 22);
  assert_near(s[1].value[METRIC_nsd], 4.0 / 22);
  assert_near(s[1].value[METRIC_prediction_ml], 0.0045);
}

/* Two voxels three apart: the corners between them lie 2 and 3 from the other's. */
static void surfels_lie_at_the_corners(void **state) {
  (void)state;
  const int dim[3] = {4, 1, 1};
  Grid grid = grid_make(dim, (double[]){1, 2, 1});
  Score s[4];
  score((uint8_t[]){1, 0, 0, 0}, (uint8_t[]){0, 0, 0, 1}, &grid, SURFACE_SURFELS, 2, s);
  assert_near(s[1].value[METRIC_assd], 2.5);
  assert_near(s[1].value[METRIC_hd95], 3);
  assert_near(s[1].value[METRIC_nsd], 0.5);
}

/* A block 4 x 4 x 8 and its first half; the cut's inner corners weigh a face (2 mm^2), edges and
 * corners less: worked out from the table of cells, see the marking of each distance. */
static void surfels_weigh_their_area(void **state) {
  (void)state;
  const int dim[3] = {4, 4, 8};
  Grid grid = grid_make(dim, (double[]){1, 1, 2});
  uint8_t a[128], b[128] = {0};
  memset(a, 1, sizeof a);
  fill(b, dim, (int[]){0, 0, 0}, (int[]){4, 4, 4}, 1);
  Score s[4];
  score(a, b, &grid, SURFACE_SURFELS, 0, s);
  /* The end of a block: 9 inner corners of area 1, 4 vertices |(1,1,1)|/8 scaled by the faces
   * (2,2,1), 12 of an edge across W, two triangles |(2,2,0)|/8 with faces 2 and 1. */
  double vertex = sqrt(2 * 2 + 2 * 2 + 1) / 8, across = 2 * sqrt(4 * 4 + 2 * 2) / 8;
  double end = 9 + 4 * vertex + 12 * across;
  /* A plane of corners along W: 4 edges with faces 2 and 2, 12 faces of area 2. */
  double along = 2 * sqrt(4 * 4 + 4 * 4) / 8, ring = 4 * along + 12 * 2;
  double whole = 2 * end + 7 * ring, half = 2 * end + 3 * ring;
  /* Equal: one end and three rings of both. The half's far end lies on the whole's fourth ring
   * except for its 9 inner corners. */
  double within = 2 * (end + 3 * ring) + ring + (end - 9);
  assert_near(s[1].value[METRIC_nsd], within / (whole + half));
}

static void situations_are_declared(void **state) {
  (void)state;
  const int dim[3] = {3, 4, 12};
  Grid grid = grid_make(dim, (double[]){1, 1, 1});
  uint8_t a[144] = {[5] = 1, [6] = 3}, b[144] = {[5] = 3, [90] = 2};
  Score s[4];
  score(a, b, &grid, SURFACE_VOXELS, 1, s);
  assert_int_equal(s[1].situation, SITUATION_MISSED);
  assert_int_equal(s[2].situation, SITUATION_FALSE_POSITIVE);
  assert_int_equal(s[3].situation, SITUATION_BOTH);
  for (int l = 1; l < 3; l++) {
    assert_near(s[l].value[METRIC_hd95], 13);
    assert_near(s[l].value[METRIC_assd], 13);
    assert_true(s[l].value[METRIC_dice] == 0 && s[l].value[METRIC_nsd] == 0);
  }
  assert_near(s[3].value[METRIC_hd95], 1);
  assert_true(s[3].value[METRIC_dice] == 0);
  assert_near(score_mean(s, 4, METRIC_hd95), (13 + 13 + 1) / 3.);
  score(a, a, &grid, SURFACE_VOXELS, 1, s);
  assert_int_equal(s[2].situation, SITUATION_ABSENT);
  assert_string_equal(situation_name(s[2].situation), "absent");
  for (int m = 0; m <= METRIC_nsd; m++) assert_true(isnan(s[2].value[m]));
  assert_true(s[1].value[METRIC_nsd] == 1 && s[1].value[METRIC_hd] == 0);
}

/* Each row's rule, and that what is stored of a structure in one map alone has a value. */
static void every_metric_keeps_its_rule(void **state) {
  (void)state;
  Measured m = {.reference = 6,
                .prediction = 3,
                .overlap = 2,
                .voxels = 20,
                .voxel_ml = .5,
                .diagonal_mm = 9};
  m.surface = (SurfaceScore){1, 2, 3, 4, .5};
  for (int i = 0; i < METRICS; i++) {
    const MetricRow *row = &metric_table[i];
    if (i == METRIC_instance_f1) continue; /* filled in by score_instances */
    double one_map[] = {[MISSED_ZERO] = 0,
                        [MISSED_DIAGONAL] = 9,
                        [MISSED_MEASURED] = row->value(&m),
                        [MISSED_COUNTED] = row->value(&m)};
    assert_true(metric_value(i, SITUATION_BOTH, &m) == row->value(&m));
    assert_true(metric_value(i, SITUATION_MISSED, &m) == one_map[row->missed]);
    assert_true(metric_value(i, SITUATION_FALSE_POSITIVE, &m) == one_map[row->missed]);
    bool measured = row->missed == MISSED_MEASURED, counted = row->missed == MISSED_COUNTED;
    assert_true(measured || counted || isnan(metric_value(i, SITUATION_ABSENT, &m)));
    assert_int_equal(metric_situation(i, SITUATION_ABSENT),
                     counted ? SITUATION_BOTH : SITUATION_ABSENT);
    assert_false(row->stored && measured);
    if (row->stored) assert_ptr_equal(metric_stored(row->stored), row);
  }
  assert_null(metric_stored("plan"));
  assert_near(metric_value(METRIC_dice, SITUATION_BOTH, &m), 4. / 9);
  assert_near(metric_value(METRIC_iou, SITUATION_BOTH, &m), 2. / 7);
  assert_near(metric_value(METRIC_prediction_ml, SITUATION_MISSED, &m), 1.5);
}

/* Without surfaces: the same overlaps. Values that are no label, and labels in neither map. */
static void overlaps_need_no_surfaces(void **state) {
  (void)state;
  Grid grid = grid_make((int[]){1, 1, 8}, (double[]){1, 1, 1});
  Error error = {""};
  Score s[5];
  /* label 1: both, 2 of 3 and 2; 2: missed; 3: false positive; 4: absent */
  const uint8_t reference[8] = {1, 1, 1, 2, 2, 0, 0, 0}, prediction[8] = {1, 1, 0, 0, 0, 0, 3, 0};
  assert_true(score_labels(reference, prediction, &grid, 5, NULL, s, &error));
  assert_true(s[1].reference == 3 && s[1].prediction == 2 && s[1].overlap == 2);
  assert_near(s[1].value[METRIC_dice], 0.8);
  assert_true(isnan(s[1].value[METRIC_hd]));
  assert_true(s[2].value[METRIC_dice] == 0 && s[3].value[METRIC_dice] == 0);
  assert_near(score_mean(s, 5, METRIC_dice), 0.8 / 3);
  const uint8_t odd[8] = {0, 255};
  assert_true(score_labels((uint8_t[8]){0}, odd, &grid, 3, NULL, s, &error));
  assert_true(isnan(score_mean(s, 3, METRIC_dice)));
}

static void distances_are_exact(void **state) {
  (void)state;
  enum { D = 6, H = 9, W = 37, N = D * H * W };
  const int dim[3] = {D, H, W};
  const double spacing[3] = {2.5, 0.7, 1.3};
  static uint8_t from[N], to[N];
  static float found[N];
  for (int round = 0; round < 20; round++) {
    Rng rng = rng_make(7, RNG_TEST, (uint64_t)round);
    for (int i = 0; i < N; i++) {
      from[i] = rng_uniform(&rng) < .3;
      to[i] = rng_uniform(&rng) < (round < 10 ? .002 : .05);
    }
    to[round * 97] = 1;
    DistanceWork work;
    assert_true(distance_work_make(&work, dim));
    size_t count = distance_between(from, to, dim, spacing, &work, found), k = 0;
    distance_work_free(&work);
    for (int i = 0; i < N; i++) {
      if (!from[i]) continue;
      double best = INFINITY;
      for (int j = 0; j < N; j++) {
        if (!to[j]) continue;
        double z = spacing[0] * (i / (H * W) - j / (H * W)), x = spacing[2] * (i % W - j % W),
               y = spacing[1] * (i / W % H - j / W % H);
        best = fmin(best, z * z + y * y + x * x);
      }
      assert_near(found[k++], sqrt(best));
    }
    assert_int_equal(k, count);
  }
}

/* By hand: 20 pixels, of 6 and 3 two shared, so 5 differ; two empty maps; one that is empty. */
static void papers_count_an_overlap_of_none_as_one(void **state) {
  (void)state;
  Measured m = {.reference = 6, .prediction = 3, .overlap = 2, .voxels = 20};
  assert_near(metric_table[METRIC_mae].value(&m), 5. / 20);
  assert_near(metric_table[METRIC_accuracy].value(&m), 15. / 20);
  assert_near(metric_table[METRIC_dice_one].value(&m), 4. / 9);
  assert_near(metric_table[METRIC_iou_one].value(&m), 2. / 7);
  Measured empty = {.voxels = 20};
  assert_near(metric_value(METRIC_dice_one, SITUATION_ABSENT, &empty), 1);
  assert_near(metric_value(METRIC_iou_one, SITUATION_ABSENT, &empty), 1);
  assert_near(metric_value(METRIC_mae, SITUATION_ABSENT, &empty), 0);
  assert_true(isnan(metric_value(METRIC_dice, SITUATION_ABSENT, &empty)));
  Measured missed = {.reference = 6, .voxels = 20};
  assert_near(metric_value(METRIC_dice_one, SITUATION_MISSED, &missed), 2. / 8);
  assert_near(metric_value(METRIC_iou_one, SITUATION_MISSED, &missed), 1. / 7);
  assert_near(metric_value(METRIC_dice, SITUATION_MISSED, &missed), 0);
  /* the mean over cases has an empty one, and Dice has not */
  Grid grid = grid_picture(2, 4);
  Error error = {""};
  Score s[2];
  const uint8_t none[8] = {0};
  assert_true(score_labels(none, none, &grid, 2, NULL, s, &error));
  assert_near(score_mean(s, 2, METRIC_dice_one), 1);
  assert_true(isnan(score_mean(s, 2, METRIC_dice)));
  assert_true(metric_is_of(METRIC_mae, true) && !metric_is_of(METRIC_mae, false));
}

static double objects_f1(const uint8_t *reference, const float *numbers, const uint8_t *prediction,
                         Grid grid, const Labelling *labelling) {
  Error error = {""};
  Score s[LABEL_VALUES];
  assert_true(score_structures(labelling, reference, prediction, &grid, NULL, s, &error));
  assert_true(score_instances(labelling, reference, numbers, prediction, grid.dim, s, &error));
  return s[1].value[METRIC_instance_f1];
}

/* Three bodies, two of which touch; the prediction has joined these two, found the third by a half
 * and by more, and made one up. */
static void objects_are_found_or_not(void **state) {
  (void)state;
  Labelling plain = labelling_plain(2), ignoring = {.values = 3, .ignore = 2};
  Grid grid = grid_picture(4, 12);
  const uint8_t reference[48] = {1, 1, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, /* a a b b */
                                 1, 1, 1, 1, 0, 0, 1, 1, 1, 1, 0, 0, /*         c c c c */
                                 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, /**/
                                 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0};
  float numbers[48] = {0};
  for (int i = 0; i < 48; i++)
    numbers[i] = !reference[i] ? 0 : i % 12 > 4 ? 900 : i % 12 < 2 ? 7 : 31;
  uint8_t said[48];
  memcpy(said, reference, sizeof said);
  assert_near(objects_f1(reference, NULL, said, grid, &plain), 1); /* two parts of two */
  assert_near(objects_f1(reference, numbers, said, grid, &plain),
              2. * 1 / 5);                     /* c; a and b joined */
  said[1] = said[2] = said[13] = said[14] = 0; /* a and b apart: each a half of its 4 pixels */
  assert_near(objects_f1(reference, numbers, said, grid, &plain),
              2. * 1 / 6); /* a half is not found */
  said[1] = said[13] = 1;  /* a whole again */
  assert_near(objects_f1(reference, numbers, said, grid, &plain), 2. * 2 / 6);
  said[44] = 1; /* one that is not there */
  assert_near(objects_f1(reference, numbers, said, grid, &plain), 2. * 2 / 7);
  said[31] = said[43] = said[30] = 1; /* corners join: now a part of c */
  assert_near(objects_f1(reference, numbers, said, grid, &plain), 2. * 1 / 6);
  uint8_t known[48];
  memcpy(known, reference, sizeof known);
  memcpy(said, reference, sizeof said);
  known[40] = 2, said[40] = 1; /* where nobody knows, an object is neither right nor wrong */
  assert_near(objects_f1(known, NULL, said, grid, &ignoring), 1);
  memset(said, 0, sizeof said);
  assert_near(objects_f1(reference, numbers, said, grid, &plain), 0);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(two_cubes_at_a_known_distance),
      cmocka_unit_test(a_slice_has_outlines),
      cmocka_unit_test(percentiles_lie_between_ranks),
      cmocka_unit_test(surfels_lie_at_the_corners),
      cmocka_unit_test(surfels_weigh_their_area),
      cmocka_unit_test(situations_are_declared),
      cmocka_unit_test(every_metric_keeps_its_rule),
      cmocka_unit_test(papers_count_an_overlap_of_none_as_one),
      cmocka_unit_test(objects_are_found_or_not),
      cmocka_unit_test(overlaps_need_no_surfaces),
      cmocka_unit_test(distances_are_exact),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
