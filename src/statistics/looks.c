#include "src/statistics/looks.h"

#include <math.h>
#include <stdlib.h>

#include "base/error.h"
#include "src/statistics/student.h"

static const double HOPELESS = 0.1;

int looks_least(int folds) {
  if (folds == 1) return LOOKS_LEAST;
  return folds >= FOLDS_VERDICT ? 1 : 0;
}

int looks_affordable(double budget_s, double seed_s, int folds) {
  double most = seed_s > 0 ? floor(budget_s / seed_s) : LOOKS_MOST;
  int least = looks_least(folds);
  return most < least ? least : most > LOOKS_MOST ? LOOKS_MOST : (int)most;
}

Looks looks_plan_folds(int most, int folds) {
  int least = looks_least(folds);
  CHECK(least > 0 && most >= least && most <= LOOKS_MOST, "looks at up to %d seeds", most);
  Looks looks = {.most = most, .folds = folds};
  double spent = 0;
  for (int seeds = least;; seeds = (7 * seeds + 4) / 5) {
    if (seeds > most) seeds = most;
    double share = (double)seeds / most * seeds / most;
    looks.seeds[looks.count] = seeds;
    looks.weight[looks.count++] = share - spent;
    spent = share;
    if (seeds == most) return looks;
  }
}

Looks looks_plan(int most) {
  return looks_plan_folds(most, 1);
}

double looks_spent(const Looks *looks, int k, double p, double q) {
  return fmin(q, p / looks->weight[k]);
}

bool looks_hopeless(const Contrast *contrast, double paper, int seeds, int most, double level) {
  if (seeds >= most || contrast->state != CONTRAST_WHOLE || contrast->folds > 1) return false;
  double w = (double)seeds / most, spread = contrast->spread_row + contrast->spread_above;
  double freedom = contrast->freedom * (most - 1) / (seeds - 1);
  double c = student_critical(level, freedom) * sqrt(w * spread + contrast->variance - spread);
  double s = sqrt(w * (1 - w) * spread);
  const double truths[] = {contrast->value, paper, -paper};
  for (int i = 0; i < (claim_made(paper) ? 3 : 1); i++) {
    double mean = w * contrast->value + (1 - w) * truths[i];
    double chance =
        s > 0 ? normal_below((mean - c) / s) + normal_below((-mean - c) / s) : fabs(mean) > c;
    if (chance >= HOPELESS) return false;
  }
  return true;
}

static Figures first(const Figures *figures, const Looks *looks, int k) {
  Figures part = *figures;
  part.trials = looks->seeds[k] * looks->folds;
  return part;
}

static bool open_claim(const LooksClaim *claim) {
  return claim->claim == CLAIM_UNDECIDED;
}

static bool has_trials(const LooksClaim *claim, const Looks *looks, int k) {
  int trials = looks->seeds[k] * looks->folds;
  return claim->row->trials >= trials && claim->above->trials >= trials;
}

/* Every open claim has the trials of this look, but for those that get no more, and one has. */
static bool complete(const LooksClaim *claims, int count, const Looks *looks, int k) {
  bool any = false;
  for (int i = 0; i < count; i++) {
    if (!open_claim(&claims[i])) continue;
    bool has = has_trials(&claims[i], looks, k);
    if (!has && !claims[i].lost) return false;
    any = any || has;
  }
  return any;
}

static void narrow(double *low, double *high, double new_low, double new_high) {
  *low = fmax(*low, new_low); /* of a number and NaN the number */
  *high = fmin(*high, new_high);
}

static void look(LooksClaim *claim, const Looks *looks, int k, bool cases_fixed) {
  Figures row = first(claim->row, looks, k), above = first(claim->above, looks, k);
  double low, high;
  claim->p = contrast_claim(&row, &above, cases_fixed, &claim->contrast);
  claim->looks = k + 1;
  double q = looks_spent(looks, k, claim->p, claim->q);
  if (q < claim->q) claim->difference = claim->contrast.value;
  claim->q = q;
  contrast_interval(&claim->contrast, CLAIM_ALPHA * looks->weight[k], &low, &high);
  narrow(&claim->alone_low, &claim->alone_high, low, high);
}

/* Holm over all claims; what is decided by it, and of the rest what is given up. */
static double decide(const Looks *looks, LooksClaim *claims, int count, int k) {
  double q[count + 1];
  for (int i = 0; i < count; i++) q[i] = claims[i].q;
  holm_adjust(q, count, q);
  double level = holm_level(q, count, CLAIM_ALPHA), last = looks->weight[looks->count - 1];
  for (int i = 0; i < count; i++) {
    LooksClaim *claim = &claims[i];
    claim->adjusted = q[i];
    if (!open_claim(claim)) continue;
    const Contrast *contrast = &claim->contrast;
    if (q[i] <= CLAIM_ALPHA) /* perhaps by an earlier look, since another claim was decided */
      claim->claim = claim_decided(claim->paper, claim->difference);
    else if (claim->looks == k + 1 &&
             looks_hopeless(contrast, claim->paper, looks->seeds[k], looks->most, level * last))
      claim->claim = CLAIM_OUT_OF_REACH;
  }
  return level;
}

/* The looks' intervals at the final level, which agree with what was decided. */
static void intersect(const Looks *looks, LooksClaim *claim, double level, bool cases_fixed) {
  for (int k = 0; k < claim->looks; k++) {
    Contrast contrast;
    double low, high;
    Figures row = first(claim->row, looks, k), above = first(claim->above, looks, k);
    contrast_claim(&row, &above, cases_fixed, &contrast);
    contrast_interval(&contrast, level * looks->weight[k], &low, &high);
    narrow(&claim->low, &claim->high, low, high);
  }
}

LooksState looks_replay(const Looks *looks, LooksClaim *claims, int count, bool cases_fixed) {
  LooksState state = {.open = count, .level = CLAIM_ALPHA / (count > 0 ? count : 1)};
  for (int i = 0; i < count; i++) {
    LooksClaim *c = &claims[i];
    c->claim = CLAIM_UNDECIDED;
    c->looks = 0;
    c->p = c->q = c->adjusted = 1;
    c->contrast = (Contrast){.state = CONTRAST_NOTHING, .value = NAN};
    c->low = c->high = c->alone_low = c->alone_high = NAN;
  }
  while (state.looks < looks->count && state.open > 0) {
    int k = state.looks;
    if (!complete(claims, count, looks, k)) break;
    for (int i = 0; i < count; i++)
      if (open_claim(&claims[i]) && has_trials(&claims[i], looks, k))
        look(&claims[i], looks, k, cases_fixed);
    state.level = decide(looks, claims, count, k);
    state.open = 0;
    for (int i = 0; i < count; i++) state.open += open_claim(&claims[i]);
    state.looks++;
  }
  bool going = false;
  for (int i = 0; i < count; i++) going = going || (open_claim(&claims[i]) && !claims[i].lost);
  if (going && state.looks < looks->count) state.next = looks->seeds[state.looks];
  for (int i = 0; i < count; i++) intersect(looks, &claims[i], state.level, cases_fixed);
  return state;
}
