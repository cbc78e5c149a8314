/* Single numbers of a table as TeX macros, for running text. */
#ifndef REPORT_TABLE_MACROS_H
#define REPORT_TABLE_MACROS_H

#include "src/report/result.h"

#include <stdio.h>

/* \harness{query_count}{queries=2}{mean} is 0.919 where they are read; what is not there is ??. */
void table_macros(const Result *result, FILE *out);

#endif
