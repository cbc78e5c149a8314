/* What a device does with volumes in the host's place, by the CUDA kernels in the emulator, against
 * the host. */
#include "kernels/rng.h"
#include "src/data/predict/restore.h"
#include "src/data/predict/sliding_window.h"
#include "tests/emulated_device.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

void emulator_order(unsigned seed);

enum { CLASSES = 3, BATCH = 2, FILE_D = 13, FILE_H = 11, FILE_W = 10 };
enum { FILE_VOXELS = FILE_D * FILE_H * FILE_W };

static float random_float(Rng *rng) {
  return (float)rng_uniform(rng);
}

/* ---- merging windows, choosing labels -----------------------------------------------------------
 */

/* Answers each call with other random maps, the same in every sweep. */
typedef struct Oracle {
  uint64_t calls;
  size_t count;     /* floats */
  float *predicted; /* the device's, or NULL */
} Oracle;

static bool answer(void *user, int count, const float *patches, float *maps, Error *error) {
  (void)count, (void)patches, (void)error;
  Oracle *oracle = user;
  Rng rng = rng_make(1, RNG_TEST, oracle->calls++);
  assert_true((maps == NULL) == (oracle->predicted != NULL));
  float *to = maps ? maps : oracle->predicted;
  for (size_t i = 0; i < oracle->count; i++) to[i] = random_float(&rng);
  return true;
}

typedef struct Outcome {
  uint8_t label[FILE_VOXELS];
  float probability[FILE_VOXELS * CLASSES];
} Outcome;

/* A whole prediction as inference_run does it. */
static void predict(const Backend *backend, const Frame *frame, const WindowOptions *options,
                    bool probable, Outcome *out) {
  Error error = {""};
  Image image;
  Grid grid = grid_make(frame->dim, (double[]){1, 1, 1});
  assert_true(image_alloc(&image, &grid, 1, &error));
  WindowOptions window = *options;
  Oracle oracle = {.count = (size_t)(BATCH * CLASSES)};
  for (int axis = 0; axis < 3; axis++) oracle.count *= (size_t)window.patch[axis];
  Restore restore;
  assert_true(restore_begin(&restore, frame, CLASSES, out->label,
                            probable ? out->probability : NULL, &error));
  if (backend) {
    window.backend = backend;
    window.predicted = oracle.predicted = backend->alloc(oracle.count * sizeof(float));
    assert_true(restore_on_device(&restore, backend, window.patch[0] + 1, &error));
  }
  if (!sliding_window_slabs(&image, &window, answer, &oracle, restore_slab, &restore, &error))
    fail_msg("%s", error.text);
  assert_int_equal(restore.next, frame->box_dim[0]);
  restore_end(&restore);
  if (backend) backend->release(oracle.predicted);
  image_free(&image);
}

static void compare(const Outcome *a, const Outcome *b, bool probable) {
  int different = 0;
  for (int i = 0; i < FILE_VOXELS; i++) different += a->label[i] != b->label[i];
  assert_true(different <= 1); /* a tie that rounding decides */
  for (int i = 0; probable && i < FILE_VOXELS * CLASSES; i++)
    assert_true(fabsf(a->probability[i] - b->probability[i]) < 1e-5f);
}

static void a_device_predicts_as_the_host(void **state) {
  (void)state;
  static const int patches[][3] = {{4, 3, 5}, {16, 6, 4}, {5, 16, 16}};
  static const double spacings[][3] = {{1, 1, 1}, {2.5, 0.6, 0.8}, {0.7, 3, 0.7}};
  static const char *const orientations[] = {"RAS", "LPS", "SRA"};
  static Outcome host, device;
  for (int round = 0; round < 3; round++) {
    Error error = {""};
    Grid file = grid_make((int[]){FILE_D, FILE_H, FILE_W}, (double[]){1.5, 1.1, 0.9});
    Frame frame;
    assert_true(frame_make(&frame, &file, orientations[round], &error));
    for (int axis = 0; axis < 3; axis++) {
      frame.box_first[axis] = 1 + axis % 2;
      frame.box_dim[axis] -= 3;
    }
    frame_resample(&frame, spacings[round]);
    WindowOptions options = {.step = 0.5, .batch = BATCH, .classes = CLASSES};
    for (int axis = 0; axis < 3; axis++) options.mirror[axis] = (round + 1) >> axis & 1;
    memcpy(options.patch, patches[round], sizeof options.patch);
    for (int probable = 0; probable < 2; probable++) {
      emulator_order((unsigned)(round + probable));
      predict(NULL, &frame, &options, probable, &host);
      predict(&emulated_device, &frame, &options, probable, &device);
      compare(&host, &device, probable);
    }
  }
}

/* The maps themselves. */
static void merged_maps_are_the_hosts(void **state) {
  (void)state;
  Error error = {""};
  Image image;
  Grid grid = grid_make((int[]){7, 6, 5}, (double[]){1, 1, 1});
  assert_true(image_alloc(&image, &grid, 1, &error));
  WindowOptions options = {.patch = {3, 4, 4}, .step = 0.5, .batch = BATCH, .classes = CLASSES};
  static float host[7 * 6 * 5 * CLASSES], device[7 * 6 * 5 * CLASSES];
  Oracle oracle = {.count = (size_t)(BATCH * CLASSES * 48)};
  assert_true(sliding_window(&image, &options, answer, &oracle, host, &error));
  oracle.calls = 0;
  oracle.predicted = emulated_device.alloc(oracle.count * sizeof(float));
  options.backend = &emulated_device;
  options.predicted = oracle.predicted;
  assert_true(sliding_window(&image, &options, answer, &oracle, device, &error));
  for (int i = 0; i < 7 * 6 * 5 * CLASSES; i++)
    assert_true(host[i] > 0 && fabsf(device[i] / host[i] - 1) < 1e-5f);
  emulated_device.release(oracle.predicted);
  image_free(&image);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(a_device_predicts_as_the_host),
      cmocka_unit_test(merged_maps_are_the_hosts),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
