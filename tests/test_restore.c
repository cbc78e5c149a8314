/* From class maps to labels: the way back to the file, components, and the choice of
 * post-processing. */
#include "base/rng.h"
#include "src/data/metrics/score.h"
#include "src/data/predict/components.h"
#include "src/data/predict/restore.h"
#include "src/data/predict/sliding_window.h"
#include "src/train/cases.h"
#include "src/train/postprocess.h"
#include "tests/scratch.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

enum { CLASSES = 3 };

/* Hands a whole volume's maps over in slabs of random heights, each beginning with the last plane
 * of the one before. */
static void give_slabs(Restore *restore, const int dim[3], const float *maps, Rng *rng) {
  Error error = {""};
  size_t plane = (size_t)(dim[1] * dim[2] * CLASSES);
  for (int done = 0; done < dim[0];) {
    int first = done ? done - 1 : 0, end = done + 1 + (int)rng_below(rng, 4);
    if (end > dim[0]) end = dim[0];
    assert_true(restore_slab(restore, first, end, maps + (size_t)first * plane, &error));
    done = end;
  }
}

/* The same by resampling the whole volume of maps. */
static void restore_whole(const Frame *frame, const float *maps, uint8_t *label,
                          float *probability) {
  Error error = {""};
  Interpolation order[3];
  frame_orders_back(frame, order);
  size_t voxels = (size_t)(frame->box_dim[0] * frame->box_dim[1] * frame->box_dim[2]);
  float *box = malloc(voxels * CLASSES * sizeof *box);
  uint8_t *won = malloc(voxels);
  assert_true(resample_values(maps, frame->dim, CLASSES, frame->box_dim, order, box, &error));
  class_argmax(box, voxels, CLASSES, won);
  frame_restore(frame, won, label);
  for (int c = 0; c < CLASSES; c++) {
    for (size_t i = 0; i < voxels; i++) won[i] = (uint8_t)(200 * box[i * CLASSES + (size_t)c]);
    uint8_t *file = malloc(grid_voxels(&frame->file));
    frame_restore(frame, won, file);
    for (size_t i = 0; i < grid_voxels(&frame->file); i++)
      probability[i * CLASSES + (size_t)c] = file[i];
    free(file);
  }
  free(box);
  free(won);
}

static void slabs_restore_as_the_whole(void **state) {
  (void)state;
  static const double spacings[][3] = {{1, 1, 1}, {2.5, 0.6, 0.8}, {0.7, 3, 0.7}, {9, 1.2, 1.5}};
  static const char *const orientations[] = {"RAS", "LPS", "SRA", "AIL"};
  const int dim[3] = {9, 11, 7};
  Rng rng = rng_make(3, RNG_TEST, 0);
  for (int round = 0; round < 4; round++) {
    Error error = {""};
    Grid file = grid_make(dim, (double[]){1.5, 1.1, 0.9});
    Frame frame;
    assert_true(frame_make(&frame, &file, orientations[round], &error));
    for (int axis = 0; axis < 3; axis++) {
      frame.box_first[axis] = 1 + axis % 2;
      frame.box_dim[axis] -= 3;
    }
    frame_resample(&frame, spacings[round]);
    size_t voxels = (size_t)(frame.dim[0] * frame.dim[1] * frame.dim[2]), all = grid_voxels(&file);
    float *maps = malloc(voxels * CLASSES * sizeof *maps);
    for (size_t i = 0; i < voxels * CLASSES; i++) maps[i] = (float)rng_uniform(&rng);
    uint8_t label[9 * 11 * 7], expected[9 * 11 * 7];
    static float probability[9 * 11 * 7 * CLASSES], wanted[9 * 11 * 7 * CLASSES];
    Restore restore;
    assert_true(restore_begin(&restore, &frame, CLASSES, label, probability, &error));
    give_slabs(&restore, frame.dim, maps, &rng);
    assert_int_equal(restore.next, frame.box_dim[0]);
    restore_end(&restore);
    restore_whole(&frame, maps, expected, wanted);
    int different = 0, inside = 0;
    for (size_t i = 0; i < all; i++) {
      different += label[i] != expected[i];
      bool outside = wanted[i * CLASSES] + wanted[i * CLASSES + 1] + wanted[i * CLASSES + 2] == 0;
      inside += !outside;
      for (size_t c = 0; c < CLASSES; c++) {
        double p = probability[i * CLASSES + c];
        assert_true(outside ? p == (c == 0) : fabs(200 * p - wanted[i * CLASSES + c]) < 1.01);
      }
    }
    assert_true(inside > (int)all / 5);
    assert_true(different <= 1); /* a tie that rounding decides */
    free(maps);
  }
}

