#include "src/bench/op_bench.h"
#include "base/rng.h"
#include "engine/host_memory.h"
#include "kernels/cpu/bf16.h"
#include "kernels/mode.h"
#include "src/bench/sample.h"

#include <math.h>
#include <string.h>

/* ---- filling --------------------------------------------------------------------------------- */

static double element(const Tensor *tensor, int64_t i) {
  if (tensor->type == BF16) return (double)bf16_float(((const uint16_t *)tensor->data)[i]);
  if (tensor->type == I32) return ((const int32_t *)tensor->data)[i];
  if (tensor->type == F64) return ((const double *)tensor->data)[i];
  return (double)((const float *)tensor->data)[i];
}

static void element_set(Tensor *tensor, int64_t i, double value) {
  if (tensor->type == I32) ((int32_t *)tensor->data)[i] = (int32_t)value;
  if (tensor->type == F64) ((double *)tensor->data)[i] = value;
  if (tensor->type == F32) ((float *)tensor->data)[i] = (float)value;
  if (tensor->type == BF16) ((uint16_t *)tensor->data)[i] = bf16_of((float)value);
}

/* Each row holds the first classes in a rotated order, the rest is -1. */
static void fill_matching(Tensor *tensor, int classes, Rng *rng) {
  int64_t queries = tensor_last(tensor);
  for (int64_t row = 0; row < tensor_rows(tensor); row++) {
    uint32_t turn = rng_below(rng, (uint32_t)queries);
    for (int64_t q = 0; q < queries; q++) {
      int64_t c = (q + turn) % queries;
      element_set(tensor, row * queries + q, c < classes ? (double)c : -1);
    }
  }
}

/* Larger tensors repeat these numbers; as it is prime, no two of their rows are equal. */
static const int64_t PERIOD = 16777213;

/* The same values whatever the type: real ones are rounded to float. */
static void fill(Tensor *tensor, const CaseInput *input, uint64_t item) {
  Rng rng = rng_make(1, RNG_TEST, item);
  if (input->fill == FILL_MATCHING) {
    fill_matching(tensor, (int)input->bound, &rng);
    return;
  }
  double scale = input->fill == FILL_GRID ? input->bound : 1;
  int64_t count = tensor_count(tensor);
  for (int64_t i = 0; i < count && i < PERIOD; i++) {
    double value = input->fill == FILL_LABELS     ? rng_below(&rng, (uint32_t)input->bound)
                   : input->fill == FILL_KNOWN    ? rng_below(&rng, (uint32_t)input->bound + 1) - 1.
                   : input->fill == FILL_POSITIVE ? rng_between(&rng, .5, 1.5)
                   : input->fill == FILL_BOXES
                       ? rng_between(&rng, i % 4 < 2 ? 0 : .6, i % 4 < 2 ? .5 : 1)
                       : scale * rng_normal(&rng);
    element_set(tensor, i, (double)(float)value);
  }
  size_t unit = dtype_bytes(tensor->type);
  for (int64_t i = PERIOD; i < count; i += PERIOD)
    memcpy((char *)tensor->data + (size_t)i * unit, tensor->data,
           (size_t)(count - i < PERIOD ? count - i : PERIOD) * unit);
}

/* NaN for real numbers, a huge one for whole numbers. */
static void poison(Tensor *tensor) {
  memset(tensor->data, tensor->type == I32 ? 0x7f : 0xff, tensor_bytes(tensor));
}

/* ---- making ---------------------------------------------------------------------------------- */

static bool allocate(Tensor *tensor, Error *error) {
  tensor->data = host_alloc(tensor_bytes(tensor));
  if (!tensor->data) return fail(error, "no memory for %zu bytes", tensor_bytes(tensor));
  poison(tensor);
  return true;
}

static bool input_has_gradient(const Call *call, int i) {
  return !(call->op->flags & OP_NO_GRADIENT) && !(call->op->constant & SAVES_IN(i)) &&
         call->in[i].type != I32 && !tensor_absent(&call->in[i]);
}

