#include "src/train/macs.h"
#include "kernels/options.h"

/* products: its FLOP are multiply-adds, two each. each: of a number of out[0]. */
static const struct Rule {
  OpId op;
  bool products;
  double each;
} rules[] = {
    {OP_conv, true, 1},           {OP_conv_transpose, true, 1}, {OP_grouped_conv, true, 1},
    {OP_linear, true, 1},         {OP_matmul, true, 1},         {OP_depth_mix, true, 1},
    {OP_attention, true, 1},      {OP_grid_attention, true, 1}, {OP_batch_norm, false, 2},
    {OP_instance_norm, false, 2}, {OP_layer_norm, false, 5},
};

/* Attention's first product has results, too: a score of each query and key. */
static double scores_of(const Node *node) {
  if (node->op != OP_attention) return 0;
  const Tensor *q = &node->call.in[0], *k = &node->call.in[1];
  double heads = ((const AttentionOptions *)node->call.options)->heads;
  return heads * (double)tensor_rows(q) * (double)(tensor_rows(k) / k->dim[0]);
}

double graph_macs(const Graph *graph) {
  double total = 0;
  for (int i = 0; i < graph->node_count; i++) {
    const Node *node = graph->nodes[i];
    for (size_t r = 0; r < sizeof rules / sizeof *rules; r++) {
      bool unseen = node->op == OP_layer_norm && node->call.out[0].rank == MAX_RANK;
      if (rules[r].op != node->op || node->call.backward || unseen) continue;
      total += rules[r].each * (double)tensor_count(&node->call.out[0]) + scores_of(node);
      if (rules[r].products) total += op_cost(&node->call).flops / 2;
    }
  }
  return total;
}
