/* harness bench and bench compare; the timing is in src/bench/. */
#include "base/error.h"
#include "kernels/mode.h"
#include "src/bench/bench.h"
#include "src/bench/row.h"
#include "src/cli/cli.h"
#include "src/data/sets/json_text.h"
#include "src/machine/document.h"
#include "src/machine/environment.h"
#include "src/machine/timing.h"
#include "src/report/sheet.h"
#include "src/store/bench_runs.h"
#include "src/store/field.h"

#include <math.h>
#include <string.h>

/* ---- bench compare A B: B against A, row by row, from the samples stored --------------------- */

typedef struct CompareOptions {
  const char *db, *old_run, *new_run; /* a number, last or prev */
  double margin;                      /* a ratio this near to 1 is the same */
  bool json;
} CompareOptions;

enum { DONE = 0, USAGE = 2, UNFIT = 3, REGRESSION = 4, NOTHING = 5 };

typedef struct Pair {
  const json_t *old_row, *new_row;
  Samples old_samples, new_samples;
  Ratio ratio;
  Verdict verdict;
  bool broken; /* right before, wrong now */
} Pair;

/* ---- pairing --------------------------------------------------------------------------------- */

static bool timed(const json_t *row) {
  return json_integer_value(json_object_get(row, "samples")) > 0;
}

static bool same_bench(const json_t *a, const json_t *b) {
  static const char *const keys[] = {"kernel", "case_name", "pass", "shape", "dtype", "device"};
  for (size_t i = 0; i < sizeof keys / sizeof *keys; i++)
    if (strcmp(field_text(a, keys[i]), field_text(b, keys[i])) != 0) return false;
  /* The peer's fastest setting may change; that there is one may not. */
  if (!field_text(a, "baseline")[0] != !field_text(b, "baseline")[0]) return false;
  /* What has no time (a wrong result) has no kind of timing either. */
  if (timed(a) && timed(b) && strcmp(field_text(a, "timing"), field_text(b, "timing")) != 0)
    return false;
  return json_integer_value(json_object_get(a, "threads")) ==
         json_integer_value(json_object_get(b, "threads"));
}

static bool wrong(const json_t *row) {
  return json_integer_value(json_object_get(row, "wrong")) != 0;
}

static Samples samples_of(const json_t *row) {
  Samples samples = {0};
  const char *key = strcmp(field_text(row, "timing"), "cold") ? "hot_list" : "cold_list";
  json_t *list = json_loads(field_text(row, key), 0, NULL), *value;
  size_t i;
  json_array_foreach(list, i, value) samples_add(&samples, json_number_value(value));
  json_decref(list);
  return samples;
}

static Pair pair_make(const json_t *old_row, const json_t *new_row, double margin) {
  Pair pair = {.old_row = old_row,
               .new_row = new_row,
               .old_samples = samples_of(old_row),
               .new_samples = samples_of(new_row),
               .broken = wrong(new_row) && !wrong(old_row)};
  const Samples *was = &pair.old_samples, *is = &pair.new_samples;
  pair.ratio = ratio_of_medians(is->value, is->count, was->value, was->count);
  pair.verdict = ratio_verdict(&pair.ratio, is->count, was->count, margin);
  return pair;
}

static int pairs_make(const json_t *old_rows, const json_t *new_rows, double margin, Pair *pairs) {
  int count = 0;
  size_t i, k;
  json_t *new_row, *old_row;
  json_array_foreach(new_rows, i, new_row) json_array_foreach(old_rows, k, old_row) {
    if (!same_bench(old_row, new_row)) continue;
    pairs[count++] = pair_make(old_row, new_row, margin);
    break;
  }
  return count;
}

/* How many of `rows` have no partner among `others`. */
static int alone(const json_t *rows, const json_t *others) {
  int count = 0;
  size_t i, k;
  json_t *row, *other;
  json_array_foreach(rows, i, row) {
    bool found = false;
    json_array_foreach(others, k, other) found = found || same_bench(row, other);
    count += !found;
  }
  return count;
}

/* ---- printing -------------------------------------------------------------------------------- */

/* A row without samples says why in its own run; there is nothing to compare then. */
static const char *verdict_of(const Pair *pair) {
  if (wrong(pair->new_row)) return "WRONG";
  bool both = pair->old_samples.count && pair->new_samples.count;
  return both ? verdict_names[pair->verdict] : "NOT TIMED";
}

/* The number, or a dash where there is none. */
static void set_number(Sheet *sheet, int row, int column, const char *format, double value) {
  char text[32];
  snprintf(text, sizeof text, format, value); /* NOLINT: formats are ours */
  sheet_set(sheet, row, column, "%s", isfinite(value) ? text : "-");
}

