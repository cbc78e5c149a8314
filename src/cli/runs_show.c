/* harness runs show|diff: all that is stored of a trial, and in what two differ. */
#include <string.h>

#include "base/bytes.h"
#include "base/home.h"
#include "lua/bind.h"
#include "src/cli/cli.h"
#include "src/cli/runs.h"
#include "src/data/phantom/phantom.h"
#include "src/data/sets/json_text.h"
#include "src/data/sets/split.h"
#include "src/machine/document.h"
#include "src/report/reproduce.h"
#include "src/store/code.h"
#include "src/store/field.h"

static const char attempts_sql[] =
    "SELECT a.number, a.status, a.removed, a.started_at, a.ended_at, a.wall_s, a.train_s, a.eval_s,"
    " a.processor_s,"
    " a.exit_code, a.signal, a.message, a.log, a.pid, a.peak_bytes, a.parameters, a.trained, "
    "a.flops,"
    " a.max_rss_bytes, n.version, n.commit_hash, n.dirty, n.cpu, n.cores, n.host, n.kernel,"
    " n.compiler, n.flags, n.libraries, n.binary_hash, n.gpu, n.gpu_driver, n.gpu_capability,"
    " n.gpu_bytes, n.gpu_libraries, n.deterministic, a.determinism, a.first_step,"
    " (SELECT substr(w.hash, 1, 8) || ', attempt ' || b.number FROM attempts b JOIN trials w"
    "  ON w.id = b.trial_id WHERE b.id = a.weights_of) AS weights_of"
    " FROM attempts a JOIN trials t ON t.id = a.trial_id JOIN environments n ON n.id = "
    "a.environment_id WHERE t.hash = ?1"
    " ORDER BY a.number";

static const char labels_sql[] =
    "SELECT l.metric, l.label, l.name, l.value, l.cases, l.missed, l.false_positive, l.absent"
    " FROM v_label l JOIN trials t ON t.id = l.trial_id WHERE t.hash = ?1"
    " ORDER BY l.metric <> 'dice', l.metric, l.label";

/* Of the attempts of a trial: their Lua files. */
static const char files_sql[] =
    "SELECT a.number AS attempt, c.file, c.text_hash, c.code_hash, c.text, t.config ->>"
    " '$.model_path' AS model_path FROM v_code c JOIN attempts a ON a.id = c.attempt_id"
    " JOIN trials t ON t.id = a.trial_id WHERE t.hash = ?1 ORDER BY a.number, c.file";

static const char remarks_sql[] =
    "SELECT m.kind, m.text, m.at FROM remarks m JOIN trials t ON t.id = m.trial_id"
    " WHERE t.hash = ?1 ORDER BY m.kind DESC, m.at, m.text";

static bool query(Store *store, const char *sql, const char *hash, json_t **rows, Error *error) {
  json_t *parameters = json_pack("[s]", hash);
  bool good = store_query(store, sql, parameters, rows, error);
  json_decref(parameters);
  return good;
}

/* Adds to each file whether it says "today" the same, "other" or is "gone". */
static void compare_files(json_t *files, const char *home) {
  CodeToday today = {.home = home};
  json_t *file;
  size_t i;
  json_array_foreach(files, i, file) {
    const char *hash = code_today(&today, field_text(file, "file"), field_text(file, "model_path"));
    bool same = !strcmp(hash, field_text(file, "code_hash"));
    json_object_set_new(file, "today", json_string(same ? "same" : hash[0] ? "other" : "gone"));
    json_object_del(file, "model_path");
  }
  code_free(&today);
}

/* {"hash", "status", ..., "config", "attempts", "labels", "files", "remarks"} of one trial. */
static json_t *load_trial(Store *store, const char *home, const char *prefix, Error *error) {
  char hash[HASH_BYTES];
  json_t *rows = NULL, *attempts = NULL, *labels = NULL, *files = NULL, *remarks = NULL,
         *trial = NULL;
  bool good = store_find(store, prefix, hash, error) &&
              query(store, "SELECT * FROM trials WHERE hash = ?1", hash, &rows, error) &&
              query(store, attempts_sql, hash, &attempts, error) &&
              query(store, labels_sql, hash, &labels, error) &&
              query(store, files_sql, hash, &files, error) &&
              query(store, remarks_sql, hash, &remarks, error);
  if (good) {
    trial = json_incref(json_array_get(rows, 0));
    json_t *config = json_loads(field_text(trial, "config"), 0, NULL);
    if (config) json_object_set_new(trial, "config", config);
    json_object_set(trial, "attempts", attempts);
    json_object_set(trial, "labels", labels);
    compare_files(files, home);
    json_object_set(trial, "files", files);
    json_object_set(trial, "remarks", remarks);
  }
  json_decref(rows);
  json_decref(attempts);
  json_decref(labels);
  json_decref(files);
  json_decref(remarks);
  return trial;
}

