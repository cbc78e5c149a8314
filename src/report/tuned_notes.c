#include "src/report/tuned_notes.h"

#include <math.h>
#include <stdlib.h>

#include "src/report/quote.h"
#include "src/store/tries.h"

/* ---- what is stored -------------------------------------------------------------------------- */

bool tuned_read(Store *store, Result *r, Error *error) {
  Try *tries;
  int count;
  if (!tries_of_plan(store, r->plan_id, &tries, &count, error)) return false;
  r->tuned = calloc((size_t)count + 1, sizeof *r->tuned);
  CHECK(r->tuned, "no memory for %d tries", count);
  r->tuneds = tries_rates(tries, count, r->tuned);
  free(tries);
  return true;
}

/* The rates of one row and fold. */
typedef struct Group {
  const TriedRate *rate;
  int rates, used, choice; /* -1: none */
  bool edge; /* what is used is the least or the largest: a better one may lie beyond */
} Group;

/* The group that begins at *at, which moves on; false: there is none. */
static bool next_group(const Result *r, int *at, Group *group) {
  if (*at >= r->tuneds) return false;
  *group = (Group){.rate = &r->tuned[*at]};
  group->rates = tries_group(group->rate, r->tuneds - *at);
  group->choice = tries_choice(group->rate, group->rates);
  group->used = -1;
  for (int i = 0; i < group->rates; i++) {
    if (group->rate[i].open) group->choice = -1;
    if (group->rate[i].used) group->used = i;
  }
  group->edge = group->used == 0 || group->used == group->rates - 1;
  *at += group->rates;
  return true;
}

static const ResultRow *row_at(const Result *r, int position) {
  for (int i = 0; i < r->rows; i++)
    if (r->row[i].position == position) return &r->row[i];
  CHECK(false, "tries of a row that the table lacks");
}

/* ---- notes ----------------------------------------------------------------------------------- */

/* "0.25 .884" */
static void put_rate(const TriedRate *rate, bool chosen, FILE *out) {
  fprintf(out, "%g ", rate->lr);
  if (rate->open)
    fprintf(out, "not ended");
  else if (rate->lost)
    fprintf(out, "failed");
  else
    fprintf(out, "%.3f%s", rate->dice, chosen ? "*" : "");
  if (rate->collapsed && rate->tries > 1)
    fprintf(out, " (%d of %d collapsed)", rate->collapsed, rate->tries);
  else if (rate->collapsed)
    fprintf(out, " (collapsed)");
}

static void put_group(const Result *r, const Group *group, FILE *out) {
  quote_line(row_at(r, group->rate->position)->label, out);
  if (r->folds > 1) fprintf(out, ", fold %d", group->rate->fold);
  for (int i = 0; i < group->rates; i++) {
    fputs(i ? ", " : ": ", out);
    put_rate(&group->rate[i], i == group->used, out);
  }
  if (group->used < 0)
    fputs("; no try ended well, so it has no rate and no trials", out);
  else if (group->choice >= 0 && group->choice != group->used)
    fprintf(out, "; tries were repeated since and now choose %g", group->rate[group->choice].lr);
  else if (group->edge)
    fprintf(out, "; at the edge of its tries: a %s rate may do better (lr_tries)",
            group->used ? "larger" : "smaller");
  fputc('\n', out);
}

static void put_head(const Result *r, FILE *out) {
  const TriedRate *first = r->tuned;
  int cases = 0;
  for (int i = 0; i < r->tuneds; i++) cases = r->tuned[i].cases > cases ? r->tuned[i].cases : cases;
  fputs("lr tuned: each row's rate (*) had the best Dice on ", out);
  if (cases)
    fprintf(out, "%d", cases);
  else
    fputs("some", out); /* none of the tries was scored */
  fputs(" of the fold's training cases, ", out);
  fprintf(out, "after training on the others with seed");
  if (first->last_seed > first->first_seed)
    fprintf(out, "s %d to %d", first->first_seed, first->last_seed);
  else
    fprintf(out, " %d", first->first_seed);
  fputs("; no validation case was seen\n", out);
}

void tuned_notes(const Result *r, const char *mark, FILE *out) {
  Group group;
  if (!r->tuneds) return;
  fputs(mark, out);
  put_head(r, out);
  for (int at = 0; next_group(r, &at, &group);) {
    fputs(mark, out);
    fputs("  lr of ", out);
    put_group(r, &group, out);
  }
}

json_t *tuned_json(const Result *r) {
  json_t *list = json_array();
  Group group;
  for (int at = 0; next_group(r, &at, &group);) {
    json_t *tries = json_array();
    for (int i = 0; i < group.rates; i++) {
      const TriedRate *rate = &group.rate[i];
      json_t *dice = isnan(rate->dice) ? json_null() : json_real(rate->dice);
      json_array_append_new(tries,
                            json_pack("{s:f,s:o,s:i,s:i,s:i,s:i}", "lr", rate->lr, "dice", dice,
                                      "tries", rate->tries, "collapsed", rate->collapsed, "lost",
                                      rate->lost, "open", rate->open));
    }
    json_t *lr = group.used < 0 ? json_null() : json_real(group.rate[group.used].lr);
    json_array_append_new(
        list, json_pack("{s:s,s:i,s:o,s:b,s:o}", "row", row_at(r, group.rate->position)->key,
                        "fold", group.rate->fold, "lr", lr, "edge", group.edge, "tries", tries));
  }
  return list;
}
