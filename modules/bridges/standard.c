/* The standard Transformer bridge (MaskMed 3.3, Table 4 "StandardTrans"): joint self-attention over
 * all tokens of the lowest `query_scales` encoder stages, exact. Its cost grows with the square of
 * the tokens, which is why the paper stops at three scales. */
#include "modules/bridges/bridge.h"

typedef struct StandardOptions {
  BridgeOptions common;
  int attention, attention_init;
} StandardOptions;

enum { ATTENTION_TILED, ATTENTION_NAIVE };

static const Option options_table[] = {
    BRIDGE_OPTIONS(StandardOptions, 3),
    {"attention", OPTION_CHOICE, offsetof(StandardOptions, attention), ATTENTION_TILED, 0, 0,
     "tiled|naive", NULL, "tiled: no score matrix is stored; naive: all of them are"},
    {"attention_init", OPTION_CHOICE, offsetof(StandardOptions, attention_init), ATTENTION_SEPARATE,
     0, 0, ATTENTION_INIT_CHOICES, NULL, ATTENTION_INIT_DOC},
    {0}};

static Value *self_attention(Graph *graph, const void *options, const Bridge *b, Value *x,
                             Value *position) {
  const StandardOptions *o = options;
  AttentionWay way = {.heads = b->o->heads,
                      .naive = o->attention == ATTENTION_NAIVE,
                      .init = (AttentionInit)o->attention_init};
  return attention_layer(graph, "self", way, x, position, x, position, x, NULL);
}

static void build(Graph *graph, const void *options, const Values *in, Values *out) {
  const StandardOptions *o = options;
  bridge_build(graph, options, o->common.query_scales, self_attention, in, out);
}

const Module module_standard_bridge = {
    .name = "standard_bridge",
    .doc = "Self-attention over the lowest encoder stages' tokens (MaskMed Table 4)",
    .in = "stages (highest resolution first)",
    .out = "stages",
    .min_in = 1,
    .max_in = MAX_SCALES,
    .list = true,
    .options = options_table,
    .options_bytes = sizeof(StandardOptions),
    .build = build,
};
