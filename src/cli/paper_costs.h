/* What our rows of a paper's table cost, beside what it prints of that. */
#ifndef CLI_PAPER_COSTS_H
#define CLI_PAPER_COSTS_H

#include <jansson.h>

/* Where the table (of paper_table) has a column of cost, gives each of its rows that an experiment
 * of `runs` (paper_runs) has {"counted": {"parameters", "macs"}}: planned at scale=paper, nothing
 * is allocated or run. What cannot be planned here, as on data that are not there, has none. */
void paper_costs_count(const char *home, const json_t *runs, json_t *table);

#endif
