#include "src/data/plan/nnunet_plans.h"

#include "src/data/sets/json_text.h"

#include <string.h>

/* What is read: the file's name, its whole, and the configuration with those that it inherits. */
typedef struct Source {
  const char *path, *configuration;
  const json_t *root;
  int turn[3]; /* planned axis a is data axis turn[a] */
  bool flat;
  const json_t *kwargs; /* of the architecture; NULL: an older file */
} Source;

static const json_t *configuration_of(const Source *s, const char *name) {
  return json_object_get(json_object_get(s->root, "configurations"), name);
}

/* A key of the configuration, or of the nearest that it inherits from. */
static const json_t *value_of(const Source *s, const char *key) {
  const json_t *at = configuration_of(s, s->configuration);
  for (int depth = 0; at && depth < 8; depth++) {
    const json_t *value = json_object_get(at, key);
    const char *parent = json_string_value(json_object_get(at, "inherits_from"));
    if (value || !parent) return value;
    at = configuration_of(s, parent);
  }
  return NULL;
}

/* Of the architecture, as files name it today or named it before. */
static const json_t *network_of(const Source *s, const char *now, const char *before) {
  return s->kwargs ? json_object_get(s->kwargs, now) : value_of(s, before);
}

static bool missing(const Source *s, const char *what, Error *error) {
  return fail(error, "%s: configuration %s: \"%s\" is missing, or is not what nnU-Net writes",
              s->path, s->configuration, what);
}

/* ---- lists by axis --------------------------------------------------------------------------- */

/* Three numbers, or two in 2D, by planned axis -> by data axis. */
static bool axes_read(const Source *s, const json_t *list, double gone, double out[3]) {
  size_t first = s->flat ? 1 : 0;
  if (json_array_size(list) != 3 - first) return false;
  if (s->flat) out[s->turn[0]] = gone;
  for (size_t axis = first; axis < 3; axis++) {
    out[s->turn[axis]] = json_number_value(json_array_get(list, axis - first));
    if (!(out[s->turn[axis]] > 0)) return false;
  }
  return true;
}

static bool ints_read(const Source *s, const json_t *list, int out[3]) {
  enum { MOST = 1 << 20 };
  double value[3];
  if (!axes_read(s, list, 1, value)) return false;
  for (int axis = 0; axis < 3; axis++) {
    if (!(value[axis] >= 1 && value[axis] <= MOST)) return false;
    out[axis] = (int)value[axis];
  }
  return true;
}

static bool stages_read(const Source *s, const json_t *list, int count, int (*out)[3]) {
  bool good = (int)json_array_size(list) == count;
  for (int i = 0; good && i < count; i++)
    good = ints_read(s, json_array_get(list, (size_t)i), out[i]);
  return good;
}

/* A list of `count` whole numbers, all of them `wanted` unless that is 0. */
static bool numbers_read(const json_t *list, int count, int wanted, int *out) {
  bool good = (int)json_array_size(list) >= count;
  for (int i = 0; good && i < count; i++) {
    int value = (int)json_integer_value(json_array_get(list, (size_t)i));
    if (out) out[i] = value;
    good = value > 0 && (!wanted || value == wanted);
  }
  return good;
}

/* ---- the network ----------------------------------------------------------------------------- */

static bool ends_in(const char *text, const char *end) {
  size_t length = text ? strlen(text) : 0, tail = strlen(end);
  return length >= tail && !strcmp(text + length - tail, end);
}

