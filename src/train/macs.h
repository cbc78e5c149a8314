/* Work of a network as papers print it: multiply-adds of one image, counted by the rules of fvcore,
 * which most of them use and call FLOPs. */
#ifndef TRAIN_MACS_H
#define TRAIN_MACS_H

#include "engine/graph.h"

/* Of the products (convolutions, linear layers, matrix products and attention's two): their
 * multiply-adds, and one for each of their results; of norms 2 (batch, instance) or 5 (layer) a
 * number. A layer norm of a map (N, D, H, W, C) counts for nothing, as all else: public code writes
 * it out, and there fvcore sees none. */
double graph_macs(const Graph *graph);

#endif
