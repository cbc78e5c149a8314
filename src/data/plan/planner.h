/* From a fingerprint to a plan, by nnU-Net v2's rules (ExperimentPlanner and
 * get_pool_and_conv_props; tests give the plans documented for AMOS22 and BTCV):
 *
 *   spacing  median of each axis; where the worst axis is more than 3 times coarser than the others
 *            and has fewer than a third of their voxels, its 10th percentile, but never finer than
 *            the others
 *   patch    aspect of 1/spacing at the volume of 256^3, clipped to the median shape; then the axis
 *            largest against the median shape loses one step of its divisor until the cost fits
 *   strides  2 along an axis while its map has 8 voxels or more and its spacing is within a factor
 *            of 2 of the finest such axis; 12 or more where it is the only one
 *   kernels  3 from the stage on where an axis is within a factor of 2 of the finest, else 1; 3 in
 *            the last stage
 *   batch    what the budget leaves, at least 2, at most a planner's share of the data set's voxels
 *
 * nnU-Net puts the coarsest axis first; here axes stay, and ties are broken as if it had. Its 2d
 * configuration is the same search over the other two axes, from the area of 2048^2: a patch of one
 * voxel along the axis that is left out, with strides and kernels of 1 there. Of images that have
 * one voxel along an axis it is the only one. */
#ifndef DATA_PLANNER_H
#define DATA_PLANNER_H

#include "src/data/plan/fingerprint.h"
#include "src/data/prepare/frame.h"

enum { STAGES_MAX = 12 };

typedef struct Topology {
  int stages;
  int patch[3];
  int stride[STAGES_MAX][3], kernel[STAGES_MAX][3];
  int width[STAGES_MAX];  /* 32 * 2^stage, at most 320, in 2D 512 */
  int divisor[3];         /* of the patch */
  bool flat;              /* 2D: one voxel along one axis */
  int blocks[STAGES_MAX]; /* residual blocks of each stage; 0: a planner's own */
} Topology;

/* What `batch` patches cost, as a share of the budget. */
typedef bool (*PlanCost)(void *user, const Topology *topology, int batch, double *share,
                         Error *error);

/* nnU-Net's planners, from nnunetv2 2.8.1: what they may spend, and on which network. */
typedef struct Planner {
  const char *name, *words; /* of --planner; what the plan says of its budget */
  bool residual; /* ResidualEncoderUNet: `blocks` a stage, one convolution in the decoder;
                               else PlainConvUNet: two of both */
  double values_2d, values_3d; /* of an image's feature maps, in a batch of 12 and of 2 */
  int batch_2d;                /* what has to fit in 2D; in 3D it is 2 */
  double covered;              /* at most this share of the data set's voxels is in a batch */
} Planner;

enum { PLANNERS = 4 };
extern const Planner planners[PLANNERS];
/* NULL: there is none of this name. */
const Planner *planner_named(const char *name);
/* Residual blocks of an encoder's stage: 1, 3, 4, 6, 6, ... */
int planner_blocks(int stage);

/* nnU-Net's estimate: feature-map values of a network against what its planner may spend. */
typedef struct NnunetBudget {
  const Planner *planner;
  int classes; /* with background */
} NnunetBudget;
bool nnunet_cost(void *budget, const Topology *topology, int batch, double *share, Error *error);

typedef struct Configuration {
  double mm[3];
  double median_dim[3]; /* of the cases at this spacing */
  Topology topology;
  int batch;
  int key_grid[3]; /* the finest stage's grid with at most 8,192 voxels: keys of the mask heads */
  bool batch_dice;
} Configuration;

typedef struct Planned {
  Configuration fullres; /* nnU-Net's 3d_fullres; of flat images its 2d */
  bool has_lowres; /* the patch shows less than a quarter of the median case, and half the size
                      helps */
  Configuration lowres;
  bool has_slices; /* of volumes, by nnU-Net's estimate: its 2d, slices across the coarsest axis */
  Configuration slices;
} Planned;

/* spacing: mm of the grid to train on (nnU-Net's overwrite_target_spacing); NULL: the rule above.
 * exact: shares are exact, so the batch is the largest that fits; else it is rounded as nnU-Net
 * rounds. Errors: those of cost, and a patch that fits at no size. */
bool plan_data(const Fingerprint *fingerprint, const Planner *planner, const double spacing[3],
               PlanCost cost, void *user, bool exact, Planned *planned, Error *error);

/* The finest of a patch's grids with at most 8,192 voxels. */
void key_grid_find(const Topology *topology, int grid[3]);

/* Exposed for tests. */
void target_spacing(const Fingerprint *fingerprint, double mm[3]);

#endif
