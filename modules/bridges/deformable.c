/* The FSAD-Transformer (MaskMed 3.3, Fig. 2c, appendix B): queries are the tokens of the lowest
 * `query_scales` encoder stages; values are the stages at every scale; each query gathers `points`
 * samples per head and scale by deformable attention. Per layer:
 *   x <- x + LN(FSAD-Attention(x + position, values)),  x <- x + LN(FFN(x))
 * In layers after the first the values of the query scales are the previous layer's result. With
 * value_scales = query_scales it is Table 4's plain deformable bridge. */
#include "modules/bridges/bridge.h"

typedef struct FsadOptions {
  BridgeOptions common;
  int points, points_total, value_scales;
} FsadOptions;

static const Option options_table[] = {
    BRIDGE_OPTIONS(FsadOptions, 4),
    {"points", OPTION_INT, offsetof(FsadOptions, points), 4, 1, 16, NULL, NULL,
     "sampling points per head and scale"},
    {"points_total", OPTION_INT, offsetof(FsadOptions, points_total), 0, 0, 128, NULL, NULL,
     "sampling points per head in total, spread evenly over the scales; 0: `points` a scale"},
    {"value_scales", OPTION_INT, offsetof(FsadOptions, value_scales), 0, 0, 8, NULL, NULL,
     "lowest scales that are sampled; 0: all (FSAD); = query_scales: a plain deformable bridge"},
    {0}};

/* K of every scale; 0: the total does not spread evenly. */
static int points_of(const FsadOptions *o, int levels) {
  if (!o->points_total) return o->points;
  return o->points_total % levels ? 0 : o->points_total / levels;
}

static Value *fsad_attention(Graph *graph, const void *options, const Bridge *b, Value *x,
                             Value *position) {
  const FsadOptions *o = options;
  int heads = o->common.heads, levels = b->scales - b->value_first;
  int points = points_of(o, levels), samples = heads * levels * points;
  if (!points) {
    module_fail(graph, "points_total (%d) is no multiple of the %d scales that are sampled",
                o->points_total, levels);
    return NULL;
  }
  Value *query = apply(graph, OP_add, NULL, x, position);
  Init zero = {0}, directions = {INIT_OFFSETS, heads, levels, points};
  DeformAttentionOptions deform = {.heads = heads, .points = points};
  for (int s = b->query_first; s < b->scales; s++)
    for (int a = 0; a < 3; a++)
      deform.query_grids.v[deform.query_grids.count++] = (int)bridge_grid(b, s)[a];
  Value *in[2 + MAX_SCALES];
  in[0] = linear_layer_init(graph, "offsets", query, 3 * samples, ACT_NONE, GROUP_TRANSFORMER, zero,
                            directions);
  in[1] =
      linear_layer_init(graph, "weights", query, samples, ACT_NONE, GROUP_TRANSFORMER, zero, zero);
  int count = 2;
  for (int s = b->value_first; s < b->scales; s++) in[count++] = bridge_values(graph, b, s);
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