static void print_pair(Sheet *sheet, int row, const Pair *p) {
  const char *name = field_text(p->new_row, "case_name");
  sheet_set(sheet, row, 0, "%s%s%s", field_text(p->new_row, "kernel"), name[0] ? ", " : "", name);
  sheet_set(sheet, row, 1, "%s", field_text(p->new_row, "pass"));
  char text[16];
  sheet_set(sheet, row, 2, "%s", bench_time_text(samples_quantile(&p->old_samples, .5), text));
  sheet_set(sheet, row, 3, "%s", bench_time_text(samples_quantile(&p->new_samples, .5), text));
  set_number(sheet, row, 4, "%.3f", p->ratio.value);
  if (isfinite(p->ratio.value))
    sheet_set(sheet, row, 5, "%.3f-%.3f", p->ratio.low, p->ratio.high);
  else
    sheet_set(sheet, row, 5, "-");
  sheet_set(sheet, row, 6, "%s", verdict_of(p));
}

static void print_text(const Pair *pairs, int count, const int64_t run[2], const int lone[2]) {
  Sheet sheet = sheet_make(count + 1, 7);
  const char *const head[] = {"kernel, case", "pass", "old", "new", "new/old", "95 %", "verdict"};
  for (int c = 0; c < 7; c++) sheet_set(&sheet, 0, c, "%s", head[c]);
  for (int i = 0; i < count; i++) print_pair(&sheet, i + 1, &pairs[i]);
  sheet_fitted(&sheet, true, stdout);
  for (int i = 0; i < 2; i++)
    if (lone[i])
      printf("%d row%s of run %lld %s not in the other\n", lone[i], lone[i] > 1 ? "s" : "",
             (long long)run[i], lone[i] > 1 ? "are" : "is");
  sheet_free(&sheet);
}

static json_t *real(double value) {
  return isfinite(value) ? json_real(value) : json_null();
}

static void print_json(const Pair *pairs, int count, const int64_t run[2], const int lone[2]) {
  json_t *rows = json_array();
  for (int i = 0; i < count; i++) {
    const Pair *p = &pairs[i];
    json_array_append_new(
        rows,
        json_pack("{s:s, s:s, s:s, s:s, s:o, s:o, s:o, s:o, s:o, s:s}", "kernel",
                  field_text(p->new_row, "kernel"), "case", field_text(p->new_row, "case_name"),
                  "pass", field_text(p->new_row, "pass"), "shape", field_text(p->new_row, "shape"),
                  "old_us", real(samples_quantile(&p->old_samples, .5)), "new_us",
                  real(samples_quantile(&p->new_samples, .5)), "ratio", real(p->ratio.value),
                  "ratio_low", real(p->ratio.low), "ratio_high", real(p->ratio.high), "verdict",
                  verdict_of(p)));
  }
  json_round(rows, 6);
  document_print(document_make("bench_comparison", (DocumentOf){.metric = "median_us"},
                               json_pack("{s:I, s:I, s:i, s:i, s:o}", "old_run", (json_int_t)run[0],
                                         "new_run", (json_int_t)run[1], "old_only", lone[0],
                                         "new_only", lone[1], "rows", rows)),
                 stdout);
}

/* ---- the comparison -------------------------------------------------------------------------- */

static int conclude(const CompareOptions *o, const json_t *old_rows, const json_t *new_rows,
                    const int64_t run[2], Error *error) {
  Pair *pairs = calloc(json_array_size(new_rows) + 1, sizeof *pairs);
  CHECK(pairs, "no memory for %zu rows", json_array_size(new_rows));
  int count = pairs_make(old_rows, new_rows, o->margin, pairs), slower = 0;
  const int lone[2] = {alone(old_rows, new_rows), alone(new_rows, old_rows)};
  if (count) (o->json ? print_json : print_text)(pairs, count, run, lone);
  for (int i = 0; i < count; i++) {
    slower += pairs[i].broken || pairs[i].verdict == VERDICT_SLOWER;
    samples_free(&pairs[i].old_samples);
    samples_free(&pairs[i].new_samples);
  }
  free(pairs);
  if (!count)
    fail(error, "runs %lld and %lld have no bench in common", (long long)run[0], (long long)run[1]);
  if (slower)
    fail(error, "%d of %d rows became slower or wrong from run %lld to run %lld", slower, count,
         (long long)run[0], (long long)run[1]);
  return !count ? NOTHING : slower ? REGRESSION : DONE;
}

