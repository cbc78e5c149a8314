/* harness bench: the work is in src/bench/. */
#include "src/bench/bench.h"

#include <string.h>

#include "src/cli/cli.h"
#include "src/store/environment.h"

enum { KEY_DEVICE = 1, KEY_THREADS, KEY_JSON, KEY_TIME, KEY_NOISE, KEY_LIST };

static const struct argp_option options[] = {
    {"device", KEY_DEVICE, "NAME", 0, "Where (cpu)", 0},
    {"threads", KEY_THREADS, "N", 0, "Threads (default: the processors that may be used)", 0},
    {"time", KEY_TIME, "S", 0, "Most seconds for one measurement (default 0.5)", 0},
    {"noise", KEY_NOISE, "PCT", 0,
     "Stop when the median is known to so many percent (default 1); `!` marks a row that was not",
     0},
    {"json", KEY_JSON, 0, 0, "One JSON document on standard output", 0},
    {"list", KEY_LIST, 0, 0, "Name what would be timed", 0},
    {0}};

static bool take_device(const char *value, Error *error) {
  if (!strcmp(value, "cpu")) return true;
  return fail(error, "--device \"%s\" is unknown; this build knows: cpu", value);
}

static bool take(int key, char *value, void *user, Error *error) {
  BenchOptions *o = user;
  double number = 0;
  if (key == ' ' && o->filters == MAX_FILTERS) return false;
  if (key == ' ') o->filter[o->filters++] = value;
  if (key == KEY_JSON) o->json = true;
  if (key == KEY_LIST) o->list = true;
  if (key == KEY_DEVICE) return take_device(value, error);
  if (key != KEY_THREADS && key != KEY_TIME && key != KEY_NOISE) return true;
  const char *name = key == KEY_THREADS ? "--threads" : key == KEY_TIME ? "--time" : "--noise";
  if (!cli_number(name, value, key == KEY_THREADS ? 1 : 1e-4, &number, error)) return false;
  if (key == KEY_THREADS) o->threads = (int)number;
  if (key == KEY_TIME) o->limits.seconds = number;
  if (key == KEY_NOISE) o->limits.noise = number / 100;
  return true;
}

static const Cli bench_cli = {
    "bench",
    "[FILTER...]",
    "  harness bench\n  harness bench conv \"deform_attention, quick\" step:unet-32 --time 2\n",
    "Times the bench cases of every op, forward and backward, after comparing each with its "
    "reference: a wrong kernel gets no time. Median of cold calls (the caches walked before each), "
    "hot ones beside it, and the share of the nearer ceiling that was measured in the same run. A "
    "filter is an op, a part of \"op, case\", or step:NAME for a whole training step. Rows are "
    "stored in the database with every sample. Exit code 1 when a kernel is wrong.",
    options,
    take};

/* The command as typed, for the record. */
static void join(int argc, char **argv, char *text, size_t bytes) {
  size_t used = (size_t)snprintf(text, bytes, "bench");
  for (int i = 1; i < argc && used < bytes; i++)
    used += (size_t)snprintf(text + used, bytes - used, strchr(argv[i], ' ') ? " \"%s\"" : " %s",
                             argv[i]);
}

int command_bench(int argc, char **argv) {
  Common common;
  Error error = {""};
  char command[1024];
  join(argc, argv, command, sizeof command);
  BenchOptions bench = {.threads = environment_cores(), .limits = {.seconds = .5, .noise = .01}};
  cli_parse(&bench_cli, argc, argv, &common, &bench);
  bench.home = common.home;
  bench.db = common.db;
  bench.quiet = common.quiet;
  bench.command = command;
  int code = bench_run(&bench, &error);
  return code == EXIT_DONE ? code : cli_error(code, &error);
}
