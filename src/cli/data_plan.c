#include "src/cli/data_plan.h"

#include "base/paths.h"
#include "src/data/plan/nnunet_plans.h"
#include "src/data/plan/plan_file.h"
#include "src/data/prepare/preprocess_folder.h"
#include "src/data/sets/derived.h"
#include "src/data/sets/json_text.h"
#include "src/machine/document.h"
#include "src/train/footprint.h"

#include <limits.h>
#include <omp.h>
#include <string.h>

typedef struct Planning {
  const char *dir, *fingerprint, *plans, *cache;
  const Planner *planner;
  double gib;        /* 0: nnU-Net's estimate */
  double spacing[3]; /* mm, D H W; 0: nnU-Net's rule */
  int jobs;
  bool json, verify;
  const char *configuration; /* NULL: what nnU-Net trains first */
} Planning;

enum {
  KEY_BUDGET = 1,
  KEY_FINGERPRINT,
  KEY_JOBS,
  KEY_PLAN_JSON,
  KEY_CACHE,
  KEY_VERIFY,
  KEY_PLANNER,
  KEY_CONFIGURATION,
  KEY_PLANS,
  KEY_SPACING
};

static bool take_planner(const char *text, Planning *request, Error *error) {
  request->planner = planner_named(text);
  return request->planner ||
         fail(error, "--planner needs default, resenc_m, resenc_l or resenc_xl, not \"%s\"", text);
}

static bool take_budget(const char *text, Planning *request, Error *error) {
  if (!strcmp(text, "nnunet")) return true;
  char *end;
  request->gib = strtod(text, &end);
  if (end == text || strcmp(end, "") || !(request->gib > 0 && request->gib < 1e6))
    return fail(error, "--budget needs nnunet or a number of GiB, not \"%s\"", text);
  return true;
}

static bool take_spacing(const char *text, double mm[3], Error *error) {
  const char *at = text;
  bool good = true;
  for (int i = 0; i < 3 && good; i++) {
    char *end;
    mm[i] = strtod(at, &end);
    good = end > at && *end == (i < 2 ? ',' : 0) && mm[i] > 0 && mm[i] < FLAT_MM;
    at = end + 1;
  }
  return good || fail(error,
                      "--spacing needs three sizes of a voxel in mm, D,H,W, such as 9,4,4, "
                      "not \"%s\"",
                      text);
}

static bool take_plan(int key, char *value, void *user, Error *error) {
  Planning *request = user;
  double number = 0;
  if (key == ' ' && request->dir) return false;
  if (key == ' ') request->dir = value;
  if (key == KEY_FINGERPRINT) request->fingerprint = value;
  if (key == KEY_PLANS) request->plans = value;
  if (key == KEY_CONFIGURATION) request->configuration = value;
  if (key == KEY_CACHE) request->cache = value;
  if (key == KEY_PLAN_JSON) request->json = true;
  if (key == KEY_VERIFY) request->verify = true;
  if (key == KEY_BUDGET) return take_budget(value, request, error);
  if (key == KEY_PLANNER) return take_planner(value, request, error);
  if (key == KEY_SPACING) return take_spacing(value, request->spacing, error);
  if (key != KEY_JOBS) return true;
  if (!cli_number("--jobs", value, 1, &number, error)) return false;
  request->jobs = number < 1024 ? (int)number : 1024;
  return true;
}

/* Also of later commands, by HARNESS_CACHE. */
#define CACHE_OPTION                                                                               \
  {                                                                                                \
    "cache", KEY_CACHE, "DIR", 0,                                                                  \
        "Below DIR, in a folder of the data set's own: the prepared volumes, and the plan too "    \
        "where the data set cannot be written to (default: beside the data; HARNESS_CACHE is the " \
        "same)",                                                                                   \
        0                                                                                          \
  }

static const struct argp_option plan_options[] = {
    {"planner", KEY_PLANNER, "default|resenc_m|resenc_l|resenc_xl", 0,
     "nnU-Net's planner: its plain U-Net in 8 GB (default), or its ResEnc presets in 8, 24 or 40 "
     "GB",
     0},
    {"configuration", KEY_CONFIGURATION, "2d|3d_fullres", 0,
     "nnU-Net's: 2d trains on slices of volumes, across their coarsest axis; images of one slice "
     "have no other",
     0},
    {"spacing", KEY_SPACING, "D,H,W", 0,
     "The grid to train on, mm along depth, height and width (default: nnU-Net's rule, mostly the "
     "median); shape, patch and batch follow from it",
     0},
    {"budget", KEY_BUDGET, "nnunet|GIB", 0,
     "The planner's own estimate (default), or the exact memory of a training process here", 0},
    {"fingerprint", KEY_FINGERPRINT, "FILE", 0,
     "Instead of reading the volumes; nnU-Net's dataset_fingerprint.json will do", 0},
    {"plans", KEY_PLANS, "FILE", 0,
     "Instead of planning: a plans file that nnU-Net v2 wrote, plain or ResEnc, and "
     "--configuration of it",
     0},
    {"jobs", KEY_JOBS, "N", 0, "Volumes read at a time (default: the processors)", 0},
    {"json", KEY_PLAN_JSON, 0, 0, "Print the plan as JSON", 0},
    CACHE_OPTION,
    {0}};

