/* Which data set stored trials of an experiment had, where it is a phantom that is not made here:
 * a phantom's folder is called after its options, and configurations keep their folder. */
#ifndef CLI_DATA_RECALL_H
#define CLI_DATA_RECALL_H

#include "src/cli/experiments.h"

/* Takes hashes from the store (NULL: none) for the experiments whose data is not made, and puts
 * into their cells what the data settled. */
bool data_recall(Experiments *experiments, Store *store, Error *error);

#endif