static bool output_has_gradient(const Call *call, int i) {
  bool internal = i >= 1 && op_saves_ever(call->op) & SAVES_OUT(i);
  return !(call->op->flags & OP_NO_GRADIENT) && !internal && call->out[i].type != I32;
}

/* BF16 where the kernel takes it, the rest stays F32. */
static void store_bf16(Call *call, unsigned bf16) {
  for (int i = 0; i < call->n_in; i++)
    if (bf16 & SAVES_IN(i) && call->in[i].type == F32) call->in[i].type = BF16;
  for (int i = 0; i < call->n_out; i++)
    if (bf16 & SAVES_OUT(i) && call->out[i].type == F32) call->out[i].type = BF16;
}

static bool shapes(OpBench *b, DType storage, Error *error) {
  DType real = storage == BF16 ? F32 : storage;
  const Op *op = op_table[b->id];
  Call *call = &b->forward;
  *call = (Call){.op = op, .n_in = b->c->n_in, .n_out = op->n_out};
  void *options = calloc(1, op->options_bytes + 1);
  CHECK(options, "out of memory");
  call->options = options;
  for (int i = 0; i < b->c->n_in; i++) {
    bool whole = fill_is_whole(b->c->in[i].fill);
    call->in[i] = tensor_make(whole ? I32 : real, b->c->in[i].rank, b->c->in[i].dim);
  }
  options_defaults(op->options, options);
  if (!options_parse(op->options, options, b->c->options, error) || !op->shape(call, error))
    return false;
  for (int i = 0; i < call->n_out && op->flags & OP_CONSTANT; i++) call->out[i].type = real;
  if (storage == BF16) store_bf16(call, b->kernel->bf16);
  for (int i = 0; i < call->n_in; i++) call->din[i] = call->in[i];
  for (int i = 0; i < call->n_out; i++) call->dout[i] = call->out[i];
  return true;
}

static bool tensors(OpBench *b, Error *error) {
  static const CaseInput normal = {.fill = FILL_NORMAL};
  const Call *call = &b->forward;
  for (int i = 0; i < call->n_in; i++) {
    b->in[i] = b->din[i] = call->in[i];
    if (!allocate(&b->in[i], error)) return false;
    fill(&b->in[i], &b->c->in[i], (uint64_t)i);
    if (!input_has_gradient(call, i)) continue;
    if (!allocate(&b->din[i], error)) return false;
    b->has_backward = true;
  }
  for (int i = 0; i < call->n_out; i++) {
    b->out[i] = b->dout[i] = call->out[i];
    if (!allocate(&b->out[i], error)) return false;
    if (!output_has_gradient(call, i)) continue;
    if (!allocate(&b->dout[i], error)) return false;
    fill(&b->dout[i], &normal, 100 + (uint64_t)i);
  }
  return true;
}

static bool prepare(Call *call, const Kernel *kernel, Error *error) {
  if (kernel->prepare && !kernel->prepare(call, error)) return false;
  if (!call->scratch_bytes) return true;
  call->scratch = host_alloc(call->scratch_bytes);
  return call->scratch || fail(error, "no memory for %zu bytes of scratch", call->scratch_bytes);
}

static void bind(OpBench *b) {
  Call *forward = &b->forward, *backward = &b->backward;
  unsigned saves = b->has_backward ? op_saves(backward) : 0;
  for (int i = 0; i < forward->n_in; i++) {
    forward->in[i].data = b->in[i].data;
    backward->in[i].data = saves & SAVES_IN(i) ? b->in[i].data : NULL;
    backward->din[i].data = b->din[i].data;
  }
  for (int i = 0; i < forward->n_out; i++) {
    forward->out[i].data = b->out[i].data;
    backward->out[i].data = saves & SAVES_OUT(i) ? b->out[i].data : NULL;
    backward->dout[i].data = b->dout[i].data;
  }
}

