/* Do the paper's claims hold here? The rows of a table judged by src/statistics. */
#ifndef REPORT_CLAIM_H
#define REPORT_CLAIM_H

#include "src/report/result.h"
#include "src/statistics/family.h"

/* Each row against the row above it, and the order of all of them: fills the rows' claims, the
 * family, the structures' marks, the number of comparisons (intervals) and, where two rows or more
 * have both numbers, tau. A verdict that changes when collapsed trials count as 0 is undecided. */
bool result_judge(Store *store, Result *result, Error *error);

#endif
