/* What one command runs: the plan of one experiment file, or those of a file that lists several.
 * Cells that are the same trial, within a plan or between plans, run once. */
#ifndef CLI_BATCH_H
#define CLI_BATCH_H

#include "src/store/store.h"

typedef struct Part {
  json_t *plan;
  bool finished; /* read as a plan: its cells are what they are */
  char data_hash[HASH_BYTES];
  int64_t plan_id;
  PlannedTrial *trial;
  int trials;
} Part;

typedef struct Batch {
  Part *part;
  int parts;
  bool list; /* the file lists experiments, if only one */
} Batch;

/* Reads an experiment file, a list of them, or a finished plan (.json, then without overrides). A
 * word of overrides is "key=value". The caller frees with batch_free, also after a failure. */
bool batch_read(Batch *batch, const char *home, const char *file, int count, char **overrides,
                Error *error);
void batch_free(Batch *batch);

/* Data sets on disk and their hashes, each once; make: phantoms that are not there. Puts what a
 * data set decides into the cells of its plans (data_settle). */
bool batch_prepare(Batch *batch, const char *home, bool make, bool quiet, Error *error);

/* An earlier cell is the same trial. */
bool batch_repeated(const Batch *batch, int part, int trial);
int batch_trials(const Batch *batch); /* that differ */
/* "queries=1 seed 0", in a list "query_count queries=1 seed 0". malloced. */
char *batch_label(const Batch *batch, int part, int trial);
/* Its cells are planned and timed, not trained: one at a time. */
bool part_plans(const Part *part);

#endif