bool op_bench_make(OpBench *b, OpId id, const OpCase *c, DType real, const Kernel *kernel,
                   Error *error) {
  *b = (OpBench){.id = id, .c = c, .kernel = kernel};
  bool good = shapes(b, real, error) && tensors(b, error);
  b->backward = b->forward;
  b->backward.backward = true;
  for (int i = 0; i < b->backward.n_in; i++)
    if (input_has_gradient(&b->backward, i)) b->backward.wants |= SAVES_IN(i);
  good = good && prepare(&b->forward, kernel, error) &&
         (!b->has_backward || prepare(&b->backward, kernel, error));
  if (good) bind(b);
  if (!good) op_bench_free(b);
  return good;
}

/* ---- on a device ----------------------------------------------------------------------------- */

/* The device's copies: forward sees all inputs and outputs, backward all gradients. */
static void each_copy(OpBench *b, void (*visit)(OpBench *, Tensor *host, void **there)) {
  Call *forward = &b->forward, *backward = &b->backward;
  for (int i = 0; i < forward->n_in; i++) {
    visit(b, &b->in[i], &forward->in[i].data);
    visit(b, &b->din[i], &backward->din[i].data);
  }
  for (int i = 0; i < forward->n_out; i++) {
    visit(b, &b->out[i], &forward->out[i].data);
    visit(b, &b->dout[i], &backward->dout[i].data);
  }
}

static void copy_there(OpBench *b, Tensor *host, void **there) {
  if (!host->data) return;
  *there = b->place->alloc(tensor_bytes(host));
  if (*there) backend_write(b->place, *there, host->data, tensor_bytes(host));
}

static void copy_back(OpBench *b, Tensor *host, void **there) {
  if (*there) backend_read(b->place, host->data, *there, tensor_bytes(host));
}

static void free_there(OpBench *b, Tensor *host, void **there) {
  (void)host;
  if (*there) b->place->release(*there);
  *there = NULL;
}

bool op_bench_place(OpBench *b, const Backend *backend, Error *error) {
  Call *calls[] = {&b->forward, &b->backward};
  b->place = backend;
  each_copy(b, copy_there);
  for (int k = 0; k < 2; k++) {
    free(calls[k]->scratch);
    calls[k]->scratch = calls[k]->scratch_bytes ? backend->alloc(calls[k]->scratch_bytes) : NULL;
    if (calls[k]->scratch_bytes && !calls[k]->scratch)
      return fail(error, "out of memory on %s", backend->name);
    calls[k]->stream = backend->device->queue();
  }
  for (int i = 0; i < b->forward.n_in; i++) {
    if (b->in[i].data && !b->forward.in[i].data) return fail(error, "out of memory");
    if (b->backward.in[i].data) b->backward.in[i].data = b->forward.in[i].data;
  }
  for (int i = 0; i < b->forward.n_out; i++)
    if (b->backward.out[i].data) b->backward.out[i].data = b->forward.out[i].data;
  return true;
}

void op_bench_free(OpBench *b) {
  Call *calls[] = {&b->forward, &b->backward};
  for (int k = 0; k < 2; k++) {
    if (calls[k]->state && b->kernel->release) b->kernel->release(calls[k]);
    if (b->place && calls[k]->scratch) b->place->release(calls[k]->scratch);
    if (!b->place) free(calls[k]->scratch);
  }
  if (b->place) each_copy(b, free_there);
  for (int i = 0; i < MAX_IN; i++) free(b->in[i].data), free(b->din[i].data);
  for (int i = 0; i < MAX_OUT; i++) free(b->out[i].data), free(b->dout[i].data);
  free((void *)b->forward.options);
  *b = (OpBench){0};
}

void op_bench_forward(void *user) {
  OpBench *bench = user;
  bench->kernel->forward(&bench->forward);
}

void op_bench_backward(void *user) {
  OpBench *bench = user;
  bench->kernel->backward(&bench->backward);
}

/* ---- checking -------------------------------------------------------------------------------- */

