/* Whole training steps with the emulated CUDA kernels, the CPU's where an op calls cuDNN or cuBLAS,
 * against the CPU's alone: what the kernels' own cases cannot show, such as two types meeting in
 * one graph, gradients that do not arrive, and memory shared in place. */
#include "kernels/cpu/bf16.h"
#include "kernels/cpu/processor.h"
#include "kernels/cuda/kernel_table.h"
#include "src/bench/step.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

void emulator_order(unsigned seed);

static const Kernel *table[OP_COUNT], *table_half[OP_COUNT];
static Backend emulated, emulated_half;

/* ---- products in BF16 where the processor has none: the CPU's float ones between two casts --- */

typedef struct Between {
  Call call; /* all in F32 */
} Between;

static void shape_as_float(Tensor *tensor) {
  if (tensor->type == BF16) tensor->type = F32;
}

static const Kernel *in_float(const Call *call) {
  return kernels_cpu[op_find(call->op->name)];
}

static bool between_prepare(Call *call, Error *error) {
  Between *b = calloc(1, sizeof *b);
  CHECK(b, "no memory");
  b->call = *call;
  for (int i = 0; i < call->n_in; i++)
    shape_as_float(&b->call.in[i]), shape_as_float(&b->call.din[i]);
  for (int i = 0; i < call->n_out; i++)
    shape_as_float(&b->call.out[i]), shape_as_float(&b->call.dout[i]);
  call->state = b;
  if (!in_float(call)->prepare(&b->call, error)) return false;
  b->call.scratch = aligned_alloc(64, (b->call.scratch_bytes + 127) / 64 * 64);
  return true;
}

static void between_release(Call *call) {
  Between *b = call->state;
  if (in_float(call)->release) in_float(call)->release(&b->call);
  free(b->call.scratch);
  free(b);
  call->state = NULL;
}

/* `to` in memory of its own, with the numbers of `from` if it is read. */
static void carry(Tensor *to, const Tensor *from, bool read) {
  to->data = from->data;
  if (!from->data || from->type != BF16) return;
  to->data = aligned_alloc(64, (tensor_bytes(to) + 127) / 64 * 64);
  for (int64_t i = 0; read && i < tensor_count(to); i++)
    ((float *)to->data)[i] = bf16_float(((const uint16_t *)from->data)[i]);
}

static void settle(const Tensor *from, const Tensor *to, bool written) {
  if (!to->data || to->type != BF16) return;
  for (int64_t i = 0; written && i < tensor_count(to); i++)
    ((uint16_t *)to->data)[i] = bf16_of(((const float *)from->data)[i]);
  free(from->data);
}

static void between(const Call *call) {
  Call *c = &((Between *)call->state)->call;
  for (int i = 0; i < call->n_in; i++)
    carry(&c->in[i], &call->in[i], true), carry(&c->din[i], &call->din[i], false);
  for (int i = 0; i < call->n_out; i++)
    carry(&c->out[i], &call->out[i], call->backward), carry(&c->dout[i], &call->dout[i], true);
  (call->backward ? in_float(call)->backward : in_float(call)->forward)(c);
  for (int i = 0; i < call->n_in; i++)
    settle(&c->in[i], &call->in[i], false), settle(&c->din[i], &call->din[i], true);
  for (int i = 0; i < call->n_out; i++)
    settle(&c->out[i], &call->out[i], !call->backward), settle(&c->dout[i], &call->dout[i], false);
}

/* The operands as kernels/NAME.cu declare them. */
#define BETWEEN(operands)                                                                          \
  {                                                                                                \
    .forward = between, .backward = between, .prepare = between_prepare,                           \
    .release = between_release, .bf16 = operands                                                   \
  }
static const Kernel conv_between = BETWEEN(SAVES_IN(2) | SAVES_IN(3) | SAVES_OUT(0)),
                    dense_between = BETWEEN(SAVES_IN(2) | SAVES_OUT(0)),
                    matmul_between = BETWEEN(SAVES_IN(0) | SAVES_IN(1) | SAVES_OUT(0));

/* ---- comparing ------------------------------------------------------------------------------- */

#define TINY "patch=8,16,8", "widths=8,16", "strides=1,1,1,2,2,2", "kernels=3,3,3,3,3,3"
static const StepCase unet = {"unet", 5, {"head=point_wise", "bridge=none", TINY}};
static const StepCase maskmed = {
    "maskmed", 5, {"patch=16,16,16", "key_grid=8,8,8", "widths=8,16,24,24"}};
static const StepCase unet_bf16 = {
    "unet in bf16", 5, {"dtype=bf16", "head=point_wise", "bridge=none", TINY}};
