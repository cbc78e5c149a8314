/* nnU-Net's planners and the memory that they think a network takes: feature-map values of all
 * convolutions, upsamplings and of the logits (compute_conv_feature_map_size). */
#include "src/data/plan/planner.h"

#include <string.h>

enum { BATCH_2D = 12, BATCH_3D = 2 };

const Planner planners[PLANNERS] = {
    {"default", "nnU-Net's estimate, 8 GB", false, 85e6, 560e6, 2, 0.05},
    {"resenc_m", "nnU-Net's estimate, ResEnc M, 8 GB", true, 135e6, 680e6, BATCH_2D, 1},
    {"resenc_l", "nnU-Net's estimate, ResEnc L, 24 GB", true, 380e6, 2100e6, BATCH_2D, 1},
    {"resenc_xl", "nnU-Net's estimate, ResEnc XL, 40 GB", true, 560e6, 3600e6, BATCH_2D, 1},
};

const Planner *planner_named(const char *name) {
  for (int i = 0; i < PLANNERS; i++)
    if (!strcmp(planners[i].name, name)) return &planners[i];
  return NULL;
}

int planner_blocks(int stage) {
  static const int blocks[] = {1, 3, 4, 6};
  return blocks[stage < 3 ? stage : 3];
}

/* Maps of a stage's width that the encoder makes at its size: a residual block has two
 * convolutions, and a stage's first a third on its way round, where width or size change; before
 * the first stage stands one convolution. */
static int encoder_maps(bool residual, int stage) {
  if (!residual) return 2;
  return 2 * planner_blocks(stage) + 1;
}

bool nnunet_cost(void *budget, const Topology *t, int batch, double *share, Error *error) {
  (void)error;
  const NnunetBudget *b = budget;
  double finest = 0, values = 0;
  int dim[3] = {t->patch[0], t->patch[1], t->patch[2]};
  int decoder_maps = (b->planner->residual ? 1 : 2) + 1; /* with the upsampling */
  for (int i = 0; i < t->stages; i++) {
    for (int axis = 0; axis < 3; axis++) dim[axis] /= t->stride[i][axis];
    double voxels = (double)dim[0] * dim[1] * dim[2];
    int maps = encoder_maps(b->planner->residual, i) + (i < t->stages - 1 ? decoder_maps : 0);
    values += maps * t->width[i] * voxels;
    if (i == 0) finest = voxels;
  }
  values += b->classes * finest;
  *share = t->flat ? values / b->planner->values_2d * batch / BATCH_2D
                   : values / b->planner->values_3d * batch / BATCH_3D;
  return true;
}
