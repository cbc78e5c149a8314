/* What every Transformer bridge between encoder and decoder shares (MaskMed 3.3, Table 4): stages
 * become tokens of width E, the lowest `query_scales` stages are rewritten by `layers` layers of
 * some mixing of tokens and a feed-forward network, and the result is projected back and added to
 * the encoder's features, or goes on as it is. A bridge differs in how it mixes:
 * standard.c, deformable.c. */
#ifndef MODULES_BRIDGES_BRIDGE_H
#define MODULES_BRIDGES_BRIDGE_H

#include "modules/adapters/adapter.h"

enum { MAX_SCALES = 8 };

typedef struct BridgeOptions {
  int hidden, heads, layers, query_scales, ffn, norm, zero_init, input_norm, result;
  AdapterWay adapter;
} BridgeOptions;

enum { BRIDGE_ADDED, BRIDGE_TOKENS }; /* result */

/* The rows of an option table whose struct starts with a BridgeOptions named `common`. */
/* clang-format off */
#define BRIDGE_OPTIONS(type, scales)                                                               \
  {"hidden", OPTION_INT, offsetof(type, common.hidden), 192, 6, 4096, NULL, NULL,                  \
   "token width E; a multiple of heads and of 6"},                                                 \
  {"heads", OPTION_INT, offsetof(type, common.heads), 6, 1, 64, NULL, NULL, "attention heads"},    \
  {"layers", OPTION_INT, offsetof(type, common.layers), 2, 1, 12, NULL, NULL, "depth of the bridge"},\
  {"query_scales", OPTION_INT, offsetof(type, common.query_scales), scales, 1, 8, NULL, NULL,      \
   "lowest scales whose tokens are queries"},                                                      \
  {"ffn", OPTION_INT, offsetof(type, common.ffn), 1024, 1, 16384, NULL, NULL,                      \
   "hidden width of the feed-forward network"},                                                    \
  {"norm", OPTION_CHOICE, offsetof(type, common.norm), NORM_INSIDE, 0, 0, NORM_CHOICES, NULL,      \
   "inside: x + LN(f(x)), the paper's words; post: LN(x + f(x)); pre: x + f(LN(x))"},              \
  {"zero_init", OPTION_BOOL, offsetof(type, common.zero_init), 0, 0, 1, NULL, NULL,                \
   "start the projection back at zero: the bridge starts as plain skips"},                         \
  {"input_norm", OPTION_CHOICE, offsetof(type, common.input_norm), INPUT_NORM_NONE, 0, 0,          \
   "none|group", NULL,                                                                             \
   "of a stage's tokens: none, as MaskMed shows it (Fig. 6), or group norm after the projection "  \
   "to E (Deformable DETR, Mask2Former), in 32 groups or the next fewer that divide E"},           \
  {"result", OPTION_CHOICE, offsetof(type, common.result), BRIDGE_ADDED, 0, 0, "added|tokens",     \
   NULL,                                                                                           \
   "of the query scales: added: projected back and added to the encoder's features (MaskMed); "    \
   "tokens: as they are, of width E (Mask2Former)"},                                               \
  ADAPTER_OPTIONS(type, common.adapter, "of each scale's tokens behind what mixes them")
/* clang-format on */

enum { INPUT_NORM_NONE, INPUT_NORM_GROUP, INPUT_GROUPS = 32 };

/* Scales are counted in the encoder's order, highest resolution first; those from value_first on
 * have tokens, those from query_first on also ask and are rewritten. */
typedef struct Bridge {
  const BridgeOptions *o;
  int scales, query_first, value_first;
  Value *level[MAX_SCALES];   /* (N, D, H, W, E) */
  Linear in[MAX_SCALES];      /* with a weight: the level is the stage itself, (N, D, H, W, C) */
  int64_t tokens[MAX_SCALES]; /* D*H*W */
} Bridge;

/* One layer's mixing: queries x (N, T, E) with their position (1, T, E) -> what is added (N, T,
 * E). */
typedef Value *Mix(Graph *graph, const void *options, const Bridge *bridge, Value *x,
                   Value *position);

/* Builds the whole bridge. value_scales: the lowest so many stages have tokens; 0: all. `options`
 * starts with the BridgeOptions and is handed to mix. */
void bridge_build(Graph *graph, const void *options, int value_scales, Mix *mix, const Values *in,
                  Values *out);

/* The layer "value" (E -> E) on a scale's tokens. */
Value *bridge_values(Graph *graph, const Bridge *bridge, int scale);

/* D, H, W of a scale. */
const int64_t *bridge_grid(const Bridge *bridge, int scale);

#endif
