/* Equal rows, judged: how often does a table show a verdict when there is nothing to be seen? The
 * trials of one configuration are dealt at random into tables of so many rows and seeds, none of
 * them twice in a table; a row claims that it is above or below the one before it, by the toss of a
 * coin; and the table is judged by contrast_claim and family_judge, as every table is (an A/A test;
 * with exchangeable trials a permutation of labels).
 *
 * Tables share trials, so that their number says little of how well the share is known for other
 * trials of the same configuration. With U the share, U_i that of the tables without trial i, N
 * trials, B tables, B_i of them without i, and v = U (1 - U):
 *   J   = (N-1)/N sum (U_i - mean)^2 - noise     noise = (N-1)/N sum v (1/B_i - 1/B)
 *   var = max(J, noise sqrt(2/N)) + v/B
 * the jackknife (conservative for such shares: Efron and Stein 1981) without what the finite number
 * of tables adds to it, and never less than what that could hide. v / var independent tables would
 * tell as much; the interval is Wilson's of so many. */
#ifndef STATISTICS_RELABEL_H
#define STATISTICS_RELABEL_H

#include "src/statistics/family.h"

typedef struct Relabel {
  int rows, seeds; /* of a table; at least 2, SEEDS_VERDICT */
  int tables;
  bool cases_fixed;
  FamilyJudge *judge; /* NULL: family_judge, as tables do; another one is put to the test */
} Relabel;

/* A share of tables. */
typedef struct RelabelShare {
  double value;
  double low, high;   /* 95 %, for other trials of the same configuration; NaN: a table takes all */
  double independent; /* so many independent tables would tell as much; NaN likewise */
} RelabelShare;

/* Shares are of 1. */
typedef struct RelabelRates {
  RelabelShare verdicts; /* of tables with any verdict: what is promised to be 5 % at most */
  RelabelShare marks;    /* of some tables with any structure marked + or -: promised likewise */
  double uncorrected;    /* of tables in which a claim alone has p <= .05 */
  double claims;         /* of claims with p <= .05 alone: whose own interval leaves out 0 */
  double supported, contradicted; /* of claims, after correction */
  double median, large;           /* of |difference|: half, 95 % are below */
  double detectable;              /* power_detectable of these trials' spread */
  double seen; /* of claims, were their rows that far apart, at the level of the smallest p */
} RelabelRates;

typedef enum Promise { PROMISE_NONE, PROMISE_KEPT, PROMISE_OPEN, PROMISE_BROKEN } Promise;

/* Of a share that may be CLAIM_ALPHA at most: kept; above it, but with an interval that holds it:
 * open; broken. */
Promise promise_judge(const RelabelShare *share);
extern const char *const promise_names[];

/* pool: of one fold, with rows * seeds trials at least. The same pool, shape and tables give the
 * same rates. p: (tables, rows - 1) of each claim alone (1: a trial too few, by collapses), or
 * NULL. Structures are compared in RELABEL_MARKED tables at most: there are many of them. */
enum { RELABEL_MARKED = 2000 };
void relabel(const Figures *pool, const Relabel *how, RelabelRates *rates, double *p);

#endif
