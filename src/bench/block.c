#include "src/bench/block.h"
#include "modules/layers.h"

#include <string.h>

const BlockCase block_cases[] = {{"sam_block, 64 x 64, window 14", 64, 768, 12, 14},
                                 {"sam_block, 64 x 64, global", 64, 768, 12, 0},
                                 {0}};

static Value *attention(Graph *graph, const BlockCase *c, Value *x) {
  const Init start = {.kind = INIT_NORMAL, .a = .02}, none = {.kind = INIT_CONSTANT};
  GridAttentionOptions options = {.heads = c->heads, .window = c->window};
  int side = c->window ? c->window : c->grid;
  int64_t table[] = {2 * side - 1, c->width / c->heads};
  graph_push(graph, "attn");
  Linear qkv = linear_params(graph, "qkv", c->width, 3 * c->width, GROUP_TRANSFORMER, start, none);
  Value *rows = graph_param(graph, "rel_pos_h", 2, table, GROUP_TRANSFORMER, start);
  Value *columns = graph_param(graph, "rel_pos_w", 2, table, GROUP_TRANSFORMER, start);
  x = apply(graph, OP_linear, &(LinearOptions){ACT_NONE}, qkv.weight, qkv.bias, x);
  x = apply(graph, OP_grid_attention, &options, x, rows, columns, qkv.bias);
  x = linear_layer(graph, "proj", x, c->width, ACT_NONE);
  graph_pop(graph);
  return x;
}

static Value *mlp(Graph *graph, const BlockCase *c, Value *x) {
  graph_push(graph, "mlp");
  x = linear_layer(graph, "lin1", x, 4 * c->width, ACT_NONE);
  x = apply(graph, OP_activation, &(ActivationOptions){.kind = ACT_GELU}, x);
  x = linear_layer(graph, "lin2", x, c->width, ACT_NONE);
  graph_pop(graph);
  return x;
}

/* A number whose gradient reaches every token: the cross-entropy of the mean token. */
static Value *loss_of(Block *block, const BlockCase *c, Value *x) {
  Graph *graph = block->graph;
  AdaptivePoolOptions whole = {.size = {3, {1, 1, 1}}};
  ReshapeOptions shape = {.shape = {3, {1, 1, c->width}}};
  block->target = graph_input(graph, "target", I32, 2, (int64_t[]){1, 1});
  x = apply(graph, OP_adaptive_avg_pool, &whole, x);
  x = apply(graph, OP_reshape, &shape, x);
  return apply(graph, OP_class_loss, &(ClassLossOptions){.none_weight = 1}, x, block->target);
}

static bool build(Block *block, const BlockCase *c, DType storage, Error *error) {
  Graph *graph = block->graph;
  int64_t dim[] = {1, 1, c->grid, c->grid, c->width};
  if (storage == BF16) graph->storage = BF16;
  Value *x =
      graph_param(graph, "x", 5, dim, GROUP_TRANSFORMER, (Init){.kind = INIT_NORMAL, .a = 1});
  x = apply(graph, OP_add, NULL, x, attention(graph, c, layer_norm(graph, "norm1", x)));
  x = apply(graph, OP_add, NULL, x, mlp(graph, c, layer_norm(graph, "norm2", x)));
  Value *loss = loss_of(block, c, x);
  if (!loss || !graph_backward(graph, loss)) return fail(error, "%s", graph->error.text);
  loss->keep = true;
  return true;
}

bool block_make(Block *block, const BlockCase *c, DType storage, const Backend *backend,
                Error *error) {
  *block = (Block){.params = params_make(backend->real)};
  block->graph = graph_make(block->params);
  if (!build(block, c, storage, error)) return false;
  block->plan = plan_make(block->graph, backend, true, error);
  return block->plan && params_allocate(block->params, 1, error) &&
         plan_bind(block->plan, NULL, error);
}

void block_free(Block *block) {
  plan_free(block->plan);
  if (block->graph) graph_free(block->graph);
  if (block->params) params_free(block->params);
  *block = (Block){0};
}

void block_run(void *user) {
  Block *block = user;
  memset(block->target->host, 0, tensor_bytes(&block->target->tensor)); /* a run writes over it */
  plan_send(block->plan, block->target);
  plan_run(block->plan, false);
}

void block_describe(const Block *block, const BlockCase *c, const Machine *ceilings,
                    BenchRow *row) {
  Machine machine = machine_for(ceilings, row->dtype);
  snprintf(row->shape, sizeof row->shape, "(1,1,%d,%d,%d) heads=%d window=%d", c->grid, c->grid,
           c->width, c->heads, c->window);
  row_of_graph(row, block->graph, block->plan, block->params, &machine);
}
