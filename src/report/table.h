/* The paper's tables with ours beside them, as text, md, csv, json or tex, or numbers as TeX
 * macros. */
#ifndef REPORT_TABLE_H
#define REPORT_TABLE_H

#include "src/report/result.h"
#include "src/report/sheet.h"

extern const char *const table_formats[];
enum { TABLE_FORMATS = 6 };

/* Prints a result of result_load; format is one of table_formats. */
void table_print(const Result *result, const char *format, FILE *out);

/* Its parts: rows with figures, with differences and verdicts, or with all of it (figures alone
 * where no two rows can be compared); structures by rows (no line where nothing is stored), head
 * line, one note a line after `mark`. */
typedef enum TablePart { TABLE_WHOLE, TABLE_FIGURES, TABLE_CLAIMS } TablePart;
Sheet table_sheet(const Result *result, TablePart part);
Sheet table_labels(const Result *result);
extern const char TABLE_PAPER[]; /* the head of a column of the paper's, behind that of ours */
void table_head(const Result *result, const char *gap, FILE *out);
void table_notes(const Result *result, const char *mark, FILE *out);
/* Of the notes those that say what the figures come from. */
void table_origin(const Result *result, const char *mark, FILE *out);

#endif
