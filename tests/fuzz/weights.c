/* Files of weights: any safetensors file, and one that is taken for a checkpoint. */
#include "engine/safetensors.h"
#include "src/train/training.h"
#include "tests/fuzz/fuzz.h"

#include <string.h>

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
  ParamAs as = {PARAM_TRAINED, ROLE_WEIGHT, GROUP_CNN, {INIT_ZERO, 0, 0, 0}};
  params_get(params, "w", 2, (int64_t[]){2, 3}, &as, &error);
  params_get(params, "b", 1, (int64_t[]){2}, &as, &error);
  as.kind = PARAM_BUFFER;
  params_get(params, "mean", 1, (int64_t[]){2}, &as, &error);
  params_states(params, 1, states, true);
  CHECK(params_allocate(params, 1, &error), "%s", error.text);
  return params;
}

void fuzz_checkpoint(const uint8_t *data, size_t bytes) {
  char path[512], note[TRAINING_NOTE];
  fuzz_write("kept.safetensors", data, bytes);
  snprintf(path, sizeof path, "%s/kept.safetensors", fuzz_folder());
  Params *params = small_params();
  Error error = {""};
  training_kept(path, "", 1000, note);
  fuzz_judge(params_load(params, true, path, &error), &error);
  params_free(params);
}
