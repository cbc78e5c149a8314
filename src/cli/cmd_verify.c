/* harness verify: is a database as it was written, and do its weights predict what is stored? */
#include <ctype.h>
#include <math.h>
#include <string.h>
#include <unistd.h>

#include "src/cli/cli.h"
#include "src/cli/verify_weights.h"
#include "src/data/sets/json_text.h"
#include "src/machine/document.h"
#include "src/store/field.h"
#include "src/store/verify.h"

typedef struct Choice {
  const char *operand[2];
  bool json, predict;
} Choice;

enum { KEY_JSON = 1, KEY_PREDICT };

static const struct argp_option options[] = {
    {"predict", KEY_PREDICT, 0, 0, "Predict again with the weights of every trial that has them",
     0},
    {"json", KEY_JSON, 0, 0, "One JSON document", 0},
    {0}};

static bool take(int key, char *value, void *user, Error *error) {
  Choice *choice = user;
  (void)error;
  if (key == ' ' && choice->operand[1]) return false;
  if (key == ' ') choice->operand[choice->operand[0] != NULL] = value;
  if (key == KEY_JSON) choice->json = true;
  if (key == KEY_PREDICT) choice->predict = true;
  return true;
}

static const Cli cli = {
    "verify",
    "[DATABASE] [TRIAL]",
    "  harness verify results/harness.db\n  harness verify mailed.db 3f2a\n"
    "  harness verify --predict\n",
    "Is a database as it was written? The file's structure is checked, and every row of trials, "
    "attempts and figures against the checksum that it was written with, so that a number that "
    "somebody changed is found (checksums are no signatures: who computes them anew is not). With "
    "a "
    "TRIAL, its rows alone, and its weights, where they lie beside the database, predict its "
    "validation cases again: by the same program on such a processor every figure must be the same "
    "to the last digit, else means " REPEATED_NEAR
    ". Nothing is written. Exit code 0: all is as it "
    "was written; 4: something is not, each is named; 5: there is nothing to compare with: no "
    "database, nothing stored, no row with a checksum (a database of an older program), or no "
    "weights of the TRIAL that is named.",
    options,
    take};

/* What is told as it is found, and how it ends. */
typedef struct Verdict {
  int64_t compared; /* rows and trials with weights */
  int faults, lacking;
  json_t *trials, *texts; /* of the document */
  bool json;
} Verdict;

static void tell_fault(Verdict *v, const char *text) {
  v->faults++;
  json_array_append_new(v->texts, json_name(text));
  if (!v->json) printf("CHANGED  %s\n", text);
}

/* ---- rows ------------------------------------------------------------------------------------ */

static bool verify_rows(Store *store, const char *hash, Verdict *v, json_t *document,
                        Error *error) {
  Verified rows;
  const json_t *fault;
  size_t i;
  if (!store_verify(store, hash, &rows, error)) return false;
  json_array_foreach(rows.faults, i, fault) tell_fault(v, json_string_value(fault));
  v->compared += rows.rows - rows.without;
  json_object_set_new(document, "rows", json_integer(rows.rows));
  json_object_set_new(document, "without_checksum", json_integer(rows.without));
  if (!v->json) {
    printf("rows     %lld looked at, %zu not as written", (long long)rows.rows,
           json_array_size(rows.faults));
    if (rows.without)
      printf("; %lld have no checksum: an older program wrote them", (long long)rows.without);
    putchar('\n');
  }
  json_decref(rows.faults);
  return true;
}

/* ---- weights --------------------------------------------------------------------------------- */

static json_t *number(double value) {
  return isfinite(value) ? json_real(value) : json_null();
}

static void tell_repeated(const char *hash, const Repeated *r, Verdict *v) {
  char text[700];
  const char *digits = r->exact ? "by this very program" : "by another program or processor";
  snprintf(text, sizeof text, "trial %.8s: of %d figures %d are the same to the last digit, %s",
           hash, r->figures, r->same, digits);
  if (!r->agrees)
    snprintf(text + strlen(text), sizeof text - strlen(text),
             "; mean %s %.4f is stored as %.4f; %s", r->metric, r->again, r->stored, r->first);
  json_array_append_new(v->trials,
                        json_pack("{s:s, s:i, s:i, s:b, s:b, s:s, s:o, s:o, s:s}", "trial", hash,
                                  "figures", r->figures, "same", r->same, "exact", r->exact,
                                  "agrees", r->agrees, "farthest", r->metric, "stored",
                                  number(r->stored), "again", number(r->again), "first", r->first));
  v->compared++;
  if (!r->agrees)
    tell_fault(v, text);
  else if (!v->json)
    printf("weights  %s\n", text);
}

