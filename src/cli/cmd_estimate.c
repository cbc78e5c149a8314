/* harness estimate: what an experiment would cost, before it is run: parameters, work and memory
 * from the plans, hours from a rate that is measured or was stored. Nothing of a step's size is
 * allocated unless the step is small enough to be timed. */
#include "base/clock.h"
#include "base/error.h"
#include "engine/storage.h"
#include "lua/bind.h"
#include "src/bench/step.h"
#include "src/cli/cli.h"
#include "src/cli/estimate.h"
#include "src/cli/estimate_text.h"
#include "src/cli/experiment_files.h"
#include "src/data/phantom/phantom2d.h"
#include "src/data/phantom/scenes.h"
#include "src/data/plan/plan_file.h"
#include "src/data/sets/dataset.h"
#include "src/machine/document.h"
#include "src/report/prospect.h"
#include "src/report/wrap.h"
#include "src/store/field.h"
#include "src/store/store.h"
#include "src/train/config.h"
#include "src/train/footprint.h"

#include <jansson.h>
#include <omp.h>
#include <string.h>

/* ---- the estimate ---------------------------------------------------------------------------- */

/* Where it is estimated. gpu: a name of kernels/cuda/devices, for which cuDNN plans here without
 * it; NULL: this machine. */
typedef struct EstimatePlace {
  const char *home, *db, *gpu;
} EstimatePlace;

/* A step of so much work is timed itself: some seconds on two cores. */
static const double TIMED_FLOPS = 3e11, TIMED_SECONDS = 1;

typedef struct Rate {
  double gflops; /* 0: not asked yet */
  char from[160];
} Rate;

/* ---- the rate of steps too large to be timed ------------------------------------------------- */

static const char RATE_STEP[] = "unet-64";
static const char rate_sql[] =
    "SELECT r.gflops, r.run_id, r.threads FROM bench_rows r WHERE r.kernel = 'step:unet-64'"
    " AND r.device = ?2 AND (r.threads = ?1 OR ?2 <> 'cpu') AND r.gflops > 0"
    " ORDER BY r.run_id DESC LIMIT 1";

static void stored_rate(const char *db, const Backend *backend, int threads, Rate *rate) {
  Store *store = NULL;
  Error error = {""};
  json_t *rows = NULL, *parameters = json_pack("[i, s]", threads, backend->name);
  if (store_exists(db) && store_open(&store, db, STORE_READ, &error) &&
      store_query(store, rate_sql, parameters, &rows, &error) && json_array_size(rows)) {
    const json_t *row = json_array_get(rows, 0);
    rate->gflops = json_number_value(json_object_get(row, "gflops"));
    snprintf(rate->from, sizeof rate->from, "step:%s of stored bench run %lld", RATE_STEP,
             (long long)json_integer_value(json_object_get(row, "run_id")));
  }
  json_decref(rows);
  json_decref(parameters);
  store_close(store);
}

/* A whole training step of a plain U-Net, twice; the second counts. */
static bool measure_rate(const char *home, const Backend *backend, int threads, Rate *rate,
                         Error *error) {
  const StepCase *c = step_cases;
  while (c->name && strcmp(c->name, RATE_STEP) != 0) c++;
  Step step;
  if (!step_make_on(&step, c, backend, home, threads, error)) return false;
  step_run(&step);
  double start = seconds_now();
  step_run(&step);
  rate->gflops = graph_cost(step.graph).flops / (seconds_now() - start) / 1e9;
  snprintf(rate->from, sizeof rate->from, "step:%s, measured now", RATE_STEP);
  step_free(&step);
  return true;
}

static bool find_rate(const char *home, const char *db, const Backend *backend, int threads,
                      Rate *rate, Error *error) {
  if (rate->gflops == 0) stored_rate(db, backend, threads, rate);
  return rate->gflops > 0 || measure_rate(home, backend, threads, rate, error);
}

/* ---- rows ------------------------------------------------------------------------------------ */

