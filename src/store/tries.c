#include "src/store/tries.h"

#include <math.h>
#include <stdlib.h>

/* ---- what they choose ------------------------------------------------------------------------ */

static int order(const void *left, const void *right) {
  const Try *a = left, *b = right;
  if (a->position != b->position) return a->position < b->position ? -1 : 1;
  if (a->fold != b->fold) return a->fold < b->fold ? -1 : 1;
  if (a->lr < b->lr || a->lr > b->lr) return a->lr < b->lr ? -1 : 1;
  return a->seed < b->seed ? -1 : a->seed > b->seed;
}

static bool same_group(const TriedRate *rate, int position, int fold) {
  return rate->position == position && rate->fold == fold;
}

static void add_try(TriedRate *rate, const Try *one) {
  bool open = one->status == STATUS_PLANNED || one->status == STATUS_RUNNING ||
              one->status == STATUS_INTERRUPTED;
  bool collapsed = one->status == STATUS_COLLAPSED;
  bool good = one->status == STATUS_DONE && !isnan(one->dice);
  rate->tries++;
  rate->open += open;
  rate->collapsed += collapsed;
  rate->lost += !open && !collapsed && !good;
  rate->dice += good ? one->dice : 0;
  rate->last_seed = one->seed;
  rate->used = !isnan(one->used) && !(one->used < one->lr) && !(one->used > one->lr);
  if (one->cases > rate->cases) rate->cases = one->cases;
}

int tries_rates(Try *tries, int count, TriedRate *rate) {
  int rates = 0;
  qsort(tries, (size_t)count, sizeof *tries, order);
  for (int i = 0; i < count; i++) {
    const Try *one = &tries[i];
    TriedRate *last = rates ? &rate[rates - 1] : NULL;
    bool same = last && same_group(last, one->position, one->fold) && !(last->lr < one->lr);
    if (!same)
      rate[rates++] = (TriedRate){
          .position = one->position, .fold = one->fold, .lr = one->lr, .first_seed = one->seed};
    add_try(&rate[rates - 1], one);
  }
  for (int i = 0; i < rates; i++)
    rate[i].dice = rate[i].open || rate[i].lost ? NAN : rate[i].dice / rate[i].tries;
  return rates;
}

int tries_group(const TriedRate *rate, int count) {
  int same = 0;
  while (same < count && same_group(&rate[same], rate->position, rate->fold)) same++;
  return same;
}

int tries_choice(const TriedRate *rate, int count) {
  int best = -1;
  for (int i = 0; i < count; i++)
    if (!isnan(rate[i].dice) && (best < 0 || rate[i].dice > rate[best].dice)) best = i;
  return best;
}

/* ---- what is stored -------------------------------------------------------------------------- */

#define SCORE                                                                                      \
  " s.value AS dice, (SELECT count(DISTINCT m.case_name) FROM metrics m"                           \
  "  WHERE m.attempt_id = s.attempt_id AND m.metric = 'dice') AS cases"

bool tries_score(Store *store, int64_t trial, Try *one, Error *error) {
  static const char sql[] =
      "SELECT" SCORE " FROM v_score s WHERE s.trial_id = ?1 AND s.metric = 'dice'";
  static const Column columns[] = {COLUMN(Try, dice), COLUMN(Try, cases), {0}};
  json_t *texts;
  one->dice = one->used = NAN;
  one->cases = 0;
  bool good =
      store_row(store, sql, json_pack("[I]", (json_int_t)trial), columns, one, &texts, error);
  json_decref(texts);
  return good;
}

static const char plan_sql[] =
    "SELECT r.position, t.fold, t.seed, CAST(t.config ->> '$.lr' AS REAL) AS lr, t.status," SCORE
    ", (SELECT CAST(u.config ->> '$.lr' AS REAL) FROM cells c JOIN trials u ON u.id = c.trial_id"
    "  WHERE c.row_id = r.id AND u.fold = t.fold LIMIT 1) AS used"
    " FROM rows r JOIN tries y ON y.row_id = r.id JOIN trials t ON t.id = y.trial_id"
    " LEFT JOIN v_score s ON s.trial_id = t.id AND s.metric = 'dice' WHERE r.plan_id = ?1";

typedef struct Stored {
  Try one;
  const char *status;
} Stored;

static const Column plan_columns[] = {COLUMN_AS(Stored, one.position, "position"),
                                      COLUMN_AS(Stored, one.fold, "fold"),
                                      COLUMN_AS(Stored, one.seed, "seed"),
                                      COLUMN_AS(Stored, one.lr, "lr"),
                                      COLUMN_AS(Stored, one.dice, "dice"),
                                      COLUMN_AS(Stored, one.cases, "cases"),
                                      COLUMN_AS(Stored, one.used, "used"),
                                      COLUMN(Stored, status),
                                      {0}};

bool tries_of_plan(Store *store, int64_t plan_id, Try **tries, int *count, Error *error) {
  Rows rows;
  *tries = NULL;
  *count = 0;
  if (!store_rows(store, plan_sql, json_pack("[I]", (json_int_t)plan_id), plan_columns,
                  sizeof(Stored), &rows, error))
    return false;
  *tries = calloc((size_t)rows.count + 1, sizeof **tries);
  CHECK(*tries, "no memory for %d tries", rows.count);
  for (; *count < rows.count; ++*count) {
    const Stored *stored = (Stored *)rows.row + *count;
    (*tries)[*count] = stored->one;
    CHECK(status_parse(stored->status, &(*tries)[*count].status), "a trial is %s", stored->status);
  }
  rows_free(&rows);
  return true;
}