static const Cli plan_cli = {
    "data plan",
    "DIR",
    "  harness data plan /data/Task04_Hippocampus\n"
    "  harness data plan /data/Dataset218_AMOS --budget 24\n",
    "Reads every case, writes its fingerprint (DIR/fingerprint.json) and a plan (DIR/plan.json): "
    "spacing, orientation, intensity scale, patch, batch, strides and kernels by nnU-Net's rules. "
    "Experiments with data=DIR then train on the data as planned; plan=none does without.",
    plan_options,
    take_plan};

static const struct argp_option preprocess_options[] = {
    CACHE_OPTION,
    {"jobs", KEY_JOBS, "N", 0, "Volumes at a time (default: what processors and memory allow)", 0},
    {"verify", KEY_VERIFY, 0, 0, "Hash every byte of what is there already", 0},
    {0}};

static const Cli preprocess_cli = {
    "data preprocess",
    "DIR",
    "  harness data preprocess /data/Task04_Hippocampus\n"
    "  harness data preprocess /data/Dataset218_AMOS --cache /scratch/amos\n",
    "Turns, crops, normalises and resamples every case by DIR/plan.json (made first where it is "
    "missing) into files that training maps into memory. What is there, made from the same files "
    "by the same plan, is kept, so an interrupted call goes on. A case that cannot be prepared is "
    "named, the others are made; exit code 3 then.",
    preprocess_options,
    take_plan};

static bool plan_find(const Planning *request, const char *home, const Dataset *dataset,
                      const Fingerprint *fingerprint, Planned *planned, Error *error) {
  const Planner *planner = request->planner;
  const double *spacing = request->spacing[0] > 0 ? request->spacing : NULL;
  NnunetBudget estimate = {planner,
                           dataset->labels + (dataset->labelling.ignore > 0)}; /* nnU-Net's count */
  if (!request->gib)
    return plan_data(fingerprint, planner, spacing, nnunet_cost, &estimate, false, planned, error);
  if (planner->residual)
    return fail(error,
                "--budget %g is the exact memory of the plain U-Net; a ResEnc preset is "
                "planned by nnU-Net's estimate, so leave --budget or --planner out",
                request->gib);
  PlanBudget *budget;
  if (!plan_budget_make(&budget, home, request->gib * 0x1p30, dataset->channels,
                        &dataset->labelling, error))
    return false;
  bool good =
      plan_data(fingerprint, planner, spacing, plan_budget_cost, budget, true, planned, error);
  plan_budget_free(budget);
  return good;
}

/* The configuration that was asked for becomes the one that trains. */
static bool configuration_choose(const char *name, const char *dir, Planned *p, Error *error) {
  bool flat = p->fullres.topology.flat;
  if (!name || (!strcmp(name, "2d") && flat) || (!strcmp(name, "3d_fullres") && !flat)) return true;
  if (strcmp(name, "2d") && strcmp(name, "3d_fullres"))
    return fail(error,
                "--configuration needs 2d or 3d_fullres, not \"%s\"; nnU-Net's low resolution and "
                "cascade are not trained",
                name);
  if (flat) return fail(error, "%s: images of one slice have no configuration 3d_fullres", dir);
  if (!p->has_slices)
    return fail(error,
                "%s: there is no configuration 2d: slices are too small, or --budget is an exact "
                "one, which plans volumes alone",
                dir);
  *p = (Planned){.fullres = p->slices};
  return true;
}

static bool fingerprint_find(const Planning *request, const Dataset *dataset,
                             Fingerprint *fingerprint, Error *error) {
  char path[PATH_MAX];
  snprintf(path, sizeof path, "%.4000s/fingerprint.json", dataset->derived);
  if (!request->fingerprint)
    return fingerprint_make(fingerprint, dataset, request->jobs, false, error) &&
           fingerprint_write(fingerprint, path, error);
  if (!fingerprint_read(fingerprint, request->fingerprint, error)) return false;
  if (fingerprint->channels == dataset->channels) {
    if (fingerprint_orient(fingerprint, dataset, error)) return true;
  } else
    fail(error, "%s: %d channel(s), but dataset.json names %d", request->fingerprint,
         fingerprint->channels, dataset->channels);
  fingerprint_free(fingerprint);
  return false;
}

/* Where everything that is made of the data set goes. */
static bool place(const Planning *request, const char *home, Dataset *dataset, Error *error) {
  free(dataset->derived);
  dataset->derived = derived_make(dataset->dir, home, request->cache, error);
  return dataset->derived != NULL;
}

