/* One layer of a query decoder, and what it reads of a feature: what query_block and query_layer
 * share. */
#ifndef MODULES_HEADS_QUERY_LAYER_H
#define MODULES_HEADS_QUERY_LAYER_H

#include "modules/layers.h"

typedef struct QueryLayer {
  int heads, ffn, norm, order, mask_resize, attention_init;
} QueryLayer;

/* The rows of an option table whose struct has a QueryLayer named `layer`. */
/* clang-format off */
#define QUERY_LAYER_OPTIONS(type)                                                                  \
  {"heads", OPTION_INT, offsetof(type, layer.heads), 6, 1, 64, NULL, NULL, "attention heads"},     \
  {"ffn", OPTION_INT, offsetof(type, layer.ffn), 1024, 1, 16384, NULL, NULL,                       \
   "hidden width of the feed-forward network"},                                                    \
  {"norm", OPTION_CHOICE, offsetof(type, layer.norm), NORM_POST, 0, 0, NORM_CHOICES, NULL,         \
   "inside: x + LN(f(x)); post: LN(x + f(x)); pre: x + f(LN(x))"},                                 \
  {"order", OPTION_CHOICE, offsetof(type, layer.order), 0, 0, 0, "cross_first|self_first", NULL,   \
   "cross_first: queries attend to the feature, then to each other (Mask2Former, MaskMed); "       \
   "self_first: the other way round (DETR, MaskFormer)"},                                          \
  {"mask_resize", OPTION_CHOICE, offsetof(type, layer.mask_resize), 0, 0, 0, "max|trilinear", NULL,\
   "how a mask becomes coarser as attention prior; finer: trilinear"},                              \
  {"attention_init", OPTION_CHOICE, offsetof(type, layer.attention_init), ATTENTION_SEPARATE, 0,   \
   0, ATTENTION_INIT_CHOICES, NULL, ATTENTION_INIT_DOC}
/* clang-format on */

/* Masked cross-attention to keys (N, d, h, w, E), self-attention, feed-forward: queries x (N, K, E)
 * to the same. Their positions are (K, E) and (1, d*h*w, E); mask (N, d, h, w, K) or NULL. */
Value *query_layer(Graph *graph, const QueryLayer *o, Value *x, Value *x_position, Value *keys,
                   Value *key_position, Value *mask);

/* Masks of any grid on that of keys: (N, d, h, w, K) logits; no gradient flows back. NULL of
 * NULL. */
Value *query_prior(Graph *graph, const QueryLayer *o, Value *prior, const Value *keys);

/* The feature average-pooled to at most this grid; none: as it is. NULL: see graph->error. */
Value *pooled_feature(Graph *graph, const Ints *key_grid, Value *feature);
#define KEY_GRID_DOC                                                                               \
  "D,H,W grid to which the feature is average-pooled as key and value (the most below it that "    \
  "divides the feature, no less than half); none: as it is"

#endif
