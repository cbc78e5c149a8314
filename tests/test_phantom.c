/* The phantom: sizes, twins, determinism, what distinguishes the anatomies, and that a made folder
 * is whole, real and left alone. */
#include "src/data/phantom/phantom.h"
#include "src/data/phantom/phantom2d.h"
#include "src/data/prepare/normalise.h"
#include "src/data/sets/split.h"
#include "tests/scratch.h"

#include <math.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <sys/wait.h>
#include <xxhash.h>

#include <cmocka.h>

static PhantomOptions options_of(int size, int organs, int cases) {
  PhantomOptions options = phantom_defaults();
  for (int axis = 0; axis < 3; axis++) options.size[axis] = size;
  options.organs = organs;
  options.cases = cases;
  options.validation = 1;
  return options;
}

/* Voxels, those of them on the volume's border (top: on its upper face), mean HU and mean W index
 * of each label. */
typedef struct Organ {
  int voxels, border, top;
  double hu, w;
} Organ;

static bool is_border(const Grid *grid, size_t voxel) {
  int w = grid->dim[2], h = grid->dim[1], at = (int)voxel;
  int index[3] = {at / (w * h), at / w % h, at % w};
  for (int axis = 0; axis < 3; axis++)
    if (index[axis] == 0 || index[axis] == grid->dim[axis] - 1) return true;
  return false;
}

static void organs_measure(const PhantomOptions *options, int index, Organ organ[16]) {
  Error error = {0};
  Image image;
  LabelMap label;
  assert_true(phantom_case(options, index, &image, &label, &error));
  memset(organ, 0, 16 * sizeof *organ);
  for (size_t i = 0; i < grid_voxels(&image.grid); i++) {
    Organ *o = &organ[label.data[i]];
    o->voxels++;
    o->border += is_border(&image.grid, i);
    o->top += i >= grid_voxels(&image.grid) - (size_t)(image.grid.dim[1] * image.grid.dim[2]);
    o->hu += image.data[i];
    o->w += (double)(i % (size_t)image.grid.dim[2]);
  }
  for (int i = 0; i < 16; i++) organ[i].hu /= organ[i].voxels, organ[i].w /= organ[i].voxels;
  image_free(&image);
  label_free(&label);
}

static void every_organ_is_large_enough(void **state) {
  (void)state;
  static const struct {
    int anatomy, size, organs, least;
  } rows[] = {{1, 40, 10, 60}, {1, 64, 15, 30}, {1, 48, 15, 10}, {2, 40, 12, 80}, {2, 40, 15, 10}};
  for (int r = 0; r < 5; r++) {
    PhantomOptions options = options_of(rows[r].size, rows[r].organs, 30);
    options.anatomy = rows[r].anatomy;
    for (int i = 0; i < 10; i++) {
      Organ organ[16];
      organs_measure(&options, i, organ);
      for (int label = 1; label <= rows[r].organs; label++)
        if (organ[label].voxels < rows[r].least)
          fail_msg("anatomy %d size %d case %d label %d: %d voxels", rows[r].anatomy, rows[r].size,
                   i, label, organ[label].voxels);
      for (int label = rows[r].organs + 1; label < 16; label++)
        assert_int_equal(organ[label].voxels, 0);
    }
  }
}

/* Right is +x, which the affine maps to a rising W index. */
static void twins_differ_by_place_alone(void **state) {
  (void)state;
  PhantomOptions options = options_of(64, 15, 30);
  options.noise_hu = 0;
  for (int i = 0; i < 5; i++) {
    Organ organ[16];
    organs_measure(&options, i, organ);
    assert_true(fabs(organ[2].hu - organ[3].hu) < 12); /* partial volume alone */
    assert_true(organ[2].w > 36 && organ[3].w < 27);
    assert_true(organ[11].w > organ[12].w + 5);
    assert_true(organ[6].w > organ[1].w + 15); /* liver right of the spleen */
    assert_true(organ[6].hu > 95 && organ[6].hu < 122);
    assert_true(organ[8].hu > 100 && organ[14].hu < 30);
  }
}

/* As a folder holds it, in whole HU: what the last bit of a sine is does not matter. */
static uint64_t case_hash(const PhantomOptions *options, int index) {
  Error error = {0};
  Image image;
  LabelMap label;
  assert_true(phantom_case(options, index, &image, &label, &error));
  size_t voxels = grid_voxels(&image.grid);
  int16_t *hu = malloc(voxels * sizeof *hu);
  assert_non_null(hu);
  for (size_t i = 0; i < voxels; i++) hu[i] = (int16_t)lrintf(image.data[i]);
  uint64_t hash = XXH64(hu, voxels * sizeof *hu, XXH64(label.data, voxels, 0));
  free(hu);
  image_free(&image);
  label_free(&label);
  return hash;
}

