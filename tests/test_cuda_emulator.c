/* The CUDA kernels that are all ours, compiled for the CPU (kernels/cuda/emulator.h), on every case
 * of their ops, in F32 and where they take it in BF16, with the threads of a block in three orders,
 * in which the bits must be the same.
 * And the emulator itself: it must see what a GPU would not forgive (tests/emulator_faults.cu).
 *
 *   build/tests/test_cuda_emulator [--bench] [NAME ...]
 *     --bench  the large shapes too: minutes */
#include "base/rng.h"
#include "engine/optimizer.h"
#include "kernels/cuda/kernel_table.h"
#include "tests/emulator_faults.h"
#include "tests/library_rows.h"
#include "tests/op_check.h"
#include "tests/update_emulated.h"

#include <math.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

void emulator_order(unsigned seed);
void emulator_report(const char *program);

static struct { int passed, failed; } totals;

/* What runs, for the message of a crash. */
static struct {
  const char *op, *name, *type;
  unsigned order;
} running;

static void crashed(int signal) {
  printf("FAIL %s, %s, %s, order %u: crashed (%s)\n", running.op, running.name, running.type,
         running.order, strsignal(signal));
  fflush(stdout);
  _exit(1);
}

static const unsigned orders[] = {0, 1, 20259};

static void check_case(OpId id, const OpCase *c, DType type, const OpRun *reference,
                       OpErrors *errors) {
  uint64_t bits, first = 0;
  OpCheck check = {.id = id,
                   .c = c,
                   .kernel = kernels_emulated[id],
                   .type = type,
                   .reference = reference,
                   .bits = &bits};
  running.name = c->name;
  running.type = type == BF16 ? "bf16" : "f32";
  for (size_t i = 0; i < sizeof orders / sizeof *orders; i++) {
    Error error = {{0}};
    running.order = orders[i];
    emulator_order(orders[i]);
    bool good = op_check(&check, errors, &error);
    if (i == 0) first = bits;
    good = good && (bits == first || fail(&error, "other bits than in order %u", orders[0]));
    totals.passed += good;
    totals.failed += !good;
    if (!good)
      printf("FAIL %s, %s, %s, order %u: %s\n", running.op, c->name, running.type, running.order,
             error.text);
  }
}

/* Operands that need not agree: inputs or outputs alone in BF16, each second input. */
static void check_mixed(OpId id, const OpCase *c, OpErrors *errors) {
  static const unsigned masks[] = {
      SAVES_ALL_IN, ~(unsigned)SAVES_ALL_IN, 0x5555, 0xaaaa, 0xffff5555, 0xffffaaaa};
  const Kernel *kernel = kernels_emulated[id];
  for (size_t m = 0; !kernel->bf16_together && m < sizeof masks / sizeof *masks; m++) {
    Kernel some = *kernel;
    Error error = {{0}};
    some.bf16 &= masks[m];
    OpCheck check = {.id = id, .c = c, .kernel = &some, .type = BF16};
    running.name = c->name;
    running.type = "mixed";
    emulator_order(running.order = 0);
    bool good = !some.bf16 || op_check(&check, errors, &error);
    totals.passed += good;
    totals.failed += !good;
    if (!good) printf("FAIL %s, %s, types %x: %s\n", running.op, c->name, masks[m], error.text);
  }
}

/* BF16 alone where F32 was done before. */
static void check_op(OpId id, bool bench, bool with_float) {
  const Kernel *kernel = kernels_emulated[id];
  OpErrors single = {0}, half = {0};
  running.op = op_table[id]->name;
  for (const OpCase *c = op_cases[id]; c->name; c++) {
    Error error = {{0}};
    OpRun reference;
    if (c->bench && !bench) continue;
    if (kernel->bf16) check_case(id, c, BF16, NULL, &half);
    if (kernel->bf16) check_mixed(id, c, &half);
    if (!with_float) continue;
    bool good = op_case_run(&reference, id, c, F64, kernels_reference[id], &error);
    CHECK(good && op_run_both(&reference, &error), "%s: %s", c->name, error.text);
    check_case(id, c, F32, &reference, &single);
    op_run_free(&reference);
  }
  printf("%-18s f32 %9.1e %9.1e   bf16 %9.1e %9.1e\n", running.op, single.forward, single.backward,
         half.forward, half.backward);
}

/* The fault must end the process, with these words. */
static void check_fault(const EmulatorFault *fault) {
  int pipes[2];
  CHECK(pipe(pipes) == 0, "no pipe");
  fflush(stdout);
  pid_t child = fork();
  if (child == 0) {
    signal(SIGABRT, SIG_DFL);
    dup2(pipes[1], STDERR_FILENO);
    fault->run();
    _exit(0);
  }
  close(pipes[1]);
  char text[1024] = "";
  ssize_t bytes = read(pipes[0], text, sizeof text - 1);
  int status;
  waitpid(child, &status, 0);
  close(pipes[0]);
  bool good = bytes >= 0 &&
              (fault->message ? WIFSIGNALED(status) && strstr(text, fault->message) : status == 0);
  totals.passed += good;
  totals.failed += !good;
  if (!good)
    printf("FAIL %s: expected '%s', status %d, found '%s'\n", fault->name,
           fault->message ? fault->message : "no fault", status, text);
}

