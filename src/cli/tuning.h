/* Rates per row (lr=tuned, docs/statistics.md): an experiment whose rows ask for it has "tries"
 * (lua/bind.h), which run before its own trials. Once those of a row have ended the row's cells get
 * the rate that they choose (tries.h), and are the ordinary trials of that rate. */
#ifndef CLI_TUNING_H
#define CLI_TUNING_H

#include "src/cli/experiments.h"

/* Whether an experiment has tries. */
bool tuning_asked(const Experiments *experiments);
/* Their tries, item by item, as experiments of their own: documents that share the tries' cells,
 * and none where there are no tries. After experiments_prepare; the caller frees with
 * experiments_free. */
void tuning_list(const Experiments *experiments, Experiments *tries);

typedef struct Tuning {
  int tries, open; /* tries, and those of them that have not ended */
  int lost;        /* rows, of a fold, whose tries all ended, none of them well */
} Tuning;

/* By what is stored of the tries: cells of rows that have their rate get it, cells of rows that
 * lost all of theirs are left out, each such row told with a line on standard error unless quiet.
 * Adds to *tuning. */
bool tuning_choose(Experiment *experiment, const Experiment *tries, Store *store, bool quiet,
                   Tuning *tuning, Error *error);

/* Takes the cells without a rate out of the experiment; how many trials they will be that are not
 * in `seen`, an object that gets them as keys. */
bool tuning_drop(Experiment *experiment, json_t *seen, int *dropped, Error *error);

#endif
