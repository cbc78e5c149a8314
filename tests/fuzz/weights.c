/* Files of weights: any safetensors file, and one that is taken for a checkpoint. */
#define _GNU_SOURCE /* memmem */
#include "engine/safetensors.h"
#include "src/train/cases.h"
#include "src/train/course.h"
#include "src/train/training.h"
#include "tests/fuzz/fuzz.h"

#include <string.h>
#include <xxhash.h>

static void read_tensors(const Safetensors *file) {
  for (int i = 0; i < safetensors_count(file); i++) {
    const StoredTensor *t = safetensors_tensor(file, i);
    Error error = {""};
    CHECK(safetensors_find(file, t->name) == t, "a tensor is not found by its name");
    stored_shape_text(t);
    double *numbers = malloc((size_t)stored_count(t) * sizeof *numbers + 1);
    CHECK(numbers, "no memory for %lld numbers", (long long)stored_count(t));
    fuzz_judge(safetensors_read(file, t, i % 2 ? F32 : F64, numbers, &error), &error);
    free(numbers);
  }
}

void fuzz_safetensors(const uint8_t *data, size_t bytes) {
  Error error = {""};
  Safetensors *file = safetensors_open(fuzz_file(data, bytes), &error);
  fuzz_judge(file != NULL, &error);
  if (file) read_tensors(file);
  safetensors_close(file);
}

/* Two parameters and a buffer, with momentum. */
static Params *small_params(void) {
  static const char *const states[] = {"momentum"};
  Params *params = params_make(F32);
  Error error = {""};
  ParamAs as = {PARAM_TRAINED, ROLE_WEIGHT, GROUP_CNN, {INIT_ZERO, 0, 0, 0}, false};
  params_get(params, "w", 2, (int64_t[]){2, 3}, &as, &error);
  params_get(params, "b", 1, (int64_t[]){2}, &as, &error);
  as.kind = PARAM_BUFFER;
  params_get(params, "mean", 1, (int64_t[]){2}, &as, &error);
  params_states(params, 1, states, true);
  CHECK(params_allocate(params, 1, &error), "%s", error.text);
  return params;
}

/* Zeros in place of the checksum become it, as the last thing that a writer does: else nothing of
 * what a fuzzer changes would be read. Other digits stay, as does a file without. */
static void sign(uint8_t *data, size_t bytes) {
  static const char before[] = "\"checksum\":\"", zeros[] = "0000000000000000\"";
  uint8_t *found = memmem(data, bytes, before, sizeof before - 1);
  if (!found || (found += sizeof before - 1) + sizeof zeros - 1 > data + bytes ||
      memcmp(found, zeros, sizeof zeros - 1))
    return;
  char digits[32];
  snprintf(digits, sizeof digits, "%016llx", (unsigned long long)XXH3_64bits(data, bytes));
  memcpy(found, digits, 16);
}

/* What a training went through until then, and what a prediction prepares images by. */
static void read_metadata(const char *path) {
  Error error = {""}, refused = {""};
  char *course_kept = checkpoint_text(path, "course"),
       *recipe_kept = checkpoint_text(path, "recipe");
  CollapseWatch watch = {0};
  Course course;
  Recipe recipe;
  json_t *labels;
  if (course_kept) {
    bool good = course_read(&course, &watch, course_kept, path, &error);
    fuzz_judge(good, &error);
    if (good) free(course_text(&course, &watch));
    if (good) course_free(&course);
  }
  if (recipe_kept) {
    bool good = recipe_read(&recipe, &labels, recipe_kept, path, &refused);
    fuzz_judge(good, &refused);
    if (good) json_decref(labels);
  }
  free(course_kept);
  free(recipe_kept);
}

void fuzz_checkpoint(const uint8_t *data, size_t bytes) {
  char path[512], note[TRAINING_NOTE];
  uint8_t *kept = malloc(bytes + 1);
  CHECK(kept, "no memory for an input");
  if (bytes) memcpy(kept, data, bytes);
  sign(kept, bytes);
  fuzz_write("kept.safetensors", kept, bytes);
  free(kept);
  snprintf(path, sizeof path, "%s/kept.safetensors", fuzz_folder());
  Params *params = small_params();
  Error error = {""};
  training_kept(path, "", 1000, note);
  fuzz_judge(params_load(params, true, path, &error), &error);
  read_metadata(path);
  params_free(params);
}
