/* The gradient of a graph, as more graph: the nodes are walked once in reverse, each appends its
 * backward node, and where a value was used twice an explicit `add` joins the gradients. What is
 * cheap to compute again (OP_AGAIN) is, before the first gradient that reads it, so that it is not
 * kept from the forward to the backward pass. */
#include "engine/graph.h"

static void accumulate(Graph *graph, Value *value, Value *gradient) {
  if (value->gradient) {
    gradient = apply(graph, OP_add, NULL, value->gradient, gradient);
    gradient->producer->sum = true;
  }
  value->gradient = gradient;
}

static bool arrives(const Node *node) {
  for (int i = 0; i < node->call.n_out; i++)
    if (node->out[i]->gradient) return true;
  return false;
}

/* What a gradient reads where the forward pass read `value`. */
static Value *saved(Graph *graph, Value *value) {
  const Node *producer = value->producer;
  /* Where nothing before it trains, nobody saves its inputs: then it is kept itself. */
  bool cheap = producer && producer->call.op->flags & OP_AGAIN && !producer->call.backward &&
               value->differentiable;
  if (!cheap || value->keep || producer->out[0] != value) return value;
  if (value->again) return value->again;
  Value *in[MAX_IN];
  for (int i = 0; i < producer->call.n_in; i++) in[i] = saved(graph, producer->in[i]);
  Node *node = graph_append(graph, producer->op);
  node->call = producer->call;
  node->call.again = true;
  node->scope = producer->scope;
  node->where = producer->where;
  for (int i = 0; i < producer->call.n_in; i++) node->in[i] = in[i];
  for (int i = 1; i < producer->call.n_out; i++) node->out[i] = producer->out[i];
  node->out[0] = graph_value(graph, VALUE_ACTIVATION, &producer->call.out[0], value->name);
  node->out[0]->producer = node;
  return value->again = node->out[0];
}

static void append(Graph *graph, const Node *forward) {
  Value *in[MAX_IN];
  Call call = forward->call;
  const Op *op = call.op;
  call.backward = true;
  for (int i = 0; i < call.n_in; i++)
    if (forward->in[i]->differentiable && !(op->constant & SAVES_IN(i))) call.wants |= SAVES_IN(i);
  unsigned saves = op_saves(&call);
  for (int i = 0; i < call.n_in; i++)
    in[i] = saves & SAVES_IN(i) ? saved(graph, forward->in[i]) : forward->in[i];
  Node *node = graph_append(graph, forward->op);
  node->call = call;
  node->scope = forward->scope;
  node->where = forward->where;
  for (int i = 0; i < forward->call.n_out; i++) {
    node->out[i] = forward->out[i];
    node->dout[i] = forward->out[i]->gradient;
    node->call.dout[i] = node->call.out[i];
  }
  for (int i = 0; i < forward->call.n_in; i++) {
    node->in[i] = in[i];
    if (!(call.wants & SAVES_IN(i))) continue;
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
  if (!loss->differentiable)
    return fail(&graph->error, "backward: the loss depends on nothing that is trained");
  loss->keep = true;
  loss->gradient = graph_value(graph, VALUE_INPUT, &loss->tensor, "gradient of the loss");
  loss->gradient->keep = true; /* written once, read at every step */
  graph->where = "";
  for (int i = loss->producer->index; i >= 0; i--) {
    const Node *node = graph->nodes[i];
    if (node->out[0]->differentiable && arrives(node)) append(graph, node);
  }
  for (int i = 0; i < graph->value_count; i++) {
    Value *value = graph->values[i];
    if (value->kind != VALUE_PARAM || !value->gradient) continue;
    value->gradient->kind = VALUE_GRADIENT;
    value->gradient->param = value->param;
  }
  return !graph->error.text[0];
}
