#include "engine/plan.h"
#include "engine/rewrite.h"
#include "engine/step_memory.h"
#include "engine/storage.h"

#include <string.h>

/* ---- lifetimes ------------------------------------------------------------------------------- */

static Value *root(Value *value) {
  while (value->alias) value = value->alias;
  return value;
}

static bool in_arena(const Value *value) {
  return value->kind == VALUE_ACTIVATION || value->kind == VALUE_INPUT;
}

static void reads(Value *value, int index) {
  if (value && value->last < index) value->last = index;
}

static void writes(Value *value, int index) {
  if (!value) return;
  if (value->first < 0) value->first = index;
  reads(value, index);
}

/* What a node touches: forward its inputs and outputs, backward only what its op saves. */
static void touch(const Node *node) {
  const Call *call = &node->call;
  unsigned saves = op_saves(call);
  for (int i = 0; i < call->n_in; i++) {
    if (!call->backward || saves & SAVES_IN(i)) reads(node->in[i], node->index);
    writes(node->din[i], node->index);
  }
  for (int i = 0; i < call->n_out; i++) {
    if (!call->backward)
      writes(node->out[i], node->index);
    else if (saves & SAVES_OUT(i))
      reads(node->out[i], node->index);
    reads(node->dout[i], node->index);
  }
}

/* What one run hands to the next: a constant that other nodes read. */
static void outlives(const Node *node, int end) {
  for (int i = 0; i < node->call.n_in && !node->constant; i++)
    if (node->in[i] && node->in[i]->constant) reads(node->in[i], end);
}

static void lifetimes(Graph *graph) {
  for (int i = 0; i < graph->value_count; i++) {
    Value *value = graph->values[i];
    value->alias = NULL;
    value->first = value->kind == VALUE_INPUT ? 0 : -1;
    value->last = value->keep ? graph->node_count - 1 : value->loaded ? 0 : -1;
  }
  for (int i = 0; i < graph->node_count; i++) touch(graph->nodes[i]);
  for (int i = 0; i < graph->node_count; i++) outlives(graph->nodes[i], graph->node_count - 1);
}

static bool writes_to(const Node *node, const Value *value) {
  bool found = false;
  for (int i = 0; i < node->call.n_in; i++) found = found || node->din[i] == value;
  for (int i = 0; i < node->call.n_out && !node->call.backward; i++)
    found = found || node->out[i] == value;
  return found;
}

/* An in-place op takes over the memory of its operand when nobody reads that afterwards. */
static void share(Value *result, Value *operand, int index) {
  Value *owner = operand ? root(operand) : NULL;
  if (!result || !owner || result->kind != VALUE_ACTIVATION || result->alias) return;
  if (owner->kind != VALUE_ACTIVATION || owner->keep || owner->last != index) return;
  if (owner->constant && !result->constant) return;
  if (result->first != index) return; /* added to what is there */
  if (tensor_bytes(&result->tensor) != tensor_bytes(&owner->tensor)) return;
  result->alias = owner;
  owner->last = result->last > index ? result->last : index;
  owner->keep |= result->keep;
}

/* A view lies where its operand does, whoever else reads that: nobody writes there, since who works
 * in place has to be the last reader of both. Not so a gradient that others are added to. */
static void view(const Graph *graph, Value *result, Value *operand, int index) {
  Value *owner = operand ? root(operand) : NULL;
  if (!result || !owner || result->kind != VALUE_ACTIVATION || result->alias) return;
  if (owner->kind != VALUE_ACTIVATION && result->keep) return; /* the owner will be written anew */
  if (result->tensor.type != owner->tensor.type) return;
  if (owner->param && owner->param->written) return; /* in the middle of a run */
  for (int n = 0; n < graph->node_count; n++)
    if (n != index && writes_to(graph->nodes[n], result)) return;
  result->alias = owner;
  if (owner->last < result->last) owner->last = result->last;
  owner->keep |= result->keep;
}

static void share_in_place(Graph *graph) {
  for (int i = 0; i < graph->node_count; i++) {
    const Node *node = graph->nodes[i];
    const Call *call = &node->call;
    if (call->op->flags & OP_VIEW)
      view(graph, call->backward ? node->din[0] : node->out[0],
           call->backward ? node->dout[0] : node->in[0], i);
    if (!(node->call.op->flags & OP_INPLACE)) continue;
    if (node->call.backward) {
      share(node->din[0], node->dout[0], i);
    } else {
      bool twice = false; /* x + x may not overwrite x */
      for (int k = 1; k < node->call.n_in; k++) twice |= root(node->in[k]) == root(node->in[0]);
      if (!twice) share(node->out[0], node->in[0], i);
    }
  }
}

/* ---- offsets --------------------------------------------------------------------------------- */

typedef struct Block {
  size_t bytes, *offset;
  int first, last;
} Block;

static size_t aligned(size_t bytes) {
  return (bytes + PLAN_ALIGN - 1) / PLAN_ALIGN * PLAN_ALIGN;
}

