#include "tests/op_run.h"
#include "kernels/mode.h"
#include "kernels/op_case.h"
#include "tests/alloc_count.h"

#include <math.h>
#include <string.h>
#include <xxhash.h>

#if __has_include(<valgrind/memcheck.h>)
#include <valgrind/memcheck.h>
#else
#define VALGRIND_MAKE_MEM_UNDEFINED(data, bytes) ((void)0)
#endif

enum { GUARD = 64, POISON_REAL = 0xFF /* all ones: NaN */, POISON_INT = 0x6B };

/* ---- guarded memory -------------------------------------------------------------------------- */

/* Around what is only read: NaN in float and in double, an impossible label, so that reading beyond
 * it shows in the result. Around what is written: small numbers, which an addition changes. */
typedef enum Guard { GUARD_READ, GUARD_WRITTEN } Guard;
static const uint8_t guard_bytes[][4] = {
    [GUARD_READ] = {0xA5, 0xA5, 0xFD, 0x7F}, [GUARD_WRITTEN] = {0xA5, 0xA5, 0xA5, 0xA5}};

/* kind of guard (in a line of its own), guard, the block, guard. Returns the block. */
static void *guarded_make(size_t bytes, Guard guard) {
  size_t total = (bytes + 63) / 64 * 64 + 3 * GUARD;
  uint8_t *base = aligned_alloc(64, total);
  CHECK(base, "out of memory");
  for (size_t b = 0; b < total; b++) base[b] = guard_bytes[guard][b % 4];
  base[0] = (uint8_t)guard;
  return base + 2 * GUARD;
}

static void guarded_free(void *data) {
  if (data) free((uint8_t *)data - 2 * GUARD);
}

static bool guarded_check(const void *data, size_t bytes, const char *what, int i, Error *error) {
  const uint8_t *block = data, *expected = guard_bytes[block[-2 * GUARD]];
  for (int b = 1; b <= GUARD; b++)
    if (block[-b] != expected[-b & 3])
      return fail(error, "wrote %d bytes before the start of %s[%d]", b, what, i);
  for (size_t b = 0; b < GUARD; b++)
    if (block[bytes + b] != expected[(bytes + b) % 4])
      return fail(error, "wrote %zu bytes past the end of %s[%d]", b + 1, what, i);
  return true;
}

static void tensor_allocate(Tensor *tensor, Guard guard) {
  tensor->data = guarded_make(tensor_bytes(tensor), guard);
}

/* Tells valgrind too, which then finds a decision that hangs on what nobody wrote. */
static void poison(void *data, uint8_t byte, size_t bytes) {
  memset(data, byte, bytes);
  (void)VALGRIND_MAKE_MEM_UNDEFINED(data, bytes);
}

static uint64_t tensor_hash(const Tensor *tensor) {
  return XXH3_64bits(tensor->data, tensor_bytes(tensor));
}

static double bf16_value(uint16_t half) {
  uint32_t bits = (uint32_t)half << 16;
  float value;
  memcpy(&value, &bits, sizeof value);
  return (double)value;
}

