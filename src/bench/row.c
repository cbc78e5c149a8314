#include "src/bench/row.h"
#include "base/interrupt.h"
#include "kernels/cpu/processor.h"
#include "src/data/sets/json_text.h"
#include "src/machine/document.h"
#include "src/machine/environment.h"
#include "src/report/wrap.h"
#include "src/store/bench_runs.h"

#include <math.h>
#include <omp.h>
#include <signal.h>
#include <string.h>

/* ---- a row ----------------------------------------------------------------------------------- */

BenchRow row_make(void) {
  return (BenchRow){.pass = "",
                    .dtype = "f32",
                    .device = "cpu",
                    .error = NAN,
                    .tolerance = NAN,
                    .least_us = NAN,
                    .bound = "",
                    .peak_bytes = NAN,
                    .baseline_bytes = NAN,
                    .speedup = {NAN, NAN, NAN}};
}

static void row_free(BenchRow *row) {
  samples_free(&row->cold);
  samples_free(&row->hot);
  samples_free(&row->baseline_hot);
}

bool row_wrong(const BenchRow *row) {
  return row->failed || (!isnan(row->tolerance) && !(row->error <= row->tolerance));
}

void row_give_up(BenchRow *row, bool lacks, const Error *why) {
  snprintf(row->not_timed, sizeof row->not_timed, "%.239s", why->text);
  row->failed = !lacks;
  row_free(row);
}

/* Why the row has no time; empty: it has one. */
static void untimed_text(const BenchRow *row, char *text, size_t bytes) {
  if (row->not_timed[0] || !row_wrong(row))
    snprintf(text, bytes, "%s", row->not_timed);
  else
    snprintf(text, bytes, "wrong result: %.1e is beyond the tolerance of %.1e", row->error,
             row->tolerance);
}

/* The samples that count: cold ones where there are, else hot. */
static const Samples *row_samples(const BenchRow *row) {
  return row->cold.count ? &row->cold : &row->hot;
}

/* ---- shares above 100 % ---------------------------------------------------------------------- */

enum { ABOVE_WINOGRAD, ABOVE_FEWER, ABOVE_MEMORY, ABOVE_STEP, ABOVES };

static const Above aboves[ABOVES] = {
    {"(w)",
     "faster than multiplications are possible: Winograd's form of a 3x3x3 convolution makes "
     "a fifth to a third of those that the formula counts"},
    {"(f)", "faster than arithmetic is possible: the kernel does fewer operations than the formula "
            "counts"},
    {"(c)", "faster than a copy, which is memory's ceiling: reads alone are faster, and what is "
            "written may still lie in the cache"},
    {"(s)", "faster than its nodes' least times together: convolutions multiply less than the "
            "formula counts (Winograd), and operands still lie in the cache"}};

const Above *row_above(const BenchRow *row) {
  Summary s = samples_summary(row_samples(row)->value, row_samples(row)->count);
  if (!(100 * row->least_us / s.median >= 100.5)) return NULL;
  if (!row->formula[0]) return &aboves[ABOVE_STEP];
  if (strcmp(row->bound, "compute")) return &aboves[ABOVE_MEMORY];
  return &aboves[!strcmp(row->kernel, "conv") ? ABOVE_WINOGRAD : ABOVE_FEWER];
}

/* ---- JSON ------------------------------------------------------------------------------------ */

static void put(json_t *object, const char *key, double value) {
  json_object_set_new(object, key, isfinite(value) ? json_real(value) : json_null());
}

static void put_samples(json_t *object, const char *key, const Samples *samples) {
  json_t *list = json_array();
  for (int i = 0; i < samples->count; i++)
    json_array_append_new(list, json_real(samples->value[i]));
  json_object_set_new(object, key, list);
}

static void put_summary(json_t *object, const char *prefix, const Samples *samples) {
  Summary s = samples_summary(samples->value, samples->count);
  const char *const names[] = {"median_us", "q1_us", "q3_us", "min_us"};
  double values[] = {s.median, s.q1, s.q3, s.min};
  char key[32];
  for (int i = 0; i < 4; i++) {
    snprintf(key, sizeof key, "%s%s", prefix, names[i]);
    put(object, key, values[i]);
  }
  snprintf(key, sizeof key, "%ssamples", prefix);
  json_object_set_new(object, key, json_integer(samples->count));
}