/* `kink`: not where that is nearly 0; NULL: everywhere. */
static double difference(const Tensor *found, const Tensor *expected, const Tensor *kink) {
  double worst = 0, largest = 0;
  for (int64_t i = 0, count = tensor_count(expected); i < count; i++) {
    double a = element(found, i), b = element(expected, i);
    if (kink && fabs(element(kink, i)) < 1e-5) continue;
    if (!(fabs(a - b) <= worst)) worst = fabs(a - b); /* a NaN stays */
    if (worst != worst) return INFINITY;
    largest = fmax(largest, fabs(b));
  }
  if (expected->type == I32) return worst > 0;
  return worst / (largest > 1e-12 ? largest : 1);
}

static void run_both(OpBench *b) {
  op_bench_forward(b);
  if (b->has_backward) op_bench_backward(b);
  if (b->place) each_copy(b, copy_back);
}

/* What rounding to BF16 left of the numbers. */
static void copy_numbers(Tensor *to, const Tensor *from) {
  int64_t count = to->data ? tensor_count(to) : 0;
#pragma omp parallel for
  for (int64_t i = 0; i < count; i++) element_set(to, i, element(from, i));
}

static bool stores_bf16(const OpBench *b) {
  bool any = false;
  for (int i = 0; i < b->forward.n_in; i++) any = any || b->in[i].type == BF16;
  for (int i = 0; i < b->forward.n_out; i++) any = any || b->out[i].type == BF16;
  return any;
}

/* The reference walks some 1e9 floating-point operations a second. */
static bool double_affordable(const OpBench *b) {
  Cost cost = op_cost(&b->forward);
  return cost.flops + cost.bytes < 3e8;
}

static bool rounds_to_tf32(const OpBench *b) {
  bool convolves = b->id == OP_conv || b->id == OP_conv_transpose;
  bool multiplies = convolves || b->id == OP_linear || b->id == OP_matmul;
  return b->place &&
         (kernel_mode.tf32 == TF32_ON ? multiplies : kernel_mode.tf32 == TF32_CONV && convolves);
}

const char *op_bench_dtype(const OpBench *b) {
  return stores_bf16(b) ? "bf16" : rounds_to_tf32(b) ? "tf32" : "f32";
}

static Precision precision_of(const OpBench *b) {
  if (stores_bf16(b)) return PRECISION_BF16;
  if (rounds_to_tf32(b)) return PRECISION_TF32;
  return b->place ? PRECISION_GPU : PRECISION_FLOAT;
}

/* Keeps the worse of what was seen so far and the error of one result; `gradient` as in
 * op_tolerance. */
static void judge(OpCheck *check, int gradient, double error, double tolerance) {
  int pass = gradient >= 0;
  if (error * check->tolerance[pass] < check->error[pass] * tolerance) return;
  check->error[pass] = error;
  check->tolerance[pass] = tolerance;
}

static void compare(const OpBench *b, const Tensor *found, const Tensor *expected, int gradient,
                    OpCheck *check) {
  /* A norm's LeakyReLU: on which side of 0 its argument lies, a rounding error may decide. */
  bool kinks = (b->id == OP_instance_norm || b->id == OP_batch_norm) && gradient == 2;
  judge(check, gradient, difference(found, expected, kinks ? &b->out[0] : NULL),
        op_tolerance(&b->forward, gradient, precision_of(b)));
}

size_t op_bench_bytes(const OpBench *b) {
  size_t bytes = b->forward.scratch_bytes + b->backward.scratch_bytes;
  for (int i = 0; i < b->forward.n_in; i++)
    bytes += tensor_bytes(&b->in[i]) + (b->din[i].data ? tensor_bytes(&b->din[i]) : 0);
  for (int i = 0; i < b->forward.n_out; i++)
    bytes += tensor_bytes(&b->out[i]) + (b->dout[i].data ? tensor_bytes(&b->dout[i]) : 0);
  return bytes;
}