static void add_command(Store *store, const char *home, json_t *trial) {
  char *command = reproduce_trial(store, home, field_text(trial, "hash"));
  json_object_set_new(trial, "reproduce", command ? json_name(command) : json_null());
  free(command);
}

/* Sizes with their unit. */
static bool print_bytes(const char *name, const json_t *value) {
  size_t length = strlen(name), end = strlen("_bytes");
  if (length <= end || strcmp(name + length - end, "_bytes") || !json_is_number(value))
    return false;
  printf("  %-16.*s %s\n", (int)(length - end), name,
         bytes_text(json_number_value(value), (char[BYTES_TEXT]){""}));
  return true;
}

static void print_value(const char *name, const json_t *value) {
  if (print_bytes(name, value)) return;
  char *dumped = json_is_string(value)
                     ? strdup(json_string_value(value))
                     : json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT | JSON_REAL_PRECISION(6));
  if (value && !json_is_null(value)) printf("  %-16s %s\n", name, dumped ? dumped : "");
  free(dumped);
}

static void print_object(const json_t *object, const char *const *without) {
  const char *key;
  json_t *value;
  json_object_foreach((json_t *)object, key, value) {
    bool left_out = false;
    for (int i = 0; without[i]; i++) left_out = left_out || !strcmp(key, without[i]);
    if (!left_out) print_value(key, value);
  }
}

static bool lists(const json_t *options, const char *name) {
  const json_t *row;
  size_t i;
  json_array_foreach(options, i, row) {
    if (!strcmp(field_text(row, "name"), name)) return true;
  }
  return false;
}

/* Options of models that are not the trial's are counted: of the first models' trials they are part
 * of the identity (lua/harness/first_identity.lua), read by nobody. */
static void print_config(const json_t *config) {
  char home[4096];
  Error unread = {""};
  home_find(home);
  json_t *own = experiment_options(home, field_text_if(config, "model"), &unread);
  json_t *every = own ? experiment_options(home, EVERY_MODEL, &unread) : NULL;
  const char *key;
  const json_t *value;
  int others = 0;
  printf("config\n");
  json_object_foreach((json_t *)(uintptr_t)config, key, value) {
    if (lists(every, key) && !lists(own, key))
      others++;
    else
      print_value(key, value);
  }
  if (others)
    printf("  and %d options of other models, part of its identity: --json has them\n", others);
  json_decref(own);
  json_decref(every);
}

/* Which rule made the folds of a trial on real data: see src/data/sets/split.h. */
static const char *folds_of(const json_t *trial) {
  if (phantom_named(field_text(trial, "dataset"))) return NULL;
  return !strcmp(field_text_if(json_object_get(trial, "config"), "split"), SPLIT_KFOLD)
             ? "nnU-Net's: KFold, shuffled with 12345"
             : "the data set's own, or where it has none this program's earlier ones";
}

/* The Lua files of an attempt, each with what became of its text. */
static void print_files(const json_t *files, int attempt) {
  static const char *const words[][2] = {{"same", "the same text as today's"},
                                         {"other", "another text than today's"},
                                         {"gone", "a file that cannot be read today"}};
  const json_t *file;
  size_t i;
  int count = 0;
  json_array_foreach((json_t *)files, i, file) {
    if (field_whole(file, "attempt") != attempt) continue;
    const char *word = "";
    for (int k = 0; k < 3; k++)
      if (!strcmp(field_text(file, "today"), words[k][0])) word = words[k][1];
    printf("  %-16s %s: %s\n", count++ ? "" : "Lua files", field_text(file, "file"), word);
  }
  if (!count) printf("  %-16s not stored\n", "Lua files");
}

