#include "src/report/replay.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "src/report/row_figures.h"
#include "src/store/typed_rows.h"

/* In the order of row_figures.h, which has those that ended. */
static const char trials_sql[] =
    "SELECT r.position, t.seed, t.fold,"
    " v.attempt_id IS NOT NULL OR t.status = 'collapsed' AS ended,"
    " v.attempt_id IS NULL AND t.status IN ('planned', 'running', 'interrupted') AS waits"
    " FROM rows r JOIN cells c ON c.row_id = r.id JOIN trials t ON t.id = c.trial_id"
    " LEFT JOIN v_attempt v ON v.trial_id = t.id WHERE r.plan_id = ?1"
    " ORDER BY r.position, t.seed, t.fold, t.id";

typedef struct Trial {
  int position, seed, fold, ended, waits;
} Trial;
static const Column columns[] = {COLUMN(Trial, position), COLUMN(Trial, seed),  COLUMN(Trial, fold),
                                 COLUMN(Trial, ended),    COLUMN(Trial, waits), {0}};

static void *memory(size_t count, size_t bytes) {
  void *block = calloc(count + 1, bytes);
  CHECK(block, "no memory for looks");
  return block;
}

/* ---- whole seeds of a row -------------------------------------------------------------------- */

/* Of a row's trials the rank-th that ended of a fold, as its number among all that ended; -1: there
 * is none yet, or one before it may still end. */
static int ranked(const Trial *trial, int trials, int fold, int rank) {
  int number = 0;
  for (int i = 0; i < trials; i++) {
    if (trial[i].fold == fold) {
      if (trial[i].waits) return -1;
      if (trial[i].ended && rank-- == 0) return number;
    }
    number += trial[i].ended;
  }
  return -1;
}

static int list_folds(const Trial *trial, int trials, int *fold) {
  int count = 0;
  for (int i = 0; i < trials; i++) {
    bool seen = false;
    for (int k = 0; k < count; k++) seen = seen || fold[k] == trial[i].fold;
    if (!seen) fold[count++] = trial[i].fold;
  }
  return count;
}

/* The trials of all, so many, in this order. */
static Figures select_trials(const Figures *all, const int *order, int count) {
  size_t size = (size_t)all->cases * (size_t)all->labels;
  double *value = memory((size_t)count * size, sizeof *value);
  int *fold = memory((size_t)count, sizeof *fold);
  bool *collapsed = memory((size_t)count, sizeof *collapsed);
  for (int t = 0; t < count; t++) {
    memcpy(value + (size_t)t * size, all->value + (size_t)order[t] * size, size * sizeof *value);
    fold[t] = all->fold[order[t]];
    collapsed[t] = all->collapsed[order[t]];
  }
  return (Figures){count, all->cases, all->labels, value, NULL, fold, collapsed, all->lower};
}

/* The first trial of each fold, the second of each, and so on, as long as all folds have one. */
static Figures whole_seeds(const Figures *all, const Trial *trial, int trials, int folds) {
  int fold[trials + 1], order[trials + 1], count = 0;
  bool whole = list_folds(trial, trials, fold) == folds;
  for (int rank = 0; whole; rank++) {
    for (int f = 0; whole && f < folds; f++) {
      order[count + f] = ranked(trial, trials, fold[f], rank);
      whole = order[count + f] >= 0;
    }
    if (whole) count += folds;
  }
  return select_trials(all, order, count);
}

/* ---- the replay ------------------------------------------------------------------------------ */

static void take_row(Replay *replay, int r, const RowFigures *figures, const Trial *trial,
                     int trials) {
  static const Figures nothing = {.trials = 0};
  int failed = 0;
  for (int i = 0; i < trials; i++) failed += !trial[i].ended && !trial[i].waits;
  replay->lost[r] = failed > REPLAY_FAILED_MOST;
  replay->row[r] = whole_seeds(r < figures->rows ? &figures->row[r] : &nothing, trial, trials,
                               replay->sequence->folds);
}