static void put_baseline(json_t *object, const BenchRow *row) {
  json_t *name = row->baseline[0] ? json_string(row->baseline) : json_null();
  Summary theirs = samples_summary(row->baseline_hot.value, row->baseline_hot.count);
  json_object_set_new(object, "baseline", name);
  put(object, "baseline_us", theirs.median);
  put(object, "speedup", row->speedup.value);
  put(object, "speedup_low", row->speedup.low);
  put(object, "speedup_high", row->speedup.high);
  put(object, "baseline_bytes", row->baseline_bytes);
}

json_t *row_json(const BenchRow *row, int threads, bool samples) {
  const Samples *chosen = row_samples(row);
  Summary s = samples_summary(chosen->value, chosen->count);
  json_t *object = json_pack("{s:s, s:s, s:s, s:s, s:s, s:s, s:i}", "kernel", row->kernel, "pass",
                             row->pass, "case", row->name, "shape", row->shape, "device",
                             row->device, "dtype", row->dtype, "threads", threads);
  put(object, "error", row->error);
  put(object, "tolerance", row->tolerance);
  json_object_set_new(object, "reference",
                      row->reference ? json_string(row->reference) : json_null());
  char why[sizeof row->not_timed];
  untimed_text(row, why, sizeof why);
  json_object_set_new(object, "wrong", json_boolean(row_wrong(row)));
  json_object_set_new(object, "not_timed", why[0] ? json_string(why) : json_null());
  json_object_set_new(object, "timing", json_string(row->cold.count ? "cold" : "hot"));
  put_summary(object, "", chosen);
  json_object_set_new(object, "noise_met", json_boolean(chosen->met));
  put_summary(object, "hot_", &row->hot);
  put(object, "flops", row->flops);
  put(object, "bytes", row->bytes);
  put(object, "gflops", row->flops / s.median / 1e3);
  put(object, "gbps", row->bytes / s.median / 1e3);
  put(object, "ceiling_us", row->least_us);
  put(object, "ceiling_pct", 100 * row->least_us / s.median);
  json_object_set_new(object, "bound", json_string(row->bound));
  json_object_set_new(object, "flops_formula", json_string(row->formula));
  json_object_set_new(object, "bytes_formula", json_string(row->traffic ? row->traffic : ""));
  const Above *above = row_above(row);
  json_object_set_new(object, "above", above ? json_string(above->why) : json_null());
  put(object, "mhz", row->mhz > 0 ? row->mhz : NAN);
  json_object_set_new(object, "slowed", json_boolean(row->slowed));
  put(object, "peak_bytes", row->peak_bytes);
  put_baseline(object, row);
  if (!samples) return object;
  put_samples(object, "cold_list", &row->cold);
  put_samples(object, "hot_list", &row->hot);
  put_samples(object, "baseline_list", &row->baseline_hot);
  return object;
}

/* ---- text ------------------------------------------------------------------------------------ */

const char *bench_time_text(double us, char text[16]) {
  if (isnan(us))
    snprintf(text, 16, "-");
  else if (us < 1e3)
    snprintf(text, 16, "%.3g us", us);
  else if (us < 1e6)
    snprintf(text, 16, "%.*f ms", us < 1e4 ? 2 : us < 1e5 ? 1 : 0, us / 1e3);
  else
    snprintf(text, 16, "%.2f s", us / 1e6);
  return text;
}

static const char *number_text(double value, const char *format, char text[16]) {
  snprintf(text, 16, "-");
  if (isfinite(value)) snprintf(text, 16, format, value); /* NOLINT: formats are ours */
  return text;
}

enum { WIDTH = 80 };

/* A longer name has a line of its own. */
static int name_room(int width) {
  return width < 44 ? width : 44;
}

static void row_print_head(FILE *out, int width, bool baseline) {
  fprintf(out, "%-*s %-8s %8s %9s %5s\n", name_room(width), "kernel, case", "pass", "error",
          "median", "noise");
  fprintf(out, "    %9s %9s %8s %7s %12s %-7s %5s\n", "min", "warm", "GFLOP/s", "GB/s",
          "% of ceiling", "bound", "MHz");
  if (baseline) fprintf(out, "    %9s %7s  %-11s  by\n", "peer", "ratio", "interval");
}