/* Sizes of the 26-connected components by flooding. */
static int flood(const uint8_t *set, const int dim[3], int start, uint8_t *seen, int *list) {
  int count = 0;
  list[count++] = start;
  seen[start] = 1;
  for (int k = 0; k < count; k++) {
    int z = list[k] / (dim[1] * dim[2]), y = list[k] / dim[2] % dim[1], x = list[k] % dim[2];
    for (int n = 0; n < 27; n++) {
      int p = z + n / 9 - 1, q = y + n / 3 % 3 - 1, r = x + n % 3 - 1;
      if (p < 0 || q < 0 || r < 0 || p >= dim[0] || q >= dim[1] || r >= dim[2]) continue;
      int at = (p * dim[1] + q) * dim[2] + r;
      if (!set[at] || seen[at]) continue;
      seen[at] = 1;
      list[count++] = at;
    }
  }
  return count;
}

static void the_largest_component_stays(void **state) {
  (void)state;
  enum { N = 8 * 9 * 10 };
  const int dim[3] = {8, 9, 10};
  for (int round = 0; round < 200; round++) {
    Rng rng = rng_make(5, RNG_TEST, (uint64_t)round);
    uint8_t map[N], set[N], seen[N] = {0}, expected[N] = {0};
    static int list[N], best[N];
    int most = 0;
    double density = .02 + .2 * rng_uniform(&rng);
    for (int i = 0; i < N; i++) {
      map[i] = rng_uniform(&rng) < density ? (uint8_t)(1 + rng_below(&rng, 3)) : 0;
      set[i] = map[i] == 1 || map[i] == 3;
      if (map[i] == 2) expected[i] = 2;
    }
    for (int i = 0; i < N; i++) {
      if (!set[i] || seen[i]) continue;
      int size = flood(set, dim, i, seen, list);
      if (size > most) memcpy(best, list, sizeof list), most = size;
    }
    for (int i = 0; i < most; i++) expected[best[i]] = map[best[i]];
    int64_t cleared, gone = 0;
    for (int i = 0; i < N; i++) gone += map[i] != expected[i];
    bool labels[256] = {[1] = true, [3] = true};
    assert_true(components_keep_largest(map, dim, labels, &cleared));
    assert_memory_equal(map, expected, N);
    assert_int_equal(cleared, gone);
  }
}

static void tally_case(PostprocessTally *tally, const uint8_t *predicted, const uint8_t *truth,
                       const int dim[3]) {
  Error error = {""};
  Labelling plain = labelling_plain(3);
  Grid grid = {.dim = {dim[0], dim[1], dim[2]}, .spacing = {1, 1, 1}};
  Score score[3];
  assert_true(score_structures(&plain, truth, predicted, &grid, NULL, score, &error));
  assert_true(postprocess_add(tally, score, predicted, truth, &grid, &plain, &error));
}

/* Label 1 has a false island, label 2 two true parts: only 1 may lose its smaller components, and
 * the foreground as a whole must stay. */