static bool data_shape(const json_t *experiment, const json_t *config, int *channels,
                       Labelling *labelling, Error *error) {
  const json_t *data = json_object_get(experiment, "data");
  const char *kind = json_string_value(json_object_get(data, "kind"));
  const char *picture =
      json_string_value(json_object_get(json_object_get(data, "options"), "picture"));
  bool scenes = picture && !strcmp(picture, "scenes");
  *channels = scenes ? SCENES_CHANNELS : picture ? PHANTOM2D_COLOURS : 1;
  if (!strcmp(kind, "phantom") && picture)
    *labelling = labelling_plain(scenes ? 1 + SCENES_TARGETS : 2);
  else if (!strcmp(kind, "phantom"))
    *labelling = labelling_plain(1 + (int)config_int(json_object_get(data, "options"), "organs"));
  else if (!strcmp(kind, "none"))
    *labelling = labelling_plain((int)config_int(config, "classes"));
  else {
    Dataset dataset;
    if (!dataset_open(&dataset, config_text(data, "dir"), error)) return false;
    *channels = dataset.channels;
    *labelling = dataset.labelling;
    dataset_free(&dataset);
  }
  return true;
}

bool estimate_footprint(const json_t *experiment, const json_t *config, const Backend *backend,
                        Footprint *f, Error *error) {
  int channels;
  Labelling labelling;
  return data_shape(experiment, config, &channels, &labelling, error) &&
         footprint_make(f, config, backend, channels, &labelling, error);
}

static bool time_row(Footprint *f, const json_t *config, const char *home, const char *db,
                     Rate *rate, json_t *row, Error *error) {
  bool timed = footprint_fits(f, TIMED_FLOPS);
  if (timed && !footprint_run(f, config, TIMED_SECONDS, error)) return false;
  int threads = (int)config_int(config, "threads");
  if (!timed && !find_rate(home, db, f->backend, threads, rate, error)) return false;
  double step_s = timed ? f->step_s : f->flops / rate->gflops / 1e9;
  int64_t steps = config_int(config, "steps");
  json_object_set_new(row, "steps", json_integer(steps));
  json_object_set_new(row, "step_s", json_real(step_s));
  json_object_set_new(row, "hours", json_real(step_s * (double)steps / 3600));
  json_object_set_new(row, "from", json_string(timed ? "measured" : "rate"));
  return true;
}

/* What a step does on a GPU that is not here, and the scratch of its greediest node. */
static bool gpu_row(Footprint *f, json_t *row, Error *error) {
  int64_t launches;
  size_t scratch = 0;
  if (!footprint_launches(f, &launches, error)) return false;
  for (int i = 0; i < f->graph->node_count; i++)
    if (f->graph->nodes[i]->call.scratch_bytes > scratch)
      scratch = f->graph->nodes[i]->call.scratch_bytes;
  json_object_set_new(row, "launches", json_integer(launches));
  json_object_set_new(row, "least_bytes", json_real(f->least_bytes));
  json_object_set_new(row, "scratch_bytes", json_integer((json_int_t)scratch));
  return true;
}

/* What training would take if blocks kept what they compute again. */
static bool kept_row(const json_t *config, const Backend *gpu, int channels,
                     const Labelling *labelling, json_t *row, Error *error) {
  if (!json_is_true(json_object_get(config, "recompute"))) return true;
  json_t *keeps = json_copy((json_t *)(uintptr_t)config);
  json_object_del(keeps, "recompute");
  Footprint f;
  bool good = footprint_make(&f, keeps, gpu, channels, labelling, error);
  if (good) json_object_set_new(row, "kept_bytes", json_real(footprint_peak(&f)));
  if (good) footprint_free(&f);
  json_decref(keeps);
  return good;
}

static bool fill_row(const json_t *experiment, const json_t *config, const EstimatePlace *place,
                     const Backend *gpu, Rate *rate, json_t *row, Error *error) {
  int channels;
  Labelling labelling;
  Footprint f;
  if (!data_shape(experiment, config, &channels, &labelling, error) ||
      !footprint_make(&f, config, gpu, channels, &labelling, error))
    return false;
  int64_t numbers = f.parameters + params_numbers(f.params, PARAM_BUFFER);
  double weights = (double)dtype_bytes(f.params->real) * (double)numbers;
  json_object_set_new(row, "parameters", json_integer(f.parameters));
  json_object_set_new(row, "trained", json_integer(f.trained));
  json_object_set_new(row, "flops", json_real(f.flops));
  json_object_set_new(row, "macs", json_real(f.macs));
  json_object_set_new(row, "train_bytes", json_real(footprint_peak(&f)));
  json_object_set_new(row, "infer_bytes", json_real((double)f.infer_bytes + weights));
  json_object_set_new(row, "weight_bytes", json_real(weights));
  bool good = gpu ? gpu_row(&f, row, error)
                  : time_row(&f, config, place->home, place->db, rate, row, error);
  footprint_free(&f);
  return good && kept_row(config, gpu, channels, &labelling, row, error);
}

