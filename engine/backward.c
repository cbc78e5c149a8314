/* The gradient of a graph, as more graph: the nodes are walked once in reverse, each appends its
 * backward node, and where a value was used twice an explicit `add` joins the gradients. */
#include "engine/graph.h"

static void accumulate(Graph *graph, Value *value, Value *gradient) {
  if (value->gradient) gradient = apply(graph, OP_add, NULL, value->gradient, gradient);
  value->gradient = gradient;
}

static bool arrives(const Node *node) {
  for (int i = 0; i < node->call.n_out; i++)
    if (node->out[i]->gradient) return true;
  return false;
}

static void append(Graph *graph, const Node *forward) {
  const Op *op = forward->call.op;
  Node *node = graph_append(graph, forward->op);
  node->call = forward->call;
  node->call.backward = true;
  node->scope = forward->scope;
  node->where = forward->where;
  for (int i = 0; i < forward->call.n_out; i++) {
    node->out[i] = forward->out[i];
    node->dout[i] = forward->out[i]->gradient;
    node->call.dout[i] = node->call.out[i];
  }
  for (int i = 0; i < forward->call.n_in; i++) {
    node->in[i] = forward->in[i];
    if (!forward->in[i]->differentiable || op->constant & SAVES_IN(i)) continue;
    node->call.din[i] = node->call.in[i];
    node->din[i] = graph_value(graph, VALUE_ACTIVATION, &node->call.in[i], op->name);
    node->din[i]->producer = node;
  }
  for (int i = 0; i < forward->call.n_in; i++)
    if (node->din[i]) accumulate(graph, forward->in[i], node->din[i]);
}

bool graph_backward(Graph *graph, Value *loss) {
  if (graph->error.text[0] || !loss) return false;
  if (tensor_count(&loss->tensor) != 1)
    return fail(&graph->error, "backward: the loss is one number, found shape %s",
                tensor_shape_text(&loss->tensor));
  loss->keep = true;
  loss->gradient = graph_value(graph, VALUE_INPUT, &loss->tensor, "gradient of the loss");
  loss->gradient->keep = true; /* written once, read at every step */
  graph->where = "";
  for (int i = loss->producer->index; i >= 0; i--) {
    const Node *node = graph->nodes[i];
    bool constant = node->call.op->flags & (OP_NO_GRADIENT | OP_CONSTANT);
    if (!constant && node->out[0]->differentiable && arrives(node)) append(graph, node);
  }
  for (int i = 0; i < graph->value_count; i++) {
    Value *value = graph->values[i];
    if (value->kind != VALUE_PARAM || !value->gradient) continue;
    value->gradient->kind = VALUE_GRADIENT;
    value->gradient->param = value->param;
  }
  return !graph->error.text[0];
}
