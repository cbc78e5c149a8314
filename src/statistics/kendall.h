/* Do two orders agree? */
#ifndef STATISTICS_KENDALL_H
#define STATISTICS_KENDALL_H

enum { TAU_EXACT_MOST = 8 };

/* Kendall's tau-b of two orders, NaN when one of them is constant or there are fewer than two
 * pairs. *p: two-sided and exact, over all permutations; NaN for more than TAU_EXACT_MOST values.
 * *least: the smallest p that any order of so many values could reach. */
double kendall_tau(const double *a, const double *b, int count, double *p, double *least);

#endif
