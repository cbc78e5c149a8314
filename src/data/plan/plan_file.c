#include "src/data/plan/plan_file.h"

#include "base/nearest.h"
#include "src/data/prepare/preprocess.h"
#include "src/data/sets/derived.h"
#include "src/data/sets/json_text.h"

#include <limits.h>
#include <string.h>
#include <unistd.h>

static json_t *ints(const int value[3]) {
  return json_pack("[i,i,i]", value[0], value[1], value[2]);
}

static json_t *reals(const double value[3]) {
  return json_pack("[f,f,f]", value[0], value[1], value[2]);
}

static json_t *stages(const int (*value)[3], int count) {
  json_t *list = json_array();
  for (int i = 0; i < count; i++) json_array_append_new(list, ints(value[i]));
  return list;
}

/* What names the encoder: nothing where it is the one that there always was. */
static void encoder_set(json_t *json, const Topology *t) {
  json_t *blocks = json_array();
  for (int i = 0; i < t->stages; i++)
    json_array_append_new(blocks, json_integer(t->blocks[i] ? t->blocks[i] : planner_blocks(i)));
  json_object_set_new(json, "encoder", json_string("residual"));
  json_object_set_new(json, "encoder_blocks", blocks);
}

static void configuration_set(json_t *json, const Planner *planner, const Configuration *c) {
  const Topology *t = &c->topology;
  json_t *widths = json_array();
  for (int i = 0; i < t->stages; i++) json_array_append_new(widths, json_integer(t->width[i]));
  json_object_set_new(json, "median_shape", reals(c->median_dim));
  json_object_set_new(json, "patch", ints(t->patch));
  json_object_set_new(json, "batch", json_integer(c->batch));
  json_object_set_new(json, "strides", stages(t->stride, t->stages));
  json_object_set_new(json, "kernels", stages(t->kernel, t->stages));
  json_object_set_new(json, "widths", widths);
  if (planner->residual) encoder_set(json, t);
  json_object_set_new(json, "key_grid", ints(c->key_grid));
  json_object_set_new(json, "batch_dice", json_boolean(c->batch_dice));
}

static json_t *preprocessing_json(const Dataset *dataset, const Fingerprint *f,
                                  const double mm[3]) {
  json_t *channels = json_array();
  bool any_zscore = false;
  for (int i = 0; i < dataset->channels; i++) {
    const char *name = dataset->channel_name[i];
    const Intensity *v = &f->intensity[i];
    Scheme scheme = scheme_of_channel(name);
    any_zscore |= scheme == SCHEME_ZSCORE;
    json_t *channel = json_pack("{s:s, s:s}", "name", name, "scheme", scheme_names[scheme]);
    if (scheme == SCHEME_CT) {
      json_t *scale = json_pack("{s:f, s:f, s:f, s:f}", "low", v->low, "high", v->high, "mean",
                                v->mean, "sd", v->sd);
      json_object_update(channel, scale);
      json_decref(scale);
    }
    json_array_append_new(channels, channel);
  }
  return json_pack("{s:s, s:o, s:b, s:o}", "orientation", f->orientation, "spacing_mm", reals(mm),
                   "nonzero_mask", any_zscore && f->relative < 0.75, "channels", channels);
}

/* A configuration that is told beside the one that trains. */
static json_t *beside(bool is, const Planner *planner, const Configuration *c) {
  if (!is) return json_null();
  json_t *json = json_pack("{s:o}", "spacing_mm", reals(c->mm));
  configuration_set(json, planner, c);
  return json;
}

json_t *plan_file_json(const Dataset *dataset, const Fingerprint *f, const Planned *planned,
                       const Planner *planner, const char *budget) {
  const Configuration *full = &planned->fullres;
  json_t *root = json_pack("{s:i, s:s, s:i, s:i, s:i, s:s, s:s, s:s, s:o}", "schema", 1, "dataset",
                           dataset->name, "cases", f->cases, "turned_cases", f->turned,
                           "unoriented_cases", f->unoriented, "planner", planner->name, "budget",
                           budget, "configuration", full->topology.flat ? "2d" : "3d_fullres",
                           "preprocessing", preprocessing_json(dataset, f, full->mm));
  configuration_set(root, planner, full);
  json_object_set_new(root, "lowres", beside(planned->has_lowres, planner, &planned->lowres));
  json_object_set_new(root, "2d", beside(planned->has_slices, planner, &planned->slices));
  return root;
}

/* between: of numbers; those of a size stand between crosses. */
static void list_print(const char *name, const json_t *list, const char *between, FILE *out) {
  fprintf(out, "%-14s", name);
  for (size_t i = 0; i < json_array_size(list); i++) {
    const json_t *item = json_array_get(list, i);
    if (json_is_array(item)) {
      fputs(i ? "  " : "", out);
      for (size_t k = 0; k < json_array_size(item); k++)
        fprintf(out, "%s%g", k ? "x" : "", json_number_value(json_array_get(item, k)));
    } else
      fprintf(out, "%s%.6g", i ? between : "", json_number_value(item));
  }
  fputc('\n', out);
}

