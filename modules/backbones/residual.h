/* Residual blocks: y = leaky(norm(conv(leaky(norm(conv(x))))) + skip(x)), the first convolution
 * with the stride of the block, LeakyReLU with slope .01, instance norm. */
#ifndef MODULES_BACKBONES_RESIDUAL_H
#define MODULES_BACKBONES_RESIDUAL_H

#include "modules/layers.h"

/* What x goes through where the sum would not fit it, or a stride is asked; elsewhere skip(x) = x.
 * The numbers are those of the option's choices. */
typedef enum ResidualSkip {
  SKIP_POOLED, /* average over the stride; then, where widths differ, 1x1x1 without bias and norm:
                * ResNet-D (He et al. 2019), as nnU-Net's ResEnc has it (Isensee et al. 2024). The
                * norm before the sum starts at zero */
  SKIP_PLAIN,  /* 1x1x1 with that stride and a bias: STU-Net (Huang et al. 2023) */
} ResidualSkip;
#define SKIP_CHOICES "pooled|plain"
#define SKIP_DOC                                                                                   \
  "where width or resolution changes: pooled: average pooling, then 1x1x1 without bias and norm "  \
  "where widths differ, and blocks start as their skip (ResNet-D, nnU-Net's ResEnc); plain: "      \
  "strided 1x1x1 with bias (STU-Net)"

typedef struct ResidualWay {
  int width;
  const int *kernel, *stride; /* 3 each */
  ResidualSkip skip;
} ResidualWay;

/* Its parameters stand in conv1, conv2 and, where there is a 1x1x1, skip, each with its norm;
 * without a name in the current scope, which becomes a block (graph_block). */
Value *residual_block(Graph *graph, const char *name, Value *x, const ResidualWay *way);

#endif