/* What trials were stored of stays as it is: the values are those of the program that had one
 * anatomy. */
static void the_first_anatomy_is_what_it_was(void **state) {
  (void)state;
  PhantomOptions options = options_of(24, 15, 4);
  options.anatomy = 1;
  assert_int_equal(case_hash(&options, 2), 0xdcc1b338f8466b2c);
  options = options_of(40, 12, 32);
  options.anatomy = 1;
  options.noise_hu = 40;
  assert_int_equal(case_hash(&options, 0), 0x1845f5272937a667);
}

/* AMOS ids of what leaves the volume in nature too: esophagus, aorta, postcava; at the top. */
static bool leaves(int organ) {
  return organ == 5 || organ == 8 || organ == 9;
}

static void the_second_anatomy_lies_within_and_has_its_size(void **state) {
  (void)state;
  enum { CASES = 12 };
  PhantomOptions options = options_of(48, 15, CASES);
  options.anatomy = 2;
  options.noise_hu = 0;
  double ml[16] = {0};
  for (int i = 0; i < CASES; i++) {
    Organ organ[16];
    organs_measure(&options, i, organ);
    for (int id = 1; id < 16; id++) {
      ml[id] += organ[id].voxels * (300.0 * 236 * 316 / (48 * 48 * 48) / 1000) / CASES;
      if (organ[id].border != (leaves(id) ? organ[id].top : 0))
        fail_msg("case %d organ %d: %d voxels on the border", i, id, organ[id].border);
    }
    assert_true(organ[15].hu > 95 && organ[15].hu < 145); /* among muscle of 55 and urine of 5 */
    assert_true(organ[4].hu < 40);                        /* partial volume with the liver */
  }
  for (int id = 1; id < 16; id++)
    if (fabs(ml[id] / phantom_ml(2, id) - 1) > 0.1)
      fail_msg("organ %d: %.1f ml, declared %.1f", id, ml[id], phantom_ml(2, id));
}

/* So that a number of organs means the same ones. */
static void anatomies_drop_the_same_organs(void **state) {
  (void)state;
  for (int organs = 1; organs <= PHANTOM_ORGANS; organs++) {
    const char *first[PHANTOM_ORGANS + 1], *other[PHANTOM_ORGANS + 1];
    PhantomOptions options = options_of(16, organs, 2);
    options.anatomy = 1;
    phantom_labels(&options, first);
    for (options.anatomy = 2; options.anatomy <= PHANTOM_ANATOMIES; options.anatomy++) {
      phantom_labels(&options, other);
      for (int i = 0; i <= organs; i++) assert_string_equal(first[i], other[i]);
    }
  }
}

static void cases_depend_on_seed_and_index(void **state) {
  (void)state;
  Error error = {0};
  PhantomOptions options = options_of(24, 15, 4);
  Image a, b;
  LabelMap la, lb;
  size_t bytes = 24 * 24 * 24 * sizeof(float);
  assert_true(phantom_case(&options, 2, &a, &la, &error));
  options.cases = 9;
  assert_true(phantom_case(&options, 2, &b, &lb, &error));
  assert_memory_equal(a.data, b.data, bytes);
  assert_memory_equal(la.data, lb.data, bytes / sizeof(float));
  image_free(&b);
  label_free(&lb);
  options.seed = 2;
  assert_true(phantom_case(&options, 2, &b, &lb, &error));
  assert_memory_not_equal(la.data, lb.data, bytes / sizeof(float));
  image_free(&a);
  label_free(&la);
  image_free(&b);
  label_free(&lb);
}

static void fewer_organs_are_renumbered_in_amos_order(void **state) {
  (void)state;
  const char *name[PHANTOM_ORGANS + 1];
  PhantomOptions options = options_of(16, 10, 2);
  phantom_labels(&options, name);
  static const char *const ten[] = {"background", "spleen",   "right kidney", "left kidney",
                                    "liver",      "stomach",  "aorta",        "postcava",
                                    "pancreas",   "duodenum", "bladder"};
  for (int i = 0; i <= 10; i++) assert_string_equal(name[i], ten[i]);
  options.organs = 15;
  phantom_labels(&options, name);
  assert_string_equal(name[11], "right adrenal gland");
  assert_string_equal(name[15], "prostate/uterus");
  options.organs = 1;
  phantom_labels(&options, name);
  assert_string_equal(name[1], "liver");
}

