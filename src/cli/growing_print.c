/* What is said of an experiment whose seeds are added: its plan, its looks, its end, its cost. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "src/cli/growing.h"
#include "src/report/sheet.h"

void time_text(double seconds, char text[TIME_TEXT]) {
  if (seconds < 90)
    snprintf(text, TIME_TEXT, seconds < 10 ? "%.1f s" : "%.0f s", seconds);
  else if (seconds < 5400)
    snprintf(text, TIME_TEXT, "%.0f min", seconds / 60);
  else
    snprintf(text, TIME_TEXT, seconds < 36000 ? "%.1f h" : "%.0f h", seconds / 3600);
}

static const char *label_of(const Growing *growing, int row) {
  const json_t *rows = json_object_get(growing->experiment->document, "rows");
  return json_string_value(json_object_get(json_array_get(rows, (size_t)row), "label"));
}

/* "5 7 10 12" */
static void seeds_text(const Looks *looks, char text[64]) {
  int used = 0;
  for (int k = 0; k < looks->count && used < 60; k++)
    used += snprintf(text + used, 64 - (size_t)used, k ? " %d" : "%d", looks->seeds[k]);
}

static int claimed_rows(const Growing *growing) {
  return growing_seed_trials(growing) / growing->sequence.folds;
}

/* What follows "seed". */
static const char *seeds_of(const Growing *growing, int seeds) {
  if (growing->sequence.folds > 1) return seeds == 1 ? " of each fold" : "s of each fold";
  return seeds == 1 ? " a row" : "s a row";
}

static void print_unclaimed(const Growing *growing, FILE *out) {
  for (int r = 0; r < growing->rows; r++)
    if (!growing->claimed[r])
      fprintf(out, "harness: %s: nothing is claimed of %s, so it gets no seeds\n",
              growing_name(growing), label_of(growing, r));
}

void growing_print_plan(const Growing *growing, FILE *out) {
  const Sequence *sequence = &growing->sequence;
  char trial[TIME_TEXT], budget[TIME_TEXT], seeds[64];
  time_text(sequence->trial_s, trial);
  time_text(sequence->budget_s, budget);
  seeds_text(&sequence->looks, seeds);
  fprintf(
      out,
      "harness: %s: %d claim%s; a trial takes %s, so %s pay for at most %d seed%s: looks at %s\n",
      growing_name(growing), sequence->claims, sequence->claims == 1 ? "" : "s", trial, budget,
      sequence->looks.most, seeds_of(growing, sequence->looks.most), seeds);
  print_unclaimed(growing, out);
}

static const char *state_of(const LooksClaim *claim) {
  return claim->claim == CLAIM_UNDECIDED ? "open" : claim_names[claim->claim];
}

void growing_print_look(const Growing *growing, const Replay *replay, int k, FILE *out) {
  static const char *const heads[] = {"claim", "difference", "p", "q", "q of all (Holm)", ""};
  const Looks *looks = &growing->sequence.looks;
  int line = 0;
  Sheet sheet = sheet_make(growing->sequence.claims + 1, 6);
  for (int c = 0; c < 6; c++) sheet_set(&sheet, 0, c, "%s", heads[c]);
  for (int i = 0; i < growing->sequence.claims; i++) {
    const LooksClaim *claim = &replay->claim[i];
    const SequenceClaim *of = &growing->sequence.claim[i];
    line++;
    sheet_set(&sheet, line, 0, "%.60s over %.60s", label_of(growing, of->row),
              label_of(growing, of->above));
    for (int c = 1; c < 5; c++) sheet_set(&sheet, line, c, "-");
    if (!isnan(claim->contrast.value)) sheet_set(&sheet, line, 1, "%+.4f", claim->contrast.value);
    if (claim->looks == k + 1) sheet_set(&sheet, line, 2, "%.2g", claim->p);
    if (claim->looks > 0) sheet_set(&sheet, line, 3, "%.2g", claim->q);
    if (claim->looks > 0) sheet_set(&sheet, line, 4, "%.2g", claim->adjusted);
    sheet_set(&sheet, line, 5, "%s", state_of(claim));
  }
  fprintf(out, "harness: %s: look %d of %d, %d seed%s\n", growing_name(growing), k + 1,
          looks->count, looks->seeds[k], seeds_of(growing, looks->seeds[k]));
  sheet_fitted(&sheet, true, out);
  sheet_free(&sheet);
}

void growing_print_end(const Growing *growing, bool unfinished, FILE *out) {
  const Sequence *sequence = &growing->sequence;
  int looks = growing->state.looks, count = sequence->looks.count, open = growing->state.open;
  const char *name = growing_name(growing);
  if (unfinished && !growing->settled)
    fprintf(out, "harness: %s: time is over before the first look; the same command goes on\n",
            name);
  else if (unfinished)
    fprintf(
        out,
        "harness: %s: time is over: %d claim%s open, %d of %d looks; the same command goes on\n",
        name, open, open == 1 ? "" : "s", looks, count);
  else if (open == 0)
    fprintf(out, "harness: %s: no claim is open after %d of %d looks\n", name, looks, count);
  else
    fprintf(out,
            "harness: %s: %d claim%s open after %s (%d of %d looks); a larger plan takes fresh "
            "seeds: first_seed=N\n",
            name, open, open == 1 ? "" : "s",
            looks == count ? "the most seeds that the budget pays for"
                           : "too many failed trials of a row",
            looks, count);
}

void growing_print_cost(const Growing *growing, double seed_s, int jobs, FILE *out) {
  const Sequence *sequence = &growing->sequence;
  int trials = growing_seed_trials(growing);
  Looks looks =
      growing->settled
          ? sequence->looks
          : looks_plan_folds(looks_affordable(sequence->budget_s * jobs, seed_s, sequence->folds),
                             sequence->folds);
  char first[TIME_TEXT], all[TIME_TEXT], budget[TIME_TEXT], seeds[64];
  double trial_s = growing->known_trial_s;
  time_text(trial_s * trials * looks.seeds[0] / jobs, first);
  time_text(trial_s * trials * looks.most / jobs, all);
  time_text(sequence->budget_s, budget);
  seeds_text(&looks, seeds);
  fprintf(out, "%s: until its %d claim%s of %d rows are decided, within %s: looks at %s seed%s\n",
          growing_name(growing), sequence->claims, sequence->claims == 1 ? "" : "s",
          claimed_rows(growing), budget, seeds, seeds_of(growing, looks.most));
  if (seed_s <= 0 || trial_s <= 0)
    fprintf(out, "  %d trials to the first look, at most %d; how long one takes is not known\n",
            trials * looks.seeds[0], trials * looks.most);
  else
    fprintf(out, "  %d trials to the first look (about %s, %d at a time), at most %d (%s)%s\n",
            trials * looks.seeds[0], first, jobs, trials * looks.most, all,
            growing->estimated ? "; of the training steps alone" : "");
  if (growing->settled)
    fprintf(out, "  %d of %d looks are done, %d claim%s open\n", growing->state.looks, looks.count,
            growing->state.open, growing->state.open == 1 ? " is" : "s are");
}
