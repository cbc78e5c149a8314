/* Self-attention of a map's tokens within each slice, over all of it or in windows, with decomposed
 * relative positions (SAM's image encoder: Kirillov et al. 2023; op grid_attention): qkv E -> 3E,
 * attention, proj E -> E. rel_pos_h and rel_pos_w (2 side - 1, E / heads) are one table for all
 * heads, made for windows, or for a slice of `side` x `side` tokens. */
#include "modules/layers.h"

typedef struct Options {
  int heads, window, side, tables, padding;
} Options;

enum { PADDING_ZERO, PADDING_NORM, PADDING_MASKED };

static const Option options_table[] = {
    {"heads", OPTION_INT, offsetof(Options, heads), 12, 1, 64, NULL, NULL, "attention heads"},
    {"window", OPTION_INT, offsetof(Options, window), 0, 0, 4096, NULL, NULL,
     "side of the windows in tokens; 0: the whole slice"},
    {"side", OPTION_INT, offsetof(Options, side), 64, 1, 4096, NULL, NULL,
     "without windows: tokens along a side of the slice that the tables are of"},
    {"tables", OPTION_CHOICE, offsetof(Options, tables), 0, 0, 1, "stretch|crop", NULL,
     "for a slice of another size: tables interpolated, or cut at both ends"},
    {"padding", OPTION_CHOICE, offsetof(Options, padding), PADDING_ZERO, 0, 0, "zero|norm|masked",
     NULL,
     "keys of windows beyond the border; zero: of tokens that are zero (SAM); norm: of tokens that "
     "the layer norm made of zeros (MaskSAM's code); masked: none"},
    {0}};

/* What stands beyond the border, as q, k and v (3E): of zeros what the layer adds, its bias; of a
 * norm's bias what the layer makes of that. */
static Value *padding_of(Graph *graph, const Options *o, const Value *x, Linear qkv) {
  if (o->padding == PADDING_MASKED || !o->window) return graph_absent(graph);
  if (o->padding == PADDING_ZERO) return qkv.bias;
  enum { IN_BETA = 1 };
  if (!x->producer || x->producer->op != OP_layer_norm) {
    module_fail(graph, "padding=norm: the input is what a layer norm made");
    return NULL;
  }
  ReshapeOptions row = {.shape = {2, {1, 0}}}, flat = {.shape = {1, {0}}};
  Value *beta = apply(graph, OP_reshape, &row, x->producer->in[IN_BETA]);
  return apply(graph, OP_reshape, &flat, apply(graph, OP_linear, NULL, qkv.weight, qkv.bias, beta));
}

static Value *table(Graph *graph, const char *name, const Options *o, int64_t width) {
  int64_t shape[2] = {2 * (o->window ? o->window : o->side) - 1, width / o->heads};
  return graph_param_of(graph, ROLE_EMBEDDING, name, 2, shape, GROUP_TRANSFORMER, (Init){0});
}

static void build(Graph *graph, const void *options, const Values *in, Values *out) {
  const Options *o = options;
  Value *x = in->v[0];
  int width = (int)tensor_last(&x->tensor);
  Init init = init_torch_linear(width);
  if (width % o->heads) {
    module_fail(graph, "%d heads do not divide the width %d", o->heads, width);
    return;
  }
  Linear qkv = linear_params(graph, "qkv", width, 3 * width, GROUP_TRANSFORMER, init, init);
  Value *pad = padding_of(graph, o, x, qkv);
  x = apply(graph, OP_linear, NULL, qkv.weight, qkv.bias, x);
  GridAttentionOptions attention = {.heads = o->heads, .window = o->window, .tables = o->tables};
  x = apply(graph, OP_grid_attention, &attention, x, table(graph, "rel_pos_h", o, width),
            table(graph, "rel_pos_w", o, width), pad);
  out->v[out->count++] =
      x ? linear_layer_init(graph, "proj", x, width, ACT_NONE, GROUP_TRANSFORMER, init, init)
        : NULL;
}

const Module module_grid_self_attention = {
    .name = "grid_self_attention",
    .doc = "self-attention within slices, whole or in windows, with decomposed relative positions "
           "(SAM's image encoder)",
    .in = "map",
    .out = "map",
    .min_in = 1,
    .max_in = 1,
    .options = options_table,
    .options_bytes = sizeof(Options),
    .build = build,
};
