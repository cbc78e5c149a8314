/* Rotation, scale and mirroring, and the intensity steps. */
#include "src/data/batches/augment.h"
#include "src/data/batches/intensity.h"
#include "tests/scratch.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

enum { D = 13, H = 15, W = 17, VOXELS = D * H * W, LABELS = 4 };
static const int DIM[3] = {D, H, W};

/* Labels in lumps; channel c of the image is 1 where the label is c: an interpolated patch then
 * holds the share of every label. */
static Volume indicator_volume(void) {
  Error error = {0};
  Volume volume = {.name = "lumps"};
  Grid grid = grid_make(DIM, (double[3]){1, 1, 1});
  assert_true(image_alloc(&volume.image, &grid, LABELS, &error));
  assert_true(label_alloc(&volume.label, &grid, &error));
  Rng rng = rng_make(1, RNG_TEST, 0);
  uint8_t lump[8][8][8];
  for (int i = 0; i < 512; i++) lump[i / 64][i / 8 % 8][i % 8] = (uint8_t)rng_below(&rng, LABELS);
  for (int i = 0; i < VOXELS; i++) {
    int label = lump[i / W / H / 2][i / W % H / 2][i % W / 3];
    volume.label.data[i] = (uint8_t)label;
    volume.image.data[LABELS * i + label] = 1;
  }
  return volume;
}

static int axis_step(int axis) {
  return axis == 0 ? H * W : axis == 1 ? W : 1;
}

/* ---- draws ----------------------------------------------------------------------------------- */

typedef struct Moments {
  double sum, square, low, high;
  int count;
} Moments;

static void moments_add(Moments *m, double x) {
  if (!m->count++) m->low = m->high = x;
  m->sum += x, m->square += x * x;
  m->low = fmin(m->low, x), m->high = fmax(m->high, x);
}

/* Uniform between these ends, by range, mean and variance (five standard errors of the mean). */
static void assert_uniform(const Moments *m, double low, double high) {
  double mean = m->sum / m->count, variance = m->square / m->count - mean * mean;
  double wide = (high - low) * (high - low) / 12, part = (high - low) / 50;
  assert_true(m->low >= low && m->low < low + part);
  assert_true(m->high <= high && m->high > high - part);
  assert_true(fabs(mean - (low + high) / 2) < 5 * sqrt(wide / m->count));
  assert_true(fabs(variance / wide - 1) < 5 / sqrt(m->count));
}

static void assert_share(int count, int of, double p) {
  assert_true(fabs(count - p * of) <= 1e-9 + 5 * sqrt(of * p * (1 - p)));
}

static void draws_are_nnunets(void **state) {
  (void)state;
  enum { DRAWS = 20000 };
  static const struct {
    int patch[3], thin;
    double degrees;
  } rows[] = {{{64, 192, 160}, -1, 30}, {{48, 192, 192}, 0, 180}, {{160, 160, 40}, 2, 180},
              {{1, 192, 256}, 0, 180},  {{1, 192, 320}, 0, 15},   {{64, 64, 1}, 2, 180}};
  for (size_t r = 0; r < sizeof rows / sizeof *rows; r++) {
    int rotated = 0, scaled = 0, both = 0, flipped[3] = {0}, thin = rows[r].thin;
    Moments angle[3] = {0}, scale = {0};
    assert_int_equal(warp_thin_axis(rows[r].patch), thin);
    for (uint64_t item = 0; item < DRAWS; item++) {
      Rng rng = rng_make(2, RNG_TEST, item);
      Warp warp = warp_draw(rows[r].patch, (bool[3]){true, true, false}, &rng);
      bool turns = warp.angle[0] != 0 || warp.angle[1] != 0 || warp.angle[2] != 0;
      bool grows = warp.scale != 1;
      assert_int_equal(warp.moves, turns || grows);
      rotated += turns, scaled += grows, both += turns && grows;
      for (int axis = 0; axis < 3; axis++) {
        if (turns) moments_add(&angle[axis], warp.angle[axis] * 180 / M_PI);
        flipped[axis] += warp.mirror[axis];
      }
      if (grows) moments_add(&scale, warp.scale);
    }
    assert_share(rotated, DRAWS, .2);
    assert_share(scaled, DRAWS, .2);
    assert_share(both, DRAWS, .04);
    assert_uniform(&scale, .7, 1.4);
    for (int axis = 0; axis < 3; axis++) {
      if (thin < 0 || axis == thin)
        assert_uniform(&angle[axis], -rows[r].degrees, rows[r].degrees);
      else
        assert_true(angle[axis].low == 0 && angle[axis].high == 0);
    }
    assert_share(flipped[0], DRAWS, .5);
    assert_share(flipped[1], DRAWS, .5);
    assert_int_equal(flipped[2], 0);
  }
}

