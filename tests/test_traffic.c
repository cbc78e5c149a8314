/* What our CUDA kernels load and store, counted in the emulator, against the least traffic that the
 * ops' rows claim (op_cost), by which benches and `estimate --gpu` judge them: every byte of an
 * operand once. A claim more than 5 % off what the kernels touch fails, and so does a kernel that
 * sums floats by atomic operations. Beside it stands what they move: sectors of 32 bytes, scratch
 * too, once for each launch that reads and each that writes them; and what their threads ask for.
 *
 *   build/tests/test_traffic [NAME ...] */
#include "kernels/cuda/emulator_traffic.h"
#include "kernels/cuda/kernel_table.h"
#include "tests/op_check.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

static const double TOLERANCE = 0.05;
/* Of a pass: more takes long here. An op whose shapes of quick are all larger has other cases. */
static const double MOST_FLOPS = 3e7;

/* Whose claim no row can know: which values deformable attention reads is in its offsets, whose
 * boxes are matched in an assignment. */
static const struct {
  OpId id;
  double least; /* of the claim */
} unknown[] = {{OP_deform_attention, .5}, {OP_box_loss, .5}};

static struct { int passed, failed; } totals;

/* ---- a kernel that is watched ---------------------------------------------------------------- */

static const Kernel *watched;
static EmulatorTraffic traffic;

static void watch(const Tensor *tensor) {
  if (tensor->data) emulator_traffic_watch(tensor->data, tensor_bytes(tensor), true);
}

static void watch_all(const Call *call) {
  for (int i = 0; i < call->n_in; i++) watch(&call->in[i]), watch(&call->din[i]);
  for (int i = 0; i < call->n_out; i++) watch(&call->out[i]), watch(&call->dout[i]);
  emulator_traffic_watch(call->scratch, call->scratch_bytes, false);
}

static void forward(const Call *call) {
  watch_all(call);
  watched->forward(call);
  traffic = emulator_traffic_take();
}

static void backward(const Call *call) {
  watch_all(call);
  watched->backward(call);
  traffic = emulator_traffic_take();
}

/* ---- comparing ------------------------------------------------------------------------------- */

/* The claim for what this call asks for: gradients of labels are none. */
static double claimed(const OpRun *run, bool back) {
  Call call = run->call;
  call.backward = back;
  for (int i = 0; i < call.n_in; i++) {
    if (!run->din[i].data) call.din[i] = (Tensor){.type = BF16, .rank = 1};
    if (back && run->din[i].data) call.wants |= SAVES_IN(i);
  }
  return op_cost(&call).bytes;
}

static void judge(const OpRun *run, const char *name, bool back) {
  double claim = claimed(run, back), touched = (double)traffic.touched;
  double least = 1 - TOLERANCE;
  for (size_t i = 0; i < sizeof unknown / sizeof *unknown; i++)
    if (run->call.op == op_table[unknown[i].id]) least = unknown[i].least;
  bool good =
      touched >= least * claim && touched <= (1 + TOLERANCE) * claim && traffic.atomic_sums == 0;
  totals.passed += good;
  totals.failed += !good;
  printf("%-5s%-18s %-28s %-8s %-4s %9.3f MB  touched %5.3f  moved %5.2f  asked %6.2f%s\n",
         good ? "" : "FAIL", run->call.op->name, name, back ? "backward" : "forward",
         run->kernel->bf16 ? "bf16" : "f32", claim / 1e6, touched / claim,
         (double)traffic.moved / claim, (double)traffic.asked / claim,
         traffic.atomic_sums ? "  atomic sums" : "");
}

static void check_case(OpId id, const OpCase *c) {
  Kernel kernel = *kernels_emulated[id];
  Error error = {{0}};
  OpRun run;
  watched = kernels_emulated[id];
  kernel.forward = forward;
  if (kernel.backward) kernel.backward = backward;
  bool made = op_case_run(&run, id, c, kernel.bf16 ? BF16 : F32, &kernel, &error);
  CHECK(made, "%s: %s", c->name, error.text);
  bool good = op_run_forward(&run, &error);
  if (good) judge(&run, c->name, false);
  if (good && op_run_has_backward(&run)) {
    good = op_run_backward(&run, OP_RUN_ALL, OP_RUN_ALL, &error);
    if (good) judge(&run, c->name, true);
  }
  totals.failed += !good;
  if (!good) printf("FAIL %s, %s: %s\n", run.call.op->name, c->name, error.text);
  op_run_free(&run);
}

/* Whether `bench`, the shapes of quick, or the others are taken: what is small enough. */
static bool takes(OpId id, const OpCase *c, bool bench) {
  Error error = {{0}};
  OpRun run;
  bool made = c->bench == bench && op_case_run(&run, id, c, F32, kernels_emulated[id], &error);
  double flops = made ? op_cost(&run.call).flops : INFINITY;
  if (made) op_run_free(&run);
  return flops <= MOST_FLOPS;
}

static void check_op(OpId id) {
  int count = 0;
  for (const OpCase *c = op_cases[id]; c->name; c++)
    if (takes(id, c, true)) check_case(id, c), count++;
  for (const OpCase *c = op_cases[id]; c->name && !count; c++)
    if (takes(id, c, false)) check_case(id, c);
}

static bool chosen(const char *name, int argc, char **argv) {
  for (int i = 1; i < argc; i++)
    if (strcmp(argv[i], name) == 0) return true;
  return argc == 1;
}

int main(int argc, char **argv) {
  setvbuf(stdout, NULL, _IOLBF, 0);
  for (int id = 0; id < OP_COUNT; id++)
    if (kernels_emulated[id] && chosen(op_table[id]->name, argc, argv)) check_op((OpId)id);
  printf("%d passed, %d failed\n", totals.passed, totals.failed);
  return totals.failed > 0;
}
