/* Several claims at once, and what each of them comes to. Holm (1979): with the m claims' p in
 * ascending order the adjusted one is max over i <= j of min(1, (m - i + 1) p_i), so that of many
 * tables of equal rows at most `alpha` show any verdict, however the claims depend on each other.
 * The intervals that agree with it are those at alpha / (m - R), R claims decided (R = m: alpha):
 * they leave out 0 for exactly these R. */
#ifndef STATISTICS_FAMILY_H
#define STATISTICS_FAMILY_H

#include "src/statistics/contrast.h"

static const double CLAIM_ALPHA = 0.05;

typedef enum Claim {
  CLAIM_NONE,         /* nothing is claimed here: no number, or no difference; nothing is asked */
  CLAIM_SUPPORTED,    /* the corrected interval lies on the paper's side of 0 */
  CLAIM_CONTRADICTED, /* on the other side */
  CLAIM_UNDECIDED,    /* it contains 0 */
  CLAIM_OUT_OF_REACH, /* and no number of seeds that would be run shows the paper's difference */
  CLAIM_TOO_FEW,      /* trials, or units: see contrast.h */
  CLAIM_DIFFERS,      /* asked without the paper's difference: the interval leaves out 0 */
  CLAIMS
} Claim;
extern const char *const claim_names[CLAIMS];

/* Whether the paper's difference (NaN: it has none) makes a claim. */
bool claim_made(double paper);

/* adjusted (count) of p (count); may be the same array. */
void holm_adjust(const double *p, int count, double *adjusted);

/* A decision of a difference: what it is where the paper's (NaN or 0: a question) is `paper`. */
Claim claim_decided(double paper, double difference);
static inline bool claim_is_decided(Claim claim) {
  return claim == CLAIM_SUPPORTED || claim == CLAIM_CONTRADICTED || claim == CLAIM_DIFFERS;
}

/* alpha / (m - R) of adjusted p. */
double holm_level(const double *adjusted, int count, double alpha);

/* Of a claim of the family with the adjusted p; a paper that makes none leaves the question whether
 * the rows differ, on either side. */
Claim claim_judge(double paper, const Contrast *contrast, double adjusted, double alpha);

/* All claims of a table at once: adjusted (count) by Holm, and what each comes to; the corrected
 * intervals' level. p (count) is contrast_claim's, with the contrast of each. */
typedef double FamilyJudge(int count, const double *paper, const Contrast *contrast,
                           const double *p, double *adjusted, Claim *claim);
FamilyJudge family_judge;

/* Of a claim that a row collapses: ended trials of the row, and how many of them collapsed. */
Claim claim_collapse(int collapsed, int ended);

#endif