static bool class_read(const Source *s, bool *residual, Error *error) {
  const json_t *architecture = value_of(s, "architecture");
  const char *name =
      json_string_value(architecture ? json_object_get(architecture, "network_class_name")
                                     : value_of(s, "UNet_class_name"));
  *residual = ends_in(name, "ResidualEncoderUNet");
  if (!*residual && !ends_in(name, "PlainConvUNet"))
    return fail(error,
                "%s: configuration %s: the network is \"%s\"; PlainConvUNet and "
                "ResidualEncoderUNet are built here",
                s->path, s->configuration, name ? name : "");
  const char *norm = json_string_value(json_object_get(s->kwargs, "norm_op"));
  bool other = (norm && !strstr(norm, "InstanceNorm")) ||
               json_is_string(json_object_get(s->kwargs, "dropout_op"));
  return !other || fail(error, "%s: configuration %s: expected instance norm and no dropout",
                        s->path, s->configuration);
}

static bool blocks_read(const Source *s, bool residual, Topology *t, Error *error) {
  const json_t *encoder = residual ? network_of(s, "n_blocks_per_stage", "n_conv_per_stage_encoder")
                                   : network_of(s, "n_conv_per_stage", "n_conv_per_stage_encoder");
  const json_t *decoder = network_of(s, "n_conv_per_stage_decoder", "n_conv_per_stage_decoder");
  if (numbers_read(encoder, t->stages, residual ? 0 : 2, residual ? t->blocks : NULL) &&
      numbers_read(decoder, t->stages - 1, residual ? 1 : 2, NULL))
    return true;
  return fail(error,
              "%s: configuration %s: expected %s for each of %d stages, and %d in the decoder's",
              s->path, s->configuration, residual ? "blocks" : "two convolutions", t->stages,
              residual ? 1 : 2);
}

static void widths_set(const Source *s, Topology *t) {
  const json_t *widths = network_of(s, "features_per_stage", "features_per_stage");
  for (int i = 0; i < t->stages; i++) {
    int width = (int)json_integer_value(json_array_get(widths, (size_t)i));
    int most = s->flat ? 512 : 320; /* older files' */
    t->width[i] = width ? width : i > 4 || 32 << i > most ? most : 32 << i;
  }
}

static bool topology_read(const Source *s, bool residual, Topology *t, Error *error) {
  const json_t *strides = network_of(s, "strides", "pool_op_kernel_sizes");
  *t = (Topology){.stages = (int)json_array_size(strides), .flat = s->flat};
  if (t->stages < 1 || t->stages > STAGES_MAX || !stages_read(s, strides, t->stages, t->stride))
    return missing(s, "strides", error);
  if (!stages_read(s, network_of(s, "kernel_sizes", "conv_kernel_sizes"), t->stages, t->kernel))
    return missing(s, "kernel_sizes", error);
  if (!ints_read(s, value_of(s, "patch_size"), t->patch)) return missing(s, "patch_size", error);
  widths_set(s, t);
  return blocks_read(s, residual, t, error);
}

static bool configuration_read(const Source *s, bool residual, Configuration *c, Error *error) {
  if (!axes_read(s, value_of(s, "spacing"), FLAT_MM, c->mm)) return missing(s, "spacing", error);
  if (!axes_read(s, value_of(s, "median_image_size_in_voxels"), 1, c->median_dim))
    return missing(s, "median_image_size_in_voxels", error);
  c->batch = (int)json_integer_value(value_of(s, "batch_size"));
  if (c->batch < 1) return missing(s, "batch_size", error);
  c->batch_dice = json_is_true(value_of(s, "batch_dice"));
  if (!topology_read(s, residual, &c->topology, error)) return false;
  key_grid_find(&c->topology, c->key_grid);
  return true;
}

/* ---- intensities ----------------------------------------------------------------------------- */

