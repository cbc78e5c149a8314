/* Trials that others start from (pre-training; lua/harness/starts.lua): an experiment whose rows
 * name such has "starts" (lua/bind.h), which run before its tries of rates and its own trials. Rows
 * and experiments that name the same trial share it, and their own are known by its hash, in their
 * configurations as "pretrained". Its weights lie beside theirs. */
#ifndef CLI_STARTS_H
#define CLI_STARTS_H

#include "src/cli/experiments.h"

/* Lists them as experiments of their own, with their data sets (experiments_prepare), and puts the
 * hashes into the cells that start from them. After experiments_prepare of the experiments; the
 * caller frees *starts with experiments_free, also after a failure. */
bool starts_settle(Experiments *experiments, Experiments *starts, const char *home, bool make,
                   bool quiet, Error *error);
/* Trials that are done, and whose weights are not there, are to run again. */
void starts_reopen(Experiments *starts, const char *folder);
/* How many have no weights of their training's end, with a line on standard error for each that
 * ended so. open: the others have been stopped, or have not begun. */
int starts_lost(const Experiments *starts, const char *folder, bool *open);

#endif
