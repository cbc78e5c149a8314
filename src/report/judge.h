/* The claims of a table: each row against the row above it, and the order of all of them. */
#ifndef REPORT_JUDGE_H
#define REPORT_JUDGE_H

#include "src/store/store.h"

/* Adds to each row of a result
 *   "difference"  to the row above, absent where one of them has no figure
 *   "low", "high" its 95 % interval, absent where the seeds are too few
 *   "claimed"     the paper's difference, absent where it has none
 *   "verdict"     one of claim_names, absent in a first row without a claim of its own
 *   "with_collapsed" mean with collapsed trials counted as 0, where there are any
 * and to the result "comparisons" (how many intervals there are) and, where there are two rows or
 * more with both numbers, "tau": {"value", "rows", "p", "least"}. A verdict that changes when
 * collapsed trials count as 0 is undecided. */
bool result_judge(Store *store, json_t *result, Error *error);

#endif