static int by_size(const void *a, const void *b) {
  const Block *x = a, *y = b;
  if (x->bytes != y->bytes) return x->bytes < y->bytes ? 1 : -1;
  return x->first != y->first ? x->first - y->first : x->last - y->last;
}

static int collect(Graph *graph, Block *blocks) {
  int count = 0;
  for (int i = 0; i < graph->value_count; i++) {
    Value *value = graph->values[i];
    if (!in_arena(value) || value->alias || value->last < 0) continue;
    blocks[count++] =
        (Block){aligned(tensor_bytes(&value->tensor)), &value->offset, value->first, value->last};
  }
  for (int i = 0; i < graph->node_count; i++) {
    Node *node = graph->nodes[i];
    if (node->call.scratch_bytes)
      blocks[count++] = (Block){aligned(node->call.scratch_bytes), &node->scratch_offset, i, i};
  }
  return count;
}

/* The lowest gap between already placed blocks that live at the same time. `placed` is kept
 * ordered by offset. */
static size_t place(const Block *block, const Block *const *placed, int count) {
  size_t offset = 0;
  for (int i = 0; i < count; i++) {
    const Block *other = placed[i];
    if (other->first > block->last || other->last < block->first) continue;
    if (*other->offset >= offset + block->bytes) break;
    size_t end = *other->offset + other->bytes;
    if (end > offset) offset = end;
  }
  return offset;
}

static void layout(Plan *plan, bool reuse) {
  Graph *graph = plan->graph;
  size_t most = (size_t)(graph->value_count + graph->node_count);
  Block *blocks = calloc(most, sizeof *blocks);
  const Block **placed = calloc(most, sizeof *placed);
  CHECK(blocks && placed, "no memory to plan %zu tensors", most);
  int count = collect(graph, blocks);
  qsort(blocks, (size_t)count, sizeof *blocks, by_size);
  for (int i = 0; i < count; i++) {
    size_t offset = reuse ? place(&blocks[i], placed, i) : plan->bytes;
    *blocks[i].offset = offset;
    if (offset + blocks[i].bytes > plan->bytes) plan->bytes = offset + blocks[i].bytes;
    int at = i; /* insert, ordered by offset */
    for (; at > 0 && *placed[at - 1]->offset > offset; at--) placed[at] = placed[at - 1];
    placed[at] = &blocks[i];
  }
  for (int n = 0; n < graph->node_count; n++) {
    size_t live = 0;
    for (int i = 0; i < count; i++)
      if (blocks[i].first <= n && n <= blocks[i].last) live += blocks[i].bytes;
    if (live > plan->lower_bound) plan->lower_bound = live;
  }
  free(blocks);
  free(placed);
}

/* ---- plan ------------------------------------------------------------------------------------ */

static bool prepare(Node *node, const Backend *backend, Error *error) {
  const Kernel *kernel = backend->kernels[node->op];
  if (!kernel)
    return fail(error, "%s: no %s kernel for this op", node->call.op->name, backend->name);
  Error inner = {0};
  if (!kernel->prepare || kernel->prepare(&node->call, &inner)) return true;
  return fail(error, "%s%s%s: %s: %s", node->where, node->where[0] ? ": " : "", node->scope,
              node->call.op->name, inner.text);
}

/* The constant nodes stand first, so that what they use on the way is free for the others, but no
 * input's, which may be there when they run again. */
static void constants_first(Graph *graph) {
  Node **nodes = calloc((size_t)graph->node_count + 1, sizeof *nodes);
  CHECK(nodes, "no memory to order %d nodes", graph->node_count);
  int count = 0;
  for (int constant = 1; constant >= 0; constant--)
    for (int i = 0; i < graph->node_count; i++)
      if (graph->nodes[i]->constant == constant) nodes[count++] = graph->nodes[i];
  for (int i = 0; i < count; i++) {
    graph->nodes[i] = nodes[i];
    nodes[i]->index = i;
  }
  free(nodes);
}

static bool trains(const Graph *graph) {
  int n = 0;
  while (n < graph->node_count && !graph->nodes[n]->call.backward) n++;
  return n < graph->node_count;
}

static void arrange(Plan *plan, bool reuse) {
  const Graph *graph = plan->graph;
  plan->bytes = plan->lower_bound = 0;
  lifetimes(plan->graph);
  if (reuse) share_in_place(plan->graph);
  layout(plan, reuse);
  if (plan->backend->device && trains(graph))
    plan->step_bytes = step_memory(plan).end - plan->bytes;
}

Plan *plan_make(Graph *graph, const Backend *backend, bool reuse, Error *error) {
  if (graph->error.text[0]) {
    fail(error, "%s", graph->error.text);
    return NULL;
  }
  CHECK(graph->real == backend->real, "graph and backend %s differ in type", backend->name);
  if (!storage_works(graph->storage, backend, error)) return NULL;
  Plan *plan = calloc(1, sizeof *plan);
  CHECK(plan, "no memory for a plan");
  *plan = (Plan){.graph = graph, .backend = backend};
  constants_first(graph);
  storage_assign(graph, backend->kernels);
  if (backend->device) rewrite_for_device(graph, backend->kernels);
  for (int i = 0; i < graph->node_count; i++) {
    if (prepare(graph->nodes[i], backend, error)) continue;
    plan_free(plan);
    return NULL;
  }
  arrange(plan, reuse);
  if (backend->device && plan_memory(plan) + repeated_bytes(graph) <= backend->available() / 2 &&
      keep_repeated(graph))
    arrange(plan, reuse);
  return plan;
}

