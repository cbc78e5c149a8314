/* Checkpoints: a safetensors file of what a trial's training changes. */
#include "engine/params.h"
#include "engine/safetensors.h"

#include <string.h>

/* A block of a checkpoint's tensors and what their names end with. */
typedef struct Pass {
  int block;
  const char *name; /* NULL: they are the parameters' own */
} Pass;

enum { MOST_PASSES = 2 + MAX_STATES };

/* What is trained and the buffers, then one after another the optimiser's states. The average is
 * written in the weights' place, and they behind it: whoever reads a trained network gets it. */
static int passes_of(const Params *params, bool states, Pass pass[MOST_PASSES]) {
  bool averaged = states && params->averaged;
  CHECK(!params->reads_average, "weights and average stand in each other's place");
  int count = 0;
  pass[count++] = (Pass){averaged ? BLOCK_AVERAGE : PARAM_TRAINED, NULL};
  for (int i = 0; states && i < params->states; i++)
    pass[count++] = (Pass){BLOCK_STATE + i, params->state_name[i]};
  if (averaged) pass[count++] = (Pass){PARAM_TRAINED, "unaveraged"};
  return count;
}

/* The place of a parameter's numbers in a pass; NULL: it has none. */
static void *place_of(const Params *params, const Param *param, const Pass *pass) {
  ParamKind kind = param->as.kind;
  if (kind == PARAM_TRAINED) return params_at(params, params->host[pass->block], param);
  return kind == PARAM_BUFFER && !pass->name ? params_weight(params, param) : NULL;
}

/* The tensors of a checkpoint of these parameters, their names in the arena; returns how many. */
static int list_tensors(const Params *params, bool states, Arena *arena, TensorToStore *tensors) {
  Pass pass[MOST_PASSES];
  int count = 0, passes = passes_of(params, states, pass);
  for (int p = 0; p < passes; p++)
    for (int i = 0; i < params->count; i++) {
      const Param *param = params->list[i];
      const void *data = place_of(params, param, &pass[p]);
      const char *name =
          pass[p].name ? arena_text(arena, "%s.%s", param->name, pass[p].name) : param->name;
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
  size_t most = (size_t)params->count * MOST_PASSES + 1;
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
