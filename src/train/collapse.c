#include "src/train/collapse.h"

#include <math.h>

/* A trial that has not taken so many steps by then says nothing: nobody learns faster. */
enum { LOOKS = 20, LEAST_STEPS = 40 };
static const double SHARE = 0.2; /* of the newest look in the mean */

static int64_t due(const CollapseRule *rule, int64_t steps) {
  int64_t at = (int64_t)ceil(rule->at * (double)steps);
  return rule->dice > 0 && at >= LEAST_STEPS ? at : 0;
}

int64_t collapse_step(const CollapseRule *rule, int64_t steps) {
  int64_t at = due(rule, steps);
  return at < steps ? at : 0;
}

bool collapse_ended(const CollapseRule *rule, int64_t steps, double dice) {
  return due(rule, steps) > 0 && dice < rule->dice;
}

bool collapse_looks(const CollapseRule *rule, int64_t step, int64_t steps) {
  int64_t at = collapse_step(rule, steps), window = at / 4, every = window / LOOKS + 1;
  return at > 0 && step < at && step >= at - window && (at - 1 - step) % every == 0;
}

bool collapse_look(CollapseWatch *w, int64_t step, Error *error) {
  double dice;
  if (!look_dice(w->look, w->sampler, step, 1, &dice, error)) return false;
  if (isfinite(dice)) w->mean = w->looks++ ? w->mean + SHARE * (dice - w->mean) : dice;
  return true;
}