size_t plan_memory(const Plan *plan) {
  return plan->bytes + plan->step_bytes;
}

/* The host's copies of a device's values. */
static void release_copies(Plan *plan) {
  const Device *device = plan->backend->device;
  for (int i = 0; device && i < plan->graph->value_count; i++) {
    device->host_release(plan->graph->values[i]->host);
    plan->graph->values[i]->host = NULL;
  }
}

void plan_free(Plan *plan) {
  if (!plan) return;
  for (int i = 0; i < plan->graph->node_count; i++) {
    Node *node = plan->graph->nodes[i];
    const Kernel *kernel = plan->backend->kernels[node->op];
    if (kernel && kernel->release && node->call.state) kernel->release(&node->call);
    node->call.state = NULL;
  }
  if (plan->own_memory) plan->backend->release(plan->memory);
  release_copies(plan);
  free(plan);
}

/* ---- binding --------------------------------------------------------------------------------- */

static void *address(const Plan *plan, Value *value) {
  const Params *params = plan->graph->params;
  if (!value) return NULL;
  value = root(value);
  void *const *block = plan->backend->device ? params->device : params->host;
  if (value->kind == VALUE_PARAM)
    return params_at(params, block[value->param->as.kind], value->param);
  if (value->kind == VALUE_GRADIENT) return params_at(params, block[BLOCK_GRADIENT], value->param);
  return (char *)plan->memory + value->offset;
}

static void bind(const Plan *plan, Node *node) {
  Call *call = &node->call;
  unsigned saves = op_saves(call);
  for (int i = 0; i < call->n_in; i++) {
    bool seen = !call->backward || saves & SAVES_IN(i);
    call->in[i].data = seen ? address(plan, node->in[i]) : NULL;
    call->din[i].data = address(plan, node->din[i]);
  }
  for (int i = 0; i < call->n_out; i++) {
    bool seen = !call->backward || saves & SAVES_OUT(i);
    call->out[i].data = seen ? address(plan, node->out[i]) : NULL;
    call->dout[i].data = address(plan, node->dout[i]);
  }
  call->scratch = call->scratch_bytes ? (char *)plan->memory + node->scratch_offset : NULL;
  call->stream = plan->backend->device ? plan->backend->device->queue() : NULL;
}

static bool allocate(Plan *plan, Error *error) {
  size_t available = plan->backend->available(), bytes = plan_memory(plan);
  if (bytes <= available) plan->memory = plan->backend->alloc(bytes);
  plan->own_memory = plan->memory != NULL;
  if (plan->memory) return true;
  return fail(error,
              "out of memory: the graph needs %.2f GiB, %.2f GiB are available on %s; a patch or "
              "batch of %.0f %% of this size would fit",
              (double)bytes / 0x1p30, (double)available / 0x1p30, plan->backend->name,
              100.0 * (double)available / (double)bytes);
}

/* What the host writes and reads, and the loss's gradient, which is 1. */
static void bind_host(const Plan *plan, Value *value) {
  const Device *device = plan->backend->device;
  bool input = value->kind == VALUE_INPUT, one = input && value->keep;
  if (!device) value->host = value->tensor.data;
  if (device && !value->host && !one && (input || value->keep))
    value->host = device->host_alloc(tensor_bytes(&value->tensor));
  if (!one) return;
  double real = 1;
  float single = 1;
  backend_write(plan->backend, value->tensor.data,
                value->tensor.type == F64 ? (void *)&real : (void *)&single,
                tensor_bytes(&value->tensor));
}

bool plan_bind(Plan *plan, void *memory, Error *error) {
  Graph *graph = plan->graph;
  plan->memory = memory;
  if (plan->backend->device && !params_place(graph->params, plan->backend, error)) return false;
  if (!memory && !allocate(plan, error)) return false;
  for (int i = 0; i < graph->value_count; i++) {
    Value *value = graph->values[i];
    if (in_arena(value) && root(value)->last < 0) continue; /* never used */
    value->tensor.data = address(plan, value);
    bind_host(plan, value);
  }
  for (int i = 0; i < graph->node_count; i++) bind(plan, graph->nodes[i]);
  plan->constants_of = -1;
  plan_refresh(plan);
  return true;
}

void plan_send(const Plan *plan, Value *value) {
  if (plan->backend->device)
    plan->backend->device->copy_in(value->tensor.data, value->host, tensor_bytes(&value->tensor));
}

const void *plan_fetch(const Plan *plan, Value *value) {
  if (plan->backend->device)
    plan->backend->device->copy_out(value->host, value->tensor.data, tensor_bytes(&value->tensor));
  return value->host;
}
