#include "src/store/sequence.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "src/store/database.h"
#include "src/store/field.h"
#include "src/store/typed_rows.h"

void sequence_free(Sequence *sequence) {
  free(sequence->claim);
  *sequence = (Sequence){.claim = NULL};
}

/* ---- what is claimed ------------------------------------------------------------------------- */

static double paper_of(const json_t *rows, int row) {
  const json_t *paper = json_object_get(json_array_get(rows, (size_t)row), "paper");
  return json_is_number(paper) ? json_number_value(paper) : NAN;
}

int sequence_claims(const json_t *rows, SequenceClaim *claim) {
  int count = 0;
  for (int r = 0; r < (int)json_array_size(rows); r++) {
    const json_t *against = json_object_get(json_array_get(rows, (size_t)r), "against");
    int other = against ? (int)json_integer_value(against) : r - 1;
    if (other < 0 || other == r) continue;
    double paper = paper_of(rows, r) - paper_of(rows, other);
    if (claim_made(paper))
      claim[count++] = (SequenceClaim){r, other, paper};
    else if (against)
      claim[count++] = (SequenceClaim){r, other, 0};
  }
  return count;
}

/* ---- lists as text --------------------------------------------------------------------------- */

static char *claims_text(const Sequence *sequence) {
  json_t *list = json_array();
  for (int i = 0; i < sequence->claims; i++) {
    const SequenceClaim *claim = &sequence->claim[i];
    json_array_append_new(list, json_pack("{s:i,s:i,s:f}", "row", claim->row, "above", claim->above,
                                          "paper", claim->paper));
  }
  char *text = json_dumps(list, JSON_COMPACT);
  json_decref(list);
  CHECK(text, "no memory for claims");
  return text;
}

static void read_claims(const char *text, Sequence *sequence) {
  json_t *list = json_loads(text, 0, NULL), *item;
  size_t i;
  sequence->claim = calloc(json_array_size(list) + 1, sizeof *sequence->claim);
  CHECK(sequence->claim, "no memory for claims");
  json_array_foreach(list, i, item) sequence->claim[sequence->claims++] = (SequenceClaim){
      field_whole(item, "row"), field_whole(item, "above"), field_number(item, "paper")};
  json_decref(list);
}

static char *looks_text(const Looks *looks) {
  json_t *list = json_array();
  for (int k = 0; k < looks->count; k++)
    json_array_append_new(
        list, json_pack("{s:i,s:f}", "seeds", looks->seeds[k], "weight", looks->weight[k]));
  char *text = json_dumps(list, JSON_COMPACT);
  json_decref(list);
  CHECK(text, "no memory for looks");
  return text;
}

static void read_looks(const char *text, int most, Sequence *sequence) {
  json_t *list = json_loads(text, 0, NULL), *item;
  size_t k;
  Looks *looks = &sequence->looks;
  *looks = (Looks){.most = most, .folds = sequence->folds};
  json_array_foreach(list, k, item) {
    CHECK(k < LOOKS, "more looks are stored than there can be");
    looks->seeds[k] = field_whole(item, "seeds");
    looks->weight[k] = field_number(item, "weight");
    looks->count++;
  }
  json_decref(list);
}

/* ---- rows of the table ----------------------------------------------------------------------- */

typedef struct Row {
  int64_t plan_id;
  int first_seed, folds, most;
  double budget_s, trial_s;
  const char *rows_hash, *claims, *looks;
} Row;

static const Column columns[] = {COLUMN(Row, plan_id),   COLUMN(Row, first_seed),
                                 COLUMN(Row, folds),     COLUMN(Row, most),
                                 COLUMN(Row, budget_s),  COLUMN(Row, trial_s),
                                 COLUMN(Row, rows_hash), COLUMN(Row, claims),
                                 COLUMN(Row, looks),     {0}};

#define SELECT                                                                                     \
  "SELECT plan_id, first_seed, folds, coalesce(most, 0) AS most, budget_s,"                        \
  " coalesce(trial_s, 0) AS trial_s, rows_hash, claims, looks FROM sequences "

static bool find(Store *store, const char *sql, json_t *parameters, Sequence *sequence, bool *found,
                 Error *error) {
  Row row;
  json_t *texts;
  *sequence = (Sequence){.claim = NULL};
  *found = false;
  if (!store_row(store, sql, parameters, columns, &row, &texts, error)) return false;
  if (!texts) return true;
  *found = true;
  sequence->plan_id = row.plan_id, sequence->first_seed = row.first_seed;
  sequence->folds = row.folds, sequence->budget_s = row.budget_s, sequence->trial_s = row.trial_s;
  snprintf(sequence->rows_hash, HASH_BYTES, "%s", row.rows_hash);
  read_claims(row.claims, sequence);
  if (row.most > 0) read_looks(row.looks, row.most, sequence);
  json_decref(texts);
  return true;
}

bool sequence_find(Store *store, const char *rows_hash, int first_seed, Sequence *sequence,
                   bool *found, Error *error) {
  static const char sql[] =
      SELECT "WHERE rows_hash = ?1 AND (first_seed = ?2 OR ?2 < 0) ORDER BY plan_id DESC LIMIT 1";
  return find(store, sql, json_pack("[s, i]", rows_hash, first_seed), sequence, found, error);
}

bool sequence_of_plan(Store *store, int64_t plan_id, Sequence *sequence, bool *found,
                      Error *error) {
  return find(store, SELECT "WHERE plan_id = ?1", json_pack("[I]", (json_int_t)plan_id), sequence,
              found, error);
}

bool sequence_add(Store *store, const Sequence *sequence, Error *error) {
  char *claims = claims_text(sequence);
  bool good =
      database_run(store, error,
                   "INSERT INTO sequences(plan_id, rows_hash, first_seed, folds, budget_s,"
                   " claims, started_at) VALUES(?1, ?2, ?3, ?4, ?5, ?6, " NOW ")",
                   "isiids", sequence->plan_id, sequence->rows_hash, (int64_t)sequence->first_seed,
                   (int64_t)sequence->folds, sequence->budget_s, claims);
  free(claims);
  return good;
}

bool sequence_settle(Store *store, const Sequence *sequence, Error *error) {
  char *looks = looks_text(&sequence->looks);
  bool good = database_run(store, error,
                           "UPDATE sequences SET trial_s = ?2, most = ?3, looks = ?4"
                           " WHERE plan_id = ?1 AND most IS NULL",
                           "idis", sequence->plan_id, sequence->trial_s,
                           (int64_t)sequence->looks.most, looks);
  free(looks);
  return good;
}