static const StepCase maskmed_bf16 = {
    "maskmed in bf16", 5, {"dtype=bf16", "patch=16,16,16", "key_grid=8,8,8", "widths=8,16,24,24"}};

/* The losses of both after each of two steps, and the gradient's norm. */
static void compare_with(const StepCase *c, const Backend *backend, const StepCase *cpu,
                         double tolerance) {
  Step ours, theirs;
  Error error = {""};
  if (!step_make_on(&ours, c, backend, ".", 1, &error) || !step_make(&theirs, cpu, ".", 1, &error))
    fail_msg("%s: %s", c->name, error.text);
  for (int i = 0; i < 2; i++) {
    emulator_order((unsigned)i);
    step_run(&ours);
    step_run(&theirs);
    double loss = fabs(step_loss(&ours) / step_loss(&theirs) - 1);
    double norm = fabs(ours.stepper.norm / theirs.stepper.norm - 1);
    print_message("%s, step %d: loss %.6f, apart %.1e; norm %.6f, apart %.1e\n", c->name, i,
                  step_loss(&theirs), loss, theirs.stepper.norm, norm);
    assert_true(loss < tolerance && norm < 10 * tolerance);
  }
  step_free(&ours);
  step_free(&theirs);
}

static void compare(const StepCase *c, double tolerance) {
  compare_with(c, &emulated, c, tolerance);
}

/* In BF16 as a GPU stores it against the CPU's float. */
static void test_bf16_against_float(void **state) {
  (void)state;
  compare_with(&unet_bf16, &emulated_half, &unet, 2e-2);
  compare_with(&maskmed_bf16, &emulated_half, &maskmed, 3e-2);
}

static void test_float(void **state) {
  (void)state;
  compare(&unet, 1e-5);
  compare(&maskmed, 1e-4);
}

static void test_bf16(void **state) {
  (void)state;
  if (processor_no_bf16()) {
    print_message("skip bf16: %s\n", processor_no_bf16());
    skip();
  }
  compare(&unet_bf16, 1e-2);
  compare(&maskmed_bf16, 3e-2);
}

/* The weights after a step. */
static bool same_bits(Step step[2]) {
  size_t bytes = step[0].params->elements[PARAM_TRAINED] * sizeof(float);
  bool same =
      memcmp(step[0].params->host[PARAM_TRAINED], step[1].params->host[PARAM_TRAINED], bytes) == 0;
  for (int i = 0; i < 2; i++) step_free(&step[i]);
  return same;
}

/* The threads' order may not show in any bit: no sum of ours is in an order that is not fixed. */
static void test_deterministic(void **state) {
  (void)state;
  Step step[2];
  Error error = {""};
  for (int i = 0; i < 2; i++) {
    emulator_order((unsigned)(2 * i)); /* as they come, shuffled */
    if (!step_make_on(&step[i], &maskmed, &emulated, ".", 1, &error)) fail_msg("%s", error.text);
    step_run(&step[i]);
  }
  assert_true(same_bits(step));
}

/* What a block computes again is stored in the type that it had. */
static void test_recompute_in_bf16(void **state) {
  (void)state;
  StepCase cases[] = {unet_bf16, unet_bf16};
  Step step[2];
  Error error = {""};
  int last = 0;
  while (cases[1].overrides[last]) last++;
  cases[1].overrides[last] = "recompute=yes";
  for (int i = 0; i < 2; i++) {
    emulator_order(0);
    if (!step_make_on(&step[i], &cases[i], &emulated_half, ".", 1, &error))
      fail_msg("%s", error.text);
    step_run(&step[i]);
  }
  print_message("%zu bytes kept, %zu computed again\n", step[0].plan->bytes, step[1].plan->bytes);
  assert_true(step[1].plan->bytes < step[0].plan->bytes);
  assert_true(same_bits(step));
}

static int set_up(void **state) {
  (void)state;
  for (int i = 0; i < OP_COUNT; i++)
    table[i] = kernels_emulated[i] ? kernels_emulated[i] : kernels_cpu[i];
  emulated = backend_cpu;
  emulated.name = "emulated";
  emulated.kernels = table;
  memcpy(table_half, table, sizeof table);
  table_half[OP_conv] = &conv_between;
  table_half[OP_conv_transpose] = table_half[OP_linear] = &dense_between;
  table_half[OP_matmul] = &matmul_between;
  emulated_half = emulated;
  emulated_half.kernels = table_half;
  return 0;
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_float), cmocka_unit_test(test_bf16_against_float),
      cmocka_unit_test(test_bf16), cmocka_unit_test(test_deterministic),
      cmocka_unit_test(test_recompute_in_bf16)};
  return cmocka_run_group_tests(tests, set_up, NULL);
}
