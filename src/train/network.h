/* The graph of a trial's configuration. */
#ifndef TRAIN_NETWORK_H
#define TRAIN_NETWORK_H

#include "lua/bind.h"
#include "src/data/sets/labelling.h"

/* With backward and the configuration's batch when training, else the inference graph of one patch;
 * both share params. labelling: what a data set's labels stand for, which says how many classes or
 * regions there are. NULL with an error; the caller frees the graph with graph_free. */
Graph *network_build(const json_t *config, int channels, const Labelling *labelling, bool training,
                     Params *params, Model *model, Error *error);

#endif
