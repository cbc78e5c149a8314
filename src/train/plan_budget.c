#include "src/train/plan_budget.h"
#include "src/train/footprint.h"

#include <string.h>

struct PlanBudget {
  json_t *config; /* every option at the scale "paper"; the U-Net alone */
  double bytes;
  int channels;
  Labelling labelling;
};

static json_t *options_config(const json_t *options, const char *home) {
  json_t *config = json_object(), *row;
  size_t i;
  json_array_foreach((json_t *)options, i, row) {
    json_t *value = json_object_get(row, "paper");
    if (!value) value = json_object_get(row, "default");
    json_object_set(config, json_string_value(json_object_get(row, "name")), value);
  }
  json_object_set_new(config, "scale", json_string("paper"));
  json_object_set_new(config, "home", json_string_nocheck(home));
  json_object_set_new(config, "model", json_string("maskmed"));
  json_object_set_new(config, "head", json_string("point_wise"));
  json_object_set_new(config, "bridge", json_string("none"));
  return config;
}

bool plan_budget_make(PlanBudget **out, const char *home, double bytes, int channels,
                      const Labelling *labelling, Error *error) {
  json_t *options = experiment_options(home, error);
  if (!options) return false;
  PlanBudget *budget = calloc(1, sizeof *budget);
  CHECK(budget, "out of memory");
  *budget = (PlanBudget){options_config(options, home), bytes, channels, *labelling};
  json_decref(options);
  *out = budget;
  return true;
}

void plan_budget_free(PlanBudget *budget) {
  if (!budget) return;
  json_decref(budget->config);
  free(budget);
}

static json_t *stages(const int (*value)[3], int count) {
  json_t *list = json_array();
  for (int i = 0; i < count; i++)
    json_array_append_new(list, json_pack("[i,i,i]", value[i][0], value[i][1], value[i][2]));
  return list;
}

bool plan_budget_cost(void *user, const Topology *t, int batch, double *share, Error *error) {
  PlanBudget *budget = user;
  json_t *widths = json_array();
  for (int i = 0; i < t->stages; i++) json_array_append_new(widths, json_integer(t->width[i]));
  json_object_set_new(budget->config, "patch",
                      json_pack("[i,i,i]", t->patch[0], t->patch[1], t->patch[2]));
  json_object_set_new(budget->config, "batch", json_integer(batch));
  json_object_set_new(budget->config, "widths", widths);
  json_object_set_new(budget->config, "strides", stages(t->stride, t->stages));
  json_object_set_new(budget->config, "kernels", stages(t->kernel, t->stages));
  Footprint footprint;
  if (!footprint_make(&footprint, budget->config, NULL, budget->channels, &budget->labelling,
                      error))
    return false;
  *share = footprint_peak(&footprint) / budget->bytes;
  footprint_free(&footprint);
  return true;
}

bool plan_trains(const char *home, const json_t *plan, int channels, const Labelling *labelling,
                 const char *where, Error *error) {
  static const char *const names[] = {"patch", "batch", "widths", "strides", "kernels", "key_grid"};
  if (!experiment_takes(home, plan, where, error)) return false;
  json_t *options = experiment_options(home, error);
  if (!options) return false;
  json_t *config = options_config(options, home);
  for (size_t i = 0; i < sizeof names / sizeof *names; i++)
    json_object_set(config, names[i], json_object_get(plan, names[i]));
  Footprint footprint;
  Error inner = {""};
  bool good = footprint_make(&footprint, config, NULL, channels, labelling, &inner);
  if (good) footprint_free(&footprint);
  json_decref(config);
  json_decref(options);
  return good || fail(error, "%s: no network can be built by this plan: %s", where, inner.text);
}
