#include "src/bench/session.h"
#include "kernels/cpu/processor.h"
#include "src/data/sets/json_text.h"
#include "src/machine/environment.h"
#include "src/store/bench.h"

#include <omp.h>
#include <signal.h>
#include <string.h>

static const double CEILING_SECONDS = .3;

static volatile sig_atomic_t interrupted;

static void interrupt(int number) {
  interrupted = 1;
  signal(number, SIG_DFL);
}

bool session_interrupted(void) {
  return interrupted;
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
  if (device)
    fprintf(session.text,
            "cuda, %.0f MHz; ceilings measured now: copy %.0f GB/s, float FMA %.0f GFLOP/s, bf16 "
            "matrix %.0f GFLOP/s\n",
            session.machine.mhz, session.machine.copy_gbps, session.machine.fma_gflops,
            session.machine.matrix_gflops);
  else
    fprintf(session.text,
            "%s, %d threads; ceilings measured now: copy %.1f GB/s, float FMA %.0f GFLOP/s\n", isa,
            options->threads, session.machine.copy_gbps, session.machine.fma_gflops);
  row_print_head(session.text, width, options->against);
  fflush(session.text);
  return session;
}

void session_add(Session *session, BenchRow *row) {
  row->device = session->options->backend->name;
  if (session->text) row_print(row, session->text, session->width, session->options->against);
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
  fprintf(session->text, "%*s%6.2fx  the better peer: %s\n", session->width + 80, "",
          json_number_value(json_object_get(better, "speedup")),
          json_string_value(json_object_get(better, "baseline")));
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
  machine_warning(&session->machine, warning, sizeof warning);
  return json_pack("{s:s, s:f, s:f, s:o, s:s}", "command", o->command, "limit_s", o->limits.seconds,
                   "noise_target", o->limits.noise, "machine", machine_json(&session->machine),
                   "warning", warning);
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
  json_t *document = json_pack("{s:i, s:I, s:o, s:O}", "schema", 1, "run", (json_int_t)id, "host",
                               host, "rows", session->rows);
  json_document(document, stdout, JSON_INDENT(1) | JSON_REAL_PRECISION(6));
  json_decref(document);
}

bool session_end(Session *session, Error *error) {
  const BenchOptions *o = session->options;
  char warning[512];
  machine_end(&session->machine, ceiling_seconds(o));
  machine_warning(&session->machine, warning, sizeof warning);
  json_t *environment = environment_capture(o->home, o->device, o->deterministic);
  int64_t id = 0;
  bool good = keep(session, environment, &id, error);
  if (good && o->json) print_json(session, environment, id);
  if (warning[0] && !o->quiet) fprintf(stderr, "harness: warning: %s\n", warning);
  if (good && session->text)
    fprintf(session->text, "stored as run %lld (harness bench compare %lld OTHER)\n", (long long)id,
            (long long)id);
  json_decref(environment);
  json_decref(session->rows);
  flush_free(&session->flush);
  return good;
}
