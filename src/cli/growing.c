#include "src/cli/growing.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "src/store/field.h"
#include "src/store/typed_rows.h"

static void *memory(size_t count, size_t bytes) {
  void *block = calloc(count + 1, bytes);
  CHECK(block, "no memory for the seeds of an experiment");
  return block;
}

const char *growing_name(const Growing *growing) {
  return json_string_value(json_object_get(growing->experiment->document, "experiment"));
}

static int whole_of(const json_t *object, const char *key) {
  return (int)json_integer_value(json_object_get(object, key));
}

/* ---- what is claimed ------------------------------------------------------------------------- */

static bool collapses(const json_t *rows, int row) {
  const char *word = field_text_if(json_array_get(rows, (size_t)row), "paper_word");
  return !strncmp(word, "collapse", 8);
}

static void take_claims(Growing *growing) {
  const json_t *rows = json_object_get(growing->experiment->document, "rows");
  Sequence *sequence = &growing->sequence;
  growing->rows = (int)json_array_size(rows);
  growing->claimed = memory((size_t)growing->rows, sizeof *growing->claimed);
  growing->collapses = memory((size_t)growing->rows, sizeof *growing->collapses);
  sequence->claim = memory((size_t)growing->rows, sizeof *sequence->claim);
  for (int r = 0; r < growing->rows; r++) {
    growing->collapses[r] = collapses(rows, r);
    growing->claimed[r] = growing->collapses[r];
  }
  sequence->claims = sequence_claims(rows, sequence->claim);
  for (int i = 0; i < sequence->claims; i++)
    growing->claimed[sequence->claim[i].row] = growing->claimed[sequence->claim[i].above] = true;
}

static const json_t *cell_of(const Growing *growing, int row, int fold, int seed) {
  const json_t *first = NULL;
  json_t *cell;
  size_t i;
  json_array_foreach(growing->pattern, i, cell) {
    if (whole_of(cell, "row") != row || whole_of(cell, "fold") != fold) continue;
    if (whole_of(cell, "seed") == seed) return cell;
    if (!first) first = cell;
  }
  return first;
}

static bool take_folds(Growing *growing, Error *error) {
  int *fold = growing->fold = memory(json_array_size(growing->pattern), sizeof *fold), count = 0;
  json_t *cell;
  size_t i;
  json_array_foreach(growing->pattern, i, cell) {
    bool seen = false;
    for (int f = 0; f < count; f++) seen = seen || fold[f] == whole_of(cell, "fold");
    if (!seen) fold[count++] = whole_of(cell, "fold");
  }
  growing->sequence.folds = count;
  for (int r = 0; r < growing->rows; r++)
    for (int f = 0; f < count; f++)
      if (!cell_of(growing, r, fold[f], -1))
        return fail(error,
                    "%s: until=decided compares rows over the same folds; row %d has no "
                    "fold %d",
                    growing_name(growing), r + 1, fold[f]);
  if (looks_least(count) > 0) return true;
  return fail(error,
              "%s: %d folds never make a verdict: a fold is then what is compared, and %d are "
              "needed; give folds=%d or one fold",
              growing_name(growing), count, FOLDS_VERDICT, FOLDS_VERDICT);
}

static Growing growing_make(Experiment *experiment) {
  Growing growing = {.experiment = experiment};
  const json_t *until = json_object_get(experiment->document, "until");
  const json_t *first = json_object_get(until, "first_seed");
  growing.budget_s = growing.sequence.budget_s = field_number(until, "budget_s");
  growing.asked_first = json_is_integer(first) ? (int)json_integer_value(first) : -1;
  growing.pattern = json_incref(json_object_get(experiment->document, "cells"));
  take_claims(&growing);
  return growing;
}

