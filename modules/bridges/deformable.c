/* The FSAD-Transformer (MaskMed 3.3, Fig. 2c, appendix B): queries are the tokens of the lowest
 * `query_scales` encoder stages; values are the stages at every scale; each query gathers `points`
 * samples per head and scale by deformable attention. Per layer:
 *   x <- x + LN(FSAD-Attention(x + position, values)),  x <- x + LN(FFN(x))
 * In layers after the first the values of the query scales are the previous layer's result. With
 * value_scales = query_scales it is Table 4's plain deformable bridge. */
#include "modules/bridges/bridge.h"

typedef struct FsadOptions {
  BridgeOptions common;
  int points, value_scales;
} FsadOptions;

static const Option options_table[] = {
    BRIDGE_OPTIONS(FsadOptions, 4),
    {"points", OPTION_INT, offsetof(FsadOptions, points), 4, 1, 16, NULL, NULL,
     "sampling points per head and scale"},
    {"value_scales", OPTION_INT, offsetof(FsadOptions, value_scales), 0, 0, 8, NULL, NULL,
     "lowest scales that are sampled; 0: all (FSAD); = query_scales: a plain deformable bridge"},
    {0}};

static Value *fsad_attention(Graph *graph, const void *options, const Bridge *b, Value *x,
                             Value *position) {
  const FsadOptions *o = options;
  int heads = o->common.heads, levels = b->scales - b->value_first;
  int samples = heads * levels * o->points;
  Value *query = apply(graph, OP_add, NULL, x, position);
  Init zero = {0}, directions = {INIT_OFFSETS, heads, levels, o->points};
  DeformAttentionOptions deform = {.heads = heads, .points = o->points};
  for (int s = b->query_first; s < b->scales; s++)
    for (int a = 0; a < 3; a++)
      deform.query_grids.v[deform.query_grids.count++] = (int)bridge_grid(b, s)[a];
  Value *in[2 + MAX_SCALES];
  in[0] = linear_layer_init(graph, "offsets", query, 3 * samples, ACT_NONE, GROUP_TRANSFORMER, zero,
                            directions);
  in[1] =
      linear_layer_init(graph, "weights", query, samples, ACT_NONE, GROUP_TRANSFORMER, zero, zero);
  int count = 2;
  for (int s = b->value_first; s < b->scales; s++)
    in[count++] = linear_layer(graph, "value", b->level[s], o->common.hidden, ACT_NONE);
  Value *context = graph_op(graph, OP_deform_attention, &deform, count, in);
  return linear_layer(graph, "output", context, o->common.hidden, ACT_NONE);
}

static void build(Graph *graph, const void *options, const Values *in, Values *out) {
  const FsadOptions *o = options;
  bridge_build(graph, options, o->value_scales, fsad_attention, in, out);
}

const Module module_fsad_bridge = {
    .name = "fsad_bridge",
    .doc = "FSAD-Transformer between encoder and decoder (MaskMed 3.3, appendix B)",
    .in = "stages (highest resolution first)",
    .out = "stages",
    .min_in = 1,
    .max_in = MAX_SCALES,
    .list = true,
    .options = options_table,
    .options_bytes = sizeof(FsadOptions),
    .build = build,
};
