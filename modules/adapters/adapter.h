/* MaskSAM's adapters (2.5, Fig. 3): a bottleneck of two linear layers, u = FC2 GELU FC1 x, E to E /
 * ratio and back, that may know of the other slices:
 *   vanilla      u
 *   mlp_before   FC2 GELU FC1 M(x)       M(h) = h + D2 GELU D1 h, linear layers along the slices,
 *   mlp_middle   FC2 M(GELU FC1 x)       D to 4 D and back
 *   mlp_after    M(u)
 *   conv_middle  FC2 C(GELU FC1 x)       C(h) = h + GELU LN conv3x3x3(h), depthwise
 * The skip around it is whose it is: x + u after attention, x + MLP(n) + u(n) / 2 beside an MLP. */
#ifndef MODULES_ADAPTERS_ADAPTER_H
#define MODULES_ADAPTERS_ADAPTER_H

#include "modules/layers.h"

typedef enum AdapterKind {
  ADAPTER_NONE,
  ADAPTER_VANILLA,
  ADAPTER_MLP_BEFORE,
  ADAPTER_MLP_MIDDLE,
  ADAPTER_MLP_AFTER,
  ADAPTER_CONV_MIDDLE,
} AdapterKind;
#define ADAPTER_KINDS "vanilla|mlp_before|mlp_middle|mlp_after|conv_middle"
#define ADAPTER_KINDS_DOC                                                                          \
  "vanilla: FC, GELU, FC; mlp_*: and two linear layers along the slices with a skip, before, "     \
  "between or after those; conv_middle: a depthwise 3x3x3 convolution with a skip between them "   \
  "(MaskSAM 2.5)"

typedef struct AdapterWay {
  int kind;  /* AdapterKind */
  int ratio; /* E to E / ratio */
  int zero;  /* what is last starts at zero, and so does the adapter */
} AdapterWay;

/* The rows of an option table whose struct has an AdapterWay `field`, in a block that may have an
 * adapter; it is added to what it reads. */
/* clang-format off */
#define ADAPTER_OPTIONS(type, field, where)                                                        \
  {"adapter", OPTION_CHOICE, offsetof(type, field.kind), ADAPTER_NONE, 0, 0, "none|" ADAPTER_KINDS,\
   NULL, "adapter " where ", added to what it reads; " ADAPTER_KINDS_DOC},                         \
  {"adapter_ratio", OPTION_INT, offsetof(type, field.ratio), 4, 1, 64, NULL, NULL,                 \
   "an adapter's width is the channels / this"},                                                   \
  {"adapter_zero", OPTION_BOOL, offsetof(type, field.zero), 1, 0, 1, NULL, NULL,                   \
   "an adapter's last layer starts at zero: the block starts as without it"}
/* clang-format on */

/* x (N, D, h, w, E), or but for conv_middle (N, D, ..., E) of rank 3 or 4: of the same shape.
 * Without a name its parameters stand in the current scope. NULL: see graph->error. */
Value *adapter(Graph *graph, const char *name, Value *x, Group group, const AdapterWay *way);
/* x + adapter(x); x where the kind is none. */
Value *adapted(Graph *graph, const char *name, Value *x, Group group, const AdapterWay *way);

/* A map whose slices' edges are doubled: a transposed convolution (1, 2, 2), instance norm, GELU.
 * */
Value *doubled(Graph *graph, const char *name, Value *x, int width);

#endif
