/* Runs an optimiser and a schedule on given gradients, for tests/oracle/updates.py:
 *
 *   update_driver FOLDER float|double
 *
 * FOLDER/job.json: {"config": options as a trial's configuration has them, "updates": N,
 * "groups": [{"name", "rate", "decay"}], "params": [{"name", "count", "group", "role", "late"}]},
 * the role a number of ParamRole. FOLDER/weights.raw (count of all parameters) and gradients.raw
 * (N times as many) are double, as what is written beside them: rates.raw (N), norms.raw (N),
 * trained.raw and one KEPT.raw for each of the optimiser's blocks, average.raw where there is
 * one. */
#include "src/train/config.h"

#include <omp.h>
#include <string.h>

static FILE *file_of(const char *folder, const char *name, const char *mode) {
  char path[4096];
  snprintf(path, sizeof path, "%s/%s.raw", folder, name);
  FILE *file = fopen(path, mode);
  CHECK(file, "%s: cannot open", path);
  return file;
}

static double number_at(const Params *params, const void *data, int64_t i) {
  return params->real == F64 ? ((const double *)data)[i] : (double)((const float *)data)[i];
}

/* Every parameter's numbers of a block, one after another, from or to a file. */
static void block_read(const Params *params, void *block, FILE *file) {
  for (int p = 0; p < params->count; p++) {
    void *data = params_at(params, block, params->list[p]);
    for (int64_t i = 0; i < tensor_count(&params->list[p]->shape); i++) {
      double value;
      CHECK(fread(&value, sizeof value, 1, file) == 1, "a file ends early");
      if (params->real == F64)
        ((double *)data)[i] = value;
      else
        ((float *)data)[i] = (float)value;
    }
  }
}

static void block_write(const Params *params, const void *block, FILE *file) {
  for (int p = 0; p < params->count; p++) {
    const void *data = params_at(params, block, params->list[p]);
    for (int64_t i = 0; i < tensor_count(&params->list[p]->shape); i++) {
      double value = number_at(params, data, i);
      fwrite(&value, sizeof value, 1, file);
    }
  }
  CHECK(fclose(file) == 0, "cannot write");
}

static Group group_of(Params *params, const char *name) {
  Error error = {0};
  Group group = params_group(params, name, &error);
  CHECK(group >= 0, "%s", error.text);
  return group;
}

static void params_read(Params *params, const json_t *job) {
  json_t *row;
  size_t i;
  json_array_foreach(json_object_get(job, "groups"), i, row) {
    ParamGroup *group = &params->group[group_of(params, config_text(row, "name"))];
    group->factor = config_number(row, "rate");
    group->decay = json_is_true(json_object_get(row, "decay"));
  }
  json_array_foreach(json_object_get(job, "params"), i, row) {
    const ParamAs as = {.role = (ParamRole)config_int(row, "role"),
                        .group = group_of(params, config_text(row, "group")),
                        .late = json_is_true(json_object_get(row, "late"))};
    int64_t count[1] = {config_int(row, "count")};
    Error error = {0};
    CHECK(params_get(params, config_text(row, "name"), 1, count, &as, &error), "%s", error.text);
  }
}

static void run(const char *folder, const json_t *job, DType real) {
  const json_t *config = json_object_get(job, "config");
  Error error = {0};
  Params *params = params_make(real);
  Optimizer optimizer = config_optimizer(config, params);
  RateSchedule rates = config_rates(config);
  params_read(params, job);
  CHECK(params_allocate(params, 0, &error), "%s", error.text);
  FILE *weights = file_of(folder, "weights", "rb"), *gradients = file_of(folder, "gradients", "rb");
  FILE *rate_file = file_of(folder, "rates", "wb"), *norm_file = file_of(folder, "norms", "wb");
  block_read(params, params->host[PARAM_TRAINED], weights);
  for (int64_t step = 0; step < config_int(job, "updates"); step++) {
    block_read(params, params->host[BLOCK_GRADIENT], gradients);
    double rate = rate_schedule_at(&rates, step), norm = optimizer_step(&optimizer, params, rate);
    fwrite(&rate, sizeof rate, 1, rate_file);
    fwrite(&norm, sizeof norm, 1, norm_file);
  }
  fclose(weights);
  fclose(gradients);
  CHECK(fclose(rate_file) == 0 && fclose(norm_file) == 0, "cannot write");
  block_write(params, params->host[PARAM_TRAINED], file_of(folder, "trained", "wb"));
  for (int i = 0; i < params->states; i++)
    block_write(params, params->host[BLOCK_STATE + i],
                file_of(folder, params->state_name[i], "wb"));
  if (params->averaged)
    block_write(params, params->host[BLOCK_AVERAGE], file_of(folder, "average", "wb"));
  params_free(params);
}

int main(int argc, char **argv) {
  if (argc != 3) {
    fprintf(stderr, "usage: update_driver FOLDER float|double\n");
    return 2;
  }
  char path[4096];
  json_error_t reason;
  omp_set_num_threads(1);
  snprintf(path, sizeof path, "%s/job.json", argv[1]);
  json_t *job = json_load_file(path, 0, &reason);
  CHECK(job, "%s: %s", path, reason.text);
  run(argv[1], job, strcmp(argv[2], "double") == 0 ? F64 : F32);
  json_decref(job);
  return 0;
}
