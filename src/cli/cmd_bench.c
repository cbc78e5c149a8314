/* harness bench: the work is in src/bench/. */
#include "kernels/mode.h"
#include "src/bench/bench.h"
#include "src/bench/compare.h"

#include <string.h>

#include "src/cli/cli.h"
#include "src/machine/environment.h"

enum {
  KEY_DEVICE = 1,
  KEY_THREADS,
  KEY_JSON,
  KEY_TIME,
  KEY_NOISE,
  KEY_LIST,
  KEY_AGAINST,
  KEY_FIRST,
  KEY_PYTHON,
  KEY_COMPILE,
  KEY_DETERMINISTIC,
  KEY_TF32,
  KEY_PROFILE,
  KEY_NO_PRICE
};

static const struct argp_option options[] = {
    {"device", KEY_DEVICE, "cpu|cuda", 0, "Where; cuda:1 is the second GPU", 0},
    {"threads", KEY_THREADS, "N", 0, "Threads (default: the processors that may be used)", 0},
    {"time", KEY_TIME, "S", 0, "Most seconds for one measurement (default 0.5)", 0},
    {"noise", KEY_NOISE, "PCT", 0,
     "Stop when the median is known to so many percent (default 1); `!` marks a row that was not",
     0},
    {"json", KEY_JSON, 0, 0, "One JSON document on standard output", 0},
    {"against", KEY_AGAINST, "pytorch", 0, "Time an equivalent PyTorch program in turn with ours",
     0},
    {"python", KEY_PYTHON, "PATH", 0,
     "A Python that has PyTorch and SciPy; again for another release: each gets a row, and a line "
     "says which is the better peer (default: HARNESS_PYTHON, or /usr/bin/python3)",
     0},
    {"compile", KEY_COMPILE, 0, 0,
     "Let PyTorch's steps try torch.compile too: minutes a case, and not in first steps", 0},
    {"deterministic", KEY_DETERMINISTIC, 0, 0,
     "On a GPU: everything as `run --deterministic`; without it rows of their own show its price",
     0},
    {"tf32", KEY_TF32, "off|conv|on", 0,
     "On a GPU: which float32 products may round to TF32 (default conv: convolutions, as PyTorch)",
     0},
    {"no-price", KEY_NO_PRICE, 0, 0, "On a GPU: without those rows", 0},
    {"profile", KEY_PROFILE, 0, 0,
     "After a step: time per op and of the nodes that take longest, on standard error", 0},
    {"first-step", KEY_FIRST, "NAME", OPTION_HIDDEN, "", 0},
    {"list", KEY_LIST, 0, 0, "Name what would be timed", 0},
    {0}};

static bool take_device(const char *value, BenchOptions *o, Error *error) {
  o->device = value;
  if (!strcmp(value, "cpu") || !strncmp(value, "cuda", 4)) return true;
  return fail(error, "--device \"%s\" is unknown; known: cpu, cuda, cuda:NUMBER", value);
}

static bool take_tf32(const char *value, Error *error) {
  return tf32_parse(value, &kernel_mode.tf32) ||
         fail(error, "--tf32 \"%s\" is unknown; known: off, conv, on", value);
}

static bool take_against(const char *value, BenchOptions *o, Error *error) {
  o->against = !strcmp(value, "pytorch");
  return o->against || fail(error, "--against \"%s\" is unknown; known: pytorch", value);
}

