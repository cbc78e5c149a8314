/* Do the paper's claims hold here? The rows of a table judged by src/statistics. */
#ifndef REPORT_CLAIM_H
#define REPORT_CLAIM_H

#include "src/report/result.h"
#include "src/statistics/family.h"

/* Each row against the one that it is compared with (ResultRow.against), and the order of all of
 * them: fills the rows' claims, the family, the structures' marks, the number of comparisons
 * (intervals) and, where two rows or more have both numbers, tau. A verdict that changes when
 * collapsed trials count as 0 is undecided. */
bool result_judge(Store *store, Result *result, Error *error);

/* What a question's difference is below by its corrected interval, where that contains 0; else NaN.
 * The intervals of what is not decided hold together (family.h). */
double claim_within(const ResultRow *row);

/* Whether its verdict says that the difference is not chance. */
bool claim_shown(const ResultRow *row);

#endif
