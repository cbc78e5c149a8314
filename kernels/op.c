/* The op table and what little can be said about tensors without knowing an op. */
#include "kernels/op.h"
#include "kernels/cpu/form.h"
#include "kernels/options.h"

#include <string.h>

#define OP(name, cpu, cuda) extern const Op op_##name##_float, op_##name##_double;
#include "kernels/ops.def"
#undef OP

const Op *const op_table[OP_COUNT] = {
#define OP(name, cpu, cuda) &op_##name##_float,
#include "kernels/ops.def"
#undef OP
};

const Kernel *const kernels_reference[OP_COUNT] = {
#define OP(name, cpu, cuda) &op_##name##_double.reference,
#include "kernels/ops.def"
#undef OP
};

const Kernel *const kernels_portable[OP_COUNT] = {
#define OP(name, cpu, cuda) &op_##name##_float.reference,
#include "kernels/ops.def"
#undef OP
};

extern const Kernel *const kernels[OP_COUNT]; /* of one form */
FORM_DECLARE(kernels)
const Kernel *kernels_cpu[OP_COUNT];

/* Before main, since backends name the table as a constant. */
__attribute__((constructor)) static void kernels_choose(void) {
  memcpy(kernels_cpu, FORM_OF(kernels), sizeof kernels_cpu);
}

OpId op_find(const char *name) {
  int id = 0;
  while (id < OP_COUNT && strcmp(op_table[id]->name, name) != 0) id++;
  return (OpId)id;
}

unsigned op_saves(const Call *call) {
  const Op *op = call->op;
  unsigned saves = 0;
  for (int i = 0; i < call->n_in; i++)
    if (call->wants & SAVES_IN(i)) saves |= op->saves[i];
  return op->saves_at ? saves & op->saves_at(call) : saves;
}

unsigned op_saves_ever(const Op *op) {
  unsigned saves = 0;
  for (int i = 0; i < MAX_IN; i++) saves |= op->saves[i];
  return saves;
}

unsigned op_updates(const Call *call) {
  return call->op->updates && !call->backward && !call->again ? call->op->updates(call) : 0;
}

unsigned op_constant(const Call *call) {
  const Op *op = call->op;
  return op->constant | (op->constant_at ? op->constant_at(call) : 0);
}

Cost op_cost(const Call *call) {
  Cost cost = {0, 0};
  if (call->op->cost) call->op->cost(call, &cost);
  if (cost.bytes > 0) return cost;
  unsigned saves = op_saves(call);
  for (int i = 0; i < call->n_in; i++) {
    if (!call->backward || saves & SAVES_IN(i)) cost.bytes += (double)tensor_bytes(&call->in[i]);
    if (!call->backward) continue;
    double gradient = (double)tensor_bytes(&call->din[i]);
    cost.bytes += call->adds & SAVES_IN(i) ? 2 * gradient : gradient;
  }
  for (int i = 0; i < call->n_out; i++) {
    if (!call->backward || saves & SAVES_OUT(i)) cost.bytes += (double)tensor_bytes(&call->out[i]);
    if (call->backward) cost.bytes += (double)tensor_bytes(&call->dout[i]);
  }
  return cost;
}

size_t dtype_bytes(DType type) {
  static const size_t bytes[] = {[F32] = 4, [F64] = 8, [BF16] = 2, [I32] = 4};
  return bytes[type];
}

int64_t tensor_count(const Tensor *tensor) {
  int64_t count = 1;
  for (int i = 0; i < tensor->rank; i++) count *= tensor->dim[i];
  return count;
}

size_t tensor_bytes(const Tensor *tensor) {
  return (size_t)tensor_count(tensor) * dtype_bytes(tensor->type);
}

int64_t tensor_last(const Tensor *tensor) {
  return tensor->rank ? tensor->dim[tensor->rank - 1] : 1;
}

int64_t tensor_rows(const Tensor *tensor) {
  int64_t rows = 1;
  for (int i = 0; i + 1 < tensor->rank; i++) rows *= tensor->dim[i];
  return rows;
}

Tensor tensor_make(DType type, int rank, const int64_t *dim) {
  CHECK(rank >= 0 && rank <= MAX_RANK, "rank %d", rank);
  Tensor tensor = {.type = type, .rank = rank};
  for (int i = 0; i < rank; i++) tensor.dim[i] = dim[i];
  return tensor;
}

const char *tensor_shape_text(const Tensor *tensor) {
  static _Thread_local char ring[8][128];
  static _Thread_local int next;
  char *text = ring[next++ % 8];
  size_t used = 0;
  used += (size_t)snprintf(text, 128, "(");
  for (int i = 0; i < tensor->rank; i++)
    used +=
        (size_t)snprintf(text + used, 128 - used, i ? ", %lld" : "%lld", (long long)tensor->dim[i]);
  snprintf(text + used, 128 - used, ")");
  return text;
}

static void ints_parse(const char *text, Ints *ints) {
  ints->count = 0;
  while (text && *text && ints->count < MAX_INTS) {
    char *end;
    ints->v[ints->count++] = (int)strtol(text, &end, 10);
    text = *end == ',' ? end + 1 : end;
  }
}

void options_defaults(const Option *table, void *options) {
  for (const Option *o = table; o && o->name; o++) {
    char *field = (char *)options + o->offset;
    if (o->type == OPTION_FLOAT)
      *(double *)(void *)field = o->fallback;
    else if (o->type == OPTION_INTS)
      ints_parse(o->ints, (Ints *)(void *)field);
    else
      *(int *)(void *)field = (int)o->fallback;
  }
}
