/* Figures case by case, for statistics elsewhere: one line per row of a table, trial, case,
 * structure and metric, of the attempts that count (docs/json.md, "figure"). */
#ifndef REPORT_EXPORT_H
#define REPORT_EXPORT_H

#include "src/report/result.h"

#include <stdio.h>

typedef enum ExportForm { EXPORT_CSV, EXPORT_JSONL, EXPORT_FORMS } ExportForm;
extern const char *const export_forms[EXPORT_FORMS]; /* csv, jsonl */

/* Of all plans that the choice names (all: of every experiment), each figure once. *lines: how
 * many, without a head. */
bool export_write(Store *store, const ResultChoice *choice, ExportForm form, FILE *out,
                  int64_t *lines, Error *error);

#endif