/* All operands on the host. */
static Call host_call(const OpBench *b) {
  Call call = b->backward;
  for (int i = 0; i < call.n_in; i++) {
    call.in[i].data = b->in[i].data;
    call.din[i].data = b->din[i].data;
  }
  for (int i = 0; i < call.n_out; i++) {
    call.out[i].data = b->out[i].data;
    call.dout[i].data = b->dout[i].data;
  }
  return call;
}

/* Relative to the largest of few samples, at the shapes of whole nets; where the length of the sums
 * is not known, or a GPU's libraries choose their order. */
static const double TOLERANCE_SAMPLED = 1e-4;

static double tolerance_sampled(const OpBench *b, int gradient) {
  double own = op_tolerance(&b->forward, gradient, precision_of(b));
  return op_table[b->id]->terms && !b->place ? own : fmax(own, TOLERANCE_SAMPLED);
}

void op_bench_sample(OpBench *b, OpCheck *check) {
  run_both(b);
  Call call = host_call(b);
  *check = (OpCheck){.reference = "double, sampled"};
  for (int i = 0; i < call.n_out; i++)
    judge(check, -1, sample_error_out(b->id, &call, i), tolerance_sampled(b, -1));
  for (int i = 0; i < call.n_in; i++)
    judge(check, i, sample_error_din(b->id, &call, i), tolerance_sampled(b, i));
}

/* The reference's gradients at the outputs that were found: where an output is a rounding error
 * from 0, the two would take other sides of a ReLU's kink. */
static void backward_at(OpBench *reference, const OpBench *found) {
  for (int i = 0; i < found->forward.n_out; i++) copy_numbers(&reference->out[i], &found->out[i]);
  if (reference->has_backward) op_bench_backward(reference);
}

bool op_bench_check(OpBench *b, OpCheck *check, Error *error) {
  bool in_double = double_affordable(b);
  if (!in_double && sample_knows(b->id)) {
    op_bench_sample(b, check);
    return true;
  }
  const Kernel *const *kernels = in_double  ? kernels_reference
                                 : b->place ? kernels_cpu
                                            : kernels_portable;
  OpBench reference;
  if (!op_bench_make(&reference, b->id, b->c, in_double ? F64 : F32, kernels[b->id], error))
    return false;
  *check = (OpCheck){.reference = in_double  ? "double"
                                  : b->place ? "the CPU's float"
                                             : "portable float"};
  if (stores_bf16(b)) {
    for (int i = 0; i < b->forward.n_in; i++) copy_numbers(&reference.in[i], &b->in[i]);
    for (int i = 0; i < b->forward.n_out; i++)
      if (b->dout[i].data) copy_numbers(&reference.dout[i], &b->dout[i]);
  }
  run_both(b);
  op_bench_forward(&reference);
  for (int i = 0; i < b->forward.n_out; i++) compare(b, &b->out[i], &reference.out[i], -1, check);
  backward_at(&reference, b);
  for (int i = 0; i < b->forward.n_in; i++)
    if (b->din[i].data) compare(b, &b->din[i], &reference.din[i], i, check);
  op_bench_free(&reference);
  return true;
}

/* Sizes without blanks, so that a row of the table stays one word per operand. */
void op_bench_shape(const OpBench *b, char *text, size_t bytes) {
  size_t used = 0;
  text[0] = 0;
  for (int i = 0; i < b->forward.n_in && used < bytes; i++) {
    const Tensor *t = &b->forward.in[i];
    used += (size_t)snprintf(text + used, bytes - used, i ? " (" : "(");
    for (int a = 0; a < t->rank && used < bytes; a++)
      used +=
          (size_t)snprintf(text + used, bytes - used, a ? ",%lld" : "%lld", (long long)t->dim[a]);
    if (used < bytes) used += (size_t)snprintf(text + used, bytes - used, ")");
  }
  if (b->c->options && used < bytes)
    snprintf(text + used, bytes - used, used ? " %s" : "%s", b->c->options);
}