/* The first cell of row `index`; cells: how many it has. */
static json_t *cell_of(const json_t *experiment, size_t index, int *cells) {
  json_t *cell, *found = NULL;
  size_t i;
  *cells = 0;
  json_array_foreach(json_object_get(experiment, "cells"), i, cell) {
    if ((size_t)json_integer_value(json_object_get(cell, "row")) != index) continue;
    if (!found) found = cell;
    (*cells)++;
  }
  return found;
}

/* How many tries of rates come before the row's trials; its configuration gets the first one's
 * rate, since what a trial costs does not hang on it. */
static int tries_before(const json_t *experiment, size_t index, json_t *config) {
  const json_t *tries = json_object_get(experiment, "tries"), *cell;
  size_t i;
  int count = 0;
  json_array_foreach(json_object_get(tries, "cells"), i, cell) {
    const json_t *row = json_array_get(json_object_get(tries, "rows"),
                                       (size_t)json_integer_value(json_object_get(cell, "row")));
    if ((size_t)json_integer_value(json_object_get(row, "of")) != index) continue;
    if (!count++)
      json_object_set(config, "lr", json_object_get(json_object_get(cell, "config"), "lr"));
  }
  return count;
}

/* Rows of one training (see store.h) train once: false for all but the first of them. trained:
 * hashes of those before. */
static bool trains_anew(const json_t *experiment, const json_t *config, json_t *trained) {
  char hash[HASH_BYTES];
  Error error = {""};
  if (!training_hash(config, json_object_get(experiment, "evaluation"), "", hash, &error))
    return true;
  bool known = json_object_get(trained, hash) != NULL;
  json_object_set_new(trained, hash, json_true());
  return !known;
}

/* What this processor cannot compute is a row that says so, beside the others. */
static bool works_here(const json_t *config, json_t *row) {
  Error why = {""};
  bool half = !strcmp(field_text(config, "dtype"), "bf16");
  if (storage_works(half ? BF16 : F32, &backend_cpu, &why)) return true;
  json_object_set_new(row, "not_estimated", json_string(why.text));
  return false;
}

/* Rows of the trials that others start from, each trained once. */
static bool add_starts(const json_t *experiment, const EstimatePlace *place, const Backend *gpu,
                       Rate *rate, json_t *rows, double *hours, Error *error) {
  const json_t *list, *cell;
  size_t i, k;
  json_array_foreach(json_object_get(experiment, "starts"), i, list) {
    json_array_foreach(json_object_get(list, "cells"), k, cell) {
      json_t *config = json_copy(json_object_get(cell, "config"));
      const json_t *line = json_array_get(json_object_get(list, "rows"), k);
      json_t *row = json_pack("{s:O, s:s+, s:b}", "key", json_object_get(line, "key"), "label",
                              "to start from: ", field_text(line, "label"), "start", true);
      json_object_set_new(config, "home", json_string(place->home));
      omp_set_num_threads((int)config_int(config, "threads"));
      bool good = (!gpu && !works_here(config, row)) ||
                  fill_row(list, config, place, gpu, rate, row, error);
      *hours += json_number_value(json_object_get(row, "hours"));
      json_array_append_new(rows, row);
      json_decref(config);
      if (!good) return false;
    }
  }
  return true;
}

/* experiment: of experiment_read. One object that the caller decrefs:
 * a document's head (document.h) and {"scale", "threads", "seeds", "hours" (all cells, and before
 *  them "tries" of rates, which take "tries_hours", and trials to start from, "starts_hours"),
 *  "rate": {"gflops", "from"} where it was needed, "power": what its claims could come to
 *  (prospect.h), "rows": [{"key", "label", "parameters", "trained" (of them), "flops", "macs" (of a
 *  patch's inference, macs.h), "train_bytes", "infer_bytes", "weight_bytes", "steps", "step_s",
 *  "hours" (one seed), "from", "start" (others start from it: trained once)}]}.
 * With recompute: "kept_bytes", train_bytes without it. train_bytes: arena, weights, gradients, the
 * optimiser's states; infer_bytes: arena and weights; from: "measured"
 * or "rate". db: where a bench may be stored. With a GPU: {"gpu", "gpu_bytes"}, and of each row in
 * place of times "launches" and "least_bytes" (moved if each operand of a node is, once), of a
 * step; "scratch_bytes", the most that a node's kernels and libraries take beside its operands.
 * False: a row cannot be built, with the reason. */
