#include "engine/rewrite.h"
#include "kernels/options.h"

/* ---- gradients that are empty ---------------------------------------------------------------- */

/* Whether a norm takes out again what is the same in all of a channel. */
static bool takes_out(const Node *node, const Value *value) {
  const void *options = node->call.options;
  if (node->op == OP_batch_norm)
    return ((const BatchNormOptions *)options)->mode != BATCH_NORM_EVALUATE;
  return node->op == OP_instance_norm && norm_width(options, tensor_last(&value->tensor)) == 1;
}

static bool only_normed(const Graph *graph, const Value *value) {
  for (int n = 0; n < graph->node_count; n++) {
    const Node *node = graph->nodes[n];
    for (int i = 0; i < node->call.n_in && !node->call.backward; i++)
      if (node->in[i] == value && !takes_out(node, value)) return false;
  }
  return true;
}

static void not_wanted(Node *node, int i) {
  node->din[i] = NULL;
  node->call.din[i] = (Tensor){0};
  node->call.wants &= ~SAVES_IN(i);
}

/* A bias that a norm (but not a group's) takes out again with the mean has no gradient but rounding
 * errors, which cost a walk over dy. It is not asked for: its block stays zero as it was placed. */
static void drop_empty(Graph *graph) {
  enum { IN_BIAS = 1 };
  for (int n = 0; n < graph->node_count; n++) {
    Node *node = graph->nodes[n];
    if (node->op == OP_conv && node->call.backward && node->din[IN_BIAS] &&
        only_normed(graph, node->out[0]))
      not_wanted(node, IN_BIAS);
  }
}

/* ---- one value for another ------------------------------------------------------------------- */

static void replace_in(Value **list, int count, const Value *old, Value *value) {
  for (int i = 0; i < count; i++)
    if (list[i] == old) list[i] = value;
}

/* Whoever wrote or read `old` writes or reads `value`. */
static void replace(const Graph *graph, const Value *old, Value *value) {
  for (int n = 0; n < graph->node_count; n++) {
    Node *node = graph->nodes[n];
    replace_in(node->in, node->call.n_in, old, value);
    replace_in(node->din, node->call.n_in, old, value);
    replace_in(node->out, node->call.n_out, old, value);
    replace_in(node->dout, node->call.n_out, old, value);
  }
  for (int v = 0; v < graph->value_count; v++)
    if (graph->values[v]->gradient == old) graph->values[v]->gradient = value;
}

/* To be left out. */
static void take_out(Node *node) {
  node->call.n_in = node->call.n_out = 0;
  node->sum = false;
}

static bool same_memory(const Value *a, const Value *b) {
  return a->tensor.type == b->tensor.type && tensor_count(&a->tensor) == tensor_count(&b->tensor);
}

/* Its place is the plan's to choose. */
static bool is_free(const Value *value) {
  return value->kind == VALUE_ACTIVATION && !value->keep;
}

/* ---- gradients that are the same ------------------------------------------------------------- */

static int writers(const Graph *graph, const Value *value) {
  int count = 0;
  for (int n = 0; n < graph->node_count; n++) {
    const Node *node = graph->nodes[n];
    for (int i = 0; i < node->call.n_in; i++) count += node->din[i] == value;
  }
  return count;
}

static bool is_passed(const Graph *graph, const Node *node, int i) {
  enum { IN_B = 1 };
  const Value *gradient = node->din[i];
  bool scaled = i == IN_B && add_scale(&node->call) != 1;
  return gradient && !scaled && is_free(gradient) && same_memory(gradient, node->dout[0]) &&
         writers(graph, gradient) == 1;
}

/* Whether it is to be added to a gradient that is there already. */
static bool is_second(const Graph *graph, const Value *gradient) {
  bool found = false;
  for (int n = 0; n < graph->node_count; n++)
    found = found || (graph->nodes[n]->sum && graph->nodes[n]->in[1] == gradient);
  return found;
}

/* The gradient of a + b with respect to each is that of the sum: no copies, but where one was
 * repeated, scaled or is stored in another type. A node that stays can do such a sum on its way: at
 * first those are left. */
static void pass_on(Graph *graph, bool all) {
  for (int n = 0; n < graph->node_count; n++) {
    Node *node = graph->nodes[n];
    if (node->op != OP_add || !node->call.backward) continue;
    bool stays = false;
    for (int i = 0; i < node->call.n_in; i++)
      stays = stays || (node->din[i] && !is_passed(graph, node, i));
    for (int i = 0; i < node->call.n_in; i++) {
      Value *gradient = node->din[i];
      if (!is_passed(graph, node, i) || (stays && !all && is_second(graph, gradient))) continue;
      not_wanted(node, i);
      replace(graph, gradient, node->dout[0]);
    }
  }
}