/* Two lines, the first of which is begun. */
static void print_times(const BenchRow *row, FILE *out) {
  const Samples *chosen = row_samples(row);
  Summary s = samples_summary(chosen->value, chosen->count);
  Summary hot = samples_summary(row->hot.value, row->hot.count);
  const Above *above = row_above(row);
  char a[16], b[16], c[16], d[16], e[16], f[16], g[16], clock[16];
  number_text(100 * summary_noise(&s), "%.1f%%", d);
  if (!chosen->met && isfinite(summary_noise(&s)))
    snprintf(d + strlen(d) - 1, 3, "%%!"); /* the target was not reached */
  number_text(100 * row->least_us / s.median, "%.0f%%", g);
  if (above) snprintf(g + strlen(g), 5, " %s", above->mark);
  fprintf(out, " %9s %5s\n    %9s %9s %8s %7s %12s %-7s %5s%s", bench_time_text(s.median, a), d,
          bench_time_text(s.min, b), bench_time_text(hot.median, c),
          number_text(row->flops / s.median / 1e3, "%.1f", e),
          number_text(row->bytes / s.median / 1e3, "%.1f", f), g, row->bound,
          number_text(row->mhz > 0 ? row->mhz : NAN, "%.0f", clock), row->slowed ? "!" : "");
}

static void print_mib(double bytes, FILE *out) {
  if (isfinite(bytes)) fprintf(out, "  %.0f MiB", bytes / (1 << 20));
}

static void print_peer(const BenchRow *row, FILE *out) {
  char theirs[16], interval[32];
  Summary s = samples_summary(row->baseline_hot.value, row->baseline_hot.count);
  snprintf(interval, sizeof interval, "%.2f-%.2f", row->speedup.low, row->speedup.high);
  const int before = 36, behind = isfinite(row->baseline_bytes) ? 12 : 0;
  bool fits = before + (int)strlen(row->baseline) + behind <= WIDTH && strlen(interval) <= 11;
  fprintf(out, "    %9s %6.2fx  %-*s%s  %s", bench_time_text(s.median, theirs), row->speedup.value,
          fits ? 11 : 0, interval, fits ? "" : "\n    ", row->baseline);
  print_mib(row->baseline_bytes, out);
  fputc('\n', out);
}

void row_print(const BenchRow *row, FILE *out, int width, bool baseline) {
  char name[sizeof row->kernel + sizeof row->name + 4], error[16];
  int room = name_room(width);
  snprintf(name, sizeof name, row->name[0] ? "%s, %s" : "%s", row->kernel, row->name);
  bool alone = (int)strlen(name) > room;
  if (alone) fprintf(out, "%s\n", name);
  fprintf(out, "%-*s %-8s %8s", room, alone ? "" : name, row->pass,
          number_text(row->error, "%.1e", error));
  char why[sizeof row->not_timed];
  untimed_text(row, why, sizeof why);
  if (why[0]) {
    fprintf(out, " not timed: %s\n", why);
    return;
  }
  print_times(row, out);
  print_mib(row->peak_bytes, out);
  fputc('\n', out);
  if (baseline && row->baseline[0]) print_peer(row, out);
}

/* How its work, its traffic and its least time come about, below a row. */
static void row_explain(const BenchRow *row, FILE *out) {
  const Above *above = row_above(row);
  bool graph = !row->formula[0];
  fprintf(out, "    operands  %s\n", row->shape);
  if (graph)
    fprintf(out, "    FLOP      %.4g, the sum over the step's nodes, forward and backward\n",
            row->flops);
  else
    fprintf(out, "    FLOP      %s\n", row->formula);
  fprintf(out, "    bytes     %.4g, %s\n", row->bytes,
          graph ? "the sum over its nodes of every operand once" : row->traffic);
  if (graph)
    fprintf(out, "    ceiling   %.4g us, the sum of its nodes' least times; more of it by %s\n",
            row->least_us, row->bound);
  else
    fprintf(out, "    ceiling   arithmetic %.4g us at %.4g GFLOP/s, memory %.4g us at %.4g GB/s\n",
            row->flops / row->ceilings[0] / 1e3, row->ceilings[0],
            row->bytes / row->ceilings[1] / 1e3, row->ceilings[1]);
  if (above) fprintf(out, "    above     %s\n", above->why);
  if (isfinite(row->peak_bytes))
    fprintf(out, "    MiB       what is planned: activations, gradients, weights, optimiser\n");
}