/* The table of intensity.h. */
static void intensities_are_nnunets(void **state) {
  (void)state;
  enum { DRAWS = 20000 };
  static const struct {
    double sample, channel, low, high;
    bool either, each_axis, shared;
  } rows[STEP_COUNT] = {{.1, 1, 0, .1, .shared = true},      {.2, .5, .5, 1, .each_axis = true},
                        {.15, 1, .75, 1.25, .either = true}, {.15, 1, .75, 1.25, .either = true},
                        {.25, .5, .5, 1, .shared = false},   {.1, 1, .7, 1.5, .either = true},
                        {.3, 1, .7, 1.5, .either = true}};
  for (IntensityStep step = 0; step < STEP_COUNT; step++) {
    int samples = 0, first = 0, both = 0, below = 0, same = 0;
    Moments low[3] = {0}, high = {0};
    for (uint64_t item = 0; item < DRAWS; item++) {
      Rng rng = rng_make(11 + step, RNG_TEST, item);
      samples += intensity_happens(step, &rng);
      IntensityDraw draw = {.drawn = false};
      bool one = intensity_draw(step, -1, &rng, &draw), axes = draw.amount[0] != draw.amount[1];
      double amount = draw.amount[0];
      if (one) assert_int_equal(axes, rows[step].each_axis);
      for (int axis = 0; one && axis < 3; axis++) {
        double a = draw.amount[axis];
        bool upper = rows[step].either && a >= 1;
        if (axis == 0) below += !upper;
        moments_add(upper ? &high : &low[axis], a);
      }
      bool two = intensity_draw(step, -1, &rng, &draw);
      first += one, both += one && two, same += one && two && draw.amount[0] == amount;
    }
    assert_share(samples, DRAWS, rows[step].sample);
    assert_share(first, DRAWS, rows[step].channel);
    assert_share(both, DRAWS, rows[step].channel * rows[step].channel);
    assert_int_equal(same, rows[step].shared ? both : 0);
    for (int axis = 0; axis < 3; axis++)
      assert_uniform(&low[axis], rows[step].low, rows[step].either ? 1 : rows[step].high);
    if (rows[step].either) assert_uniform(&high, 1, rows[step].high);
    if (rows[step].either) assert_share(below, first, .5);
  }
  Rng rng = rng_make(18, RNG_TEST, 0);
  IntensityDraw draw = {.drawn = false};
  while (!intensity_draw(STEP_LOW_RESOLUTION, 1, &rng, &draw)) continue;
  assert_true(draw.amount[0] < 1 && draw.amount[1] == 1 && draw.amount[2] == draw.amount[0]);
}

/* matrix^T matrix = scale^2 (1 along the thin axis), and a determinant of the mirrorings' sign. */
static void matrices_turn_and_scale(void **state) {
  (void)state;
  for (uint64_t item = 0; item < 200; item++) {
    Rng rng = rng_make(3, RNG_TEST, item);
    const int *patch = item % 2 ? (int[3]){10, 64, 64} : (int[3]){32, 64, 64};
    Warp warp = warp_draw(patch, (bool[3]){true, true, true}, &rng);
    double(*m)[3] = warp.matrix, determinant = 0;
    for (int a = 0; a < 3; a++) {
      int b = (a + 1) % 3, c = (a + 2) % 3;
      determinant += m[0][a] * (m[1][b] * m[2][c] - m[1][c] * m[2][b]);
      for (int k = 0; k < 3; k++) {
        double product = m[0][a] * m[0][k] + m[1][a] * m[1][k] + m[2][a] * m[2][k];
        double length = a == warp.thin ? 1 : warp.scale;
        assert_true(fabs(product - (a == k ? length * length : 0)) < 1e-12);
      }
    }
    int flips = warp.mirror[0] + warp.mirror[1] + warp.mirror[2];
    assert_true((determinant < 0) == (flips % 2 == 1));
  }
}

