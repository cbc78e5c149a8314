/* harness estimate: what an experiment would cost; the work is in src/bench/estimate.c. */
#include "src/bench/estimate.h"

#include <string.h>

#include "lua/bind.h"
#include "src/cli/cli.h"
#include "src/data/plan/plan_file.h"
#include "src/data/sets/json_text.h"

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
     "plans "
     "for it",
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
    "step, "
    "and how long the training would take on this machine: from a few steps where they fit, "
    "otherwise from the rate of a U-Net's step (a stored bench of this many threads, or measured "
    "now). Nothing of the size of a step is allocated that does not fit.",
    options,
    take};

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
  if (!experiment_read(common.home, request.file, request.overrides, request.override, plan_of_data,
                       &experiment, &error))
    return cli_error(EXIT_USAGE, &error);
  bool good = !json_object_get(experiment, "experiments") ||
              fail(&error, "%s lists experiments; estimate one of them", request.file);
  const EstimatePlace place = {common.home, common.db, request.gpu};
  good = good && estimate_make(experiment, &place, &estimate, &error);
  json_decref(experiment);
  if (!good) return cli_error(EXIT_UNFIT, &error);
  if (request.json) {
    json_document(estimate, stdout, JSON_INDENT(1) | JSON_REAL_PRECISION(9));
  } else {
    estimate_print(estimate, stdout);
  }
  json_decref(estimate);
  return EXIT_DONE;
}