/* ---- a run ----------------------------------------------------------------------------------- */

static const double CEILING_SECONDS = .3;

static Interrupt told;

static void interrupt(int number) {
  if (interrupt_hear(&told) < 2) return;
  signal(number, SIG_DFL);
  raise(number);
}

bool session_interrupted(void) {
  return told.wishes > 0;
}

static double ceiling_seconds(const BenchOptions *options) {
  return options->limits.seconds < CEILING_SECONDS ? options->limits.seconds : CEILING_SECONDS;
}

Session session_begin(const BenchOptions *options, int width) {
  Session session = {.options = options, .rows = json_array(), .width = width};
  signal(SIGINT, interrupt);
  signal(SIGTERM, interrupt);
  omp_set_num_threads(options->threads);
  session.flush = flush_make();
  const Device *device = options->backend->device;
  char isa[64];
  processor_isa(isa, sizeof isa);
  session.machine = device
                        ? machine_begin_on(device, options->threads)
                        : machine_begin(options->threads, ceiling_seconds(options), &session.flush);
  session.text = options->json ? (options->quiet ? NULL : stderr) : stdout;
  if (!session.text) return session;
  Wrapping wrapping;
  FILE *out = wrap_begin(&wrapping, session.text);
  if (device)
    fprintf(out,
            "cuda, %.0f MHz; ceilings measured now: copy %.0f GB/s, float FMA %.0f GFLOP/s, bf16 "
            "matrix %.0f GFLOP/s\n",
            session.machine.mhz, session.machine.copy_gbps, session.machine.fma_gflops,
            session.machine.matrix_gflops);
  else
    fprintf(out, "%s, %d threads; ceilings measured now: copy %.1f GB/s, float FMA %.0f GFLOP/s\n",
            isa, options->threads, session.machine.copy_gbps, session.machine.fma_gflops);
  wrap_end(&wrapping);
  row_print_head(session.text, width, options->against);
  fflush(session.text);
  return session;
}

void session_clock(Session *session, BenchRow *row) {
  enum { FALLEN = 95 }; /* percent of the highest */
  row->mhz = machine_clock(&session->machine, &row->slowed);
  session->mhz = fmax(session->mhz, row->mhz);
  row->slowed = row->slowed || 100 * row->mhz < FALLEN * session->mhz;
}

static void print_row(Session *session, const BenchRow *row) {
  const Above *above = row_above(row);
  Wrapping wrapping;
  FILE *out = wrap_begin(&wrapping, session->text);
  row_print(row, out, session->width, session->options->against);
  if (row_samples(row)->count && session->options->explain) row_explain(row, out);
  wrap_end(&wrapping);
  fflush(session->text);
  if (above) session->above |= 1u << (above - aboves);
  session->slowed |= row->slowed;
}

static void print_marks(const Session *session) {
  Wrapping wrapping;
  FILE *out = wrap_begin(&wrapping, session->text);
  for (int i = 0; i < ABOVES; i++)
    if (session->above & 1u << i && !session->options->explain)
      fprintf(out, "%s %s\n", aboves[i].mark, aboves[i].why);
  if (session->slowed)
    fprintf(out,
            "! behind MHz: the clock fell by more than 5 %% below %.0f MHz, the "
            "highest of this run, or the device says that it is slowed\n",
            session->mhz);
  wrap_end(&wrapping);
}

void session_add(Session *session, BenchRow *row) {
  row->device = session->options->backend->name;
  if (session->text) print_row(session, row);
  json_array_append_new(session->rows, row_json(row, session->options->threads, true));
  session->wrong += row_wrong(row);
  row_free(row);
}

void session_better_peer(Session *session, size_t first) {
  json_t *better = NULL;
  size_t count = json_array_size(session->rows);
  for (size_t i = first; i < count; i++) {
    json_t *row = json_array_get(session->rows, i), *us = json_object_get(row, "baseline_us");
    const json_t *least = better ? json_object_get(better, "baseline_us") : NULL;
    if (json_is_number(us) && (!least || json_number_value(us) < json_number_value(least)))
      better = row;
  }
  if (!better || count - first < 2) return;
  for (size_t i = first; i < count; i++) {
    json_t *row = json_array_get(session->rows, i);
    json_object_set_new(row, "better_peer", json_boolean(row == better));
  }
  if (!session->text) return;
  Wrapping wrapping;
  fprintf(wrap_begin(&wrapping, session->text), "    the better peer: %s, %.2fx\n",
          json_string_value(json_object_get(better, "baseline")),
          json_number_value(json_object_get(better, "speedup")));
  wrap_end(&wrapping);
  fflush(session->text);
}

