/* The graph of a trial's configuration. */
#ifndef TRAIN_NETWORK_H
#define TRAIN_NETWORK_H

#include "engine/plan.h"
#include "lua/bind.h"
#include "src/data/sets/labelling.h"
#include "src/store/store.h"
#include "src/train/cases.h"

/* With backward and the configuration's batch when training, else the inference graph of one patch;
 * both share params. labelling: what a data set's labels stand for, which says how many classes or
 * regions there are. NULL with an error; the caller frees the graph with graph_free. */
Graph *network_build(const json_t *config, int channels, const Labelling *labelling, bool training,
                     Params *params, Model *model, Error *error);

/* Tells which Lua files the model came from. */
void network_tell_code(const Model *model, FILE *events);
/* One hash of what all of these compute (lua_tokens): kept with the weights as "code". */
void network_code(const Model *model, char hash[HASH_BYTES]);

/* ---- a trained network, opened again --------------------------------------------------------- */

/* A trained trial, opened again: its cases and its inference graph with the checkpoint's
 * weights. */

typedef struct TrainedNetwork {
  Cases cases;
  Params *params;
  Graph *graph;
  Plan *plan; /* of the inference on one patch, bound */
  Model model;
} TrainedNetwork;

/* config: the trial's, with home, data_dir and checkpoint. On the CPU. Whatever it returns,
 * trained_network_free frees it. */
bool trained_network_open(TrainedNetwork *network, const json_t *config, Error *error);
/* The same on the configuration's device and without cases: the data set need not be there. recipe
 * and labels (see cases.h) are those stored with the weights; labels is a new reference. */
bool trained_network_open_alone(TrainedNetwork *network, const json_t *config, Recipe *recipe,
                                json_t **labels, Error *error);
void trained_network_free(TrainedNetwork *network);
/* The patch in the middle of a normalised image (0 outside it) into the model's input, and its
 * labels; labels (D,H,W) of the patch. */
void trained_network_patch(const TrainedNetwork *network, const Volume *volume, uint8_t *labels);

#endif