/* Three steps against the CPU's, clipped and not, of some numbers no more than the last ones; then
 * one whose loss is not finite, which must change nothing. */
static bool update_follows(OptimizerId id, double clip, double average, int64_t late) {
  Params *params = params_make(F32);
  Error error = {{0}};
  const Optimizer optimizer = {.id = id,
                               .momentum = .9,
                               .beta1 = .9,
                               .beta2 = .99,
                               .eps = 1e-8,
                               .weight_decay = 1e-2,
                               .spares = {[ROLE_NORM] = true},
                               .clip = clip,
                               .average = average,
                               .late = late};
  const Init init = {.kind = INIT_NORMAL, .a = 1};
  const ParamAs cnn = {.init = init}, norm_of = {.role = ROLE_NORM, .init = init};
  const ParamAs transformer = {.group = GROUP_TRANSFORMER, .init = init, .late = late > 0};
  params_get(params, "a", 2, (int64_t[]){37, 3}, &cnn, &error);
  params_get(params, "b", 1, (int64_t[]){5000}, &transformer, &error);
  params_get(params, "c", 1, (int64_t[]){1}, &norm_of, &error);
  params->group[GROUP_TRANSFORMER].factor = .1;
  optimizer_states(&optimizer, params);
  CHECK(params_allocate(params, 3, &error), "%s", error.text);
  UpdateEmulated *other = update_emulated_make(params, &optimizer);
  bool good = true;
  for (int step = 0; step < 3; step++) {
    Rng rng = rng_make(5, RNG_TEST, (uint64_t)step);
    for (int p = 0; p < params->count; p++) {
      float *g = params_gradient(params, params->list[p]);
      for (int64_t i = 0; i < tensor_count(&params->list[p]->shape); i++)
        g[i] = (float)rng_normal(&rng);
    }
    double found = update_emulated_step(other, .1, 1),
           norm = optimizer_step(&optimizer, params, .1);
    good = good && fabs(found / norm - 1) < 1e-6 && update_emulated_distance(other) < 1e-6;
  }
  update_emulated_step(other, .1, NAN);
  good = good && update_emulated_distance(other) < 1e-6;
  update_emulated_free(other);
  params_free(params);
  return good;
}

static void check_update(OptimizerId id) {
  for (size_t i = 0; i < sizeof orders / sizeof *orders; i++) {
    emulator_order(orders[i]);
    bool good = update_follows(id, 0, 0, 0) && update_follows(id, 12, .9, 0) &&
                update_follows(id, 12, .9, 2);
    totals.passed += good;
    totals.failed += !good;
    if (!good)
      printf("FAIL %s, order %u: differs from the CPU's\n", optimizer_table[id].name, orders[i]);
  }
}

static void check_numbers(const char *what, int (*wrong_of)(int *count)) {
  for (size_t i = 0; i < sizeof orders / sizeof *orders; i++) {
    int count = 0;
    emulator_order(orders[i]);
    int wrong = wrong_of(&count);
    totals.passed += !wrong;
    totals.failed += wrong > 0;
    if (wrong) printf("FAIL %s: %d of %d numbers wrong\n", what, wrong, count);
  }
}

static bool chosen(const char *name, int argc, char **argv) {
  bool any = false;
  for (int i = 1; i < argc; i++) {
    if (strcmp(argv[i], name) == 0) return true;
    any = any || argv[i][0] != '-';
  }
  return !any;
}

int main(int argc, char **argv) {
  bool bench = false;
  for (int i = 1; i < argc; i++) bench |= strcmp(argv[i], "--bench") == 0;
  signal(SIGSEGV, crashed);
  signal(SIGABRT, crashed);
  for (const EmulatorFault *fault = emulator_faults; fault->name; fault++) check_fault(fault);
  for (int id = 0; id < OPTIMIZERS; id++) check_update((OptimizerId)id);
  check_numbers("rows around products", library_rows_wrong);
  check_numbers("convolution of images", image_conv_wrong);
  for (int id = 0; id < OP_COUNT; id++)
    if (kernels_emulated[id] && chosen(op_table[id]->name, argc, argv))
      check_op((OpId)id, bench, true);
  if (chosen("attention", argc, argv)) {
    setenv("HARNESS_ATTENTION", "float", 1); /* instead of tensor cores */
    check_op(OP_attention, bench, false);
  }
  if (argc == 1) emulator_report(argv[0]);
  printf("%d passed, %d failed\n", totals.passed, totals.failed);
  return totals.failed > 0;
}
