/* harness doctor: what the program stands on, what is missing and how to get it. */
#include <limits.h>
#include <stdarg.h>
#include <string.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "engine/backend.h"
#include "kernels/cpu/processor.h"
#include "lua/bind.h"
#include "src/cli/cli.h"
#include "src/cli/progress.h"
#include "src/machine/built.h"
#include "src/machine/document.h"
#include "src/machine/environment.h"
#include "src/store/store.h"

typedef enum State { GOOD, WARN, BAD } State;

static const char *const state_names[] = {"ok", "warn", "bad"};

enum { KEY_JSON = 1 };
static const double ROOM_BAD = 0.1, ROOM_WARN = 2; /* GiB free on the results' disk */

typedef struct Findings {
  json_t *list;
  char install[256]; /* Debian packages, each with a blank before it */
  bool bad;
} Findings;

static void find(Findings *findings, State state, const char *name, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

static void find(Findings *findings, State state, const char *name, const char *format, ...) {
  char text[1200];
  va_list values;
  va_start(values, format);
  vsnprintf(text, sizeof text, format, values);
  va_end(values);
  json_array_append_new(findings->list, json_pack("{s:s,s:s,s:s}", "name", name, "state",
                                                  state_names[state], "text", text));
  if (state == BAD) findings->bad = true;
}

/* The program's own Lua: without it nothing but `data` and `doctor` works. */
static void look_at_home(Findings *findings, const char *home) {
  Error error = {""};
  json_t *options = experiment_options(home, EVERY_MODEL, &error);
  if (options)
    find(findings, GOOD, "home", "%s", home);
  else
    find(findings, BAD, "home",
         "%s has no lua/ of this program's (%s); HARNESS_HOME says where it is", home, error.text);
  json_decref(options);
}

static void look_at_libraries(Findings *findings) {
  json_t *libraries = environment_libraries();
  const char *key;
  json_t *value;
  json_object_foreach(libraries, key, value) {
    find(findings, GOOD, key, "%s", json_string_value(value));
  }
  json_decref(libraries);
}

typedef struct Program {
  const char *name, *package, *option, *use;
} Program;

static void look_at_programs(Findings *findings) {
  static const Program programs[] = {
      {"gnuplot", "gnuplot-nox", "--version", "without it there are no plots"},
  };
  for (size_t i = 0; i < sizeof programs / sizeof programs[0]; i++) {
    const Program *program = &programs[i];
    const char *arguments[] = {program->name, program->option, NULL};
    char *output = environment_command(arguments, 200);
    if (output) {
      output[strcspn(output, "\n")] = 0;
      find(findings, GOOD, program->name, "%s", output);
    } else {
      find(findings, WARN, program->name, "not found; %s", program->use);
      size_t used = strlen(findings->install);
      snprintf(findings->install + used, sizeof findings->install - used, " %s", program->package);
    }
    free(output);
  }
}

static void look_at_processor(Findings *findings) {
  char name[256], isa[64];
  const char *asked = getenv("HARNESS_ISA"), *lack = processor_no_bf16();
  const char *slow = processor_no_simd();
  environment_cpu(name, sizeof name);
  processor_isa(isa, sizeof isa);
  find(findings, GOOD, "processor", "%s, %d usable cores", name, environment_cores());
  find(findings, slow ? WARN : GOOD, "isa", "%s%s%s%s", isa,
       asked && asked[0] ? "; HARNESS_ISA=" : "", asked ? asked : "",
       slow ? ": plain loops serve as kernels, many times slower" : "");
  find(findings, GOOD, "bf16", "%s%s", lack ? lack : "dtype=bf16 can be used",
       lack ? ": dtype=float32 only" : "");
  double gib = (double)environment_memory() / (1 << 30);
  find(findings, gib < 1 ? WARN : GOOD, "memory", "%.1f GiB", gib);
}

static void look_at_cuda(Findings *findings) {
  DeviceInfo info;
  Error error = {""};
  bool good = backend_gpu(0, &info, &error);
  const char *warning = backend_dnn_warning(info.dnn);
  if (info.libraries[0])
    find(findings, warning ? WARN : GOOD, "cuda", "%s%s%s", info.libraries, warning ? "; " : "",
         warning ? warning : "");
  if (!good) find(findings, GOOD, "device", "%s", error.text);
  for (int i = 0, count = info.count; good && i < count; i++) {
    if (!backend_gpu(i, &info, &error)) break;
    bool old = info.major < 8; /* backend_open refuses it */
    find(findings, old ? WARN : GOOD, "device",
         "cuda:%d is %s, compute capability %d.%d%s, %d multiprocessors, %.1f GiB, driver %s", i,
         info.name, info.major, info.minor, old ? " (8.0 is needed)" : "", info.processors,
         (double)info.bytes / 0x1p30, info.release[0] ? info.release : "unknown");
  }
}

static void look_at_gpu(Findings *findings) {
  const char *arguments[] = {"nvidia-smi", "--query-gpu=name,driver_version,memory.total",
                             "--format=csv,noheader", NULL};
  char *output = environment_command(arguments, 400);
  if (output) output[strcspn(output, "\n")] = 0;
  if (output && output[0])
    find(findings, GOOD, "gpu", "%s", output);
  else
    find(findings, GOOD, "gpu", "none found; everything runs on the processor");
  free(output);
}

static void look_at_database(Findings *findings, const char *path) {
  Error error = {""};
  Store *store;
  json_t *counts = NULL;
  if (!store_exists(path)) {
    find(findings, GOOD, "database", "%s: none yet, the first run makes it", path);
    return;
  }
  bool open = store_open(&store, path, STORE_READ, &error);
  if (open && store_check(store, &error) &&
      store_query(store,
                  "SELECT count(*) AS trials, sum(status = 'done') AS done, sum(status = 'running')"
                  " AS running FROM trials",
                  NULL, &counts, &error)) {
    const json_t *row = json_array_get(counts, 0);
    int holder = store_lock_holder(path);
    const char *network = store_network(store);
    char user[64] = "";
    if (holder) snprintf(user, sizeof user, ", in use by process %d", holder);
    find(findings, GOOD, "database", "%s: %lld trials, %lld done%s%s%s", path,
         (long long)json_integer_value(json_object_get(row, "trials")),
         (long long)json_integer_value(json_object_get(row, "done")), user,
         network ? ", shared with other machines by " : "", network ? network : "");
  } else {
    find(findings, BAD, "database", "%s", error.text);
  }
  json_decref(counts);
  if (open) store_close(store);
}

/* The nearest folder that exists: where results will be written. */
static void results_folder(const char *path, char folder[4096]) {
  snprintf(folder, 4096, "%s", path);
  do {
    char *slash = strrchr(folder, '/');
    if (!slash) strcpy(folder, ".");
    if (slash == folder) folder[1] = 0;
    if (slash && slash != folder) *slash = 0;
  } while (access(folder, F_OK));
}

static void look_at_disk(Findings *findings, const char *path) {
  char folder[4096];
  struct statvfs disk;
  results_folder(path, folder);
  if (access(folder, W_OK) || statvfs(folder, &disk)) {
    find(findings, BAD, "disk", "%s: cannot be written; give another place with --db FILE", folder);
    return;
  }
  double gib = (double)disk.f_bavail * (double)disk.f_frsize / (1 << 30);
  State state = gib < ROOM_BAD ? BAD : gib < ROOM_WARN ? WARN : GOOD;
  find(findings, state, "disk", "%s: %.1f GiB free", folder, gib);
}

static void print_findings(const Findings *findings) {
  const json_t *item;
  size_t i;
  bool colour = progress_colour(1);
  json_array_foreach(findings->list, i, item) {
    const char *state = json_string_value(json_object_get(item, "state"));
    const char *paint = !strcmp(state, "ok")    ? "\033[32m"
                        : !strcmp(state, "bad") ? "\033[31m"
                                                : "\033[33m";
    printf("%s%-4s%s  %-11s %s\n", colour ? paint : "", state, colour ? "\033[0m" : "",
           json_string_value(json_object_get(item, "name")),
           json_string_value(json_object_get(item, "text")));
  }
  if (findings->install[0])
    printf("\nTo install what is missing:\n  apt install --no-install-recommends%s\n",
           findings->install);
}

static bool take(int key, char *value, void *user, Error *error) {
  (void)value, (void)error;
  if (key == KEY_JSON) *(bool *)user = true;
  return key == KEY_JSON;
}

int command_doctor(int argc, char **argv) {
  static const struct argp_option options[] = {{"json", KEY_JSON, 0, 0, "One JSON document", 0},
                                               {0}};
  static const Cli cli = {"doctor",
                          "",
                          "  harness doctor\n  harness doctor --json\n",
                          "Looks at libraries, processor, GPU, database and disk, and says what to "
                          "install. Exit code 3 when something keeps the program from working.",
                          options,
                          take};
  Common common;
  bool json = false;
  cli_parse(&cli, argc, argv, &common, &json);
  Findings findings = {.list = json_array()};
  find(&findings, GOOD, "harness", "%s", built_text((char[BUILT_TEXT]){""}));
  look_at_home(&findings, common.home);
  look_at_libraries(&findings);
  look_at_programs(&findings);
  look_at_processor(&findings);
  look_at_gpu(&findings);
  look_at_cuda(&findings);
  look_at_database(&findings, common.db);
  look_at_disk(&findings, common.db);
  if (json) {
    json_t *more =
        json_pack("{s:b,s:s,s:O}", "fit", !findings.bad, "install",
                  findings.install[0] ? findings.install + 1 : "", "findings", findings.list);
    document_print(document_make("doctor", (DocumentOf){0}, more), stdout);
  } else {
    print_findings(&findings);
  }
  json_decref(findings.list);
  return findings.bad ? EXIT_UNFIT : EXIT_DONE;
}