/* ---- reading --------------------------------------------------------------------------------- */

/* The label has the largest share of the weight, and the shares are those that the image shows. */
static void labels_stay_on_their_image(void **state) {
  (void)state;
  static const int patches[][3] = {{9, 11, 10}, {20, 16, 70}, {4, 17, 15}, {1, 5, 1}};
  Volume volume = indicator_volume();
  Voxels voxels = volume_voxels(&volume);
  static float image[20 * 16 * 70][LABELS];
  static int32_t label[20 * 16 * 70];
  int moved = 0, seen[LABELS] = {0};
  for (uint64_t item = 0; item < 400; item++) {
    const int *patch = patches[item % 4];
    Rng rng = rng_make(4, RNG_TEST, item);
    Warp warp = warp_draw(patch, (bool[3]){true, true, true}, &rng);
    int origin[3];
    for (int axis = 0; axis < 3; axis++)
      origin[axis] = (int)rng_below(&rng, (uint32_t)DIM[axis]) - patch[axis] / 2;
    warp_read(&warp, &voxels, origin, patch, &image[0][0], label);
    moved += warp.moves;
    for (int i = 0; i < patch[0] * patch[1] * patch[2]; i++) {
      float share[LABELS] = {1 - image[i][1] - image[i][2] - image[i][3], image[i][1], image[i][2],
                             image[i][3]};
      seen[label[i]]++;
      for (int l = 0; l < LABELS; l++) {
        assert_true(image[i][l] >= -1e-5f && image[i][l] <= 1 + 1e-5f);
        assert_true(share[label[i]] >= share[l] - 1e-4f);
      }
    }
  }
  assert_true(moved > 100 && moved < 180);
  for (int l = 0; l < LABELS; l++) assert_true(seen[l] > 1000);
  volume_free(&volume, 1);
}

/* At (1/9, 1/4, 1/4) the first voxel weighs as much as the seven others together: it is nearest. */
static void the_nearest_settles_a_tie(void **state) {
  (void)state;
  Error error = {0};
  Volume volume = {.name = "tie"};
  Grid grid = grid_make((int[3]){2, 2, 2}, (double[3]){1, 1, 1});
  assert_true(image_alloc(&volume.image, &grid, 1, &error));
  assert_true(label_alloc(&volume.label, &grid, &error));
  Voxels voxels = volume_voxels(&volume);
  for (int first = 1; first < 3; first++) {
    memset(volume.label.data, 3 - first, 8);
    volume.label.data[0] = (uint8_t)first;
    Warp warp = warp_identity();
    warp.moves = true;
    warp.matrix[0][0] = 7. / 9, warp.matrix[1][1] = warp.matrix[2][2] = .5;
    float image[8];
    int32_t label[8];
    warp_read(&warp, &voxels, (int[3]){0, 0, 0}, (int[3]){2, 2, 2}, image, label);
    assert_int_equal(label[0], first);
    for (int i = 1; i < 8; i++) assert_int_equal(label[i], 3 - first);
  }
  volume_free(&volume, 1);
}

/* A quarter turn, a mirroring and no change at all go through the interpolation without a trace. */
static void whole_steps_are_exact(void **state) {
  (void)state;
  enum { P = 7, CUBE = P * P * P };
  Volume volume = indicator_volume();
  Voxels voxels = volume_voxels(&volume);
  static const double matrix[][3][3] = {{{1, 0, 0}, {0, 1, 0}, {0, 0, 1}},
                                        {{-1, 0, 0}, {0, 1, 0}, {0, 0, 1}},
                                        {{1, 0, 0}, {0, 0, -1}, {0, 1, 0}},
                                        {{0, 0, 1}, {0, 1, 0}, {-1, 0, 0}}};
  static const int patch[3] = {P, P, P}, origin[3] = {4, -2, 12};
  for (int m = 0; m < 4; m++) {
    Warp warp = warp_identity();
    warp.moves = true;
    memcpy(warp.matrix, matrix[m], sizeof warp.matrix);
    float image[CUBE][LABELS];
    int32_t label[CUBE];
    warp_read(&warp, &voxels, origin, patch, &image[0][0], label);
    for (int i = 0; i < CUBE; i++) {
      int offset[3] = {i / P / P - P / 2, i / P % P - P / 2, i % P - P / 2}, at = 0;
      bool inside = true;
      for (int axis = 0; axis < 3; axis++) {
        int v = origin[axis] + P / 2;
        for (int k = 0; k < 3; k++) v += (int)matrix[m][axis][k] * offset[k];
        inside &= v >= 0 && v < DIM[axis];
        at += v * axis_step(axis);
      }
      assert_int_equal(label[i], inside ? volume.label.data[at] : 0);
      for (int l = 0; l < LABELS; l++)
        assert_true(image[i][l] == (inside ? volume.image.data[LABELS * at + l] : 0));
    }
  }
  volume_free(&volume, 1);
}