static void folder_reads_back(void **state) {
  (void)state;
  Scratch scratch = scratch_make();
  Error error = {0};
  PhantomOptions options = options_of(20, 5, 4);
  const char *dir = scratch_path(&scratch, "deep/er/phantom/");
  if (!phantom_make(&options, dir, &error)) fail_msg("%s", error.text);
  Dataset dataset;
  Split split;
  Volume volume[4];
  Normaliser normaliser;
  if (!dataset_open(&dataset, dir, &error)) fail_msg("%s", error.text);
  assert_int_equal(dataset.cases, 4);
  assert_int_equal(dataset.labels, 6);
  assert_string_equal(dataset.label_name[4], "liver");
  assert_true(split_make(&split, &dataset, NULL, 0, &error));
  assert_int_equal(split.validations, 1);
  assert_int_equal(split.validation[0], 3);
  assert_true(dataset_load(&dataset, split.training, split.trainings, volume, &error));
  Image image;
  LabelMap label;
  assert_true(phantom_case(&options, 1, &image, &label, &error));
  assert_memory_equal(volume[1].label.data, label.data, 8000);
  for (int i = 0; i < 8000; i++)
    assert_true(fabsf(volume[1].image.data[i] - image.data[i]) <= 0.5f);
  for (int i = 0; i < 16; i++)
    assert_true(fabs(volume[1].image.grid.affine[i / 4][i % 4] - image.grid.affine[i / 4][i % 4]) <
                1e-4);
  assert_true(normaliser_fit(&normaliser, &dataset, volume, 3, &error));
  assert_true(normaliser.channel[0].scheme == SCHEME_CT);
  assert_true(normaliser.channel[0].mean > 50 && normaliser.channel[0].mean < 150);
  image_free(&image);
  label_free(&label);
  volume_free(volume, 3);
  split_free(&split);
  dataset_free(&dataset);
  scratch_free(&scratch);
}

static void folder_is_made_once_and_never_over_another(void **state) {
  (void)state;
  Scratch scratch = scratch_make();
  Error error = {0};
  PhantomOptions options = options_of(16, 4, 2);
  char dir[512];
  snprintf(dir, sizeof dir, "%s", scratch_path(&scratch, "p"));
  assert_true(phantom_make(&options, dir, &error));
  assert_int_equal(shell("touch %s/mark && touch -d 2001-01-01 %s/labelsTr/*", dir, dir), 0);
  assert_true(phantom_make(&options, dir, &error));
  assert_int_equal(shell("test -e %s/mark", dir), 0);
  options.anatomy = 3 - options.anatomy;
  assert_false(phantom_make(&options, dir, &error));
  assert_non_null(strstr(error.text, "something other"));
  options.anatomy = 3 - options.anatomy;
  options.noise_hu = 16;
  error = (Error){0};
  assert_false(phantom_make(&options, dir, &error));
  assert_non_null(strstr(error.text, "something other"));
  assert_int_equal(shell("test -e %s/mark", dir), 0);
  assert_int_equal(shell("mkdir %s/empty && test \"$(ls %s | tr '\\n' ' ')\" = 'empty p '",
                         scratch.dir, scratch.dir),
                   0);
  error = (Error){0};
  assert_true(phantom_make(&options, scratch_path(&scratch, "empty"), &error));
  static const struct {
    int size, organs, cases, anatomy;
    const char *says;
  } bad[] = {{4, 4, 4, 1, "size 4x4x4"},
             {16, 16, 4, 1, "organs = 16"},
             {16, 4, 1, 1, "cases = 1"},
             {16, 4, 4, 3, "anatomy = 3: expected 1..2"}};
  for (int i = 0; i < 4; i++) {
    error = (Error){0};
    options = options_of(bad[i].size, bad[i].organs, bad[i].cases);
    options.anatomy = bad[i].anatomy;
    assert_false(phantom_make(&options, scratch_path(&scratch, "bad"), &error));
    assert_non_null(strstr(error.text, bad[i].says));
  }
  assert_int_equal(shell("test ! -e %s/bad", scratch.dir), 0);
  scratch_free(&scratch);
}