bool growing_list(Experiments *experiments, Growing **list, int *count, bool quiet, Error *error) {
  Growing *item = memory((size_t)experiments->count, sizeof *item);
  int asked = 0;
  *list = item;
  *count = 0;
  for (int p = 0; p < experiments->count; p++) {
    Experiment *experiment = &experiments->item[p];
    if (!json_object_get(experiment->document, "until")) continue;
    Growing growing = growing_make(experiment);
    asked++;
    if (growing.sequence.claims > 0) {
      item[(*count)++] = growing;
      if (!take_folds(&item[*count - 1], error)) return false;
      continue;
    }
    if (!quiet && experiments->list)
      fprintf(stderr, "harness: %s: no difference of rows is claimed; its seeds are as ever\n",
              growing_name(&growing));
    growing_free(&growing);
    json_object_del(experiment->document, "until");
  }
  if (*count > 0 || asked == 0) return true;
  return fail(error,
              "until=decided: the paper claims no difference between these rows, so there is "
              "nothing to decide; give seeds=N, or ask with against = in the experiment's file");
}

void growing_free(Growing *growing) {
  sequence_free(&growing->sequence);
  json_decref(growing->pattern);
  free(growing->fold);
  free(growing->claimed);
  free(growing->collapses);
  free(growing->seeds);
}

int growing_seed_trials(const Growing *growing) {
  int rows = 0;
  for (int r = 0; r < growing->rows; r++) rows += growing->claimed[r];
  return rows * growing->sequence.folds;
}

/* ---- what is stored -------------------------------------------------------------------------- */

/* Every trial of the kind that ended, once for each plan that it belongs to. */
static const char stored_sql[] =
    "SELECT r.plan_id, t.seed, t.config, a.wall_s FROM trials t JOIN cells c ON c.trial_id = t.id"
    " JOIN rows r ON r.id = c.row_id LEFT JOIN v_attempt v ON v.trial_id = t.id"
    " LEFT JOIN attempts a ON a.id = v.attempt_id"
    " WHERE t.scale = ?1 AND t.data_hash = ?2 AND t.device = ?3"
    " AND (v.attempt_id IS NOT NULL OR t.status = 'collapsed') ORDER BY r.plan_id";

typedef struct Stored {
  int64_t plan_id;
  int seed;
  const char *config;
  double wall_s;
} Stored;
static const Column stored_columns[] = {COLUMN(Stored, plan_id),
                                        COLUMN(Stored, seed),
                                        COLUMN(Stored, config),
                                        COLUMN(Stored, wall_s),
                                        {0}};

/* The hash of each row's first cell of each fold, without its seed. */
static bool row_hashes(const Growing *growing, char (*hash)[HASH_BYTES], Error *error) {
  int folds = growing->sequence.folds;
  for (int i = 0; i < growing->rows * folds; i++) {
    const json_t *cell = cell_of(growing, i / folds, growing->fold[i % folds], -1);
    if (!seedless_hash(json_object_get(cell, "config"), growing->experiment->data_hash, hash[i],
                       error))
      return false;
  }
  return true;
}

/* The row that a stored configuration is of; -1: none. */
static int row_of(const Growing *growing, char (*hash)[HASH_BYTES], const char *config) {
  char own[HASH_BYTES];
  Error error = {""};
  json_t *read = json_loads(config, 0, NULL);
  bool good = read && seedless_hash(read, growing->experiment->data_hash, own, &error);
  json_decref(read);
  for (int i = 0; good && i < growing->rows * growing->sequence.folds; i++)
    if (!strcmp(hash[i], own)) return i / growing->sequence.folds;
  return -1;
}

/* One plan's trials of these rows. A verdict could be read off it where both rows of some claim
 * have enough of them; the first seed above all of its own is then fresh. */
static void take_plan(Growing *growing, const int *ended, int last_seed) {
  for (int i = 0; i < growing->sequence.claims; i++) {
    const SequenceClaim *claim = &growing->sequence.claim[i];
    bool judged = ended[claim->row] >= SEEDS_VERDICT && ended[claim->above] >= SEEDS_VERDICT;
    if (judged && growing->sequence.first_seed <= last_seed)
      growing->sequence.first_seed = last_seed + 1;
  }
}