static bool estimate_make(const json_t *experiment, const EstimatePlace *place, json_t **estimate,
                          Error *error) {
  const Backend *gpu = place->gpu ? backend_planned(place->home, place->gpu, error) : NULL;
  *estimate = NULL;
  if (place->gpu && !gpu) return false;
  json_t *rows = json_array(), *trained = json_object(), *line;
  Rate rate = {0};
  double hours = 0, tries_hours = 0, starts_hours = 0;
  int cells = 0, threads = 1, tries = 0;
  bool good = true;
  size_t i;
  json_array_foreach(json_object_get(experiment, "rows"), i, line) {
    json_t *config = json_copy(json_object_get(cell_of(experiment, i, &cells), "config"));
    json_t *row = json_pack("{s:O, s:O}", "key", json_object_get(line, "key"), "label",
                            json_object_get(line, "label"));
    bool anew = trains_anew(experiment, config, trained);
    int tried = tries_before(experiment, i, config);
    json_object_set_new(config, "home", json_string(place->home));
    threads = (int)config_int(config, "threads");
    omp_set_num_threads(threads);
    if (gpu || works_here(config, row))
      good = fill_row(experiment, config, place, gpu, &rate, row, error);
    json_decref(config);
    json_array_append_new(rows, row);
    if (!good) break;
    double trial_hours = json_number_value(json_object_get(row, "hours"));
    tries += anew ? tried : 0;
    tries_hours += anew ? tried * trial_hours : 0;
    hours += anew ? (tried + cells) * trial_hours : 0;
  }
  good = good && add_starts(experiment, place, gpu, &rate, rows, &starts_hours, error);
  hours += starts_hours;
  json_decref(trained);
  const DocumentOf of = {field_text(experiment, "experiment"), NULL, NULL};
  *estimate =
      document_make("estimate", of,
                    json_pack("{s:O, s:i, s:i, s:o}", "scale", json_object_get(experiment, "scale"),
                              "threads", threads, "seeds", cells, "rows", rows));
  if (!gpu) json_object_set_new(*estimate, "hours", json_real(hours));
  if (tries) json_object_set_new(*estimate, "tries", json_integer(tries));
  if (tries && !gpu) json_object_set_new(*estimate, "tries_hours", json_real(tries_hours));
  if (starts_hours > 0) json_object_set_new(*estimate, "starts_hours", json_real(starts_hours));
  if (rate.gflops > 0)
    json_object_set_new(*estimate, "rate",
                        json_pack("{s:f, s:s}", "gflops", rate.gflops, "from", rate.from));
  if (gpu) json_object_set_new(*estimate, "gpu", json_string(place->gpu));
  if (gpu) json_object_set_new(*estimate, "gpu_bytes", json_real((double)gpu->available()));
  if (good) return true;
  json_decref(*estimate);
  *estimate = NULL;
  return false;
}

bool estimate_trial(const json_t *experiment, const char *home, const char *db, double *trial_s) {
  const EstimatePlace place = {home, db, NULL};
  Error error = {""};
  json_t *estimate;
  if (!estimate_make(experiment, &place, &estimate, &error)) return false;
  double hours = field_number(estimate, "hours") -
                 json_number_value(json_object_get(estimate, "tries_hours")) -
                 json_number_value(json_object_get(estimate, "starts_hours"));
  size_t cells = json_array_size(json_object_get(experiment, "cells"));
  json_decref(estimate);
  *trial_s = cells ? 3600 * hours / (double)cells : 0;
  return *trial_s > 0;
}

/* ---- the command ----------------------------------------------------------------------------- */

enum { OVERRIDES_MAX = 256, KEY_JSON = 1, KEY_SCALE, KEY_DEVICE, KEY_GPU };

