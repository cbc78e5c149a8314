/* The CUDA kernels that are all ours, compiled for the CPU (kernels/cuda/emulator.h), on every case
 * of their ops, in F32 and where they take it in BF16, with the threads of a block in three orders.
 * And the emulator itself: it must see what a GPU would not forgive (tests/emulator_faults.cu).
 *
 *   build/tests/test_cuda_emulator [--bench] [NAME ...]     --bench: the large shapes too, minutes
 */
#include "kernels/cuda/table.h"
#include "tests/emulator_faults.h"
#include "tests/op_check.h"

#include <math.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

void emulator_order(unsigned seed);

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
  OpCheck check = {id, c, kernels_emulated[id], type, reference};
  running.name = c->name;
  running.type = type == BF16 ? "bf16" : "f32";
  for (size_t i = 0; i < sizeof orders / sizeof *orders; i++) {
    Error error = {{0}};
    running.order = orders[i];
    emulator_order(orders[i]);
    bool good = op_check(&check, errors, &error);
    totals.passed += good;
    totals.failed += !good;
    if (!good)
      printf("FAIL %s, %s, %s, order %u: %s\n", running.op, c->name, running.type, running.order,
             error.text);
  }
}

static void check_op(OpId id, bool bench) {
  const Kernel *kernel = kernels_emulated[id];
  OpErrors single = {0}, half = {0};
  running.op = op_table[id]->name;
  for (const OpCase *c = op_cases[id]; c->name; c++) {
    Error error = {{0}};
    OpRun reference;
    if (c->bench && !bench) continue;
    bool good = op_case_run(&reference, id, c, F64, kernels_reference[id], &error);
    CHECK(good && op_run_both(&reference, &error), "%s: %s", c->name, error.text);
    check_case(id, c, F32, &reference, &single);
    op_run_free(&reference);
    if (kernel->bf16) check_case(id, c, BF16, NULL, &half);
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
  for (int id = 0; id < OP_COUNT; id++)
    if (kernels_emulated[id] && chosen(op_table[id]->name, argc, argv)) check_op((OpId)id, bench);
  printf("%d passed, %d failed\n", totals.passed, totals.failed);
  return totals.failed > 0;
}
