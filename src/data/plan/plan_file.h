/* plan.json of a data set's folder: what is done to its images (see preprocess.h) and with which
 * patch and network nnU-Net would train on them. Experiments take from it what they do not set
 * themselves; the rest is for reading. */
#ifndef DATA_PLAN_FILE_H
#define DATA_PLAN_FILE_H

#include "src/data/plan/planner.h"

#include <jansson.h>

/* budget: how it is to be named in the file. */
json_t *plan_file_json(const Dataset *dataset, const Fingerprint *fingerprint,
                       const Planned *planned, const Planner *planner, const char *budget);
/* The plan as a table of a dozen lines. */
void plan_file_print(const json_t *plan, FILE *out);
/* The plan of a data set wherever derived.h says it is; NULL without one. */
bool plan_of_data(const char *dir, const char *home, json_t **plan, Error *error);
/* DIR/plan.json; a folder without one: true with *plan NULL. Errors: unreadable, no plan. */
bool plan_file_load(const char *dir, json_t **plan, Error *error);

#endif
