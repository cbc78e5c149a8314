/* Checkpoints: a safetensors file of what a trial's training changes. */
#include "engine/params.h"
#include "engine/safetensors.h"

#include <string.h>

/* A checkpoint holds what is trained and the buffers, then one after another the optimiser's
 * states. */
static int passes(const Params *params, bool states) {
  return 1 + (states ? params->states : 0);
}

/* The place of a parameter's numbers in a pass; NULL: it has none. */
static void *place_of(const Params *params, const Param *param, int pass) {
  ParamKind kind = param->as.kind;
  if (pass == 0) return kind == PARAM_FROZEN ? NULL : params_weight(params, param);
  void *block = params->host[BLOCK_STATE + pass - 1];
  return kind == PARAM_TRAINED ? params_at(params, block, param) : NULL;
}

/* The tensors of a checkpoint of these parameters, their names in the arena; returns how many. */
static int list_tensors(const Params *params, bool states, Arena *arena, TensorToStore *tensors) {
  int count = 0;
  for (int pass = 0; pass < passes(params, states); pass++)
    for (int i = 0; i < params->count; i++) {
      const Param *param = params->list[i];
      const void *data = place_of(params, param, pass);
      const char *name = pass
                             ? arena_text(arena, "%s.%s", param->name, params->state_name[pass - 1])
                             : param->name;
      if (data)
        tensors[count++] =
            (TensorToStore){name, params->real, param->shape.rank, param->shape.dim, data};
    }
  return count;
}

typedef struct Listed {
  Arena arena;
  TensorToStore *tensors;
  int count;
} Listed;

static Listed list_all(const Params *params, bool states) {
  Listed list = {.arena = {0}};
  size_t most = (size_t)params->count * (size_t)passes(params, states) + 1;
  list.tensors = arena_alloc(&list.arena, most * sizeof *list.tensors);
  list.count = list_tensors(params, states, &list.arena, list.tensors);
  return list;
}

bool params_save(const Params *params, bool states, const char *const *metadata, const char *path,
                 Error *error) {
  const char *pairs[64] = {0};
  char updates[32];
  int used = 0;
  for (; metadata && metadata[used]; used++) {
    CHECK(used < 60, "too much metadata");
    pairs[used] = metadata[used];
  }
  snprintf(updates, sizeof updates, "%lld", (long long)params->updates);
  if (states) pairs[used++] = "updates", pairs[used] = updates;
  params_fetch(params);
  Listed list = list_all(params, states);
  bool good = safetensors_write(path, list.count, list.tensors, pairs, error);
  arena_free(&list.arena);
  return good;
}

static bool load_one(const Safetensors *file, const TensorToStore *wanted, const char *path,
                     Error *error) {
  const StoredTensor *found = safetensors_find(file, wanted->name);
  if (!found) return fail(error, "%s: has no tensor %s", path, wanted->name);
  Tensor shape = tensor_make(wanted->type, wanted->rank, wanted->dim);
  bool same = found->rank == wanted->rank;
  for (int i = 0; same && i < wanted->rank; i++) same = found->dim[i] == wanted->dim[i];
  if (!same)
    return fail(error, "%s: tensor %s is %s, the model's is %s", path, wanted->name,
                stored_shape_text(found), tensor_shape_text(&shape));
  return safetensors_read(file, found, wanted->type, (void *)wanted->data, error);
}

bool params_load(Params *params, bool states, const char *path, Error *error) {
  Safetensors *file = safetensors_open(path, error);
  if (!file) return false;
  Listed list = list_all(params, states);
  bool good = true;
  for (int i = 0; good && i < list.count; i++) good = load_one(file, &list.tensors[i], path, error);
  const char *updates = safetensors_metadata(file, "updates");
  if (states) params->updates = updates ? strtoll(updates, NULL, 10) : 0;
  arena_free(&list.arena);
  safetensors_close(file);
  params_changed(params);
  return good;
}

bool checkpoint_metadata(const char *path, const char *key, char *value, size_t bytes) {
  Error error = {0};
  Safetensors *file = safetensors_open(path, &error);
  const char *text = file ? safetensors_metadata(file, key) : NULL;
  if (text) snprintf(value, bytes, "%s", text);
  safetensors_close(file);
  return text != NULL;
}