/* Copies, each axis mirrored or not, equal the same map sent through the interpolation. */
static void mirrored_copies_equal_the_map(void **state) {
  (void)state;
  static const int patch[3] = {6, 9, 30}, origin[3] = {-2, 5, -4};
  enum { P = 6 * 9 * 30 };
  Volume volume = indicator_volume();
  Voxels voxels = volume_voxels(&volume);
  static float image[2][P * LABELS];
  static int32_t label[2][P];
  for (int axes = 0; axes < 8; axes++) {
    Warp warp = warp_identity();
    for (int axis = 0; axis < 3; axis++) {
      warp.mirror[axis] = axes >> axis & 1;
      if (warp.mirror[axis]) warp.matrix[axis][axis] = -1;
    }
    for (int moves = 0; moves < 2; moves++) {
      warp.moves = moves;
      memset(image[moves], 1, sizeof *image);
      warp_read(&warp, &voxels, origin, patch, image[moves], label[moves]);
    }
    assert_memory_equal(label[0], label[1], sizeof *label);
    for (int i = 0; i < P * LABELS; i++) assert_true(image[0][i] == image[1][i]);
  }
  volume_free(&volume, 1);
}

/* ---- outside judges -------------------------------------------------------------------------- */

static void write_warps(const Scratch *scratch) {
  static const int patches[][3] = {{9, 11, 10}, {20, 16, 24}, {5, 17, 16}};
  Error error = {0};
  Volume lumps = indicator_volume(), volume = {.name = "waves"};
  assert_true(image_alloc(&volume.image, &lumps.image.grid, 2, &error));
  volume.label = lumps.label;
  Voxels voxels = volume_voxels(&volume);
  for (int i = 0; i < VOXELS; i++)
    for (int c = 0; c < 2; c++) volume.image.data[2 * i + c] = 3 * sinf((float)i * (.7f + .3f * c));
  bytes_write(scratch_path(scratch, "volume.image"), volume.image.data, VOXELS * 2 * 4);
  bytes_write(scratch_path(scratch, "volume.label"), volume.label.data, VOXELS);
  FILE *list = fopen(scratch_path(scratch, "warps.txt"), "w");
  for (uint64_t item = 0; item < 60; item++) {
    const int *patch = patches[item % 3];
    static float image[20 * 16 * 24 * 2];
    static int32_t label[20 * 16 * 24];
    Rng rng = rng_make(6, RNG_TEST, item);
    Warp warp = warp_draw(patch, (bool[3]){true, true, true}, &rng);
    int origin[3], total = patch[0] * patch[1] * patch[2];
    for (int axis = 0; axis < 3; axis++)
      origin[axis] = (int)rng_below(&rng, (uint32_t)DIM[axis]) - patch[axis] / 2;
    warp_read(&warp, &voxels, origin, patch, image, label);
    fprintf(list, "w%d", (int)item);
    for (int axis = 0; axis < 3; axis++) fprintf(list, " %d", patch[axis]);
    for (int axis = 0; axis < 3; axis++) fprintf(list, " %d", origin[axis]);
    for (int i = 0; i < 9; i++) fprintf(list, " %.17g", warp.matrix[i / 3][i % 3]);
    for (int axis = 0; axis < 3; axis++) fprintf(list, " %.17g", warp.angle[axis]);
    fprintf(list, " %.17g %d %d %d %d\n", warp.scale, warp.thin, warp.mirror[0], warp.mirror[1],
            warp.mirror[2]);
    bytes_write(scratch_path(scratch, "w%d.image", (int)item), image, (size_t)total * 8);
    bytes_write(scratch_path(scratch, "w%d.label", (int)item), label, (size_t)total * 4);
  }
  fclose(list);
  image_free(&volume.image);
  volume_free(&lumps, 1);
}

