/* What one command runs: one experiment, or those that a file lists. Cells that are the same trial,
 * within an experiment or between several, run once. */
#ifndef CLI_EXPERIMENTS_H
#define CLI_EXPERIMENTS_H

#include "src/store/store.h"

/* In place of a data set's hash. */
#define DATA_NOT_MADE "not made yet"

typedef struct Experiment {
  json_t *document; /* rows and cells: see lua/bind.h */
  bool resolved;    /* read as such a document: its cells are what they are */
  char data_hash[HASH_BYTES];
  int64_t plan_id;
  Cell *trial;
  int trials;
} Experiment;

typedef struct Experiments {
  Experiment *item;
  int count;
  bool list; /* the file lists experiments, if only one */
} Experiments;

/* Reads what experiment_meant finds: an experiment file, a list of them, or a resolved one (.json,
 * then without overrides). A word of overrides is "key=value". The caller frees with
 * experiments_free, also after a failure. */
bool experiments_read(Experiments *experiments, const char *home, const char *file, int count,
                      char **overrides, Error *error);
void experiments_free(Experiments *experiments);

/* Data sets on disk and their hashes, each once; make: phantoms that are not there. Puts what a
 * data set decides into the cells that learn from it (data_settle). */
bool experiments_prepare(Experiments *experiments, const char *home, bool make, bool quiet,
                         Error *error);

/* As JSON: one experiment with its cells, of a list {"experiments": [...]}. */
void experiments_print(const Experiments *experiments, FILE *out);
/* Where what was typed stands in place of what a row sets, and what models caution against, a line
 * each, begun by `head`. */
void experiments_tell(const Experiments *experiments, const char *head, FILE *out);

/* Records all of them, again where their cells have grown. */
bool experiments_store(Experiments *experiments, Store *store, Error *error);

/* Records them as trials of no table yet, and lists them: what comes before the tables' own. */
bool experiments_add_trials(Experiments *experiments, Store *store, Error *error);
/* The same without writing; store may be NULL. */
bool experiments_preview(Experiments *experiments, Store *store, Error *error);

/* An earlier cell is the same trial. */
bool experiments_repeated(const Experiments *experiments, int experiment, int trial);
int experiments_trials(const Experiments *experiments); /* that differ */
/* "queries=1 seed 0", in a list "query_count queries=1 seed 0". malloced. */
char *experiments_label(const Experiments *experiments, int experiment, int trial);
/* Its cells are planned and timed, not trained: one at a time. */
bool experiment_only_plans(const Experiment *experiment);

#endif
