/* Claims looked at while seeds are added, until they are decided: the share alpha w_k of the
 * permitted error is spent at look k (a power family, rho = 2), so that looking costs nothing.
 *
 *   looks at S_1 = 5, S_{k+1} = min(most, (7 S_k + 4) div 5) seeds a row
 *   w_k = (S_k / most)^2 - (S_{k-1} / most)^2
 *   q of a claim: the least p_k / w_k of its looks, at most 1; Holm on the q of all claims
 *
 * p_k is contrast_claim's of the first S_k ended trials of both rows. A claim that is decided stays
 * so, and its rows need no further seeds. A claim is given up (not binding for the error) where the
 * chance of deciding it at the last look is below 10 % whether the true difference is the measured
 * one, the paper's or the paper's with the other sign (a question without the paper's: the measured
 * one). With folds as units S counts the seeds of
 * each fold; five folds make a verdict with one seed already, so that the looks begin at 1, and
 * nothing is given up, since the seeds' part of the spread is not known apart. The bound holds for
 * any dependence of claims and looks. Everything is computed anew from the trials, so that nothing
 * else need be stored than the claims and `most`. */
#ifndef STATISTICS_LOOKS_H
#define STATISTICS_LOOKS_H

#include "src/statistics/family.h"

enum { LOOKS_LEAST = 5, LOOKS_MOST = 30, LOOKS = 10 };

typedef struct Looks {
  int most, count;
  int folds;        /* trials that a seed is */
  int seeds[LOOKS]; /* (count) S_k */
  double weight[LOOKS];
} Looks;

/* Seeds of the first look; 0: so many folds never make a verdict. */
int looks_least(int folds);
/* The most seeds a row that a budget pays for, from looks_least to LOOKS_MOST: seed_s is what one
 * seed of all rows takes of which something is claimed, with its folds. */
int looks_affordable(double budget_s, double seed_s, int folds);
Looks looks_plan(int most);
Looks looks_plan_folds(int most, int folds);

/* A claim and what its looks came to. Trials that ended stand in the order of their seeds, one a
 * seed, or one a seed and fold, the folds of a seed together; a collapsed one has ended. */
typedef struct LooksClaim {
  const Figures *row, *above;
  double paper; /* where it makes no claim (claim_made): a question */
  bool lost;    /* a row of it gets no further trials: it is looked at no more, and stays open */
  /* Filled: */
  Claim claim; /* undecided: open; else decided, or out of reach */
  int looks;   /* that it was looked at */
  double p;    /* of its last look */
  double q, adjusted;
  double difference;            /* at the look that q is of; NaN: none */
  Contrast contrast;            /* at its last look; state CONTRAST_NOTHING before the first */
  double low, high;             /* of all its looks together, after Holm; NaN before the first */
  double alone_low, alone_high; /* were it the only claim */
} LooksClaim;

typedef struct LooksState {
  int looks;    /* that were complete: every claim then open had its trials */
  int open;     /* claims that are undecided */
  int next;     /* seeds a row for the next look; 0: none is left, or no claim can be looked at */
  double level; /* alpha / (m - R) */
} LooksState;

LooksState looks_replay(const Looks *looks, LooksClaim *claims, int count, bool cases_fixed);

/* q after look k (0: the first) with p_k, q before it. */
double looks_spent(const Looks *looks, int k, double p, double q);

/* Given the first S_k of `most` seeds, whether a claim has less than 10 % chance of p below `level`
 * at the last look, see above. */
bool looks_hopeless(const Contrast *contrast, double paper, int seeds, int most, double level);

#endif
