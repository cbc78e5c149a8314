#include "src/statistics/family.h"

#include <math.h>

const char *const claim_names[CLAIMS] = {"no claim",  "supported",    "contradicted",
                                         "undecided", "out of reach", "too few seeds",
                                         "differs"};

bool claim_made(double paper) {
  const double rounding = 1e-12; /* equal figures may differ in the last bit of their sums */
  return !isnan(paper) && fabs(paper) >= rounding;
}

void holm_adjust(const double *p, int count, double *adjusted) {
  int order[count + 1];
  for (int i = 0; i < count; i++) {
    int at = i;
    for (; at > 0 && p[order[at - 1]] > p[i]; at--) order[at] = order[at - 1];
    order[at] = i;
  }
  double least = 0, found[count + 1];
  for (int i = 0; i < count; i++) {
    least = fmax(least, fmin(1, (count - i) * p[order[i]]));
    found[order[i]] = least;
  }
  for (int i = 0; i < count; i++) adjusted[i] = found[i];
}

double holm_level(const double *adjusted, int count, double alpha) {
  int open = 0;
  for (int i = 0; i < count; i++) open += adjusted[i] > alpha;
  return open ? alpha / open : alpha;
}

Claim claim_decided(double paper, double difference) {
  if (!claim_made(paper)) return CLAIM_DIFFERS;
  return (difference > 0) == (paper > 0) ? CLAIM_SUPPORTED : CLAIM_CONTRADICTED;
}

Claim claim_judge(double paper, const Contrast *contrast, double adjusted, double alpha) {
  if (contrast->state == CONTRAST_NOTHING) return CLAIM_NONE;
  if (contrast->state == CONTRAST_FEW || contrast->state == CONTRAST_WIDE) return CLAIM_TOO_FEW;
  if (adjusted > alpha) return CLAIM_UNDECIDED;
  return claim_decided(paper, contrast->value);
}

double family_judge(int count, const double *paper, const Contrast *contrast, const double *p,
                    double *adjusted, Claim *claim) {
  holm_adjust(p, count, adjusted);
  for (int i = 0; i < count; i++)
    claim[i] = claim_judge(paper[i], &contrast[i], adjusted[i], CLAIM_ALPHA);
  return holm_level(adjusted, count, CLAIM_ALPHA);
}

Claim claim_collapse(int collapsed, int ended) {
  if (ended == 0) return CLAIM_NONE;
  if (ended < SEEDS_VERDICT) return CLAIM_TOO_FEW;
  if (collapsed == ended) return CLAIM_SUPPORTED;
  return collapsed == 0 ? CLAIM_CONTRADICTED : CLAIM_UNDECIDED;
}
