/* The claims of a table whose seeds were added until they were decided. */
#ifndef REPORT_JUDGE_LOOKS_H
#define REPORT_JUDGE_LOOKS_H

#include "src/report/result.h"

/* Of such a plan the claims become what its looks came to (replay.h): a claim's difference, p and
 * intervals are those of its own looks, p_claim is its q, and before the first look there is no
 * verdict. Others stay as they were judged. */
bool judge_looks(Store *store, Result *result, Error *error);

#endif