static bool take(int key, char *value, void *user, Error *error) {
  BenchOptions *o = user;
  double number = 0;
  if (key == ' ' && o->filters == MAX_FILTERS) return false;
  if (key == ' ') o->filter[o->filters++] = value;
  if (key == KEY_JSON) o->json = true;
  if (key == KEY_LIST) o->list = true;
  if (key == KEY_FIRST) o->first_step = value;
  if (key == KEY_PROFILE) o->profile = true;
  if (key == KEY_NO_PRICE) o->no_price = true;
  if (key == KEY_COMPILE) o->compile = true;
  if (key == KEY_DETERMINISTIC) o->deterministic = kernel_mode.deterministic = true;
  if (key == KEY_TF32) return take_tf32(value, error);
  if (key == KEY_PYTHON && o->pythons == MAX_PEERS)
    return fail(error, "--python: at most %d", MAX_PEERS);
  if (key == KEY_PYTHON) o->python[o->pythons++] = value;
  if (key == KEY_AGAINST) return take_against(value, o, error);
  if (key == KEY_DEVICE) return take_device(value, o, error);
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
    "[FILTER...]\ncompare A B",
    "  harness bench\n  harness bench conv \"deform_attention, quick\" step:unet-32 --time 2\n",
    "Times the bench cases of every op, forward and backward, after comparing each with its "
    "reference: a wrong kernel gets no time. Median of cold calls (the caches walked before each), "
    "hot ones beside it, and the share of the nearer ceiling that was measured in the same run. A "
    "filter is an op, a part of \"op, case\", or step:NAME for a whole training step. Rows are "
    "stored in the database with every sample. Exit code 1 when a kernel is wrong.",
    options,
    take};

/* ---- compare ------------------------------------------------------------------------------------
 */

static const struct argp_option compare_options[] = {
    {"margin", KEY_NOISE, "PCT", 0, "A change this small is none (default 3)", 0},
    {"json", KEY_JSON, 0, 0, "One JSON document on standard output", 0},
    {0}};

static bool take_compare(int key, char *value, void *user, Error *error) {
  CompareOptions *o = user;
  double number = 0;
  if (key == KEY_JSON) o->json = true;
  if (key == KEY_NOISE && !cli_number("--margin", value, 0, &number, error)) return false;
  if (key == KEY_NOISE) o->margin = number / 100;
  if (key != ' ') return true;
  if (o->old_run && o->new_run) return false;
  *(o->old_run ? &o->new_run : &o->old_run) = value;
  return true;
}

static const Cli compare_cli = {
    "bench compare",
    "A B",
    "  harness bench compare prev last\n  harness bench compare 3 7 --json\n",
    "Compares two stored runs (numbers, `last` or `prev`), B against A, row by row: FASTER, "
    "SLOWER, "
    "SAME, or UNDECIDED where the 95 % interval of the ratio of medians crosses the margin. Exit "
    "code 4 when a row is SLOWER or became wrong, 5 when there is nothing to compare.",
    compare_options,
    take_compare};

static int command_compare(int argc, char **argv) {
  Common common;
  Error error = {""};
  CompareOptions compare = {.margin = .03};
  cli_parse(&compare_cli, argc, argv, &common, &compare);
  compare.db = common.db;
  int code = EXIT_USAGE;
  if (compare.new_run)
    code = bench_compare(&compare, &error);
  else
    fail(&error, "harness bench compare needs two runs, such as prev last");
  return code == EXIT_DONE ? code : cli_error(code, &error);
}

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
  if (argc > 1 && !strcmp(argv[1], "compare")) return command_compare(argc - 1, argv + 1);
  join(argc, argv, command, sizeof command);
  BenchOptions bench = {.threads = environment_cores(), .limits = {.seconds = .5, .noise = .01}};
  cli_parse(&bench_cli, argc, argv, &common, &bench);
  bench.home = common.home;
  bench.db = common.db;
  bench.quiet = common.quiet;
  bench.command = command;
  bench.backend = backend_open(bench.device ? bench.device : "cpu", &error);
  if (!bench.backend) return cli_error(EXIT_UNFIT, &error);
  int code = bench_run(&bench, &error);
  if (code == EXIT_INTERRUPTED) fail(&error, "interrupted; the rows so far are stored");
  if (code == EXIT_SOME_FAILED && !error.text[0]) fail(&error, "a kernel is wrong");
  return code == EXIT_DONE ? code : cli_error(code, &error);
}