static void take_rows(Replay *replay, const RowFigures *figures, const Rows *trials) {
  const Trial *trial = trials->row;
  int first = 0, cases = 0, labels = 0;
  for (int r = 0; r < figures->rows; r++)
    cases = figures->row[r].cases, labels = figures->row[r].labels;
  for (int r = 0; r < replay->rows; r++) {
    int count = 0;
    while (first + count < trials->count && trial[first + count].position == r) count++;
    take_row(replay, r, figures, trial + first, count);
    replay->row[r].cases = cases, replay->row[r].labels = labels;
    first += count;
  }
}

static int rows_needed(const Sequence *sequence, const Rows *trials) {
  const Trial *last = trials->count ? (const Trial *)trials->row + trials->count - 1 : NULL;
  int rows = last ? last->position + 1 : 0;
  for (int i = 0; i < sequence->claims; i++)
    if (sequence->claim[i].row >= rows) rows = sequence->claim[i].row + 1;
  return rows;
}

void replay_again(Replay *replay, int looks, bool cases_fixed) {
  const Looks *all = &replay->sequence->looks;
  int most = looks < all->count ? all->seeds[looks > 0 ? looks - 1 : 0] * all->folds : 1 << 30;
  Figures part[replay->rows + 1];
  for (int r = 0; r < replay->rows; r++) {
    part[r] = replay->row[r];
    if (part[r].trials > most) part[r].trials = most;
    if (looks == 0) part[r].trials = 0;
  }
  for (int i = 0; i < replay->sequence->claims; i++) {
    const SequenceClaim *claim = &replay->sequence->claim[i];
    replay->claim[i] = (LooksClaim){.row = &part[claim->row],
                                    .above = &part[claim->above],
                                    .paper = claim->paper,
                                    .lost = replay->lost[claim->row] || replay->lost[claim->above]};
  }
  replay->state = looks_replay(all, replay->claim, replay->sequence->claims, cases_fixed);
  for (int i = 0; i < replay->sequence->claims; i++) {
    replay->claim[i].row = &replay->row[replay->sequence->claim[i].row];
    replay->claim[i].above = &replay->row[replay->sequence->claim[i].above];
  }
}

bool replay_load(Store *store, const Sequence *sequence, bool cases_fixed, Replay *replay,
                 Error *error) {
  Rows trials;
  RowFigures figures;
  json_t *plan = json_pack("[I]", (json_int_t)sequence->plan_id);
  *replay = (Replay){.sequence = sequence};
  if (!store_rows(store, trials_sql, plan, columns, sizeof(Trial), &trials, error)) return false;
  if (!row_figures_load(store, sequence->plan_id, NULL, &figures, error)) {
    rows_free(&trials);
    return false;
  }
  replay->rows = rows_needed(sequence, &trials);
  replay->row = memory((size_t)replay->rows, sizeof *replay->row);
  replay->lost = memory((size_t)replay->rows, sizeof *replay->lost);
  replay->claim = memory((size_t)sequence->claims, sizeof *replay->claim);
  take_rows(replay, &figures, &trials);
  replay->unit = figures.unit;
  figures.unit = NULL;
  for (int r = 0; r < replay->rows; r++) replay->row[r].unit = replay->unit;
  row_figures_free(&figures);
  rows_free(&trials);
  replay_again(replay, sequence->looks.count, cases_fixed);
  return true;
}

void replay_free(Replay *replay) {
  for (int r = 0; replay->row && r < replay->rows; r++) {
    free(replay->row[r].value);
    free((int *)replay->row[r].fold);
    free((bool *)replay->row[r].collapsed);
  }
  free(replay->row);
  free(replay->lost);
  free(replay->claim);
  free(replay->unit);
  *replay = (Replay){.row = NULL};
}

bool replay_row_open(const Replay *replay, int row) {
  for (int i = 0; i < replay->sequence->claims; i++) {
    const SequenceClaim *claim = &replay->sequence->claim[i];
    if (replay->claim[i].claim == CLAIM_UNDECIDED && !replay->claim[i].lost &&
        (claim->row == row || claim->above == row))
      return true;
  }
  return false;
}
