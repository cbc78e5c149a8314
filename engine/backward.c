/* The gradient of a graph, as more graph: the nodes are walked once in reverse, each appends its
 * backward node, and where a value was used twice an explicit `add` joins the gradients. What is
 * cheap to compute again (OP_AGAIN) is, before the first gradient that reads it, so that it is not
 * kept from the forward to the backward pass; and so is what stays in a block (graph_block). */
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

/* ---- what is computed again ------------------------------------------------------------------ */

static bool leaves(const Node *node) {
  bool any = false;
  for (int i = 0; i < node->call.n_out; i++) any = any || node->out[i]->leaves;
  return any;
}

/* Marks what blocks hand on. */
static void find_borders(const Graph *graph) {
  for (int n = 0; n < graph->node_count; n++) {
    const Node *node = graph->nodes[n];
    for (int i = 0; i < node->call.n_out; i++) node->out[i]->leaves |= node->out[i]->keep;
    for (int i = 0; i < node->call.n_in; i++) {
      const Node *producer = node->in[i]->producer;
      if (producer && producer->block != node->block) node->in[i]->leaves = true;
    }
  }
}

/* Whether the gradients get the value from a second run of its node. In a block all that stays in
 * it; elsewhere out[0] of what is cheap, unless nothing before it trains: then nobody saves its
 * inputs. */
static bool runs_again(const Value *value) {
  const Node *producer = value->producer;
  if (!producer || producer->call.backward || producer->constant || value->keep) return false;
  bool cheap = producer->call.op->flags & OP_AGAIN;
  if (cheap && value != producer->out[0]) return false;
  return producer->block ? !leaves(producer) : cheap && value->differentiable;
}

/* What a gradient reads where the forward pass read `value`. */
static Value *saved(Graph *graph, Value *value) {
  if (value->again) return value->again;
  if (!runs_again(value)) return value;
  const Node *producer = value->producer;
  bool cheap = producer->call.op->flags & OP_AGAIN;
  Value *in[MAX_IN];
  for (int i = 0; i < producer->call.n_in; i++) in[i] = saved(graph, producer->in[i]);
  Node *node = graph_append(graph, producer->op);
  node->call = producer->call;
  node->call.again = cheap;
  node->block = producer->block;
  node->scope = producer->scope;
  node->where = producer->where;
  for (int i = 0; i < producer->call.n_in; i++) node->in[i] = in[i];
  for (int i = 0; i < producer->call.n_out; i++) {
    node->out[i] = producer->out[i];
    if (cheap && i > 0) continue; /* as the first run left it */
    node->out[i] = graph_value(graph, VALUE_ACTIVATION, &producer->call.out[i], value->name);
    node->out[i]->producer = node;
    producer->out[i]->again = node->out[i];
  }
  return value->again;
}

/* ---- gradients ------------------------------------------------------------------------------- */

static void append(Graph *graph, const Node *forward) {
  Value *in[MAX_IN], *out[MAX_OUT];
  Call call = forward->call;
  const Op *op = call.op;
  call.backward = true;
  for (int i = 0; i < call.n_in; i++)
    if (forward->in[i]->differentiable && !(op_constant(&call) & SAVES_IN(i)))
      call.wants |= SAVES_IN(i);
  unsigned saves = op_saves(&call);
  for (int i = 0; i < call.n_in; i++)
    in[i] = saves & SAVES_IN(i) ? saved(graph, forward->in[i]) : forward->in[i];
  for (int i = 0; i < call.n_out; i++)
    out[i] = saves & SAVES_OUT(i) ? saved(graph, forward->out[i]) : forward->out[i];
  Node *node = graph_append(graph, forward->op);
  node->call = call;
  node->scope = forward->scope;
  node->where = forward->where;
  for (int i = 0; i < forward->call.n_out; i++) {
    node->out[i] = out[i];
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
  find_borders(graph);
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
