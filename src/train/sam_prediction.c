#include "src/train/sam_prediction.h"
#include "base/file_hash.h"
#include "engine/plan.h"
#include "engine/safetensors.h"
#include "lua/bind.h"
#include "src/data/volumes/volume.h"
#include "src/train/config.h"
#include "src/train/sam_picture.h"
#include "src/train/weights_file.h"

#include <string.h>

/* ---- which SAM the file holds ---------------------------------------------------------------- */

static const json_t *option_named(const json_t *options, const char *name) {
  size_t i;
  const json_t *row;
  json_array_foreach((json_t *)(uintptr_t)options, i, row) {
    if (!strcmp(json_string_value(json_object_get(row, "name")), name)) return row;
  }
  CHECK(false, "model sam has no option %s", name);
  return NULL;
}

/* What the option sam is called where the encoder has this width: option vit_width tells. */
static const char *size_of_width(const json_t *options, int64_t width) {
  const json_t *widths =
      json_object_get(json_object_get(option_named(options, "vit_width"), "default_where"), "sam");
  const char *size;
  const json_t *value;
  json_object_foreach((json_t *)(uintptr_t)widths, size, value) {
    if (json_integer_value(value) == width) return size;
  }
  return NULL;
}

typedef struct Stored {
  int64_t width; /* of the encoder */
  bool own;      /* by our names: a checkpoint of this model */
} Stored;

static bool look_into(const char *path, Stored *stored, Error *error) {
  Safetensors *file = safetensors_open(path, error);
  if (!file) return false;
  const StoredTensor *table = safetensors_find(file, "image_encoder.pos_embed");
  if (!table) table = safetensors_find(file, "vision_encoder.pos_embed");
  stored->own = safetensors_find(file, "image_encoder.neck.conv1.weight") != NULL;
  stored->width = table && table->rank == 4 ? table->dim[3] : 0;
  safetensors_close(file);
  return stored->width || fail(error,
                               "%s: not SAM's weights: it has no image_encoder.pos_embed (or "
                               "vision_encoder.pos_embed) of four axes",
                               path);
}

bool sam_trained_by(const json_t *config) {
  return !strcmp(config_text(config, "model"), "sam_promptable");
}

/* ---- the configuration ----------------------------------------------------------------------- */

/* Every option at what the trial has, at its default, or at the one that comes with this size. */
static json_t *values_of(const json_t *options, const char *size, const json_t *trial) {
  json_t *config = json_object();
  size_t i;
  json_t *row;
  json_array_foreach((json_t *)(uintptr_t)options, i, row) {
    const char *name = json_string_value(json_object_get(row, "name"));
    json_t *sized =
        json_object_get(json_object_get(json_object_get(row, "default_where"), "sam"), size);
    json_t *own = json_object_get(trial, name);
    json_object_set(config, name, own ? own : sized ? sized : json_object_get(row, "default"));
  }
  json_object_set_new(config, "sam", json_string(size));
  json_object_set_new(config, "model", json_string("sam"));
  return config;
}

static json_t *labels_of(const SamPrompts *prompts) {
  json_t *labels = json_array();
  for (int i = 0; i < prompts->points; i++)
    json_array_append_new(labels, json_integer(prompts->inside[i]));
  return labels;
}

static json_t *config_of(const char *home, const SamWeights *weights, const SamPrompts *prompts,
                         Error *error) {
  Stored stored;
  char hash[FILE_HASH_BYTES];
  json_t *options = NULL, *config = NULL;
  if (!look_into(weights->path, &stored, error) || !file_hash(weights->path, hash, error) ||
      !(options = experiment_options(home, "sam", error)))
    return NULL;
  const char *size =
      weights->trial ? config_text(weights->trial, "sam") : size_of_width(options, stored.width);
  if (!size) {
    fail(error, "%s: an image encoder of %lld channels; `harness help sam` lists SAM's sizes",
         weights->path, (long long)stored.width);
  } else {
    config = values_of(options, size, weights->trial);
    json_object_set_new(config, "home", json_string(home));
    json_object_set_new(config, "weights", json_string(hash));
    json_object_set_new(config, "weights_path", json_string(weights->path));
    json_object_set_new(config, "weights_map", json_string(stored.own ? "own" : "pytorch"));
    json_object_set_new(config, "prompts",
                        json_string(!prompts->points ? "box"
                                    : prompts->boxes ? "box_points"
                                                     : "points"));
    if (prompts->points) json_object_set_new(config, "point_labels", labels_of(prompts));
  }
  json_decref(options);
  return config;
}

