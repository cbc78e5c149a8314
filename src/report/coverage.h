/* What bridges cost over covered scales: the table and the picture of experiments of kind "plan".
 */
#ifndef REPORT_COVERAGE_H
#define REPORT_COVERAGE_H

#include "src/report/sheet.h"
#include "src/store/store.h"

/* result["points"] = [{"position", "key", "label", "scale", "bridge", "covered", "planned_bytes",
 * "flops", "parameters", "step_s", "allocated_bytes", "resident_bytes"}] of the plan that result
 * names; the last three are null where the step was not run. */
bool coverage_load(Store *store, json_t *result, Error *error);
/* One line a point, and what its columns mean. */
Sheet coverage_sheet(const json_t *result);
extern const char coverage_note[];
/* Formats as table_formats. */
void coverage_print(const json_t *result, const char *format, FILE *out);

#endif
