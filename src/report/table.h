/* The paper's tables with ours beside them, as text, md, csv, json or tex. */
#ifndef REPORT_TABLE_H
#define REPORT_TABLE_H

#include "src/report/result.h"

extern const char *const table_formats[];
enum { TABLE_FORMATS = 5 };

/* Prints a result of result_load; format is one of table_formats. */
void table_print(const json_t *result, const char *format, FILE *out);

#endif