/* ---- running --------------------------------------------------------------------------------- */

typedef struct Sam {
  json_t *config;
  int side, masks; /* pixels of the encoder's image */
  Params *params;
  Graph *graph;
  Model model;
  Plan *plan;
} Sam;

static bool sam_open(Sam *sam, const char *home, const SamWeights *weights, int gpu,
                     const SamPrompts *prompts, Error *error) {
  *sam = (Sam){.config = config_of(home, weights, prompts, error)};
  if (!sam->config) return false;
  json_object_set_new(sam->config, "device", json_string(gpu < 0 ? "cpu" : "cuda"));
  json_object_set_new(sam->config, "device_number", json_integer(gpu < 0 ? 0 : gpu));
  const Backend *backend = config_backend(sam->config, error);
  if (!backend) return false;
  sam->side = (int)(config_int(sam->config, "vit_side") * config_int(sam->config, "vit_patch"));
  sam->masks = prompts->boxes ? prompts->boxes : 1;
  ModelShape shape = {
      .batch = 1, .patch = {1, sam->side, sam->side}, .channels = 3, .classes = sam->masks};
  sam->params = params_make(backend->real);
  sam->graph = graph_make(sam->params);
  if (!model_build(home, sam->config, &shape, sam->graph, &sam->model, error))
    return error->text[0] || fail(error, "%s", sam->graph->error.text);
  return (sam->plan = plan_make(sam->graph, backend, true, error)) &&
         params_allocate(sam->params, 0, error) &&
         weights_file_load(sam->params, sam->config, error) && plan_bind(sam->plan, NULL, error);
}

static void sam_close(Sam *sam) {
  plan_free(sam->plan);
  if (sam->graph) graph_free(sam->graph);
  if (sam->params) params_free(sam->params);
  json_decref(sam->config);
}

/* Coordinates x, y, x, y, ... of the picture in the encoder's image. */
static void put(const Sam *sam, const char *name, const SamPicture *picture, int count,
                const double *from) {
  Value *input = graph_input_named(sam->graph, name);
  float *to = input->host;
  for (int i = 0; i < count; i++)
    to[i] = (float)(from[i] * (i % 2 ? picture->factor_y : picture->factor_x));
  plan_send(sam->plan, input);
}

/* The logits (1, 1, h, w, masks) of the model, shown as `logits`. */
static Value *logits_of(const Sam *sam) {
  for (int i = 0; i < sam->model.extras; i++)
    if (!strcmp(sam->model.extra[i].name, "logits")) return sam->model.extra[i].value;
  CHECK(false, "model sam shows no logits");
  return NULL;
}

bool sam_predict(const char *home, const SamWeights *weights, int gpu, const SamPrompts *prompts,
                 const char *in, const char *out, Error *error) {
  Sam sam = {0};
  Image image = {0};
  LabelMap label = {0};
  SamPicture picture;
  bool good = image_read(&image, in, error) && sam_picture_check(&image, in, error) &&
              sam_open(&sam, home, weights, gpu, prompts, error);
  if (good) {
    sam_picture_prepare(&image, sam.side, sam.model.image->host, &picture);
    plan_send(sam.plan, sam.model.image);
    if (prompts->boxes) put(&sam, "boxes", &picture, 4 * prompts->boxes, prompts->box[0]);
    if (prompts->points) put(&sam, "points", &picture, 2 * prompts->points, prompts->point[0]);
    plan_run(sam.plan, false);
    Value *logits = logits_of(&sam);
    const float *found = plan_fetch(sam.plan, logits);
    good = label_alloc(&label, &image.grid, error);
    if (good) sam_picture_masks(&picture, found, logits->tensor.dim, label.data);
    good = good && label_write(&label, out, error);
  }
  sam_close(&sam);
  image_free(&image);
  label_free(&label);
  return good;
}