static void post_processing_keeps_what_gains(void **state) {
  (void)state;
  const int dim[3] = {1, 1, 20};
  const uint8_t truth[20] = {1, 1, 1, 0, 0, 0, 0, 2, 2, 2, 0, 0, 0, 2, 2, 0, 0, 0, 0, 0};
  uint8_t predicted[20] = {1, 1, 1, 0, 0, 0, 0, 2, 2, 2, 0, 0, 0, 2, 2, 0, 0, 0, 1, 0};
  PostprocessTally tally = {0};
  Error error = {""};
  double before, after;
  for (int i = 0; i < 2; i++) tally_case(&tally, predicted, truth, dim);
  Postprocess chosen = postprocess_choose(&tally, 3, &before, &after);
  assert_false(chosen.foreground);
  assert_true(chosen.label[1] && !chosen.label[2]);
  assert_true(fabs(before - (6.0 / 7 + 1) / 2) < 1e-12 && after == 1);
  assert_true(postprocess_apply(&chosen, predicted, dim, &error));
  assert_memory_equal(predicted, truth, 20);
}

/* One body with a false island far away: all foreground at once, and no label needs more. */
static void post_processing_begins_with_the_foreground(void **state) {
  (void)state;
  const int dim[3] = {1, 2, 8};
  const uint8_t truth[16] = {1, 1, 2, 2, 0, 0, 0, 0, 1, 1, 2, 2};
  uint8_t predicted[16] = {1, 1, 2, 2, 0, 0, 0, 2, 1, 1, 2, 2};
  PostprocessTally tally = {0};
  Error error = {""};
  double before, after;
  tally_case(&tally, predicted, truth, dim);
  Postprocess chosen = postprocess_choose(&tally, 3, &before, &after), back;
  assert_true(chosen.foreground && !chosen.label[1] && !chosen.label[2]);
  chosen.label[7] = true;
  Scratch scratch = scratch_make();
  const char *checkpoint = scratch_path(&scratch, "weights");
  assert_true(postprocess_write(&chosen, before, after, checkpoint, &error));
  assert_true(postprocess_read(&back, checkpoint, &error));
  assert_memory_equal(&back, &chosen, sizeof back);
  text_write(scratch_path(&scratch, "weights.postprocess.json"), "{\"labels\": 3}");
  assert_false(postprocess_read(&back, checkpoint, &error));
  scratch_free(&scratch);
  char text[64];
  postprocess_text(&chosen, text, sizeof text);
  assert_string_equal(text, "all foreground, 7");
}

static void a_recipe_comes_back_as_it_was(void **state) {
  (void)state;
  char *channels[] = {"CT", "noNorm"}, *text;
  Dataset dataset = {
      .channels = 2, .channel_name = channels, .labels = 2, .labelling = labelling_plain(2)};
  dataset.label_name[0] = "background";
  dataset.label_name[1] = "liver";
  Recipe recipe = {.stored = "LPS"}, back;
  Normaliser *n = &recipe.preprocessing.normaliser;
  n->channels = 2;
  n->channel[1].scheme = SCHEME_NONE;
  n->channel[0].scheme = SCHEME_CT;
  n->channel[0].low = -985.1;
  n->channel[0].high = 1.0 / 3;
  n->channel[0].mean = 1e-7;
  n->channel[0].sd = 137.74;
  json_t *labels;
  Error error = {""};
  text = recipe_text(&recipe, &dataset);
  assert_true(recipe_read(&back, &labels, text, "weights", &error));
  assert_false(back.planned);
  assert_string_equal(back.stored, "LPS");
  assert_memory_equal(&back.preprocessing.normaliser, n, sizeof *n);
  assert_int_equal(json_array_size(labels), 2);
  json_decref(labels);
  free(text);
  Image image = {.channels = 1}, prepared;
  Frame frame;
  assert_false(recipe_prepare(&back, &image, &prepared, &frame, &error));
  assert_string_equal(error.text, "1 channel(s), but the trial was trained on 2");
  error = (Error){""};
  assert_false(recipe_read(&back, &labels, "{}", "weights", &error));
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(slabs_restore_as_the_whole),
      cmocka_unit_test(the_largest_component_stays),
      cmocka_unit_test(post_processing_keeps_what_gains),
      cmocka_unit_test(post_processing_begins_with_the_foreground),
      cmocka_unit_test(a_recipe_comes_back_as_it_was),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