static int compare_in(const CompareOptions *o, Store *store, Error *error) {
  const char *const words[2] = {o->old_run, o->new_run};
  int64_t run[2];
  json_t *rows[2] = {NULL, NULL};
  for (int i = 0; i < 2; i++) {
    if (!store_bench_find(store, words[i], &run[i], error)) return USAGE;
    if (run[i]) continue;
    fail(error, "%s: there is no bench run \"%s\"; `harness bench` stores one", o->db, words[i]);
    return NOTHING;
  }
  int code = UNFIT;
  if (store_bench_rows(store, run[0], &rows[0], error) &&
      store_bench_rows(store, run[1], &rows[1], error))
    code = conclude(o, rows[0], rows[1], run, error);
  json_decref(rows[0]);
  json_decref(rows[1]);
  return code;
}

/* Exit code: 0; 4 when a row is SLOWER or has become wrong; 5 when no row is in both; 2, 3. */
static int bench_compare(const CompareOptions *options, Error *error) {
  Store *store = NULL;
  if (!store_exists(options->db)) {
    fail(error, "%s: nothing is stored yet; `harness bench` stores runs", options->db);
    return NOTHING;
  }
  if (!store_open(&store, options->db, STORE_READ, error)) return UNFIT;
  int code = compare_in(options, store, error);
  store_close(store);
  return code;
}

/* ---- the command ----------------------------------------------------------------------------- */

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
  KEY_NO_PRICE,
  KEY_WARMUP,
  KEY_SAMPLES,
  KEY_EXPLAIN
};

static const struct argp_option options[] = {
    {"device", KEY_DEVICE, "cpu|cuda", 0, "Where; cuda:1 is the second GPU", 0},
    {"threads", KEY_THREADS, "N", 0, "Threads (default: as many processors as may be used)", 0},
    {"time", KEY_TIME, "S", 0, "Most seconds for one measurement (default 0.5)", 0},
    {"noise", KEY_NOISE, "PCT", 0,
     "Stop when the median is known to so many percent (default 1); `!` marks a row that was not",
     0},
    {"warmup", KEY_WARMUP, "N", 0,
     "Calls before the first sample (default: until their time is steady)", 0},
    {"samples", KEY_SAMPLES, "N", 0,
     "So many samples of each, whatever --time and --noise say (2000 at most)", 0},
    {"explain", KEY_EXPLAIN, 0, 0,
     "Below each row: the formulas of its FLOP and bytes, its ceilings, why a share is above 100 %",
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
    CLI_PART("compare", "Compares two stored runs"),
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

static bool take_number(int key, const char *value, BenchOptions *o, Error *error) {
  const struct {
    int key;
    const char *name;
    int *whole;
    double *real, least, unit;
  } rows[] = {{KEY_THREADS, "--threads", &o->threads, NULL, 1, 1},
              {KEY_WARMUP, "--warmup", &o->limits.warmup, NULL, 1, 1},
              {KEY_SAMPLES, "--samples", &o->limits.samples, NULL, 1, 1},
              {KEY_TIME, "--time", NULL, &o->limits.seconds, 1e-4, 1},
              {KEY_NOISE, "--noise", NULL, &o->limits.noise, 1e-4, 100}};
  double number = 0;
  for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
    if (rows[i].key != key) continue;
    if (!cli_number(rows[i].name, value, rows[i].least, &number, error)) return false;
    if (rows[i].whole) *rows[i].whole = (int)fmin(number, 1e6);
    if (rows[i].real) *rows[i].real = number / rows[i].unit;
  }
  return true;
}

static bool take(int key, char *value, void *user, Error *error) {
  BenchOptions *o = user;
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
  if (key == KEY_EXPLAIN) o->explain = true;
  return take_number(key, value, o, error);
}

static const Cli bench_cli = {
    "bench",
    "[FILTER...]\ncompare A B",
    "  harness bench\n  harness bench conv \"deform_attention, quick\" step:unet-32 --time 2\n",
    "Times the bench cases of every op, forward and backward, after comparing each with its "
    "reference: a wrong kernel gets no time. Median of cold calls (the caches walked before each), "
    "warm ones beside it, and the share of the nearer ceiling that was measured in the same run. A "
    "filter is an op, a part of \"op, case\", or step:NAME for a whole training step. Rows are "
    "stored in the database with every sample. Exit code 1 when a kernel is wrong.",
    options,
    take};

/* ---- compare --------------------------------------------------------------------------------- */

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
    "SLOWER, SAME, or UNDECIDED where the 95 % interval of the ratio of medians crosses the "
    "margin. Exit code 4 when a row is SLOWER or became wrong, 5 when there is nothing to compare.",
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
