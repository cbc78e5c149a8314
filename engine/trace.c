#include "engine/trace.h"
#include "engine/probe.h"

#include <math.h>
#include <string.h>

static double number_at(const Tensor *tensor, const void *numbers, int64_t i) {
  if (tensor->type == F64) return ((const double *)numbers)[i];
  if (tensor->type == F32) return (double)((const float *)numbers)[i];
  uint32_t bits = (uint32_t)((const uint16_t *)numbers)[i] << 16;
  float value;
  memcpy(&value, &bits, sizeof value);
  return value;
}

/* Adds one tensor's to the first ones that have not been found yet. */
static void look(const Plan *plan, const Tensor *tensor, TraceFirst who, Trace *trace) {
  if (!tensor->data || tensor->type == I32 || (trace->nan.count && trace->infinite.count)) return;
  size_t bytes = tensor_bytes(tensor);
  void *copy = plan->backend->device ? malloc(bytes + 1) : NULL;
  if (plan->backend->device) {
    CHECK(copy, "no memory to look at a tensor");
    backend_read(plan->backend, copy, tensor->data, bytes);
  }
  TraceFirst infinite = who, nan = who;
  for (int64_t i = 0; i < tensor_count(tensor); i++) {
    double value = number_at(tensor, copy ? copy : tensor->data, i);
    if (isfinite(value)) continue;
    TraceFirst *kind = isnan(value) ? &nan : &infinite;
    if (!kind->count++) kind->at = i;
  }
  free(copy);
  if (infinite.count && !trace->infinite.count) trace->infinite = infinite;
  if (nan.count && !trace->nan.count) trace->nan = nan;
}

static void look_at_node(const Plan *plan, const Node *node, Trace *trace) {
  const Call *call = &node->call;
  int count = call->backward ? call->n_in : call->n_out;
  for (int i = 0; i < count; i++)
    look(plan, call->backward ? &call->din[i] : &call->out[i],
         (TraceFirst){.node = node, .index = i}, trace);
}

Trace trace_run(Plan *plan, Value *const *input, int inputs) {
  Trace trace = {.nan = {.node = NULL}};
  const Graph *graph = plan->graph;
  void *kept = buffers_keep(plan);
  for (int i = 0; i < inputs; i++) plan_send(plan, input[i]);
  plan_refresh(plan);
  for (int i = 0; i < graph->value_count; i++) {
    const Value *value = graph->values[i];
    if (value->kind == VALUE_INPUT || value->kind == VALUE_PARAM)
      look(plan, &value->tensor, (TraceFirst){.value = value}, &trace);
  }
  for (int i = 0; i < graph->node_count; i++) {
    const Node *node = graph->nodes[i];
    if (!node->constant) plan_run_node(plan, node);
    look_at_node(plan, node, &trace);
  }
  buffers_restore(plan, kept);
  return trace;
}

bool trace_clean(const Trace *trace) {
  return !trace->nan.count && !trace->infinite.count;
}

static void describe(const TraceFirst *first, const char *kind, char *text, size_t bytes) {
  const Node *node = first->node;
  if (!node) {
    snprintf(text, bytes, "%s in %s %s", kind,
             first->value->kind == VALUE_PARAM ? "parameter" : "input", first->value->name);
    return;
  }
  const char *of = node->call.backward ? "the gradient of " : "";
  snprintf(text, bytes, "%s that %sop %s writes%s%s%s%s (%s %d, number %lld, %lld in all)", kind,
           of, node->call.op->name, node->scope[0] ? " in " : "", node->scope,
           node->where[0] ? ", " : "", node->where, node->call.backward ? "to input" : "output",
           first->index, (long long)first->at, (long long)first->count);
}

void trace_text(const Trace *trace, char *text, size_t bytes) {
  char infinite[400] = "", nan[400] = "";
  if (trace->infinite.count) describe(&trace->infinite, "an infinity", infinite, sizeof infinite);
  if (trace->nan.count) describe(&trace->nan, "a NaN", nan, sizeof nan);
  bool later = trace->nan.count && trace->infinite.count && trace->nan.node &&
               (!trace->infinite.node || trace->infinite.node->index < trace->nan.node->index);
  const char *first = later ? infinite : nan[0] ? nan : infinite, *then = later ? nan : "";
  snprintf(text, bytes, "%s%s%s%s", first[0] ? "the first is " : "", first,
           then[0] ? "; then " : "", then);
}
