/* Deep supervision: what the losses of the stages share. */
#ifndef MODULES_LOSSES_SUPERVISION_H
#define MODULES_LOSSES_SUPERVISION_H

#include "modules/module.h"

/* Weight of stage i of `stages`, lowest resolution first: halved with each reduction in resolution,
 * normalised to sum 1 (MaskMed Eq. 6); `drop_lowest` sets the lowest to 0 (nnU-Net). */
double supervision_weight(int stage, int stages, bool drop_lowest);
/* The labels (N, D, H, W) on the grid of `like`, nearest. */
Value *supervision_labels(Graph *graph, Value *labels, const Value *like);
/* sum of weight_i * x_i. */
Value *supervision_sum(Graph *graph, Value *const *x, const double *weight, int count);

#endif
