#include "src/statistics/kendall.h"

#include <math.h>
#include <stdlib.h>

/* Concordant minus discordant pairs of a[i] and b[order[i]]. */
static int concordance(const double *a, const double *b, const int *order, int count) {
  int sum = 0;
  for (int i = 0; i < count; i++)
    for (int k = 0; k < i; k++) {
      double x = a[i] - a[k], y = b[order[i]] - b[order[k]];
      sum += ((x > 0) - (x < 0)) * ((y > 0) - (y < 0));
    }
  return sum;
}

typedef struct Permuted {
  const double *a, *b;
  int count, observed, most;  /* most: the largest concordance of any order */
  long all, reached, extreme; /* orders; as far from 0 as observed; as far as the largest */
} Permuted;

static void permute(Permuted *state, int *order, int fixed) {
  if (fixed == state->count) {
    int value = abs(concordance(state->a, state->b, order, state->count));
    state->all++;
    state->reached += value >= abs(state->observed);
    if (value > state->most) state->most = value, state->extreme = 0;
    state->extreme += value == state->most;
    return;
  }
  for (int i = fixed; i < state->count; i++) {
    int first = order[fixed];
    order[fixed] = order[i], order[i] = first;
    permute(state, order, fixed + 1);
    order[i] = order[fixed], order[fixed] = first;
  }
}

static int untied(const double *value, int count) {
  int pairs = 0;
  for (int i = 0; i < count; i++)
    for (int k = 0; k < i; k++) pairs += value[i] != value[k];
  return pairs;
}

double kendall_tau(const double *a, const double *b, int count, double *p, double *least) {
  int order[count + 1];
  for (int i = 0; i < count; i++) order[i] = i;
  double pairs_a = untied(a, count), pairs_b = untied(b, count);
  *p = *least = NAN;
  if (pairs_a == 0 || pairs_b == 0) return NAN;
  Permuted state = {.a = a, .b = b, .count = count};
  state.observed = concordance(a, b, order, count);
  if (count <= TAU_EXACT_MOST) {
    permute(&state, order, 0);
    *p = (double)state.reached / (double)state.all;
    *least = (double)state.extreme / (double)state.all;
  }
  return state.observed / sqrt(pairs_a * pairs_b);
}
