/* Which experiments repeat which tables of papers. */
#ifndef REPORT_PAPER_RUNS_H
#define REPORT_PAPER_RUNS_H

#include <jansson.h>

/* The experiments of HOME that name a paper's table: [{"file", "model", "table", "keys": [..]}], by
 * folder and name; those that cannot be read are left out. paper: those of this paper's file alone,
 * NULL: of all. */
json_t *paper_runs(const char *home, const char *paper);
/* Those of this table (paper_table): [{"experiment", "rows": how many of the table's}]. */
json_t *paper_runs_of(const json_t *runs, const json_t *table);

#endif
