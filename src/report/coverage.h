/* What bridges cost over covered scales: the table and the picture of experiments of kind
 * "plan". */
#ifndef REPORT_COVERAGE_H
#define REPORT_COVERAGE_H

#include "src/report/result.h"
#include "src/report/sheet.h"

/* One line a point, and what its columns mean. */
Sheet coverage_sheet(const Result *result);
extern const char coverage_note[];
/* Formats as table_formats. */
void coverage_print(const Result *result, const char *format, FILE *out);

#endif