static void apply(const char *step, const Plane *plane, const double amount[3]) {
  if (!strcmp(step, "blur")) intensity_blur(plane, amount);
  if (!strcmp(step, "low_resolution")) intensity_low_resolution(plane, amount);
  if (!strcmp(step, "brightness")) intensity_brightness(plane, amount[0]);
  if (!strcmp(step, "contrast")) intensity_contrast(plane, amount[0]);
  if (!strcmp(step, "gamma")) intensity_gamma(plane, amount[0], false);
  if (!strcmp(step, "gamma_inverted")) intensity_gamma(plane, amount[0], true);
}

static void write_steps(const Scratch *scratch) {
  static const struct {
    const char *step;
    int dim[3];
    double amount[3];
  } rows[] = {{"blur", {7, 9, 40}, {.5, .57, .59}},
              {"blur", {4, 33, 5}, {.9, .93, 1}},
              {"blur", {12, 10, 17}, {.75, 1, .5}},
              {"low_resolution", {11, 12, 13}, {.5, .5, .5}},
              {"low_resolution", {16, 9, 40}, {.77, .77, .77}},
              {"low_resolution", {7, 20, 22}, {1, .61, .61}},
              {"brightness", {3, 5, 7}, {1.2}},
              {"contrast", {8, 9, 10}, {.75}},
              {"contrast", {8, 9, 10}, {1.25}},
              {"gamma", {8, 9, 10}, {.7}},
              {"gamma", {5, 9, 33}, {1.5}},
              {"gamma_inverted", {8, 9, 10}, {.7}},
              {"gamma_inverted", {5, 9, 33}, {1.4}}};
  FILE *list = fopen(scratch_path(scratch, "steps.txt"), "w");
  for (size_t r = 0; r < sizeof rows / sizeof *rows; r++) {
    static float value[16000], spare[8000];
    size_t voxels = (size_t)(rows[r].dim[0] * rows[r].dim[1] * rows[r].dim[2]);
    Plane plane = {.value = value + voxels, .spare = spare};
    memcpy(plane.dim, rows[r].dim, sizeof plane.dim);
    Rng rng = rng_make(7, RNG_TEST, r);
    for (size_t i = 0; i < voxels; i++) value[i] = (float)(.5 + rng_normal(&rng));
    memcpy(plane.value, value, voxels * sizeof(float));
    apply(rows[r].step, &plane, rows[r].amount);
    fprintf(list, "s%d %s", (int)r, rows[r].step);
    for (int axis = 0; axis < 3; axis++) fprintf(list, " %d", rows[r].dim[axis]);
    for (int axis = 0; axis < 3; axis++) fprintf(list, " %.17g", rows[r].amount[axis]);
    fputc('\n', list);
    bytes_write(scratch_path(scratch, "s%d.step", (int)r), value, 2 * voxels * sizeof(float));
  }
  fclose(list);
}

/* The patch first, then what became of it. */
static void write_intensity(const Scratch *scratch) {
  enum { CHANGES = 3000, P = 10 * 12 * 11 };
  static const int dim[3] = {10, 12, 11};
  float(*value)[2 * P] = malloc((CHANGES + 1) * sizeof *value), spare[P];
  assert_non_null(value);
  Rng rng = rng_make(8, RNG_TEST, 0);
  for (int i = 0; i < 2 * P; i++)
    value[0][i] = sinf((float)(i % 11) * .9f + (float)(i / 132) * .5f) + .3f * (float)(i / P) +
                  .2f * (float)rng_normal(&rng);
  for (uint64_t n = 1; n <= CHANGES; n++) {
    Rng change = rng_make(9, RNG_TEST, n);
    memcpy(value[n], value[0], sizeof *value);
    Plane plane = {.value = value[n], .spare = spare, .dim = {dim[0], dim[1], dim[2]}};
    intensity_change(&plane_ops_host, &plane, 2, -1, &change);
  }
  bytes_write(scratch_path(scratch, "intensity.image"), value, (CHANGES + 1) * sizeof *value);
  free(value);
}

