#include "engine/graph.h"

#include <stdarg.h>
#include <string.h>

Graph *graph_make(Params *params) {
  Graph *graph = calloc(1, sizeof *graph);
  CHECK(graph, "no memory for a graph");
  graph->params = params;
  graph->real = graph->storage = params->real;
  graph->overrides = -1;
  graph->where = "";
  return graph;
}

void graph_free(Graph *graph) {
  if (!graph) return;
  free(graph->values);
  free(graph->nodes);
  arena_free(&graph->arena);
  free(graph);
}

/* Pointers only: the objects themselves live in the arena and never move. */
static void *grown(void *list, int count, int *capacity) {
  if (count < *capacity) return list;
  *capacity = *capacity ? 2 * *capacity : 256;
  list = realloc(list, (size_t)*capacity * sizeof(void *));
  CHECK(list, "no memory for a graph of %d entries", *capacity);
  return list;
}

Value *graph_value(Graph *graph, ValueKind kind, const Tensor *shape, const char *name) {
  Value *value = arena_alloc(&graph->arena, sizeof *value);
  *value = (Value){.id = graph->value_count, .kind = kind, .tensor = *shape, .name = name};
  value->tensor.data = NULL;
  graph->values = grown(graph->values, graph->value_count, &graph->value_room);
  graph->values[graph->value_count++] = value;
  return value;
}

Node *graph_append(Graph *graph, OpId op) {
  Node *node = arena_alloc(&graph->arena, sizeof *node);
  node->index = graph->node_count;
  node->op = op;
  node->call.op = op_table[op];
  node->scope = arena_text(&graph->arena, "%s", graph->scope);
  node->where = graph->where;
  graph->nodes = grown(graph->nodes, graph->node_count, &graph->node_room);
  graph->nodes[graph->node_count++] = node;
  return node;
}

Value *graph_input(Graph *graph, const char *name, DType type, int rank, const int64_t *dim) {
  Tensor shape = tensor_make(type, rank, dim);
  if (!shape_countable(&shape)) {
    fail(&graph->error, "input %s: %s is more than any memory holds", name,
         tensor_shape_text(&shape));
    return NULL;
  }
  return graph_value(graph, VALUE_INPUT, &shape, arena_text(&graph->arena, "%s", name));
}

Value *graph_input_named(const Graph *graph, const char *name) {
  for (int i = 0; i < graph->value_count; i++) {
    Value *value = graph->values[i];
    if (value->kind == VALUE_INPUT && strcmp(value->name, name) == 0) return value;
  }
  return NULL;
}

static Value *param_value(Graph *graph, const char *name, int rank, const int64_t *dim,
                          ParamAs as) {
  if (graph->error.text[0]) return NULL;
  char path[512];
  snprintf(path, sizeof path, "%s%s%s", graph->scope, graph->scope[0] ? "." : "", name);
  if (graph->overrides >= 0) as.group = graph->overrides;
  bool named = freeze_names(graph->freeze, path);
  if (as.kind == PARAM_TRAINED && (graph->freezes || (named && !graph->thaws)))
    as.kind = PARAM_FROZEN;
  as.late = named && as.kind == PARAM_TRAINED;
  Param *param = params_get(graph->params, path, rank, dim, &as, &graph->error);
  if (!param) return NULL;
  for (int i = 0; i < graph->value_count; i++)
    if (graph->values[i]->param == param) return graph->values[i];
  Value *value = graph_value(graph, VALUE_PARAM, &param->shape, param->name);
  value->param = param;
  value->differentiable = param->as.kind == PARAM_TRAINED;
  value->constant = !value->differentiable && !param->written;
  return value;
}

Value *graph_param_of(Graph *graph, ParamRole role, const char *name, int rank, const int64_t *dim,
                      Group group, Init init) {
  return param_value(graph, name, rank, dim, (ParamAs){PARAM_TRAINED, role, group, init, false});
}

Value *graph_param(Graph *graph, const char *name, int rank, const int64_t *dim, Group group,
                   Init init) {
  ParamRole role = rank > 1 ? ROLE_WEIGHT : ROLE_BIAS;
  return graph_param_of(graph, role, name, rank, dim, group, init);
}

Value *graph_buffer(Graph *graph, const char *name, int rank, const int64_t *dim, Init init) {
  return param_value(graph, name, rank, dim,
                     (ParamAs){PARAM_BUFFER, ROLE_WEIGHT, GROUP_CNN, init, false});
}

Value *graph_absent(Graph *graph) {
  Tensor none = {.type = graph->real, .rank = 1};
  if (graph->absent) return graph->absent;
  graph->absent = graph_value(graph, VALUE_ACTIVATION, &none, "left out");
  graph->absent->constant = true;
  return graph->absent;
}

static Value *refuse(Graph *graph, const Error *error) {
  fail(&graph->error, "%s%s%s%s%s", graph->where, graph->where[0] ? ": " : "", graph->scope,
       graph->scope[0] ? ": " : "", error->text);
  return NULL;
}

/* What the call writes beside its outputs are buffers, which are constants no more: whoever takes
 * one for such must not have read it yet. */