/* The nearest, ties to even. */
static uint16_t bf16_bits(double x) {
  float value = (float)x;
  uint32_t bits;
  memcpy(&bits, &value, sizeof bits);
  return isnan(value) ? 0x7fff : (uint16_t)((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

double element(const Tensor *tensor, int64_t i) {
  if (tensor->type == BF16) return bf16_value(((const uint16_t *)tensor->data)[i]);
  if (tensor->type == I32) return ((const int32_t *)tensor->data)[i];
  if (tensor->type == F64) return ((const double *)tensor->data)[i];
  return (double)((const float *)tensor->data)[i];
}

void element_set(Tensor *tensor, int64_t i, double value) {
  if (tensor->type == I32) ((int32_t *)tensor->data)[i] = (int32_t)value;
  if (tensor->type == BF16) ((uint16_t *)tensor->data)[i] = bf16_bits(value);
  if (tensor->type == F64) ((double *)tensor->data)[i] = value;
  if (tensor->type == F32) ((float *)tensor->data)[i] = (float)value;
}

/* ---- making ---------------------------------------------------------------------------------- */

static bool input_has_gradient(const OpRun *run, int i) {
  const Op *op = run->call.op;
  return !(op->flags & OP_NO_GRADIENT) && !(op_constant(&run->call) & SAVES_IN(i)) &&
         run->call.in[i].type != I32 && !tensor_absent(&run->call.in[i]);
}

/* Real outputs, but not those i >= 1 that only backward reads (mean, rstd, log-sum-exp). */
static bool output_has_gradient(const OpRun *run, int i) {
  const Op *op = run->call.op;
  bool internal = i >= 1 && op_saves_ever(op) & SAVES_OUT(i);
  return !(op->flags & OP_NO_GRADIENT) && !internal && run->call.out[i].type != I32;
}

static bool call_make(Call *call, OpId id, const char *options, int n_in, const Tensor *in,
                      Error *error) {
  const Op *op = op_table[id];
  *call = (Call){.op = op, .n_in = n_in, .n_out = op->n_out};
  void *block = calloc(1, op->options_bytes + 1);
  CHECK(block, "out of memory");
  call->options = block;
  for (int i = 0; i < n_in; i++) call->in[i] = tensor_make(in[i].type, in[i].rank, in[i].dim);
  options_defaults(op->options, block);
  if (options_parse(op->options, block, options, error) && op->shape(call, error)) return true;
  free(block);
  return false;
}

/* BF16 where the kernel takes it, the rest stays F32. */
static void store_bf16(Call *call, unsigned bf16) {
  for (int i = 0; i < call->n_in; i++)
    if (bf16 & SAVES_IN(i) && call->in[i].type == F32) call->in[i].type = BF16;
  for (int i = 0; i < call->n_out; i++)
    if (bf16 & SAVES_OUT(i) && call->out[i].type == F32) call->out[i].type = BF16;
}

bool op_run_make(OpRun *run, OpId id, const char *options, int n_in, const Tensor *in, DType real,
                 const Kernel *kernel, Error *error) {
  *run = (OpRun){.kernel = kernel};
  Call *call = &run->call;
  if (!call_make(call, id, options, n_in, in, error)) return false;
  unsigned updates = op_updates(call);
  if (real == BF16) store_bf16(call, kernel->bf16);
  for (int i = 0; i < n_in; i++) {
    call->din[i] = run->in[i] = run->din[i] = call->in[i];
    tensor_allocate(&run->in[i], GUARD_READ);
    if (input_has_gradient(run, i)) tensor_allocate(&run->din[i], GUARD_WRITTEN);
    run->updated[i] = call->in[i];
    if (updates & SAVES_IN(i)) tensor_allocate(&run->updated[i], GUARD_WRITTEN);
  }
  for (int i = 0; i < call->n_out; i++) {
    if (call->op->flags & OP_CONSTANT && real != BF16) call->out[i].type = real;
    call->dout[i] = run->out[i] = run->dout[i] = call->out[i];
    tensor_allocate(&run->out[i], GUARD_WRITTEN);
    if (output_has_gradient(run, i)) tensor_allocate(&run->dout[i], GUARD_READ);
  }
  return true;
}

void op_run_free(OpRun *run) {
  for (int i = 0; i < run->call.n_in; i++) {
    guarded_free(run->in[i].data);
    guarded_free(run->din[i].data);
    guarded_free(run->updated[i].data);
  }
  for (int i = 0; i < run->call.n_out; i++) {
    guarded_free(run->out[i].data);
    guarded_free(run->dout[i].data);
  }
  free((void *)run->call.options);
}

/* ---- calling --------------------------------------------------------------------------------- */

/* The tensors of one call, apart from how the call uses them. */
typedef struct Operands {
  int n_read, n_written;
  Tensor *read[2 * (MAX_IN + MAX_OUT)], *written[MAX_IN + MAX_OUT];
  const char *read_name, *written_name;
  Tensor *alias; /* in place: refreshed from `source` before each call instead of poisoned */
  const Tensor *source;
  const Tensor
      *before[MAX_IN + MAX_OUT]; /* of written[i]: what it holds before each call; NULL: poison */
} Operands;

static void operands_prepare(Operands *operands, const Call *call) {
  for (int i = 0; i < operands->n_written; i++) {
    const Tensor *written = operands->written[i], *before = operands->before[i];
    if (written == operands->alias) continue;
    if (before)
      memcpy(written->data, before->data, tensor_bytes(written));
    else
      poison(written->data, written->type == I32 ? POISON_INT : POISON_REAL, tensor_bytes(written));
  }
  if (operands->alias)
    memcpy(operands->alias->data, operands->source->data, tensor_bytes(operands->source));
  if (call->scratch_bytes) poison(call->scratch, POISON_REAL, call->scratch_bytes);
}

static uint64_t operands_hash(Tensor *const *tensors, int count) {
  uint64_t hash = 0;
  for (int i = 0; i < count; i++) hash = hash * 31 + tensor_hash(tensors[i]);
  return hash;
}

static bool operands_check(const Operands *o, const Call *call, Error *error) {
  for (int i = 0; i < o->n_written; i++)
    if (!guarded_check(o->written[i]->data, tensor_bytes(o->written[i]), o->written_name, i, error))
      return false;
  for (int i = 0; i < o->n_read; i++)
    if (!guarded_check(o->read[i]->data, tensor_bytes(o->read[i]), o->read_name, i, error))
      return false;
  return guarded_check(call->scratch, call->scratch_bytes, "scratch", 0, error);
}

static bool call_prepare(const OpRun *run, Call *call, Error *error) {
  Call bare = *call;
  for (int i = 0; i < call->n_in; i++) bare.in[i].data = bare.din[i].data = NULL;
  for (int i = 0; i < call->n_out; i++) bare.out[i].data = bare.dout[i].data = NULL;
  if (run->kernel->prepare && !run->kernel->prepare(&bare, error)) {
    if (!error->text[0]) return fail(error, "prepare failed without a message");
    return false;
  }
  call->scratch_bytes = bare.scratch_bytes;
  call->state = bare.state;
  call->scratch = guarded_make(call->scratch_bytes, GUARD_WRITTEN);
  return true;
}

static const Backend *place; /* NULL: the host */

void op_run_on(const Backend *backend) {
  place = backend;
}

typedef struct Carried {
  void *host, *there;
  size_t bytes; /* with the guards around */
} Carried;

typedef struct Cargo {
  Carried block[2 * (MAX_IN + MAX_OUT) + 1];
  int count;
} Cargo;

/* Where a block's data lie on the device; two operands in one block stay in one. */
static void *carry(Cargo *cargo, void *data, size_t bytes) {
  if (!data) return NULL;
  uint8_t *base = (uint8_t *)data - 2 * GUARD;
  int i = 0;
  while (i < cargo->count && cargo->block[i].host != base) i++;
  if (i == cargo->count) {
    Carried block = {.host = base, .bytes = (bytes + 63) / 64 * 64 + 3 * GUARD};
    block.there = place->alloc(block.bytes);
    CHECK(block.there, "no memory on %s", place->name);
    backend_write(place, block.there, base, block.bytes);
    cargo->block[cargo->count++] = block;
  }
  return (uint8_t *)cargo->block[i].there + 2 * GUARD;
}

static void run_there(const Kernel *kernel, const Call *call) {
  Call there = *call;
  Cargo cargo = {.count = 0};
  for (int i = 0; i < call->n_in; i++) {
    there.in[i].data = carry(&cargo, call->in[i].data, tensor_bytes(&call->in[i]));
    there.din[i].data = carry(&cargo, call->din[i].data, tensor_bytes(&call->din[i]));
  }
  for (int i = 0; i < call->n_out; i++) {
    there.out[i].data = carry(&cargo, call->out[i].data, tensor_bytes(&call->out[i]));
    there.dout[i].data = carry(&cargo, call->dout[i].data, tensor_bytes(&call->dout[i]));
  }
  there.scratch = carry(&cargo, call->scratch, call->scratch_bytes);
  there.stream = place->device->queue();
  (call->backward ? kernel->backward : kernel->forward)(&there);
  for (int i = 0; i < cargo.count; i++) {
    backend_read(place, cargo.block[i].host, cargo.block[i].there, cargo.block[i].bytes);
    place->release(cargo.block[i].there);
  }
}

/* The reference runs on the host whatever the place. */
static bool runs_there(const Kernel *kernel) {
  for (int id = 0; place && id < OP_COUNT; id++)
    if (place->kernels[id] == kernel) return true;
  return false;
}

static AllocCount run_kernel(const Kernel *kernel, const Call *call) {
  if (runs_there(kernel)) {
    run_there(kernel, call);
    return (AllocCount){0, 0}; /* the driver's are not ours */
  }
  alloc_count_start();
  (call->backward ? kernel->backward : kernel->forward)(call);
  return alloc_count_stop();
}

/* On a GPU, of an op that says so. */
static bool may_vary(const Call *call) {
  return place && call->backward && call->op->flags & OP_UNORDERED && !kernel_mode.deterministic;
}

static bool call_twice(OpRun *run, Call *call, Operands *operands, Error *error) {
  uint64_t first = 0, sealed = operands_hash(operands->read, operands->n_read);
  for (int pass = 0; pass < 2; pass++) {
    operands_prepare(operands, call);
    AllocCount count = run_kernel(run->kernel, call);
    if (!operands_check(operands, call, error)) return false;
    if (operands_hash(operands->read, operands->n_read) != sealed)
      return fail(error, "changed one of its %s", operands->read_name);
    uint64_t hash = operands_hash(operands->written, operands->n_written);
    if (pass && hash != first && !may_vary(call))
      return fail(error, "a second run gave other bits");
    if (pass && count.own) return fail(error, "allocated %d times", count.own);
    run->foreign_allocations = count.foreign;
    first = hash;
  }
  return true;
}

static bool execute(OpRun *run, Call *call, Operands *operands, Error *error) {
  Error inner = {{0}};
  bool good = call_prepare(run, call, &inner);
  if (good) {
    good = call_twice(run, call, operands, &inner);
    if (run->kernel->release) run->kernel->release(call);
    guarded_free(call->scratch);
  }
  return good || fail(error, "%s: %s", call->backward ? "backward" : "forward", inner.text);
}

static Operands bind_forward(OpRun *run, Call *call) {
  *call = run->call;
  Operands o = {.read_name = "in", .written_name = "out"};
  for (int i = 0; i < call->n_in; i++) {
    call->in[i].data = run->in[i].data;
    o.read[o.n_read++] = &run->in[i];
  }
  for (int i = 0; i < call->n_out; i++) {
    call->out[i].data = run->out[i].data;
    o.written[o.n_written++] = &run->out[i];
  }
  for (int i = 0; i < call->n_in; i++) {
    if (!run->updated[i].data) continue;
    call->in[i].data = run->updated[i].data;
    o.before[o.n_written] = &run->in[i];
    o.written[o.n_written++] = &run->updated[i];
  }
  return o;
}

bool op_run_forward(OpRun *run, Error *error) {
  Call call;
  Operands operands = bind_forward(run, &call);
  return execute(run, &call, &operands, error);
}

bool op_run_forward_again(OpRun *run, Error *error) {
  Call call = run->call;
  call.again = true;
  Operands o = {.read_name = "in or out, computing again,", .written_name = "out"};
  for (int i = 0; i < call.n_in; i++) {
    Tensor *in = run->updated[i].data ? &run->updated[i] : &run->in[i];
    call.in[i].data = in->data;
    o.read[o.n_read++] = in;
  }
  for (int i = 0; i < call.n_out; i++) {
    call.out[i].data = run->out[i].data;
    if (i > 0) o.read[o.n_read++] = &run->out[i];
  }
  o.written[o.n_written++] = &run->out[0];
  uint64_t expected = tensor_hash(&run->out[0]);
  return execute(run, &call, &o, error) &&
         (tensor_hash(&run->out[0]) == expected ||
          fail(error, "forward: computed again it gives other bits"));
}

bool op_run_plain(OpRun *run, Error *error) {
  Call call;
  bind_forward(run, &call);
  if (!call_prepare(run, &call, error)) return false;
  for (int i = 0; i < call.n_in; i++) /* what forward writes is nobody's */
    if (run->updated[i].data) {
      call.in[i].data = guarded_make(tensor_bytes(&run->in[i]), GUARD_WRITTEN);
      memcpy(call.in[i].data, run->in[i].data, tensor_bytes(&run->in[i]));
    }
  run_kernel(run->kernel, &call);
  for (int i = 0; i < call.n_in; i++)
    if (run->updated[i].data) guarded_free(call.in[i].data);
  if (run->kernel->release) run->kernel->release(&call);
  guarded_free(call.scratch);
  return true;
}

static Operands bind_backward(OpRun *run, Call *call, int want, int given) {
  *call = run->call;
  call->backward = true;
  Operands o = {.read_name = "in, out or dout", .written_name = "din"};
  for (int i = 0; i < call->n_in; i++)
    if (want >> i & 1 && input_has_gradient(run, i)) call->wants |= SAVES_IN(i);
  for (int i = 0; i < call->n_in; i++) {
    if (op_saves(call) & SAVES_IN(i)) {
      call->in[i].data = run->in[i].data;
      o.read[o.n_read++] = &run->in[i];
    }
    if (!(call->wants & SAVES_IN(i))) {
      call->din[i] = (Tensor){0}; /* as the graph makes such a call */
      continue;
    }
    call->din[i].data = run->din[i].data;
    o.written[o.n_written++] = &run->din[i];
  }
  for (int i = 0; i < call->n_out; i++) {
    if (op_saves(call) & SAVES_OUT(i)) {
      call->out[i].data = run->out[i].data;
      o.read[o.n_read++] = &run->out[i];
    }
    if (!(given >> i & 1) || !output_has_gradient(run, i)) continue;
    call->dout[i].data = run->dout[i].data;
    o.read[o.n_read++] = &run->dout[i];
  }
  return o;
}

bool op_run_backward(OpRun *run, int want, int given, Error *error) {
  Call call;
  Operands operands = bind_backward(run, &call, want, given);
  return execute(run, &call, &operands, error);
}

bool op_run_backward_adding(OpRun *run, const Tensor *before, Error *error) {
  Call call;
  Operands operands = bind_backward(run, &call, OP_RUN_ALL, OP_RUN_ALL);
  for (int i = 0; i < operands.n_written; i++) {
    int k = (int)(operands.written[i] - run->din);
    if (!before[k].data) continue;
    operands.before[i] = &before[k];
    call.adds |= SAVES_IN(k);
  }
  return execute(run, &call, &operands, error);
}

/* Moves `from` (read) and `to` (written) into one block, runs, and compares with what `to` held. */
static bool execute_in_place(OpRun *run, Call *call, Operands *o, Tensor *from, Tensor *to,
                             Error *error) {
  if (from->type != to->type || tensor_bytes(from) != tensor_bytes(to))
    return fail(error, "in place, but %s becomes %s", tensor_shape_text(from),
                tensor_shape_text(to));
  uint64_t expected = tensor_hash(to);
  Tensor alias = *to;
  tensor_allocate(&alias, GUARD_WRITTEN);
  o->alias = &alias;
  o->source = from;
  for (int i = 0; i < o->n_written; i++)
    if (o->written[i] == to) o->written[i] = &alias;
  (call->backward ? call->dout : call->in)[0].data = alias.data;
  (call->backward ? call->din : call->out)[0].data = alias.data;
  bool good = execute(run, call, o, error);
  if (good && tensor_hash(&alias) != expected)
    good = fail(error, "%s in place gives other bits", call->backward ? "backward" : "forward");
  guarded_free(alias.data);
  return good;
}

bool op_run_forward_in_place(OpRun *run, Error *error) {
  Call call;
  Operands operands = bind_forward(run, &call);
  return execute_in_place(run, &call, &operands, &run->in[0], &run->out[0], error);
}

bool op_run_backward_in_place(OpRun *run, Error *error) {
  Call call;
  Operands operands = bind_backward(run, &call, OP_RUN_ALL, OP_RUN_ALL);
  return execute_in_place(run, &call, &operands, &run->dout[0], &run->din[0], error);
}