/* Repeated once, a value is itself. */
static void drop_single(Graph *graph) {
  for (int n = 0; n < graph->node_count; n++) {
    Node *node = graph->nodes[n];
    if (node->op != OP_expand) continue;
    Value *from = node->call.backward ? node->dout[0] : node->in[0];
    Value *to = node->call.backward ? node->din[0] : node->out[0];
    if (!to || !is_free(to) || !same_memory(from, to)) continue;
    take_out(node);
    replace(graph, to, from);
  }
}

/* ---- sums of gradients ----------------------------------------------------------------------- */

static bool among(Value *const *list, int count, const Value *value) {
  bool found = false;
  for (int i = 0; i < count; i++) found = found || list[i] == value;
  return found;
}

static bool touches(const Node *node, const Value *value) {
  const Call *call = &node->call;
  return among(node->in, call->n_in, value) || among(node->din, call->n_in, value) ||
         among(node->out, call->n_out, value) || among(node->dout, call->n_out, value);
}

/* The node that writes `gradient`, if it is a backward node, its kernel can add to that operand
 * (*operand) and nobody but `sum` reads it. */
static Node *adder(const Graph *graph, const Value *gradient, const Node *sum,
                   const Kernel *const *kernels, int *operand) {
  Node *found = NULL;
  for (int n = 0; n < graph->node_count; n++) {
    Node *node = graph->nodes[n];
    if (node == sum || !touches(node, gradient)) continue;
    if (found || !node->call.backward) return NULL;
    found = node;
  }
  *operand = -1;
  for (int i = 0; found && i < found->call.n_in; i++)
    if (found->din[i] == gradient) *operand = *operand < 0 ? i : MAX_IN;
  bool can = found && *operand >= 0 && *operand < MAX_IN &&
             kernels[found->op]->adds & SAVES_IN(*operand) &&
             !among(found->dout, found->call.n_out, gradient);
  return can ? found : NULL;
}

/* Whether `gradient` is written and read, apart from `sum`, before the node alone. */
static bool settled_before(const Graph *graph, const Value *gradient, const Node *sum,
                           const Node *node) {
  for (int n = node->index; n < graph->node_count; n++)
    if (graph->nodes[n] != sum && touches(graph->nodes[n], gradient)) return false;
  return true;
}

/* first + second = total, as one memory: the node that computes `second` adds it to `first`. */
static void add_in_place(Graph *graph, const Kernel *const *kernels) {
  for (int n = 0; n < graph->node_count; n++) {
    Node *sum = graph->nodes[n];
    if (!sum->sum) continue;
    Value *first = sum->in[0], *second = sum->in[1], *total = sum->out[0];
    int operand;
    if (first == second || !is_free(first) || !is_free(second)) continue;
    if (!same_memory(first, total) || !same_memory(second, total)) continue;
    Node *node = adder(graph, second, sum, kernels, &operand);
    if (!node || !settled_before(graph, first, sum, node)) continue;
    node->din[operand] = total;
    node->call.adds |= SAVES_IN(operand);
    total->producer = node;
    take_out(sum);
    replace(graph, first, total);
  }
}

/* ---- the nodes that are left ----------------------------------------------------------------- */

static bool does_nothing(const Node *node) {
  if (!node->call.backward) return node->call.n_out == 0;
  for (int i = 0; i < node->call.n_in; i++)
    if (node->din[i]) return false;
  return true;
}

static void leave_out(Graph *graph) {
  int count = 0;
  for (int n = 0; n < graph->node_count; n++) {
    Node *node = graph->nodes[n];
    if (does_nothing(node)) continue;
    node->index = count;
    graph->nodes[count++] = node;
  }
  graph->node_count = count;
}

void rewrite_for_device(Graph *graph, const Kernel *const *kernels) {
  drop_empty(graph);
  drop_single(graph);
  pass_on(graph, false);
  add_in_place(graph, kernels);
  pass_on(graph, true);
  leave_out(graph);
}

/* ---- what is computed again ------------------------------------------------------------------ */

/* A block's was asked for. */
static bool is_spare(const Node *node) {
  return node->call.again && !node->block;
}

size_t repeated_bytes(const Graph *graph) {
  size_t bytes = 0;
  for (int n = 0; n < graph->node_count; n++)
    if (is_spare(graph->nodes[n])) bytes += tensor_bytes(&graph->nodes[n]->out[0]->tensor);
  return bytes;
}

bool keep_repeated(Graph *graph) {
  int before = graph->node_count;
  for (int v = 0; v < graph->value_count; v++) {
    Value *value = graph->values[v], *again = value->again;
    if (!again || !is_spare(again->producer)) continue;
    CHECK(!again->producer->call.state, "%s: has a state", again->producer->call.op->name);
    take_out(again->producer);
    replace(graph, again, value);
    value->again = NULL;
  }
  leave_out(graph);
  return graph->node_count < before;
}
