/* A sheet with the head and the notes of its result, in formats for other programs. */
#ifndef REPORT_WRITTEN_H
#define REPORT_WRITTEN_H

#include "src/report/result.h"
#include "src/report/sheet.h"

#include <stdio.h>

/* One note a line after `mark`. */
typedef void Notes(const Result *result, const char *mark, FILE *out);

/* What print writes of a result with its second argument; malloced. */
char *table_text(Notes *print, const Result *result, const char *argument);

/* The same on `out`, in lines that fit it where it is a terminal. */
void table_wrapped(Notes *print, const Result *result, const char *argument, FILE *out);

/* format: tex or md. */
void table_written(const Result *result, const Sheet *sheet, Notes *notes, const char *format,
                   FILE *out);

#endif
