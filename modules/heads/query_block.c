/* The head's transformer block (MaskMed 3.2, Fig. 2b): queries attend to the average-pooled decoder
 * feature, masked by the lower stage's prediction, then to each other, then a feed-forward network.
 * Its result, `queries`, goes on to the next stage; `normed` is what the embeddings read. */
#include "modules/adapters/adapter.h"
#include "modules/heads/query_layer.h"

typedef struct BlockOptions {
  QueryLayer layer;
  int blocks;
  Ints key_grid;
  AdapterWay adapter;
} BlockOptions;

static const Option options_table[] = {
    QUERY_LAYER_OPTIONS(BlockOptions),
    {"blocks", OPTION_INT, offsetof(BlockOptions, blocks), 1, 1, 8, NULL, NULL,
     "transformer blocks in this stage"},
    {"key_grid", OPTION_INTS, offsetof(BlockOptions, key_grid), 0, 1, 4096, NULL, "", KEY_GRID_DOC},
    ADAPTER_OPTIONS(BlockOptions, adapter, "of the pooled feature that queries look at"),
    {0}};

static void build(Graph *graph, const void *options, const Values *in, Values *out) {
  const BlockOptions *o = options;
  Value *x = in->v[1], *x_position = in->v[2];
  int64_t width[1] = {tensor_last(&x->tensor)};
  Value *pooled = pooled_feature(graph, &o->key_grid, in->v[0]);
  Value *keys = linear_layer(graph, "keys", pooled, (int)width[0], ACT_NONE);
  keys = adapted(graph, "adapter", keys, GROUP_TRANSFORMER, &o->adapter);
  if (!keys) return;
  Value *embedding = graph_param_of(graph, ROLE_EMBEDDING, "embedding", 1, width, GROUP_TRANSFORMER,
                                    (Init){INIT_NORMAL, 1, 0, 0});
  Value *sine = sine_position(graph, &keys->tensor.dim[1], (int)width[0]);
  Value *key_position = apply(graph, OP_add, NULL, sine, embedding);
  Value *mask = query_prior(graph, &o->layer, in->count > 3 ? in->v[3] : NULL, keys);
  for (int i = 0; i < o->blocks; i++) {
    graph_push(graph, "block%d", i);
    graph_block(graph);
    x = query_layer(graph, &o->layer, x, x_position, keys, key_position, mask);
    graph_pop(graph);
  }
  out->v[out->count++] = x;
  out->v[out->count++] = layer_norm(graph, "norm", x);
}

const Module module_query_block = {
    .name = "query_block",
    .doc = "Masked cross-attention, self-attention, feed-forward: f(E_Q, F) of MaskMed Eq. 3-5",
    .in = "feature queries position [prior masks]",
    .out = "queries normed",
    .min_in = 3,
    .max_in = 4,
    .options = options_table,
    .options_bytes = sizeof(BlockOptions),
    .build = build,
};