static bool schemes_check(const Source *s, const Dataset *dataset, Error *error) {
  static const char *const classes[SCHEMES] = {"ZScoreNormalization", "CTNormalization",
                                               "NoNormalization", "RescaleTo01Normalization",
                                               "RGBTo01Normalization"};
  const json_t *list = value_of(s, "normalization_schemes");
  if ((int)json_array_size(list) != dataset->channels)
    return fail(error, "%s: %zu channel(s), but dataset.json names %d", s->path,
                json_array_size(list), dataset->channels);
  for (int i = 0; i < dataset->channels; i++) {
    const char *found = json_string_value(json_array_get(list, (size_t)i));
    const char *wanted = classes[scheme_of_channel(dataset->channel_name[i])];
    if (!found || strcmp(found, wanted))
      return fail(error,
                  "%s: channel %d is scaled by %s, but dataset.json names it \"%s\", which means "
                  "%s",
                  s->path, i, found ? found : "nothing", dataset->channel_name[i], wanted);
  }
  return true;
}

static bool fingerprint_take(const Source *s, const Dataset *dataset, Fingerprint *f,
                             Error *error) {
  *f = (Fingerprint){.cases = dataset->cases, .relative = 1};
  const json_t *mask = value_of(s, "use_mask_for_norm"), *item;
  size_t i;
  json_array_foreach((json_t *)mask, i, item) {
    if (json_is_true(item)) f->relative = 0; /* cropping took enough away */
  }
  return fingerprint_intensities(f, s->root, s->path, error) &&
         fingerprint_orient(f, dataset, error);
}

/* ---- the file -------------------------------------------------------------------------------- */

static bool turn_read(Source *s, Error *error) {
  const json_t *turn = json_object_get(s->root, "transpose_forward");
  int seen = 0;
  for (size_t axis = 0; axis < 3; axis++) {
    s->turn[axis] = (int)json_integer_value(json_array_get(turn, axis));
    seen |= s->turn[axis] >= 0 && s->turn[axis] < 3 ? 1 << s->turn[axis] : 0;
  }
  if (json_array_size(turn) == 3 && seen == 7) return true;
  return fail(error,
              "%s: \"transpose_forward\" is no order of three axes: is it a plans file of "
              "nnU-Net v2?",
              s->path);
}

static bool source_find(Source *s, const char *wanted, Error *error) {
  if (!turn_read(s, error)) return false;
  s->configuration = wanted ? wanted : configuration_of(s, "3d_fullres") ? "3d_fullres" : "2d";
  if (!configuration_of(s, s->configuration))
    return fail(error, "%s: there is no configuration %s", s->path, s->configuration);
  s->flat = json_array_size(value_of(s, "patch_size")) == 2;
  s->kwargs = json_object_get(value_of(s, "architecture"), "arch_kwargs");
  if (json_is_string(value_of(s, "previous_stage")))
    return fail(error, "%s: configuration %s is the second of a cascade, which is not trained here",
                s->path, s->configuration);
  return true;
}

static bool plans_take(NnunetPlans *plans, Source *s, const char *wanted, const Dataset *dataset,
                       Error *error) {
  if (!source_find(s, wanted, error) || !schemes_check(s, dataset, error) ||
      !class_read(s, &plans->planner.residual, error) ||
      !configuration_read(s, plans->planner.residual, &plans->planned.fullres, error) ||
      !fingerprint_take(s, dataset, &plans->fingerprint, error))
    return false;
  const char *used = json_string_value(json_object_get(s->root, "experiment_planner_used"));
  const char *name = json_string_value(json_object_get(s->root, "plans_name"));
  snprintf(plans->name, sizeof plans->name, "%s", used ? used : "nnU-Net");
  snprintf(plans->words, sizeof plans->words, "as nnU-Net's %s, %s", name ? name : "plans",
           s->configuration);
  plans->planner.name = plans->name, plans->planner.words = plans->words;
  return true;
}

bool nnunet_plans_read(NnunetPlans *plans, const char *path, const char *configuration,
                       const Dataset *dataset, Error *error) {
  *plans = (NnunetPlans){0};
  json_t *root = json_file_load(path, 0, error);
  if (!root) return false;
  Source source = {.path = path, .root = root};
  bool good = plans_take(plans, &source, configuration, dataset, error);
  json_decref(root);
  if (!good) fingerprint_free(&plans->fingerprint);
  return good;
}
