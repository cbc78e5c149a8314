/* A table as data: every figure with all its digits, also those that the printed table has no room
 * for. */
#ifndef REPORT_TABLE_DATA_H
#define REPORT_TABLE_DATA_H

#include "src/report/result.h"

#include <stdio.h>

/* printed: what the paper prints (paper_json), part of the document then; may be NULL, else it is
 * taken. */
void table_json(const Result *result, json_t *printed, FILE *out);
void table_csv(const Result *result, FILE *out);

#endif