static void take_stored(Growing *growing, char (*hash)[HASH_BYTES], const Rows *rows) {
  const Stored *stored = rows->row;
  int ended[growing->rows], last = -1, timed = 0;
  double seconds = 0;
  memset(ended, 0, sizeof ended);
  for (int i = 0; i < rows->count; i++) {
    int row = row_of(growing, hash, stored[i].config);
    if (row >= 0) {
      ended[row]++;
      if (stored[i].seed > last) last = stored[i].seed;
      if (stored[i].wall_s > 0) seconds += stored[i].wall_s, timed++;
    }
    if (i + 1 < rows->count && stored[i + 1].plan_id == stored[i].plan_id) continue;
    take_plan(growing, ended, last);
    memset(ended, 0, sizeof ended);
    last = -1;
  }
  growing->known_trial_s = timed ? seconds / timed : 0;
}

/* Which seeds are fresh, and how long stored trials of these rows took. */
static bool scan_stored(Growing *growing, Store *store, Error *error) {
  const json_t *document = growing->experiment->document;
  char(*hash)[HASH_BYTES] = memory((size_t)(growing->rows * growing->sequence.folds), sizeof *hash);
  json_t *what = json_pack("[O, s, O]", json_object_get(document, "scale"),
                           growing->experiment->data_hash, json_object_get(document, "device"));
  Rows rows;
  growing->sequence.first_seed = 0;
  bool good =
      row_hashes(growing, hash, error) && store_rows(store, stored_sql, json_incref(what),
                                                     stored_columns, sizeof(Stored), &rows, error);
  if (good) {
    take_stored(growing, hash, &rows);
    rows_free(&rows);
  }
  json_decref(what);
  free(hash);
  return good;
}

static const char seeds_sql[] = "SELECT r.position, t.fold, max(t.seed) AS last FROM rows r"
                                " JOIN cells c ON c.row_id = r.id JOIN trials t"
                                " ON t.id = c.trial_id WHERE r.plan_id = ?1 GROUP BY 1, 2";

typedef struct Last {
  int position, fold, last;
} Last;
static const Column last_columns[] = {
    COLUMN(Last, position), COLUMN(Last, fold), COLUMN(Last, last), {0}};

static bool read_seeds(Growing *growing, Store *store, Error *error) {
  Rows rows;
  int folds = growing->sequence.folds;
  json_t *plan = json_pack("[I]", (json_int_t)growing->sequence.plan_id);
  if (!store_rows(store, seeds_sql, plan, last_columns, sizeof(Last), &rows, error)) return false;
  for (const Last *last = rows.row, *end = last + rows.count; last < end; last++)
    for (int f = 0; f < folds; f++)
      if (growing->fold[f] == last->fold && last->position < growing->rows)
        growing->seeds[last->position * folds + f] = last->last - growing->sequence.first_seed + 1;
  rows_free(&rows);
  return true;
}

static bool judge_first(Growing *growing, Error *error) {
  Sequence *sequence = &growing->sequence;
  int fresh = sequence->first_seed, asked = growing->asked_first;
  if (asked >= 0 && asked < fresh)
    return fail(error,
                "%s: first_seed=%d, but seeds up to %d of these rows were judged already; "
                "fresh ones begin at first_seed=%d",
                growing_name(growing), asked, fresh - 1, fresh);
  if (asked >= 0) sequence->first_seed = asked;
  return true;
}

bool growing_find(Growing *growing, Store *store, Error *error) {
  Experiment *experiment = growing->experiment;
  Sequence *sequence = &growing->sequence, stored;
  growing->seeds = memory((size_t)(growing->rows * sequence->folds), sizeof *growing->seeds);
  if (!store_rows_hash(experiment->document, experiment->data_hash, sequence->rows_hash, error) ||
      (store && !sequence_find(store, sequence->rows_hash, growing->asked_first, &stored,
                               &growing->found, error)) ||
      (store && !scan_stored(growing, store, error)))
    return false;
  if (growing->found) {
    sequence_free(sequence);
    *sequence = stored;
    growing->settled = sequence->looks.most > 0;
    if (!read_seeds(growing, store, error)) return false;
  } else if (!judge_first(growing, error)) {
    return false;
  }
  json_object_set_new(json_object_get(experiment->document, "until"), "first_seed",
                      json_integer(sequence->first_seed));
  return true;
}