/* Those that cannot be read, data or weights, are told and the others go on. */
static void verify_trial(Store *store, const Common *common, const char *hash, DataSeen *seen,
                         Verdict *v) {
  Error error = {""};
  Repeated repeated;
  json_t *config = weights_trial(common->home, store, hash, NULL, &error);
  if (config && verify_weights(store, hash, config, seen, &repeated, &error))
    tell_repeated(hash, &repeated, v);
  else {
    v->lacking++;
    cli_error(0, &error);
  }
  json_decref(config);
}

static bool verify_all(Store *store, const Common *common, bool predict, Verdict *v, Error *error) {
  json_t *trials, *trial;
  size_t i, there = 0;
  DataSeen seen = {.dir = ""};
  char path[4400];
  if (!store_query(
          store, "SELECT t.hash FROM v_attempt v JOIN trials t ON t.id = v.trial_id ORDER BY t.id",
          NULL, &trials, error))
    return false;
  json_array_foreach(trials, i, trial) {
    const char *hash = field_text(trial, "hash");
    snprintf(path, sizeof path, "%.4000s/checkpoints/%s.safetensors", store_folder(store), hash);
    if (access(path, R_OK)) continue;
    there++;
    if (predict) verify_trial(store, common, hash, &seen, v);
  }
  if (!predict && !v->json)
    printf("weights  of %zu trials lie beside it, not looked at: name a TRIAL, or --predict\n",
           there);
  json_decref(trials);
  return true;
}

/* ---- the command ----------------------------------------------------------------------------- */

static bool is_hash(const char *word) {
  size_t length = strlen(word);
  for (const char *p = word; *p; p++)
    if (!isxdigit((unsigned char)*p)) return false;
  return length >= 4 && length < HASH_BYTES;
}

/* One operand is a database, or, where there is no such file, a trial of the usual one. */
static const char *take_operands(const Choice *choice, Common *common) {
  const char *first = choice->operand[0], *second = choice->operand[1];
  if (first && !second && access(first, F_OK) && is_hash(first)) return first;
  if (first) snprintf(common->db, sizeof common->db, "%.4000s", first);
  return second;
}

static int verify(Store *store, const Common *common, const char *trial, const Choice *choice,
                  Error *error) {
  Verdict v = {.trials = json_array(), .texts = json_array(), .json = choice->json};
  json_t *document = document_begin("verify", (DocumentOf){0});
  DataSeen seen = {.dir = ""};
  char hash[HASH_BYTES];
  int code = EXIT_UNFIT;
  json_object_set_new(document, "database", json_name(common->db));
  if (trial && !store_find(store, trial, hash, error))
    code = EXIT_NOTHING;
  else if (verify_rows(store, trial ? hash : NULL, &v, document, error)) {
    bool good = true;
    if (trial)
      verify_trial(store, common, hash, &seen, &v);
    else
      good = verify_all(store, common, choice->predict, &v, error);
    bool lacks = trial ? v.lacking > 0 : v.compared == 0;
    code = !good ? EXIT_UNFIT : v.faults ? EXIT_REGRESSION : lacks ? EXIT_NOTHING : EXIT_DONE;
    if (code == EXIT_REGRESSION)
      fail(error, "%s: %d thing%s not as written", common->db, v.faults,
           v.faults > 1 ? "s are" : " is");
    if (code == EXIT_NOTHING && !trial)
      fail(error, "%s: nothing to compare with: no row has a checksum", common->db);
  }
  json_object_set_new(document, "faults", v.texts);
  json_object_set_new(document, "trials", v.trials);
  if (choice->json && code != EXIT_UNFIT)
    document_print(document, stdout);
  else
    json_decref(document);
  return code;
}

int command_verify(int argc, char **argv) {
  Common common;
  Choice choice = {0};
  Error error = {""};
  Store *store = NULL;
  cli_parse(&cli, argc, argv, &common, &choice);
  const char *trial = take_operands(&choice, &common);
  int code = EXIT_NOTHING;
  if (!store_exists(common.db))
    fail(&error, "%s: there is no such database", common.db);
  else if (store_open(&store, common.db, STORE_READ, &error))
    code = verify(store, &common, trial, &choice, &error);
  else
    code = strstr(error.text, "damaged") ? EXIT_REGRESSION : EXIT_UNFIT;
  store_close(store);
  return code == EXIT_DONE || !error.text[0] ? code : cli_error(code, &error);
}