static void write_matrices(const Scratch *scratch, const char *name, const int patch[3]) {
  enum { DRAWS = 5000 };
  static double matrix[DRAWS][3][3];
  for (uint64_t item = 0; item < DRAWS; item++) {
    Rng rng = rng_make(10, RNG_TEST, item);
    Warp warp = warp_draw(patch, (bool[3]){false, false, false}, &rng);
    memcpy(matrix[item], warp.matrix, sizeof *matrix);
  }
  bytes_write(scratch_path(scratch, "%s.matrix", name), matrix, sizeof matrix);
}

/* Maps and steps voxel by voxel, draws in distribution: see tests/oracle/augment.py. */
static void agrees_with_scipy_and_torch(void **state) {
  (void)state;
  if (shell("/usr/bin/python3 -c 'import scipy, torch' 2>/dev/null") != 0) skip();
  Scratch scratch = scratch_make();
  write_warps(&scratch);
  write_steps(&scratch);
  write_intensity(&scratch);
  write_matrices(&scratch, "solid", (int[3]){40, 56, 40});
  write_matrices(&scratch, "flat", (int[3]){16, 64, 64});
  const char *python = getenv("AUGMENT_PYTHON"); /* one that has batchgeneratorsv2 */
  assert_int_equal(
      shell("%s tests/oracle/augment.py %s", python ? python : "/usr/bin/python3", scratch.dir), 0);
  scratch_free(&scratch);
}

/* ---- options --------------------------------------------------------------------------------- */

/* An image of one slice gives what a volume gives that has the slice three times: values, labels
 * and what lies beyond its edges. */
static void a_slice_is_read_as_in_a_volume(void **state) {
  (void)state;
  Volume thick = indicator_volume();
  for (int i = H * W; i < 3 * H * W; i++) { /* slices 1 and 2 become 0 */
    thick.label.data[i] = thick.label.data[i % (H * W)];
    for (int c = 0; c < LABELS; c++)
      thick.image.data[LABELS * i + c] = thick.image.data[LABELS * (i % (H * W)) + c];
  }
  enum { PATCH = 12 };
  const int patch[3] = {1, PATCH, PATCH}, low[3] = {0, 2, 2}, middle[3] = {1, 2, 2};
  Voxels three = volume_voxels(&thick), one = three;
  three.dim[0] = 3, one.dim[0] = 1;
  float a[PATCH * PATCH * LABELS], b[PATCH * PATCH * LABELS];
  int32_t x[PATCH * PATCH], y[PATCH * PATCH];
  for (uint64_t item = 0; item < 200; item++) {
    Rng rng = rng_make(5, RNG_TEST, item);
    Warp warp = warp_draw(patch, (bool[3]){true, true, true}, &rng);
    warp_read(&warp, &one, low, patch, a, x);
    warp_read(&warp, &three, middle, patch, b, y);
    for (int i = 0; i < PATCH * PATCH * LABELS; i++) assert_true(fabsf(a[i] - b[i]) < 1e-6f);
    assert_memory_equal(x, y, sizeof x);
  }
  volume_free(&thick, 1);
}

static void names_are_parsed(void **state) {
  (void)state;
  Augment augment;
  Error error = {0};
  assert_true(augment_parse("nnunet", "dw", &augment, &error));
  assert_true(augment.spatial && augment.intensity);
  assert_true(augment.mirror[0] && !augment.mirror[1] && augment.mirror[2]);
  assert_true(augment_parse("intensity", "dhw", &augment, &error));
  assert_true(augment.intensity && !augment.spatial && !augment.mirror[0]);
  assert_true(augment_parse("none", "none", &augment, &error));
  assert_false(augment.intensity || augment.spatial);
  assert_false(augment_parse("strong", "none", &augment, &error));
  assert_non_null(strstr(error.text, "strong"));
  error = (Error){0};
  assert_false(augment_parse("nnunet", "dd", &augment, &error));
  assert_non_null(strstr(error.text, "mirror = \"dd\""));
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(draws_are_nnunets),
      cmocka_unit_test(intensities_are_nnunets),
      cmocka_unit_test(matrices_turn_and_scale),
      cmocka_unit_test(labels_stay_on_their_image),
      cmocka_unit_test(the_nearest_settles_a_tie),
      cmocka_unit_test(whole_steps_are_exact),
      cmocka_unit_test(mirrored_copies_equal_the_map),
      cmocka_unit_test(agrees_with_scipy_and_torch),
      cmocka_unit_test(a_slice_is_read_as_in_a_volume),
      cmocka_unit_test(names_are_parsed),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
