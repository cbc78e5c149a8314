/* harness runs list|show|logs|diff|rm: looking at what is stored, trial by trial. */
#include <string.h>

#include "base/bytes.h"
#include "lua/bind.h"
#include "src/cli/cli.h"
#include "src/cli/trial_log.h"
#include "src/data/phantom/phantom.h"
#include "src/data/sets/json_text.h"
#include "src/data/sets/split.h"
#include "src/report/sheet.h"
#include "src/store/code.h"
#include "src/store/field.h"
#include "src/store/store.h"

typedef struct Choice {
  const char *trial[64];
  int trials, most; /* how many a subcommand takes */
  const char *status, *experiment, *home, *sort;
  bool json;
} Choice;

enum { KEY_JSON = 1, KEY_STATUS, KEY_EXPERIMENT, KEY_SORT };

static const struct argp_option list_options[] = {
    {"status", KEY_STATUS, "NAME", 0, "Only trials in this state", 0},
    {"experiment", KEY_EXPERIMENT, "NAME", 0, "Only trials of this experiment", 0},
    {"sort", KEY_SORT, "NAME", 0, "By figure, wall or attempts, the largest first", 0},
    {"json", KEY_JSON, 0, 0, "One JSON document", 0},
    {0}};
static const struct argp_option show_options[] = {{"json", KEY_JSON, 0, 0, "One JSON document", 0},
                                                  {0}};
static const struct argp_option no_options[] = {{0}};

/* Where a trial stands in the tables; a try of a rate (tries.h) in that whose rate it is of. */
static const char list_sql[] =
    "WITH place AS (SELECT c.trial_id, p.used, e.name, r.key FROM"
    "  (SELECT row_id, trial_id FROM cells UNION ALL SELECT row_id, trial_id FROM tries) c"
    "  JOIN rows r ON r.id = c.row_id JOIN plans p ON p.id = r.plan_id"
    "  JOIN experiments e ON e.id = p.experiment_id)"
    " SELECT t.hash, t.status, t.scale, t.dataset, t.device, t.seed, t.fold,"
    " (SELECT name FROM place p WHERE p.trial_id = t.id ORDER BY used DESC LIMIT 1) AS experiment,"
    " trim(coalesce((SELECT key FROM place p WHERE p.trial_id = t.id ORDER BY used DESC LIMIT 1),"
    "  '') || iif(t.config ->> '$.inner_split' IS NULL, '', ' try lr=' || (t.config ->> '$.lr')))"
    "  AS \"row\","
    " (SELECT s.value FROM v_score s WHERE s.trial_id = t.id ORDER BY s.metric <> 'dice' LIMIT 1)"
    "  AS figure,"
    " (SELECT count(*) FROM attempts a WHERE a.trial_id = t.id AND a.removed = 0) AS attempts,"
    " (SELECT a.wall_s FROM attempts a WHERE a.trial_id = t.id AND a.removed = 0"
    "  ORDER BY a.id DESC LIMIT 1) AS wall_s,"
    " (SELECT a.message FROM attempts a WHERE a.trial_id = t.id AND a.removed = 0"
    "  ORDER BY a.id DESC LIMIT 1) AS message"
    " FROM trials t WHERE (t.status = ?1 OR ?1 IS NULL)"
    " AND (?2 IS NULL OR EXISTS (SELECT 1 FROM place p WHERE p.trial_id = t.id AND p.name = ?2))"
    " ORDER BY CASE ?3 WHEN 'figure' THEN figure WHEN 'wall' THEN wall_s"
    "  WHEN 'attempts' THEN attempts END DESC, t.id";

static const char attempts_sql[] =
    "SELECT a.number, a.status, a.removed, a.started_at, a.ended_at, a.wall_s, a.train_s, a.eval_s,"
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

static bool take(int key, char *value, void *user, Error *error) {
  Choice *choice = user;
  Status status;
  if (key == ' ' && choice->trials == choice->most) return false;
  if (key == ' ') choice->trial[choice->trials++] = value;
  if (key == KEY_JSON) choice->json = true;
  if (key == KEY_EXPERIMENT) choice->experiment = value;
  if (key == KEY_STATUS) choice->status = value;
  if (key == KEY_SORT) choice->sort = value;
  if (key == KEY_SORT && strcmp(value, "figure") && strcmp(value, "wall") &&
      strcmp(value, "attempts"))
    return fail(error, "--sort is figure, wall or attempts, not \"%s\"", value);
  if (key != KEY_STATUS || status_parse(value, &status)) return true;
  return fail(error,
              "--status does not know \"%s\"; known: planned, running, done, failed, oom, "
              "collapsed, interrupted, timeout",
              value);
}

static bool query(Store *store, const char *sql, const char *hash, json_t **rows, Error *error) {
  json_t *parameters = json_pack("[s]", hash);
  bool good = store_query(store, sql, parameters, rows, error);
  json_decref(parameters);
  return good;
}

