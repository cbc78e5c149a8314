/* What is typed after `harness run`. */
#include <string.h>

#include "base/nearest.h"
#include "src/cli/run.h"
#include "src/data/batches/loader.h"

enum {
  KEY_DRY = 'n',
  KEY_JOBS = 'j',
  KEY_DEVICE = 1,
  KEY_RETRY,
  KEY_TIMEOUT,
  KEY_JSON,
#define FLAG(field, option, argument, fallback, least, most, help) KEY_##field,
#define GIVEN(field)
#include "src/train/flags.def"
#undef FLAG
};

static const struct argp_option options[] = {
    {"dry-run", 'n', 0, 0, "Show what would run; change nothing", 0},
    {"device", KEY_DEVICE, "cpu|cuda", 0, "Where the trials compute; cuda:1 is the second GPU", 0},
    {"jobs", 'j', "N", 0, "Trials at a time (default: processors / threads of a trial)", 0},
    {"retry", KEY_RETRY, "CLASS,...", 0,
     "Run again what ended so: failed, oom, collapsed, timeout; `all` is these four; `done` may be "
     "named too, and `stale`: what ended with another text of its model's Lua files than today's, "
     "or "
     "scored weights that were replaced. "
     "Earlier attempts are kept",
     0},
    {"timeout", KEY_TIMEOUT, "S", 0, "Stop a trial after S seconds", 0},
    {"json", KEY_JSON, 0, 0, "The table (or, with --dry-run, the cells) as JSON", 0},
#define FLAG(field, option, argument, fallback, least, most, help)                                 \
  {option, KEY_##field, argument, 0, help, 0},
#include "src/train/flags.def"
#undef FLAG
    {0}};

bool run_retry(char *text, Run *run, Error *error) {
  static const Status all[] = {STATUS_FAILED, STATUS_OOM, STATUS_COLLAPSED, STATUS_TIMEOUT};
  static const char *const names[] = {"failed", "oom",         "collapsed", "timeout",
                                      "done",   "interrupted", "all",       "stale"};
  run->retries = true;
  for (char *word = strtok(text, ","); word; word = strtok(NULL, ",")) {
    Status status = STATUS_PLANNED;
    bool everything = !strcmp(word, "all"), stale = !strcmp(word, "stale");
    for (int i = 0; everything && i < 4; i++) run->retry[all[i]] = true;
    run->retry_stale = run->retry_stale || stale;
    if (everything || stale) continue;
    bool known = status_parse(word, &status) && status >= STATUS_DONE;
    if (!known)
      return fail(error,
                  "--retry \"%s\" is none of failed, oom, collapsed, timeout, done, stale and "
                  "all%s",
                  word, nearest_hint(word, names, 8, NULL).text);
    run->retry[status] = true;
  }
  return true;
}

bool run_operand(char *value, Run *run, Error *error) {
  if (!run->file) {
    run->file = value;
    return true;
  }
  if (!strchr(value, '='))
    return fail(error, "\"%s\" is no override; write key=value, such as seeds=1 (one FILE a run)",
                value);
  bool taken;
  if (!cli_cases(value, &run->cases_fixed, &taken, error)) return false;
  if (taken) return true;
  if (run->overrides == RUN_OVERRIDES_MAX - 1) return fail(error, "too many overrides");
  run->override[run->overrides++] = value;
  return true;
}

static bool take_device(const char *value, Run *run, Error *error) {
  static const char *const names[] = {"cpu", "cuda"};
  int number = 0, used = 0;
  bool numbered = sscanf(value, "cuda:%4d%n", &number, &used) == 1 && !value[used] && number >= 0;
  if (strcmp(value, "cpu") && strcmp(value, "cuda") && !numbered) {
    bool meant = !strcasecmp(value, "gpu") || !strncasecmp(value, "gpu:", 4);
    return fail(error, "--device is cpu, cuda or cuda:N, not \"%s\"%s", value,
                nearest_hint(meant ? "cuda" : value, names, 2, NULL).text);
  }
  snprintf(run->device, sizeof run->device, "device=%s", numbered ? "cuda" : value);
  run->flags.device_number = number;
  if (strcmp(value, "cpu")) run->place = value;
  return true;
}

static bool take_flag(const char *option, const char *value, int least, int most, int *flag,
                      Error *error) {
  double number = 1;
  if (value && !cli_number(option, value, least, &number, error)) return false;
  *flag = number <= most ? (int)number : -1;
  if (*flag == number) return true;
  return fail(error, "%s needs a whole number from %d to %d, not \"%s\"", option, least, most,
              value);
}

static bool take(int key, char *value, void *user, Error *error) {
  Run *run = user;
  double number;
  if (key == ' ') return run_operand(value, run, error);
  if (key == KEY_DEVICE) return take_device(value, run, error);
  if (key == KEY_RETRY) return run_retry(value, run, error);
  if (key == KEY_TIMEOUT) return cli_number("--timeout", value, 0.001, &run->timeout_s, error);
#define FLAG(field, option, argument, fallback, least, most, help)                                 \
  if (key == KEY_##field)                                                                          \
    return take_flag("--" option, value, least, most, &run->flags.field, error);
#include "src/train/flags.def"
#undef FLAG
#undef GIVEN
  if (key == KEY_JOBS) {
    bool good = cli_number("--jobs", value, 1, &number, error);
    if (good) run->jobs = (int)number;
    return good;
  }
  if (key == KEY_DRY) run->dry_run = true;
  if (key == KEY_JSON) run->json = true;
  return true;
}

Run run_defaults(void) {
  return (Run){.flags = config_flags(NULL),
               .starts.what = "trials to start from",
               .tries.what = "tries of rates",
               .tables.what = "trials",
               .hand_out = run_schedule,
               .dry = run_dry};
}

bool run_is_here(const Run *run) {
  return run->hand_out == run_schedule;
}

const Cli run_cli = {
    "run",
    "FILE [key=value ...]",
    "  harness run experiments/query_count.lua\n"
    "  harness run experiments/all.lua\n"
    "  harness run experiments/query_count.lua seeds=1 scale=small queries=1,2 --dry-run\n"
    "  harness run experiments/query_count.lua until=decided budget=2h\n",
    "Lists the cells of an experiment, runs those that are missing, each in a process of its own, "
    "and prints the table. Run again, it does only what is still missing. Keys are the "
    "experiment's and the model's options. seeds=N trains so many of each row; until=decided adds "
    "seeds until each claim of the paper is decided or out of reach, or the time of budget=2h (or "
    "90min; 2h where none is given) is over, and the same command goes on. A FILE that lists "
    "experiments runs them in one sweep "
    "and writes the report. FILE may also be what `--dry-run --json` prints.",
    options,
    take};