/* Killed in the middle: nothing stands under the name, and the next call makes it whole. */
static void killed_make_leaves_nothing_half(void **state) {
  (void)state;
  Scratch scratch = scratch_make();
  Error error = {0};
  PhantomOptions options = options_of(48, 15, 200);
  char dir[512];
  snprintf(dir, sizeof dir, "%s", scratch_path(&scratch, "p"));
  pid_t child = fork();
  if (!child) _exit(phantom_make(&options, dir, &error) ? 0 : 1);
  while (shell("ls %s.tmp-*/labelsTr/phantom_001.nii.gz >/dev/null 2>&1", dir)) usleep(10000);
  kill(child, SIGKILL);
  int status;
  waitpid(child, &status, 0);
  assert_true(WIFSIGNALED(status));
  assert_int_not_equal(access(dir, F_OK), 0);
  options = options_of(16, 4, 2);
  assert_true(phantom_make(&options, dir, &error));
  FILE *nowhere = fopen("/dev/null", "w");
  assert_int_equal(dataset_check(dir, nowhere, NULL), 0);
  fclose(nowhere);
  scratch_free(&scratch);
}

/* Whole values of a byte, both labels, and a case that is its seed, its index, its kind and its
 * variant. */
static void pictures_are_whole(Phantom2dKind kind, int variant, uint64_t seen[20]) {
  static const double least[] = {.03, .02, .02},
                      most[] = {.35, .45, .2}; /* mean share of label 1 */
  Phantom2dOptions o = phantom2d_defaults();
  double share = 0;
  o.kind = kind, o.variant = variant;
  o.size[0] = 72, o.size[1] = 96;
  for (int i = 0; i < 20; i++) {
    Error error = {""};
    Image image, numbers;
    LabelMap label;
    o.seed = i == 19 ? 2 : 1;
    assert_true(phantom2d_case(&o, i == 19 ? 0 : i, &image, &label, &numbers, &error));
    size_t pixels = grid_voxels(&image.grid), marked = 0;
    for (size_t k = 0; k < 3 * pixels; k++)
      assert_true(image.data[k] >= 0 && image.data[k] <= 255 &&
                  image.data[k] == rintf(image.data[k]));
    for (size_t k = 0; k < pixels; k++) {
      assert_true(label.data[k] <= 1);
      assert_int_equal(numbers.data[k] > 0, kind == PHANTOM2D_NUCLEI && label.data[k]);
      marked += label.data[k];
    }
    assert_true(marked > 0 && marked < pixels);
    share += (double)marked / (double)pixels / 20;
    seen[i] = XXH3_64bits(image.data, 3 * pixels * sizeof *image.data);
    for (int k = 0; k < i; k++) assert_true(seen[k] != seen[i]);
    image_free(&image);
    image_free(&numbers);
    label_free(&label);
  }
  assert_true(share > least[kind] && share < most[kind]);
}

static void pictures_are_their_own(void **state) {
  (void)state;
  for (int kind = 0; kind < PHANTOM2D_KINDS; kind++) {
    uint64_t first[20], second[20];
    pictures_are_whole((Phantom2dKind)kind, 1, first);
    pictures_are_whole((Phantom2dKind)kind, 2, second);
    for (int i = 0; i < 20; i++)
      for (int k = 0; k < 20; k++) assert_true(first[i] != second[k]);
  }
}

/* The first variant is what trials are stored of: its bytes are those of the program before there
 * was a second (of one machine's libm, so that a few pixels may be another by one). */
static void the_first_pictures_are_what_they_were(void **state) {
  (void)state;
  static const double expected[] = {289557198, 103754557, 200024963};
  for (int kind = 0; kind < PHANTOM2D_KINDS; kind++) {
    Phantom2dOptions o = phantom2d_defaults();
    Error error = {""};
    Image image;
    LabelMap label;
    o.kind = (Phantom2dKind)kind;
    assert_true(phantom2d_case(&o, 7, &image, &label, NULL, &error));
    double sum = 0;
    for (size_t k = 0; k < 3 * grid_voxels(&image.grid); k++)
      sum += image.data[k] * (double)(1 + k % 97);
    if (fabs(sum / expected[kind] - 1) > 1e-6)
      fail_msg("kind %d: %.9g, expected %.9g", kind, sum, expected[kind]);
    image_free(&image);
    label_free(&label);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(every_organ_is_large_enough),
      cmocka_unit_test(twins_differ_by_place_alone),
      cmocka_unit_test(the_first_anatomy_is_what_it_was),
      cmocka_unit_test(the_second_anatomy_lies_within_and_has_its_size),
      cmocka_unit_test(anatomies_drop_the_same_organs),
      cmocka_unit_test(cases_depend_on_seed_and_index),
      cmocka_unit_test(fewer_organs_are_renumbered_in_amos_order),
      cmocka_unit_test(pictures_are_their_own),
      cmocka_unit_test(the_first_pictures_are_what_they_were),
      cmocka_unit_test(folder_reads_back),
      cmocka_unit_test(folder_is_made_once_and_never_over_another),
      cmocka_unit_test(killed_make_leaves_nothing_half),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