static void print_document(const char *name, json_t *value) {
  json_t *document = json_pack("{s:i,s:O}", "schema", 1, name, value);
  json_document(document, stdout, JSON_INDENT(1));
  json_decref(document);
}

/* ---- list ------------------------------------------------------------------------------------ */

static void print_list(const json_t *trials) {
  static const char *const heads[] = {"trial", "status", "experiment", "row",      "seed", "scale",
                                      "data",  "device", "figure",     "attempts", "wall"};
  int count = (int)json_array_size(trials);
  Sheet sheet = sheet_make(count + 1, 11);
  for (int i = 0; i < 11; i++) sheet_set(&sheet, 0, i, "%s", heads[i]);
  for (int i = 0; i < count; i++) {
    const json_t *trial = json_array_get(trials, (size_t)i);
    sheet_set(&sheet, i + 1, 0, "%.8s", field_text(trial, "hash"));
    sheet_set(&sheet, i + 1, 1, "%s", field_text(trial, "status"));
    sheet_set(&sheet, i + 1, 2, "%s", field_text(trial, "experiment"));
    sheet_set(&sheet, i + 1, 3, "%s", field_text(trial, "row"));
    sheet_set(&sheet, i + 1, 4, "%d", (int)field_number(trial, "seed"));
    sheet_set(&sheet, i + 1, 5, "%s", field_text(trial, "scale"));
    sheet_set(&sheet, i + 1, 6, "%s", field_text(trial, "dataset"));
    sheet_set(&sheet, i + 1, 7, "%s", field_text(trial, "device"));
    sheet_set(&sheet, i + 1, 8, field_known(trial, "figure") ? "%.3f" : "-",
              field_number(trial, "figure"));
    sheet_set(&sheet, i + 1, 9, "%d", (int)field_number(trial, "attempts"));
    sheet_set(&sheet, i + 1, 10, field_known(trial, "wall_s") ? "%.1f s" : "-",
              field_number(trial, "wall_s"));
  }
  sheet_text(&sheet, false, stdout);
  sheet_free(&sheet);
}

/* `running` in the database is only true while somebody holds the lock. */
static void tell_stale(const json_t *trials, const char *path) {
  int running = 0;
  const json_t *trial;
  size_t i;
  json_array_foreach(trials, i, trial) running += !strcmp(field_text(trial, "status"), "running");
  if (running && !store_lock_holder(path))
    fprintf(stderr,
            "harness: %d trial%s read running, but their program has died; the next run "
            "goes on with them\n",
            running, running == 1 ? "" : "s");
}

static int list(Store *store, const Choice *choice, Error *error) {
  json_t *name = choice->experiment ? json_name(choice->experiment) : json_null(), *trials,
         *parameters = json_pack("[s?, o, s?]", choice->status, name, choice->sort);
  bool good = store_query(store, list_sql, parameters, &trials, error);
  json_decref(parameters);
  if (!good) return EXIT_UNFIT;
  tell_stale(trials, store_path(store));
  if (choice->json)
    print_document("trials", trials);
  else
    print_list(trials);
  int code = json_array_size(trials) ? EXIT_DONE : EXIT_NOTHING;
  if (code) fail(error, "%s: no such trial is stored", store_path(store));
  json_decref(trials);
  return code;
}

/* ---- show ------------------------------------------------------------------------------------ */

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