int session_verdict(int wrong, Error *error) {
  if (!wrong) return 0;
  fail(error, "%d row%s wrong or failed and %s no time: the table says why", wrong,
       wrong > 1 ? "s are" : " is", wrong > 1 ? "have" : "has");
  return 1;
}

/* The run as stored: what was typed, under which limits, on what a machine. */
static json_t *run_json(const Session *session) {
  const BenchOptions *o = session->options;
  char warning[512];
  json_t *machine = machine_json(&session->machine), *clocks = json_array(), *row;
  size_t i;
  machine_warning(&session->machine, warning, sizeof warning);
  json_array_foreach(session->rows, i, row) json_array_append(clocks, json_object_get(row, "mhz"));
  json_object_set_new(machine, "rows_mhz", clocks);
  return json_pack("{s:s, s:f, s:f, s:o, s:s}", "command", o->command, "limit_s", o->limits.seconds,
                   "noise_target", o->limits.noise, "machine", machine, "warning", warning);
}

static bool keep(const Session *session, json_t *environment, int64_t *id, Error *error) {
  Store *store = NULL;
  json_t *run = run_json(session);
  bool good = store_open(&store, session->options->db, STORE_WRITE, error) &&
              store_bench_add(store, environment, run, session->rows, id, error);
  store_close(store);
  json_decref(run);
  return good;
}

static void print_json(Session *session, json_t *environment, int64_t id) {
  json_t *host = machine_json(&session->machine), *row;
  const char *const keys[] = {
      "host",   "cpu",         "cores",          "memory_bytes", "kernel",       "version",
      "commit", "binary_hash", "compiler",       "flags",        "isa",          "libraries",
      "gpu",    "gpu_driver",  "gpu_capability", "gpu_bytes",    "gpu_libraries"};
  for (size_t i = 0; i < sizeof keys / sizeof *keys; i++)
    if (json_object_get(environment, keys[i]))
      json_object_set(host, keys[i], json_object_get(environment, keys[i]));
  size_t i;
  json_array_foreach(session->rows, i, row) {
    json_object_del(row, "cold_list");
    json_object_del(row, "hot_list");
    json_object_del(row, "baseline_list");
  }
  json_round(host, 6);
  json_round(session->rows, 6);
  document_print(document_make("bench", (DocumentOf){.metric = "median_us"},
                               json_pack("{s:I, s:o, s:O}", "run", (json_int_t)id, "host", host,
                                         "rows", session->rows)),
                 stdout);
}

bool session_end(Session *session, Error *error) {
  const BenchOptions *o = session->options;
  char warning[512];
  machine_end(&session->machine, ceiling_seconds(o));
  machine_warning(&session->machine, warning, sizeof warning);
  json_t *environment = environment_capture(o->device, o->deterministic);
  int64_t id = 0;
  bool good = keep(session, environment, &id, error);
  if (good && o->json) print_json(session, environment, id);
  if (warning[0] && !o->quiet) fprintf(stderr, "harness: warning: %s\n", warning);
  if (session->text) print_marks(session);
  if (good && session->text)
    fprintf(session->text, "stored as run %lld (harness bench compare %lld OTHER)\n", (long long)id,
            (long long)id);
  json_decref(environment);
  json_decref(session->rows);
  flush_free(&session->flush);
  return good;
}

void row_of_graph(BenchRow *row, const Graph *graph, const Plan *plan, const Params *params,
                  const Machine *machine) {
  double compute = 0, memory = 0;
  row->flops = row->bytes = 0;
  for (int i = 0; i < graph->node_count; i++) {
    const char *bound;
    Cost cost = op_cost(&graph->nodes[i]->call);
    double least = machine_least_us(machine, cost.flops, cost.bytes, &bound);
    *(bound[0] == 'c' ? &compute : &memory) += least;
    row->flops += cost.flops;
    row->bytes += cost.bytes;
  }
  row->least_us = compute + memory;
  row->bound = compute > memory ? "compute" : "memory";
  row->peak_bytes = (double)(plan_memory(plan) + params_bytes(params));
}
