/* What a device does with volumes in the host's place, by the CUDA kernels in the emulator, against
 * the host. */
#include "base/rng.h"
#include "src/data/batches/device_batches.h"
#include "src/data/batches/intensity.h"
#include "src/data/predict/restore.h"
#include "src/data/predict/sliding_window.h"
#include "tests/emulated_device.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

void emulator_order(unsigned seed);
void emulator_report(const char *program);

enum { CLASSES = 3, BATCH = 2, FILE_D = 13, FILE_H = 11, FILE_W = 10 };
enum { FILE_VOXELS = FILE_D * FILE_H * FILE_W };

static float random_float(Rng *rng) {
  return (float)rng_uniform(rng);
}

/* ---- merging windows, choosing labels -------------------------------------------------------- */

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
                    bool probable, const uint8_t *regions, Outcome *out) {
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
  if (regions) restore_regions(&restore, regions);
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
    static const uint8_t painted[CLASSES] = {2, 7, 4};
    for (int turn = 0; turn < 4; turn++) {
      bool probable = turn % 2;
      const uint8_t *regions = turn < 2 ? NULL : painted;
      emulator_order((unsigned)(round + turn));
      predict(NULL, &frame, &options, probable, regions, &host);
      predict(&emulated_device, &frame, &options, probable, regions, &device);
      compare(&host, &device, probable);
      int seven = 0;
      for (int i = 0; i < FILE_VOXELS; i++) seven += host.label[i] == 7;
      assert_int_equal(regions != NULL, seven > 0);
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

/* ---- training patches ------------------------------------------------------------------------ */

enum { CASES = 3, PATCH_D = 9, PATCH_H = 12, PATCH_W = 10, SAMPLES = 2 };
enum { PATCH = SAMPLES * PATCH_D * PATCH_H * PATCH_W };

/* Smooth, so that a coordinate's rounding does not show. */
static void volumes_fill(Volume *volume, int channels) {
  static const int dims[CASES][3] = {{12, 19, 17}, {8, 30, 11}, {21, 13, 25}};
  for (int n = 0; n < CASES; n++) {
    Error error = {""};
    Grid grid = grid_make(dims[n], (double[]){1, 1, 1});
    volume[n] = (Volume){.name = "waves"};
    assert_true(image_alloc(&volume[n].image, &grid, channels, &error));
    assert_true(label_alloc(&volume[n].label, &grid, &error));
    for (size_t i = 0; i < grid_voxels(&grid); i++) {
      size_t z = i / (size_t)(dims[n][1] * dims[n][2]), x = i % (size_t)dims[n][2];
      size_t y = i / (size_t)dims[n][2] % (size_t)dims[n][1];
      volume[n].label.data[i] = (uint8_t)((z / 4 + y / 5 + x / 6) % 4);
      for (int c = 0; c < channels; c++)
        volume[n].image.data[i * (size_t)channels + (size_t)c] =
            sinf(.3f * (float)z + .2f * (float)(y + x) + (float)c) + (float)n;
    }
  }
}

/* Both make the same steps: images but for rounding, labels but for ties that rounding decides. */
static void batches_compare(const Sampler *sampler, const Backend *backend, int steps) {
  SamplerSize size = sampler_size(sampler);
  float *scratch = calloc(size.scratch + 1, sizeof *scratch);
  float *image = calloc(size.image, sizeof *image), *found = calloc(size.image, sizeof *found);
  int32_t label[PATCH], found_label[PATCH], different = 0;
  assert_int_equal(size.label, PATCH);
  float *device_image = backend->alloc(size.image * sizeof *image);
  int32_t *device_label = backend->alloc(sizeof label);
  DeviceBatches *batches = device_batches_make(sampler, backend, 0);
  assert_non_null(batches);
  double worst = 0;
  for (int step = 0; step < steps; step++) {
    emulator_order((unsigned)step % 3);
    sampler_batch(sampler, (uint64_t)step, scratch, image, label);
    device_batches_next(batches, device_image, device_label, backend->device->queue());
    backend->device->copy_out(found, device_image, size.image * sizeof *image);
    backend->device->copy_out(found_label, device_label, sizeof label);
    for (int i = 0; i < PATCH; i++) different += label[i] != found_label[i];
    for (size_t i = 0; i < size.image; i++)
      worst = fmax(worst, fabs((double)(image[i] - found[i])));
    assert_true(worst < 2e-4); /* NaN fails below */
    for (size_t i = 0; i < size.image; i++) assert_true(isfinite(found[i]));
  }
  print_message("%d batches: images %.1e apart, %d labels of %d\n", steps, worst, different,
                steps * PATCH);
  assert_true(different <= steps * PATCH / 2000);
  device_batches_free(batches);
  backend->release(device_image);
  backend->release(device_label);
  free(scratch);
  free(image);
  free(found);
}

static SamplerOptions batches_of(bool changes) {
  return (SamplerOptions){.batch = SAMPLES,
                          .patch = {PATCH_D, PATCH_H, PATCH_W},
                          .foreground = .33,
                          .seed = 11,
                          .augment = {changes, {changes, changes, changes}, changes}};
}

/* Each step of the intensities by itself: a batch draws some of them rarely. */
static void every_step_is_the_hosts(void **state) {
  (void)state;
  enum { VOXELS = 7 * 9 * 13 };
  static float host[VOXELS], device[VOXELS], spare[VOXELS], start[VOXELS];
  static char scratch[PLANE_SCRATCH];
  const PlaneOps *ops[] = {&plane_ops_host, &emulated_device.device->patches->plane};
  Plane plane[] = {{.value = host, .spare = spare, .dim = {7, 9, 13}},
                   {.value = device, .spare = spare, .dim = {7, 9, 13}, .scratch = scratch}};
  Rng draw = rng_make(2, RNG_TEST, 1);
  for (int i = 0; i < VOXELS; i++) start[i] = (float)rng_normal(&draw) + 100;
  for (int step = 0; step < 8; step++) {
    Rng rng[] = {rng_make(3, RNG_TEST, (uint64_t)step), rng_make(3, RNG_TEST, (uint64_t)step)};
    for (int n = 0; n < 2; n++) {
      memcpy(plane[n].value, start, sizeof start);
      if (step == 0) ops[n]->noise(&plane[n], .1, &rng[n]);
      if (step == 1) ops[n]->blur(&plane[n], (double[]){.5, .8, 1});
      if (step == 2) ops[n]->brightness(&plane[n], .75);
      if (step == 3) ops[n]->contrast(&plane[n], 1.25);
      if (step == 4) ops[n]->low_resolution(&plane[n], (double[]){.5, 1, .77});
      if (step == 5) ops[n]->gamma(&plane[n], 1.5, true);
      if (step == 6) ops[n]->gamma(&plane[n], .7, false);
      if (step == 7) ops[n]->noise(&plane[n], 1, &rng[n]);
    }
    assert_int_equal(rng_u32(&rng[0]), rng_u32(&rng[1]));
    int changed = 0;
    for (int i = 0; i < VOXELS; i++) {
      assert_true(fabsf(host[i] - device[i]) < 5e-5f);
      changed += fabsf(host[i] - start[i]) > 1e-3f;
    }
    assert_true(changed > VOXELS / 2);
  }
}

/* Volumes of the cache lie in half precision, normal and denormal numbers of both signs. */
static void half_precision_is_read_too(void **state) {
  (void)state;
  static const _Float16 value[] = {0, -1.5f, 65504, 6e-8f, -6e-8f, 6.1e-5f, 1e-5f, -333.25f};
  static const uint8_t label[] = {0, 1, 2, 3, 4, 5, 6, 7};
  float planes[8];
  int32_t classes[8];
  PatchRead read = {.dim = {2, 2, 2},
                    .channels = 1,
                    .half = (const uint16_t *)value,
                    .label = label,
                    .patch = {2, 2, 2},
                    .matrix = {{1, 0, 0}, {0, 1, 0}, {0, 0, 1}},
                    .planes = planes,
                    .classes = classes};
  emulated_device.device->patches->read(NULL, &read);
  for (int i = 0; i < 8; i++) {
    assert_true(planes[i] == (float)value[i]);
    assert_int_equal(classes[i], label[i]);
  }
}

static void a_device_makes_the_hosts_batches(void **state) {
  (void)state;
  for (int channels = 1; channels < 3; channels++) {
    Error error = {""};
    Volume volume[CASES];
    volumes_fill(volume, channels);
    /* value 3 is ignored, 1 and 2 are of one region, 2 of another too */
    const Labelling labelling = {
        .values = 4, .ignore = 3, .regions = 2, .region = {0, 1, 3}, .order = {1, 2}};
    for (int turn = 0; turn < 4; turn++) {
      bool changes = turn % 2;
      SamplerOptions options = batches_of(changes);
      options.labelling = turn < 2 ? NULL : &labelling;
      Sampler *sampler;
      assert_true(sampler_make(&sampler, volume, CASES, 4, &options, &error));
      batches_compare(sampler, &emulated_device, changes ? 40 : 4);
      sampler_free(sampler);
    }
    volume_free(volume, CASES);
  }
}

int main(int argc, char **argv) {
  (void)argc;
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(a_device_predicts_as_the_host),
      cmocka_unit_test(merged_maps_are_the_hosts),
      cmocka_unit_test(a_device_makes_the_hosts_batches),
      cmocka_unit_test(every_step_is_the_hosts),
      cmocka_unit_test(half_precision_is_read_too),
  };
  int failed = cmocka_run_group_tests(tests, NULL, NULL);
  emulator_report(argv[0]);
  return failed;
}
