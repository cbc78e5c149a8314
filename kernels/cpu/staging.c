#include "kernels/cpu/staging.h"
#include "kernels/cpu/bf16.h"

enum { RUN = 1 << 13 };

/* The operands of a call that may be BF16; inputs first. */
typedef struct Operands {
  int inputs, count;
  Tensor *list[2 * (MAX_IN + MAX_OUT)];
} Operands;

static void add(Operands *o, Tensor *tensor) {
  if (tensor->type == BF16) o->list[o->count++] = tensor;
}

static Operands operands_of(Call *call) {
  Operands o = {0};
  for (int i = 0; i < call->n_in; i++) add(&o, &call->in[i]);
  for (int i = 0; call->backward && i < call->n_out; i++) add(&o, &call->out[i]);
  for (int i = 0; call->backward && i < call->n_out; i++) add(&o, &call->dout[i]);
  o.inputs = o.count;
  for (int i = 0; !call->backward && i < call->n_out; i++) add(&o, &call->out[i]);
  for (int i = 0; call->backward && i < call->n_in; i++) add(&o, &call->din[i]);
  return o;
}

static size_t rounded(size_t bytes) {
  return (bytes + 63) / 64 * 64;
}

static size_t copies_bytes(const Operands *o) {
  size_t bytes = 0;
  for (int i = 0; i < o->count; i++)
    bytes += rounded((size_t)tensor_count(o->list[i]) * sizeof(float));
  return bytes;
}

void staging_add(Call *call) {
  Operands o = operands_of(call);
  if (o.count) call->scratch_bytes = rounded(call->scratch_bytes) + copies_bytes(&o);
}

bool staging_prepare(Call *call, Error *error) {
  (void)error;
  call->scratch_bytes = 0;
  staging_add(call);
  return true;
}

bool staging_needed(const Call *call) {
  Call copy = *call;
  return operands_of(&copy).count > 0;
}

static void to_floats(float *to, const Bf16 *from, int64_t count) {
#pragma omp parallel for schedule(static) if (count > RUN)
  for (int64_t i = 0; i < count; i += RUN)
    bf16_to_floats(to + i, from + i, count - i < RUN ? count - i : RUN);
}

static void from_floats(Bf16 *to, const float *from, int64_t count) {
#pragma omp parallel for schedule(static) if (count > RUN)
  for (int64_t i = 0; i < count; i += RUN)
    bf16_from_floats(to + i, from + i, count - i < RUN ? count - i : RUN);
}

void staging_run(const Call *call, void (*pass)(const Call *call)) {
  Call floats = *call;
  Operands o = operands_of(&floats);
  void *home[2 * (MAX_IN + MAX_OUT)];
  floats.scratch_bytes -= copies_bytes(&o);
  char *at = (char *)call->scratch + floats.scratch_bytes;
  for (int i = 0; i < o.count; i++) {
    Tensor *tensor = o.list[i];
    home[i] = tensor->data;
    tensor->type = F32;
    if (!home[i]) continue;
    tensor->data = at;
    if (i < o.inputs) to_floats(tensor->data, home[i], tensor_count(tensor));
    at += rounded(tensor_bytes(tensor));
  }
  pass(&floats);
  for (int i = o.inputs; i < o.count; i++)
    if (home[i]) from_floats(home[i], o.list[i]->data, tensor_count(o.list[i]));
}
