/* Which values are stored as BF16: those whose every use is by a kernel that declares the operand.
 * Values that must agree (a value and its gradient, the operands of a kernel that wants one type)
 * are joined into sets; one member that has to stay in float keeps its whole set there. */
#include "engine/storage.h"

#include "kernels/cpu/processor.h"

typedef struct Sets {
  int *parent; /* by value id; a root is its own */
  bool *real;  /* of roots: stays as it is */
} Sets;

static int root(const Sets *s, int id) {
  while (s->parent[id] != id) id = s->parent[id] = s->parent[s->parent[id]];
  return id;
}

static void join(const Sets *s, const Value *a, const Value *b) {
  if (!a || !b) return;
  int x = root(s, a->id), y = root(s, b->id);
  s->parent[y] = x;
  s->real[x] |= s->real[y];
}

/* What the program writes before a run or reads after it is in float, as are the weights. */
static bool stays(const Value *value) {
  return value->kind != VALUE_ACTIVATION || value->keep || value->tensor.type == I32;
}

/* An operand and its gradient. `others` is the last operand that this one has to agree with. */
static void operand(const Sets *s, Value *value, Value *gradient, bool declared, Value **others) {
  Value *any = value ? value : gradient;
  if (!any) return;
  join(s, value, gradient);
  if (!declared) s->real[root(s, any->id)] = true;
  if (!declared || !others) return;
  join(s, any, *others);
  *others = any;
}

static void visit(const Sets *s, const Node *node, const Kernel *kernel) {
  Value *last = NULL, **others = kernel->bf16_together || node->sum ? &last : NULL;
  for (int i = 0; i < node->call.n_in; i++)
    operand(s, node->in[i], node->din[i], kernel->bf16 & SAVES_IN(i), others);
  for (int i = 0; i < node->call.n_out; i++)
    operand(s, node->out[i], node->dout[i], kernel->bf16 & SAVES_OUT(i), others);
}

static void set_types(const Node *node, Call *call) {
  for (int i = 0; i < call->n_in; i++) {
    call->in[i].type = node->in[i]->tensor.type;
    call->din[i].type = call->in[i].type;
  }
  for (int i = 0; i < call->n_out; i++) {
    call->out[i].type = node->out[i]->tensor.type;
    call->dout[i].type = call->out[i].type;
  }
}

void storage_assign(Graph *graph, const Kernel *const *kernels) {
  size_t count = (size_t)graph->value_count + 1;
  Sets s = {calloc(count, sizeof *s.parent), calloc(count, sizeof *s.real)};
  CHECK(s.parent && s.real, "no memory for the types of %zu values", count);
  for (int i = 0; i < graph->value_count; i++) {
    s.parent[i] = i;
    s.real[i] = graph->storage != BF16 || stays(graph->values[i]);
  }
  for (int i = 0; i < graph->value_count; i++) /* the same numbers, to the bit */
    join(&s, graph->values[i], graph->values[i]->again);
  for (int i = 0; i < graph->node_count; i++)
    if (kernels[graph->nodes[i]->op]) visit(&s, graph->nodes[i], kernels[graph->nodes[i]->op]);
  for (int i = 0; i < graph->value_count; i++) {
    Value *value = graph->values[i];
    if (!stays(value)) value->tensor.type = s.real[root(&s, i)] ? graph->real : BF16;
  }
  for (int i = 0; i < graph->node_count; i++) set_types(graph->nodes[i], &graph->nodes[i]->call);
  free(s.parent);
  free(s.real);
}

bool storage_works(DType storage, const Backend *backend, Error *error) {
  const char *lack = storage == BF16 && backend == &backend_cpu ? processor_no_bf16() : NULL;
  return !lack || fail(error,
                       "dtype=bf16: %s, which would make it slower than float; use "
                       "dtype=float32",
                       lack);
}