static void print_trial(const json_t *trial, const char *folder) {
  static const char *const parts[] = {"config", "attempts", "labels",   "files",
                                      "id",     "remarks",  "checksum", NULL};
  static const char *const nothing[] = {"number", "log", NULL};
  const json_t *item;
  size_t i;
  printf("trial\n");
  print_object(trial, parts);
  if (folds_of(trial)) printf("  %-16s %s\n", "folds", folds_of(trial));
  json_array_foreach(json_object_get(trial, "remarks"), i, item)
      printf("  %-16s %s\n", field_text(item, "kind"), field_text(item, "text"));
  print_config(json_object_get(trial, "config"));
  json_array_foreach(json_object_get(trial, "attempts"), i, item) {
    printf("attempt %d\n", (int)field_number(item, "number"));
    print_object(item, nothing);
    print_files(json_object_get(trial, "files"), field_whole(item, "number"));
    printf("  %-16s %s/%s\n", "log", folder, field_text(item, "log"));
  }
  json_array_foreach(json_object_get(trial, "labels"), i, item) {
    if (i == 0) printf("structures (validation cases)\n");
    printf("  %-28s %s ", field_text(item, "name"), field_text(item, "metric"));
    printf(field_known(item, "value") ? "%.4f" : "-", field_number(item, "value"));
    printf("  cases %d, missed %d, invented %d, absent %d\n", (int)field_number(item, "cases"),
           (int)field_number(item, "missed"), (int)field_number(item, "false_positive"),
           (int)field_number(item, "absent"));
  }
}

int runs_show(Store *store, const RunsChoice *choice, Error *error) {
  json_t *trial = load_trial(store, choice->home, choice->trial[0], error);
  if (!trial) return EXIT_NOTHING;
  add_command(store, choice->home, trial);
  if (choice->json)
    document_print(document_make("trial", (DocumentOf){0}, json_pack("{s:O}", "trial", trial)),
                   stdout);
  else
    print_trial(trial, store_folder(store));
  json_decref(trial);
  return EXIT_DONE;
}

/* ---- diff ------------------------------------------------------------------------------------ */

static void print_change(const char *key, const json_t *a, const json_t *b) {
  if (json_equal(a, b)) return;
  char *left = a ? json_dumps(a, JSON_ENCODE_ANY | JSON_COMPACT) : NULL;
  char *right = b ? json_dumps(b, JSON_ENCODE_ANY | JSON_COMPACT) : NULL;
  printf("  %-16s %s -> %s\n", key, left ? left : "(absent)", right ? right : "(absent)");
  free(left);
  free(right);
}

static void print_changes(const char *title, const json_t *a, const json_t *b) {
  const char *key;
  json_t *value;
  printf("%s\n", title);
  json_object_foreach((json_t *)a, key, value) print_change(key, value, json_object_get(b, key));
  json_object_foreach((json_t *)b, key, value) {
    if (!json_object_get(a, key)) print_change(key, NULL, value);
  }
}

/* {file: what is said of its text} of the trial's newest attempt that stored any. */
static json_t *latest_files(const json_t *trial) {
  const json_t *files = json_object_get(trial, "files"), *file;
  json_t *found = json_object();
  int last = field_whole(json_array_get(files, json_array_size(files) - 1), "attempt");
  size_t i;
  json_array_foreach((json_t *)files, i, file) {
    if (field_whole(file, "attempt") == last)
      json_object_set_new(found, field_text(file, "file"),
                          json_sprintf("text %.8s", field_text(file, "code_hash")));
  }
  return found;
}

int runs_diff(Store *store, const RunsChoice *choice, Error *error) {
  json_t *a = load_trial(store, choice->home, choice->trial[0], error);
  json_t *b = a ? load_trial(store, choice->home, choice->trial[1], error) : NULL;
  if (a && b) {
    const json_t *tries_a = json_object_get(a, "attempts"),
                 *tries_b = json_object_get(b, "attempts");
    print_changes("config", json_object_get(a, "config"), json_object_get(b, "config"));
    print_changes("latest attempt", json_array_get(tries_a, json_array_size(tries_a) - 1),
                  json_array_get(tries_b, json_array_size(tries_b) - 1));
    json_t *files_a = latest_files(a), *files_b = latest_files(b);
    print_changes("Lua files", files_a, files_b);
    json_decref(files_a);
    json_decref(files_b);
  }
  int code = a && b ? EXIT_DONE : EXIT_NOTHING;
  json_decref(a);
  json_decref(b);
  return code;
}