/* {"hash", "status", ..., "config", "attempts", "labels", "files"} of one trial. */
static json_t *load_trial(Store *store, const char *home, const char *prefix, Error *error) {
  char hash[HASH_BYTES];
  json_t *rows = NULL, *attempts = NULL, *labels = NULL, *files = NULL, *trial = NULL;
  bool good = store_find(store, prefix, hash, error) &&
              query(store, "SELECT * FROM trials WHERE hash = ?1", hash, &rows, error) &&
              query(store, attempts_sql, hash, &attempts, error) &&
              query(store, labels_sql, hash, &labels, error) &&
              query(store, files_sql, hash, &files, error);
  if (good) {
    trial = json_incref(json_array_get(rows, 0));
    json_t *config = json_loads(field_text(trial, "config"), 0, NULL);
    if (config) json_object_set_new(trial, "config", config);
    json_object_set(trial, "attempts", attempts);
    json_object_set(trial, "labels", labels);
    compare_files(files, home);
    json_object_set(trial, "files", files);
  }
  json_decref(rows);
  json_decref(attempts);
  json_decref(labels);
  json_decref(files);
  return trial;
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
  cli_home(home);
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
  static const char *const parts[] = {"config", "attempts", "labels", "files", "id", NULL};
  static const char *const nothing[] = {"number", "log", NULL};
  printf("trial\n");
  print_object(trial, parts);
  if (folds_of(trial)) printf("  %-16s %s\n", "folds", folds_of(trial));
  print_config(json_object_get(trial, "config"));
  const json_t *item;
  size_t i;
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

static int show(Store *store, const Choice *choice, Error *error) {
  json_t *trial = load_trial(store, choice->home, choice->trial[0], error);
  if (!trial) return EXIT_NOTHING;
  if (choice->json)
    print_document("trial", trial);
  else
    print_trial(trial, store_folder(store));
  json_decref(trial);
  return EXIT_DONE;
}

static int logs(Store *store, const Choice *choice, Error *error) {
  return trial_log(store, choice->trial[0], stdout, error) ? EXIT_DONE : EXIT_NOTHING;
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

static int diff(Store *store, const Choice *choice, Error *error) {
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

static int take_back(Store *store, const Choice *choice, Error *error) {
  for (int i = 0; i < choice->trials; i++) {
    if (!store_remove(store, choice->trial[i], error)) return EXIT_NOTHING;
    fprintf(stderr, "harness: %s no longer counts; the next run does it again\n", choice->trial[i]);
  }
  return EXIT_DONE;
}

/* ---- dispatch -------------------------------------------------------------------------------- */

typedef struct Part {
  const char *name;
  int least, most; /* trials it takes */
  StoreMode mode;
  int (*work)(Store *store, const Choice *choice, Error *error);
  Cli cli;
} Part;

static const Part parts[] = {
    {"list",
     0,
     0,
     STORE_READ,
     list,
     {"runs list", "", "  harness runs list\n  harness runs list --sort figure\n",
      "Lists trials with their state and figure (the mean of the metric over cases, then over "
      "structures).",
      list_options, take}},
    {"show",
     1,
     1,
     STORE_READ,
     show,
     {"runs show", "TRIAL", "  harness runs show 1a2b3c4d\n  harness runs show 1a2b3c4d --json\n",
      "Shows a trial's configuration, attempts, environment, figures, and the Lua files that its "
      "model came from (with --json their texts).",
      show_options, take}},
    {"logs",
     1,
     1,
     STORE_READ,
     logs,
     {"runs logs", "TRIAL", "  harness runs logs 1a2b3c4d\n  harness runs logs 1a2b | tail\n",
      "Prints what a trial's latest attempt said, from its start to its end.", no_options, take}},
    {"diff",
     2,
     2,
     STORE_READ,
     diff,
     {"runs diff", "TRIAL TRIAL",
      "  harness runs diff 1a2b3c4d 5e6f7a8b\n  harness runs diff 1a2b 5e6f\n",
      "Shows in what two trials differ.", no_options, take}},
    {"rm",
     1,
     64,
     STORE_WRITE,
     take_back,
     {"runs rm", "TRIAL ...", "  harness runs rm 1a2b3c4d\n  harness runs rm 1a2b3c4d 5e6f7a8b\n",
      "Takes trials back: their attempts no longer count and the next run does them again. "
      "Nothing is erased.",
      no_options, take}},
};
enum { PARTS = sizeof parts / sizeof parts[0] };

static int work(const Part *part, int argc, char **argv) {
  Common common;
  Choice choice = {.most = part->most};
  Error error = {""};
  Store *store;
  cli_parse(&part->cli, argc, argv, &common, &choice);
  if (choice.trials < part->least) {
    fail(&error, "harness %s needs %d trial%s; `harness runs list` prints them", part->cli.name,
         part->least, part->least == 1 ? "" : "s");
    return cli_error(EXIT_USAGE, &error);
  }
  if (!store_exists(common.db)) {
    fail(&error, "%s: nothing is stored yet; `harness run FILE` makes results", common.db);
    return cli_error(EXIT_NOTHING, &error);
  }
  if (!store_open(&store, common.db, part->mode, &error)) return cli_error(EXIT_UNFIT, &error);
  choice.home = common.home;
  int code = part->work(store, &choice, &error);
  store_close(store);
  return code == EXIT_DONE ? code : cli_error(code, &error);
}

int command_runs(int argc, char **argv) {
  static const char usage[] = "Examples:\n  harness runs list\n  harness runs show 1a2b3c4d\n\n"
                              "Usage: harness runs list|show|logs|diff|rm [options] [TRIAL ...]\n"
                              "`harness runs list --help` and so on say more.\n";
  const char *names[PARTS], *word = argc > 1 ? argv[1] : "";
  for (int i = 0; i < PARTS; i++) {
    names[i] = parts[i].name;
    if (!strcmp(word, parts[i].name)) return work(&parts[i], argc - 1, argv + 1);
  }
  bool help = !strcmp(word, "--help") || !strcmp(word, "-h");
  if (word[0] && !help) return cli_unknown("subcommand of runs", word, names, PARTS);
  fputs(usage, help ? stdout : stderr);
  return help ? EXIT_DONE : EXIT_USAGE;
}