static bool write_buffers(const Graph *graph, const Call *call, Value *const *in, Error *error) {
  unsigned updates = op_updates(call);
  for (int i = 0; i < call->n_in; i++) {
    Param *param = in[i]->param;
    if (!(updates & SAVES_IN(i))) continue;
    if (!graph->training)
      return fail(error, "%s: would write %s in inference; training alone does", call->op->name,
                  in[i]->name);
    if (!param || param->as.kind != PARAM_BUFFER)
      return fail(error, "%s: writes its input %d, which has to be a buffer (m.buffer); found %s",
                  call->op->name, i, in[i]->name);
    for (int n = 0; n < graph->node_count && in[i]->constant; n++)
      for (int k = 0; k < graph->nodes[n]->call.n_in; k++)
        if (graph->nodes[n]->constant && graph->nodes[n]->in[k] == in[i])
          return fail(error, "%s: writes %s, which a constant is made of before", call->op->name,
                      param->name);
    in[i]->constant = false;
    param->written = true;
  }
  return true;
}

/* The graph's own: a copy, or the op's defaults. */
static const void *options_of(Graph *graph, const Op *row, const void *options) {
  if (!row->options_bytes) return options;
  void *own = arena_alloc(&graph->arena, row->options_bytes);
  if (options)
    memcpy(own, options, row->options_bytes);
  else
    options_defaults(row->options, own);
  return own;
}

Value *graph_op(Graph *graph, OpId op, const void *options, int count, Value *const *in) {
  if (graph->error.text[0]) return NULL;
  const Op *row = op_table[op];
  Error error = {0};
  Call call = {
      .op = row, .options = options_of(graph, row, options), .n_in = count, .n_out = row->n_out};
  bool fits = count >= row->min_in && count <= row->max_in;
  if (!fits)
    fail(&error, "%s: takes %d to %d inputs, found %d", row->name, row->min_in, row->max_in, count);
  for (int i = 0; fits && i < count; i++) {
    fits = in[i] && (in[i] != graph->absent || row->optional & SAVES_IN(i));
    if (fits)
      call.in[i] = in[i]->tensor;
    else
      fail(&error, "%s: input %d %s", row->name, i, in[i] ? "may not be left out" : "is missing");
  }
  if (!fits || !row->shape(&call, &error) || !write_buffers(graph, &call, in, &error))
    return refuse(graph, &error);
  for (int i = 0; i < row->n_out && row->flags & OP_CONSTANT; i++) call.out[i].type = graph->real;
  for (int i = 0; i < row->n_out; i++)
    if (!shape_countable(&call.out[i])) {
      fail(&error, "%s: its result %s is more than any memory holds", row->name,
           tensor_shape_text(&call.out[i]));
      return refuse(graph, &error);
    }

  Node *node = graph_append(graph, op);
  node->block = graph->block;
  node->call = call;
  bool differentiable = false;
  node->constant = true;
  for (int i = 0; i < count; i++) {
    node->in[i] = in[i];
    node->constant &= in[i]->constant;
    differentiable |= in[i]->differentiable && !(op_constant(&call) & SAVES_IN(i));
  }
  for (int i = 0; i < row->n_out; i++) {
    node->out[i] = graph_value(graph, VALUE_ACTIVATION, &call.out[i], row->name);
    node->out[i]->producer = node;
    node->out[i]->differentiable = differentiable && !(row->flags & OP_NO_GRADIENT);
    node->out[i]->constant = node->constant;
  }
  return node->out[0];
}

Value *graph_out(const Value *value, int index) {
  return value ? value->producer->out[index] : NULL;
}

void graph_push(Graph *graph, const char *format, ...) {
  size_t used = strlen(graph->scope);
  CHECK(graph->scopes < MAX_SCOPES, "scope %s: too deep", graph->scope);
  graph->block_before[graph->scopes] = graph->block;
  graph->scope_end[graph->scopes++] = (int)used;
  if (used + 2 >= sizeof graph->scope) {
    fail(&graph->error, "scope %s: the names of nested blocks are longer than %zu letters together",
         graph->scope, sizeof graph->scope - 1);
    return;
  }
  if (used) graph->scope[used++] = '.';
  va_list arguments;
  va_start(arguments, format);
  vsnprintf(graph->scope + used, sizeof graph->scope - used, format, arguments);
  va_end(arguments);
}

void graph_pop(Graph *graph) {
  CHECK(graph->scopes > 0, "graph_pop without a push");
  graph->scope[graph->scope_end[--graph->scopes]] = '\0';
  graph->block = graph->block_before[graph->scopes];
}

void graph_block(Graph *graph) {
  if (graph->recompute) graph->block = ++graph->blocks;
}

static Cost cost_of(const Graph *graph, bool constant) {
  Cost total = {0, 0};
  for (int i = 0; i < graph->node_count; i++) {
    if (graph->nodes[i]->constant != constant) continue;
    Cost cost = op_cost(&graph->nodes[i]->call);
    total.flops += cost.flops;
    total.bytes += cost.bytes;
  }
  return total;
}

Cost graph_cost(const Graph *graph) {
  return cost_of(graph, false);
}

Cost graph_cost_once(const Graph *graph) {
  return cost_of(graph, true);
}