/* ---- cells ----------------------------------------------------------------------------------- */

static json_t *cell_make(const Growing *growing, int row, int fold, int seed) {
  const json_t *pattern = cell_of(growing, row, fold, seed);
  if (whole_of(pattern, "seed") == seed) return json_incref((json_t *)pattern);
  json_t *cell = json_copy((json_t *)pattern);
  json_t *config = json_copy(json_object_get(pattern, "config"));
  json_object_set_new(cell, "seed", json_integer(seed));
  json_object_set_new(config, "seed", json_integer(seed));
  json_object_set_new(cell, "config", config);
  return cell;
}

/* In the order of experiment files: rows, seeds, folds. */
static void set_cells(Growing *growing) {
  int folds = growing->sequence.folds;
  json_t *cells = json_array();
  for (int r = 0; r < growing->rows; r++) {
    const int *seeds = growing->seeds + r * folds;
    int most = 0;
    for (int f = 0; f < folds; f++) most = seeds[f] > most ? seeds[f] : most;
    for (int s = 0; s < most; s++)
      for (int f = 0; f < folds; f++)
        if (s < seeds[f])
          json_array_append_new(
              cells, cell_make(growing, r, growing->fold[f], growing->sequence.first_seed + s));
  }
  Experiment *experiment = growing->experiment;
  free(experiment->trial); /* they point into the cells of before */
  experiment->trial = NULL;
  experiment->trials = 0;
  json_object_set_new(experiment->document, "cells", cells);
}

typedef struct Count {
  int good, waiting, failed; /* good: ended or waiting */
} Count;

static void count_cells(const Growing *growing, const Cell *cell, int cells, Count *count) {
  int folds = growing->sequence.folds;
  memset(count, 0, sizeof *count * (size_t)(growing->rows * folds));
  for (int i = 0; i < cells; i++) {
    int f = 0;
    while (growing->fold[f] != cell[i].fold) f++;
    Count *of = &count[cell[i].row * folds + f];
    Status status = cell[i].status;
    bool waiting =
        status == STATUS_PLANNED || status == STATUS_RUNNING || status == STATUS_INTERRUPTED;
    bool ended = status == STATUS_DONE || status == STATUS_COLLAPSED;
    of->good += waiting || ended;
    of->waiting += waiting;
    of->failed += !waiting && !ended;
  }
}

/* Adds what is missing; true: there was something. */
static bool add_seeds(Growing *growing, const int *need, const Count *count) {
  int folds = growing->sequence.folds;
  bool added = false;
  for (int r = 0; r < growing->rows; r++) {
    int failed = 0;
    for (int f = 0; f < folds; f++) failed += count[r * folds + f].failed;
    for (int f = 0; f < folds; f++) {
      int missing = need[r] - count[r * folds + f].good;
      if (missing <= 0 || failed > REPLAY_FAILED_MOST) continue;
      growing->seeds[r * folds + f] += missing;
      added = true;
    }
  }
  return added;
}

bool growing_extend(Growing *growing, const int *need, Store *store, Error *error) {
  const Experiment *experiment = growing->experiment;
  Count count[growing->rows * growing->sequence.folds + 1];
  growing->grew = false;
  for (;;) {
    Cell *cell = NULL;
    int cells = 0;
    set_cells(growing);
    bool good =
        store_preview(store, experiment->document, experiment->data_hash, &cell, &cells, error);
    if (good) count_cells(growing, cell, cells, count);
    free(cell);
    if (!good) return false;
    if (!add_seeds(growing, need, count)) break;
    growing->grew = true;
  }
  growing->waiting = 0;
  for (int i = 0; i < growing->rows * growing->sequence.folds; i++)
    growing->waiting += count[i].waiting;
  return true;
}

bool growing_begin(Growing *growing, Store *store, Error *error) {
  int need[growing->rows];
  for (int r = 0; r < growing->rows; r++)
    need[r] = growing->claimed[r] ? looks_least(growing->sequence.folds) : 0;
  return growing_extend(growing, need, store, error);
}
