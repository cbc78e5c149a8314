/* A paper's table from its data alone, and the list of all of them. A table is that of paper_table,
 * in lua/bind.h; runs that of paper_runs. */
#ifndef REPORT_PAPER_TABLE_H
#define REPORT_PAPER_TABLE_H

#include <jansson.h>
#include <stdbool.h>
#include <stdio.h>

#include "src/report/sheet.h"

/* format: one of table_formats. beside: a result that has said the paper's notes stands before. */
void paper_print(const json_t *table, const json_t *runs, bool beside, const char *format,
                 FILE *out);
/* Its parts: the sheet, marks behind what they are about, and one note a line after `mark`. */
Sheet paper_sheet(const json_t *table);
void paper_notes(const json_t *table, const json_t *runs, const char *mark, FILE *out);
/* A column's name with its group's before it: "ISIC2016 Dice". */
enum { COLUMN_NAME = 160 };
const char *paper_column(const json_t *column, char name[COLUMN_NAME]);
/* What `table --json` prints. New reference. */
json_t *paper_json(const json_t *table, const json_t *runs);

/* Every table of papers_listed; name: of this paper's file alone, NULL: of all. format: text or
 * json. */
void papers_print(const json_t *papers, const char *name, const json_t *runs, const char *format,
                  FILE *out);

#endif