static json_t *plan_by_rules(const Planning *request, const char *home, const Dataset *dataset,
                             Error *error) {
  Fingerprint fingerprint;
  Planned planned;
  if (!fingerprint_find(request, dataset, &fingerprint, error)) return NULL;
  bool good = plan_find(request, home, dataset, &fingerprint, &planned, error) &&
              configuration_choose(request->configuration, dataset->dir, &planned, error);
  char budget[64];
  snprintf(budget, sizeof budget, "%g GiB", request->gib);
  json_t *plan = good ? plan_file_json(dataset, &fingerprint, &planned, request->planner,
                                       request->gib ? budget : request->planner->words)
                      : NULL;
  fingerprint_free(&fingerprint);
  return plan;
}

static json_t *plan_by_nnunet(const Planning *request, const Dataset *dataset, Error *error) {
  NnunetPlans read;
  if (request->spacing[0] > 0)
    return fail(error, "--spacing: a plans file of nnU-Net has its own; leave one of both out"),
           NULL;
  if (!nnunet_plans_read(&read, request->plans, request->configuration, dataset, error))
    return NULL;
  json_t *plan =
      plan_file_json(dataset, &read.fingerprint, &read.planned, &read.planner, read.planner.words);
  fingerprint_free(&read.fingerprint);
  return plan;
}

/* Makes plan.json; *plan is the caller's. */
static bool plan_make_file(const Planning *request, const char *home, Dataset *dataset,
                           json_t **plan, Error *error) {
  char path[PATH_MAX];
  if (!place(request, home, dataset, error)) return false;
  *plan = request->plans ? plan_by_nnunet(request, dataset, error)
                         : plan_by_rules(request, home, dataset, error);
  if (!*plan) return false;
  snprintf(path, sizeof path, "%.4000s/plan.json", dataset->derived);
  if (plan_trains(home, *plan, dataset->channels, &dataset->labelling, path, error) &&
      json_text_write(*plan, path, error))
    return true;
  json_decref(*plan);
  *plan = NULL;
  return false;
}

/* A cache elsewhere of a data set whose own folder can be written to: a link there leads to it. */
static bool cache_link(const Planning *request, const Dataset *dataset, Error *error) {
  const char *root = derived_cache(request->cache);
  if (!root || strcmp(dataset->derived, dataset->dir)) return true;
  char *folder = derived_below(root, dataset->dir), *target = path_join(folder, "preprocessed");
  bool good = preprocess_place(dataset, target, error);
  free(folder);
  free(target);
  return good;
}

/* What is all there already needs no place to write. */
static bool place_volumes(const Planning *request, const char *home, Dataset *dataset,
                          const Preprocessing *preprocessing, Error *error) {
  free(dataset->derived);
  dataset->derived = derived_find(dataset->dir, home);
  if (!request->cache && preprocess_fresh(dataset, preprocessing, NULL)) return true;
  return place(request, home, dataset, error) && cache_link(request, dataset, error);
}

static bool preprocess(const Planning *request, const char *home, Dataset *dataset, Error *error) {
  json_t *plan;
  if (!plan_of_data(dataset->dir, home, &plan, error)) return false;
  if (!plan && !plan_make_file(request, home, dataset, &plan, error)) return false;
  Preprocessing preprocessing;
  bool good = preprocessing_read(&preprocessing, json_object_get(plan, "preprocessing"),
                                 "plan.json", error) &&
              preprocessing_fits(json_object_get(plan, "preprocessing"), dataset, error);
  json_decref(plan);
  if (!good || !place_volumes(request, home, dataset, &preprocessing, error)) return false;
  PreprocessOptions options = {.jobs = request->jobs, .verify = request->verify};
  PreprocessOutcome outcome;
  good = preprocess_folder(dataset, &preprocessing, &options, &outcome, error);
  fprintf(stderr, "%s/preprocessed: %d made, %d there already, %d failed; %.1f MiB\n",
          dataset->derived, outcome.made, outcome.kept, outcome.failed, outcome.bytes / 0x1p20);
  return good;
}

int data_plan_command(bool only_plan, int argc, char **argv) {
  Common common;
  Error error = {""};
  const Cli *cli = only_plan ? &plan_cli : &preprocess_cli;
  Planning request = {.planner = planners, .jobs = omp_get_num_procs()};
  cli_parse(cli, argc, argv, &common, &request);
  if (!request.dir) {
    fail(&error, "harness %s needs a folder: DIR", cli->name);
    return cli_error(EXIT_USAGE, &error);
  }
  Dataset dataset;
  if (!dataset_open(&dataset, request.dir, &error)) return cli_error(EXIT_UNFIT, &error);
  json_t *plan = NULL;
  bool good = only_plan ? plan_make_file(&request, common.home, &dataset, &plan, &error)
                        : preprocess(&request, common.home, &dataset, &error);
  if (plan && !request.json) plan_file_print(plan, stdout);
  if (plan && request.json)
    document_print(document_make("plan", (DocumentOf){0}, plan), stdout);
  else
    json_decref(plan);
  dataset_free(&dataset);
  return good ? EXIT_DONE : cli_error(EXIT_UNFIT, &error);
}