static void channel_print(int i, const json_t *channel, bool masked, FILE *out) {
  static const char *const words[SCHEMES] = {
      "mean and sd of each volume", "", "left as it is (noNorm)",
      "to 0 .. 1 by each volume's least and most", "divided by 255"};
  const char *name = json_string_value(json_object_get(channel, "name"));
  Scheme scheme = SCHEME_ZSCORE;
  scheme_parse(json_string_value(json_object_get(channel, "scheme")), &scheme);
  if (scheme == SCHEME_CT)
    fprintf(out, "channel %-6d%s: clipped to %.6g .. %.6g, mean %.6g, sd %.6g\n", i, name,
            json_number_value(json_object_get(channel, "low")),
            json_number_value(json_object_get(channel, "high")),
            json_number_value(json_object_get(channel, "mean")),
            json_number_value(json_object_get(channel, "sd")));
  else
    fprintf(out, "channel %-6d%s: %s%s\n", i, name, words[scheme],
            scheme == SCHEME_ZSCORE && masked ? "'s nonzero part" : "");
}

void plan_file_print(const json_t *plan, FILE *out) {
  const json_t *preprocessing = json_object_get(plan, "preprocessing");
  fprintf(out, "%-14s%s, %lld cases\n", "data set",
          json_string_value(json_object_get(plan, "dataset")),
          (long long)json_integer_value(json_object_get(plan, "cases")));
  const char *orientation = json_string_value(json_object_get(preprocessing, "orientation"));
  fprintf(out, "%-14s%s", "orientation", orientation);
  if (strcmp(orientation, ORIENTATION_ANY))
    fprintf(out, " (%lld case(s) are turned to it)",
            (long long)json_integer_value(json_object_get(plan, "turned_cases")));
  fputc('\n', out);
  long long unoriented = json_integer_value(json_object_get(plan, "unoriented_cases"));
  if (unoriented)
    fprintf(out, "%-14s%lld case(s) have no orientation in their header: taken as stored\n", "",
            unoriented);
  list_print("spacing mm", json_object_get(preprocessing, "spacing_mm"), " x ", out);
  list_print("median shape", json_object_get(plan, "median_shape"), " x ", out);
  const char *configuration = json_string_value(json_object_get(plan, "configuration"));
  if (configuration && !strcmp(configuration, "2d"))
    fprintf(out, "%-14s2d: slice by slice\n", "configuration");
  list_print("patch", json_object_get(plan, "patch"), " x ", out);
  fprintf(out, "%-14s%lld (budget: %s)\n", "batch",
          (long long)json_integer_value(json_object_get(plan, "batch")),
          json_string_value(json_object_get(plan, "budget")));
  list_print("strides", json_object_get(plan, "strides"), " x ", out);
  list_print("kernels", json_object_get(plan, "kernels"), " x ", out);
  const json_t *blocks = json_object_get(plan, "encoder_blocks");
  if (blocks) list_print("blocks", blocks, "  ", out);
  size_t i;
  json_t *channel;
  json_array_foreach(json_object_get(preprocessing, "channels"), i, channel) {
    channel_print((int)i, channel, json_is_true(json_object_get(preprocessing, "nonzero_mask")),
                  out);
  }
}

static bool is_among(const char *word, const char *const *name, int count) {
  bool found = false;
  for (int i = 0; i < count; i++) found = found || !strcmp(word, name[i]);
  return found;
}

/* The file may be edited: what nobody would read is no setting. */
static bool keys_known(const json_t *plan, const char *path, Error *error) {
  static const char *const whole[] = {
      "schema",  "dataset",        "cases",         "turned_cases", "unoriented_cases",
      "planner", "budget",         "configuration", "median_shape", "preprocessing",
      "patch",   "batch",          "strides",       "kernels",      "widths",
      "encoder", "encoder_blocks", "key_grid",      "batch_dice",   "lowres",
      "2d"};
  static const char *const part[] = {"orientation", "spacing_mm", "nonzero_mask", "channels"};
  static const struct {
    const char *key, *inside, *other;
    const char *const *name;
    int count;
  } level[] = {
      {NULL, "", "of preprocessing", whole, sizeof whole / sizeof *whole},
      {"preprocessing", "preprocessing: ", "outside it", part, sizeof part / sizeof *part}};
  for (int i = 0; i < 2; i++) {
    const json_t *object = level[i].key ? json_object_get(plan, level[i].key) : plan;
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)object, key, value) {
      if (is_among(key, level[i].name, level[i].count)) continue;
      if (is_among(key, level[1 - i].name, level[1 - i].count))
        return fail(error, "%s: %sunknown key \"%s\"; it is a key %s", path, level[i].inside, key,
                    level[i].other);
      return fail(error, "%s: %sunknown key \"%s\"%s", path, level[i].inside, key,
                  nearest_hint(key, level[i].name, level[i].count, NULL).text);
    }
  }
  return true;
}

bool plan_file_load(const char *dir, json_t **plan, Error *error) {
  char path[PATH_MAX];
  *plan = NULL;
  if (snprintf(path, sizeof path, "%s/plan.json", dir) >= (int)sizeof path)
    return fail(error, "%s: path too long", dir);
  if (access(path, F_OK)) return true;
  *plan = json_file_load(path, JSON_REJECT_DUPLICATES, error);
  if (!*plan) return false;
  Preprocessing preprocessing;
  if (keys_known(*plan, path, error) &&
      preprocessing_read(&preprocessing, json_object_get(*plan, "preprocessing"), path, error))
    return true;
  json_decref(*plan);
  *plan = NULL;
  return false;
}

bool plan_of_data(const char *dir, const char *home, json_t **plan, Error *error) {
  char *folder = derived_find_file(dir, home, "plan.json");
  bool good = plan_file_load(folder, plan, error);
  free(folder);
  return good;
}
