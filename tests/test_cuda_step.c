/* Whole training steps with the emulated CUDA kernels, the CPU's where an op calls cuDNN or cuBLAS,
 * against the CPU's alone: what the kernels' own cases cannot show, such as two types meeting in
 * one graph, gradients that do not arrive, and memory shared in place. */
#include "kernels/cuda/table.h"
#include "kernels/mode.h"
#include "kernels/processor.h"
#include "src/bench/step.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

void emulator_order(unsigned seed);

static const Kernel *table[OP_COUNT];
static Backend emulated;

#define TINY "patch=8,16,8", "widths=8,16", "strides=1,1,1,2,2,2", "kernels=3,3,3,3,3,3"
static const StepCase unet = {"unet", 5, {"head=point_wise", "bridge=none", TINY}};
static const StepCase maskmed = {"maskmed", 5, {"patch=16,16,16", "widths=8,16,24,24"}};
static const StepCase unet_bf16 = {
    "unet in bf16", 5, {"dtype=bf16", "head=point_wise", "bridge=none", TINY}};
static const StepCase maskmed_bf16 = {
    "maskmed in bf16", 5, {"dtype=bf16", "patch=16,16,16", "widths=8,16,24,24"}};

/* The losses of both after each of two steps, and the gradient's norm. */
static void compare(const StepCase *c, double tolerance) {
  Step ours, theirs;
  Error error = {""};
  if (!step_make_on(&ours, c, &emulated, ".", 1, &error) || !step_make(&theirs, c, ".", 1, &error))
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

/* With float sums in memory the threads' order shows in the last bits; with kernel_mode's
 * deterministic it may not. */
static bool same_bits_in_two_orders(const StepCase *c) {
  Step step[2];
  Error error = {""};
  for (int i = 0; i < 2; i++) {
    emulator_order((unsigned)(2 * i)); /* as they come, shuffled */
    if (!step_make_on(&step[i], c, &emulated, ".", 1, &error)) fail_msg("%s", error.text);
    step_run(&step[i]);
  }
  size_t bytes = step[0].params->elements * sizeof(float);
  bool same = memcmp(step[0].params->weight, step[1].params->weight, bytes) == 0;
  for (int i = 0; i < 2; i++) step_free(&step[i]);
  return same;
}

static void test_deterministic(void **state) {
  (void)state;
  assert_false(same_bits_in_two_orders(&maskmed)); /* else the next line says nothing */
  kernel_mode.deterministic = true;
  assert_true(same_bits_in_two_orders(&maskmed));
  kernel_mode.deterministic = false;
}

static int set_up(void **state) {
  (void)state;
  for (int i = 0; i < OP_COUNT; i++)
    table[i] = kernels_emulated[i] ? kernels_emulated[i] : kernels_cpu[i];
  emulated = backend_cpu;
  emulated.name = "emulated";
  emulated.kernels = table;
  return 0;
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_float), cmocka_unit_test(test_bf16),
                                     cmocka_unit_test(test_deterministic)};
  return cmocka_run_group_tests(tests, set_up, NULL);
}
