/* plan.json, as experiments take it, and the same bytes as a plans file of nnU-Net's and as a
 * fingerprint. */
#include "lua/bind.h"
#include "src/data/plan/nnunet_plans.h"
#include "src/data/plan/plan_file.h"
#include "src/data/sets/json_text.h"
#include "tests/fuzz/fuzz.h"

#include <string.h>

static Dataset two_channels(void) {
  static char *names[] = {"CT", "MRI"};
  return (Dataset){.dir = "set",
                   .name = "set",
                   .channels = 2,
                   .channel_name = names,
                   .labelling = labelling_plain(3),
                   .labels = 3};
}

static void own(void) {
  json_t *plan;
  Error error = {""}, taken = {""};
  bool good = plan_file_load(fuzz_folder(), &plan, &error);
  fuzz_judge(good, &error);
  if (!plan) return;
  bool takes = experiment_takes(fuzz_home(), plan, "plan.json", &taken);
  fuzz_judge(takes, &taken);
  FILE *none = fopen("/dev/null", "w");
  if (takes) plan_file_print(plan, none);
  fclose(none);
  json_decref(plan);
}

/* As `data plan --from` makes a plan of ours, which experiments take. */
static void nnunet(const Dataset *dataset) {
  NnunetPlans plans;
  char path[512];
  Error error = {""}, taken = {""};
  snprintf(path, sizeof path, "%s/plan.json", fuzz_folder());
  bool good = nnunet_plans_read(&plans, path, NULL, dataset, &error);
  fuzz_judge(good, &error);
  if (!good) return;
  json_t *plan =
      plan_file_json(dataset, &plans.fingerprint, &plans.planned, &plans.planner, "none");
  if (plan) fuzz_judge(experiment_takes(fuzz_home(), plan, path, &taken), &taken);
  json_decref(plan);
  fingerprint_free(&plans.fingerprint);
}

static void fingerprint(const char *path) {
  Fingerprint read;
  Error error = {""};
  bool good = fingerprint_read(&read, path, &error);
  fuzz_judge(good, &error);
  if (good) fingerprint_free(&read);
}

void fuzz_plan(const uint8_t *data, size_t bytes) {
  Dataset dataset = two_channels();
  fuzz_write("plan.json", data, bytes);
  own();
  nnunet(&dataset);
  fingerprint(fuzz_file(data, bytes));
}
