/* The pyramid that an encoder makes: a width, a stride and a kernel for each stage, highest
 * resolution first. */
#ifndef MODULES_BACKBONES_STAGES_H
#define MODULES_BACKBONES_STAGES_H

#include "modules/module.h"

typedef struct Stages {
  Ints widths, strides, kernels; /* of the latter three numbers a stage */
} Stages;

/* The rows of an option table whose struct has Stages named `stages`. */
/* clang-format off */
#define STAGES_OPTIONS(type)                                                                       \
  {"widths", OPTION_INTS, offsetof(type, stages.widths), 0, 1, 4096, NULL, "",                     \
   "channels of each stage, highest resolution first"},                                            \
  {"strides", OPTION_INTS, offsetof(type, stages.strides), 0, 1, 8, NULL, "",                      \
   "D,H,W stride of each stage's first convolution"},                                              \
  {"kernels", OPTION_INTS, offsetof(type, stages.kernels), 0, 1, 7, NULL, "",                      \
   "D,H,W kernel of each stage; default 3,3,3"}
/* clang-format on */

/* Whether the three speak of the same stages, one or more; if not, see graph->error. */
bool stages_check(Graph *graph, const Stages *stages);
/* Entry `stage` of a list of triples, or 3,3,3 when the list is empty. */
const int *stage_kernel(const Ints *kernels, int stage);
const int *stage_stride(const Stages *stages, int stage);

#endif
