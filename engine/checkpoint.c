/* Checkpoints: a safetensors file of what a trial's training changes. */
#include "base/whole_file.h"
#include "engine/optimizer.h"
#include "engine/params.h"
#include "engine/safetensors.h"

#include <string.h>
#include <unistd.h>

/* A block of a checkpoint's tensors and what their names end with. */
typedef struct Pass {
  int block;
  const char *name; /* NULL: they are the parameters' own */
} Pass;

static const char of_weights[] = "unaveraged";

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
  if (averaged) pass[count++] = (Pass){PARAM_TRAINED, of_weights};
  return count;
}

bool checkpoint_is_state(const char *name) {
  const char *dot = strrchr(name, '.');
  bool is = dot && !strcmp(dot + 1, of_weights);
  for (int i = 0; dot && i < OPTIMIZERS; i++)
    for (int k = 0; k < optimizer_table[i].states; k++)
      is = is || !strcmp(dot + 1, optimizer_table[i].state[k]);
  return is;
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

/* Where the one before it is kept. */
static void previous_of(const char *path, char previous[WHOLE_PATH]) {
  snprintf(previous, WHOLE_PATH, "%.4500s.previous", path);
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
  char previous[WHOLE_PATH];
  previous_of(path, previous);
  Listed list = list_all(params, states);
  bool good =
      safetensors_write(path, states ? previous : NULL, list.count, list.tensors, pairs, error);
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
  Safetensors *file = safetensors_verify(path, error) ? safetensors_open(path, error) : NULL;
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

char *checkpoint_text(const char *path, const char *key) {
  Error error = {0};
  Safetensors *file = safetensors_open(path, &error);
  const char *text = file ? safetensors_metadata(file, key) : NULL;
  char *copy = text ? strdup(text) : NULL;
  safetensors_close(file);
  return copy;
}

bool checkpoint_metadata(const char *path, const char *key, char *value, size_t bytes) {
  char *text = checkpoint_text(path, key);
  if (text) snprintf(value, bytes, "%s", text);
  free(text);
  return text != NULL;
}

/* ---- the one before it ----------------------------------------------------------------------- */

bool checkpoint_settle(const char *path, char *note, size_t bytes) {
  char previous[WHOLE_PATH];
  Error why = {""}, before = {""};
  note[0] = 0;
  previous_of(path, previous);
  bool there = access(path, F_OK) == 0;
  if (there && safetensors_verify(path, &why)) return true;
  bool kept = access(previous, F_OK) == 0;
  if (kept && safetensors_verify(previous, &before) && whole_rename(previous, path, &before)) {
    snprintf(note, bytes, "goes on from the checkpoint before its last, %s%s",
             there ? "which is not whole: " : "which is gone: ", there ? why.text : path);
    return true;
  }
  if (there)
    snprintf(note, bytes, "begins anew: its checkpoint is not whole: %s%s%s", why.text,
             kept ? "; nor is the one before it: " : "", before.text);
  return false;
}

void checkpoint_drop_previous(const char *path) {
  char previous[WHOLE_PATH];
  previous_of(path, previous);
  unlink(previous);
}

void checkpoint_best(const char *path, char *best) {
  snprintf(best, WHOLE_PATH, "%.4500s.best", path);
}

static void files_remove(const char *path) {
  char part[WHOLE_PATH];
  snprintf(part, sizeof part, "%.4500s.part", path);
  unlink(path);
  unlink(part);
  checkpoint_drop_previous(path);
}

void checkpoint_remove(const char *path) {
  char best[WHOLE_PATH];
  checkpoint_best(path, best);
  files_remove(path);
  files_remove(best);
}