typedef struct Request {
  const char *file;
  char *override[OVERRIDES_MAX];
  int overrides;
  char scale[64]; /* "scale=paper", empty: not given */
  char device[64];
  const char *gpu;
  bool json;
} Request;

static const struct argp_option options[] = {
    {"scale", KEY_SCALE, "NAME", 0, "The same as scale=NAME", 0},
    {"device", KEY_DEVICE, "cpu|cuda", 0, "Where it would run", 0},
    {"gpu", KEY_GPU, "a100|h100|h200", 0,
     "Memory, launches and traffic of a step on a GPU that need not be here, with cuDNN's own "
     "plans for it",
     0},
    {"json", KEY_JSON, 0, 0, "One JSON document on standard output", 0},
    {0}};

static bool take(int key, char *value, void *user, Error *error) {
  Request *r = user;
  if (key == KEY_JSON) r->json = true;
  if (key == KEY_GPU) r->gpu = value;
  if (key == KEY_GPU) snprintf(r->device, sizeof r->device, "device=cuda");
  if (key == KEY_DEVICE) snprintf(r->device, sizeof r->device, "device=%s", value);
  if (key == KEY_SCALE) snprintf(r->scale, sizeof r->scale, "scale=%s", value);
  if (key != ' ') return true;
  if (!r->file) {
    r->file = value;
    return true;
  }
  if (!strchr(value, '='))
    return fail(error, "\"%s\" is no override; write key=value, such as scale=paper", value);
  if (r->overrides == OVERRIDES_MAX - 1) return fail(error, "too many overrides");
  r->override[r->overrides++] = value;
  return true;
}

static const Cli cli = {
    "estimate",
    "FILE [key=value ...]",
    "  harness estimate experiments/query_count.lua scale=paper\n"
    "  harness estimate experiments/seg_heads.lua --json\n"
    "  harness estimate experiments/query_count.lua --gpu h200 scale=paper dtype=bf16\n",
    "Plans each variant of an experiment and prints parameters, work and memory of a training "
    "step, and how long the training would take on this machine: from a few steps where they fit, "
    "otherwise from the rate of a U-Net's step (a stored bench of this many threads, or measured "
    "now); and which differences its seeds and cases would show. Nothing of the size of a step is "
    "allocated that does not fit.",
    options,
    take};

/* What its claims could come to, from what is stored. */
static bool find_prospect(const char *db, const json_t *experiment, Prospect *prospect,
                          Error *error) {
  Store *store = NULL;
  bool good = (!store_exists(db) || store_open(&store, db, STORE_READ, error)) &&
              prospect_make(store, experiment, prospect, error);
  store_close(store);
  return good;
}

int command_estimate(int argc, char **argv) {
  Common common;
  Error error = {""};
  Request request = {.file = NULL};
  cli_parse(&cli, argc, argv, &common, &request);
  if (!request.file) {
    fail(&error, "harness estimate needs an experiment: FILE, such as experiments/query_count.lua");
    return cli_error(EXIT_USAGE, &error);
  }
  if (request.scale[0]) request.override[request.overrides++] = request.scale;
  if (request.device[0] && request.overrides < OVERRIDES_MAX)
    request.override[request.overrides++] = request.device;
  json_t *experiment = NULL, *estimate = NULL;
  char file[EXPERIMENT_PATH];
  if (!experiment_meant(common.home, request.file, file, &error) ||
      !experiment_read(common.home, file, request.overrides, request.override, plan_of_data,
                       &experiment, &error))
    return cli_error(EXIT_USAGE, &error);
  bool good = !json_object_get(experiment, "experiments") ||
              fail(&error, "%s lists experiments; estimate one of them", request.file);
  const EstimatePlace place = {common.home, common.db, request.gpu};
  Prospect prospect;
  good = good && find_prospect(common.db, experiment, &prospect, &error) &&
         estimate_make(experiment, &place, &estimate, &error);
  json_decref(experiment);
  if (!good) return cli_error(EXIT_UNFIT, &error);
  if (request.json) {
    json_object_set_new(estimate, "power", prospect_json(&prospect));
    document_print(estimate, stdout);
  } else {
    estimate_print(estimate, stdout);
    Wrapping wrapping;
    prospect_print(&prospect, wrap_begin(&wrapping, stdout));
    wrap_end(&wrapping);
    json_decref(estimate);
  }
  return EXIT_DONE;
}
