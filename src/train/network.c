#include "src/train/network.h"
#include "src/store/event.h"
#include "src/train/config.h"
#include "src/train/weights_file.h"

#include <string.h>
#include <unistd.h>

Graph *network_build(const json_t *config, int channels, const Labelling *labelling, bool training,
                     Params *params, Model *model, Error *error) {
  ModelShape shape = {.batch = training ? (int)config_int(config, "batch") : 1,
                      .channels = channels,
                      .classes = labelling_classes(labelling),
                      .regions = labelling->regions > 0,
                      .training = training};
  config_triple(config, "patch", shape.patch);
  Graph *graph = graph_make(params);
  if (model_build(config_text(config, "home"), config, &shape, graph, model, error) &&
      (!training || graph_backward(graph, model->loss)))
    return graph;
  fail(error, "%s", graph->error.text);
  graph_free(graph);
  return NULL;
}

static void code_hash(const ModelFile *file, char hash[HASH_BYTES]) {
  char *tokens = lua_tokens(file->text);
  text_hash(tokens, hash);
  free(tokens);
}

void network_tell_code(const Model *model, FILE *events) {
  for (int i = 0; i < model->files; i++) {
    const ModelFile *file = &model->file[i];
    char text[HASH_BYTES], code[HASH_BYTES];
    text_hash(file->text, text);
    code_hash(file, code);
    event_send(events, &(Event){EVENT_code, .code = {.file = file->name,
                                                     .text_hash = text,
                                                     .code_hash = code,
                                                     .text = file->text}});
  }
}

void network_code(const Model *model, char hash[HASH_BYTES]) {
  char all[MAX_FILES * HASH_BYTES] = "";
  for (int i = 0; i < model->files; i++) code_hash(&model->file[i], all + strlen(all));
  text_hash(all, hash);
}

/* ---- a trained network, opened again --------------------------------------------------------- */

static bool weights_there(const char *checkpoint, Error *error) {
  return access(checkpoint, R_OK) == 0 ||
         fail(error, "%s: the trial's weights are not there; `harness run` trains them",
              checkpoint);
}

/* Weights go on counting when a model's text has changed; that it is another model is said. */
static void tell_other_code(const Model *model, const char *checkpoint) {
  char today[HASH_BYTES], kept[HASH_BYTES];
  network_code(model, today);
  if (checkpoint_metadata(checkpoint, "code", kept, sizeof kept) && strcmp(kept, today))
    fprintf(stderr,
            "harness: %s: the Lua text of its model has changed since it was trained: what follows "
            "is of trained weights in today's model\n",
            checkpoint);
}

static bool network_load(TrainedNetwork *t, const json_t *config, const Backend *backend,
                         int channels, const Labelling *labelling, Error *error) {
  if (!backend) return false;
  t->params = params_make(backend->real);
  t->graph = network_build(config, channels, labelling, false, t->params, &t->model, error);
  if (!t->graph) return false;
  tell_other_code(&t->model, config_text(config, "checkpoint"));
  t->plan = plan_make(t->graph, backend, true, error);
  bool frozen = params_numbers(t->params, PARAM_FROZEN) > 0; /* no checkpoint holds it */
  return t->plan && params_allocate(t->params, (uint64_t)config_int(config, "seed"), error) &&
         (!frozen || weights_file_load(t->params, config, error)) &&
         params_load(t->params, false, config_text(config, "checkpoint"), error) &&
         plan_bind(t->plan, NULL, error);
}

bool trained_network_open(TrainedNetwork *t, const json_t *config, Error *error) {
  *t = (TrainedNetwork){0};
  return weights_there(config_text(config, "checkpoint"), error) &&
         cases_load(&t->cases, config, error) &&
         network_load(t, config, &backend_cpu, t->cases.dataset.channels,
                      &t->cases.dataset.labelling, error);
}

bool trained_network_open_alone(TrainedNetwork *t, const json_t *config, Recipe *recipe,
                                json_t **labels, Error *error) {
  static char text[1 << 18];
  const char *checkpoint = config_text(config, "checkpoint");
  *t = (TrainedNetwork){0};
  if (!weights_there(checkpoint, error)) return false;
  if (!checkpoint_metadata(checkpoint, "recipe", text, sizeof text))
    return fail(error,
                "%s: holds no recipe for new images (an older version wrote it); train the trial "
                "again: `harness runs rm` and `harness run`",
                checkpoint);
  return recipe_read(recipe, labels, text, checkpoint, error) &&
         network_load(t, config, config_backend(config, error),
                      recipe->preprocessing.normaliser.channels, &recipe->labelling, error);
}

void trained_network_free(TrainedNetwork *t) {
  plan_free(t->plan);
  if (t->graph) graph_free(t->graph);
  if (t->params) params_free(t->params);
  cases_free(&t->cases);
  *t = (TrainedNetwork){0};
}

void trained_network_patch(const TrainedNetwork *t, const Volume *volume, uint8_t *labels) {
  const Tensor *in = &t->model.image->tensor;
  const int64_t *patch = &in->dim[1];
  const int *dim = volume->image.grid.dim;
  int64_t channels = tensor_last(in);
  memset(in->data, 0, tensor_bytes(in));
  memset(labels, 0, (size_t)(patch[0] * patch[1] * patch[2]));
  for (int64_t z = 0; z < patch[0]; z++)
    for (int64_t y = 0; y < patch[1]; y++)
      for (int64_t x = 0; x < patch[2]; x++) {
        int64_t d = z + (dim[0] - patch[0]) / 2, h = y + (dim[1] - patch[1]) / 2,
                w = x + (dim[2] - patch[2]) / 2;
        if (d < 0 || h < 0 || w < 0 || d >= dim[0] || h >= dim[1] || w >= dim[2]) continue;
        int64_t from = (d * dim[1] + h) * dim[2] + w, to = (z * patch[1] + y) * patch[2] + x;
        labels[to] = volume->label.data[from];
        memcpy((float *)in->data + to * channels, volume->image.data + from * channels,
               (size_t)channels * sizeof(float));
      }
}
