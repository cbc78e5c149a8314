/* Every op on every case of its table, in the order of suspicion: wrong shapes are refused; the
 * double reference agrees with finite differences; the float kernels, on one and on two threads,
 * agree with the double reference; asking for fewer gradients changes none of the others; in place
 * equals out of place. What each single call is watched for: tests/op_run.h.
 *
 *   build/tests/test_ops [--slow] [--small] [--kernels] [NAME ...]
 * --slow: the double reference also runs on the shapes where it takes seconds. --small: no bench
 * shapes and few finite differences (for memory checkers). --kernels: the reference itself is not
 * checked. Without HARNESS_ISA the kernels of every form that the processor can run are checked,
 * those of the lesser ones in processes of their own. */
#include "base/rng.h"
#include "kernels/cpu/processor.h"
#include "kernels/op_case.h"
#include "tests/op_check.h"
#include "tests/op_fill.h"

#include <math.h>
#include <omp.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static struct { bool slow, small, kernels; } settings;

static struct { int passed, failed, skipped; } totals;

/* What runs, for the message of a crash. */
static struct { const char *op, *name, *kernel; } running;

/* Of one op: the largest errors of the float kernels, relative to the largest element. */
static struct {
  OpErrors errors, bf16;
  double difference;
  int cases, refused, mutations;
} report;

/* ---- (1) wrong shapes ------------------------------------------------------------------------ */

enum { DROP_AXIS, ADD_AXIS, LAST_AXIS, FIRST_AXIS, SECOND_AXIS, MUTATIONS };

static bool mutate(Tensor *tensor, int mutation) {
  int rank = tensor->rank;
  if (mutation == DROP_AXIS && rank > 0) tensor->rank--;
  if (mutation == ADD_AXIS && rank < MAX_RANK) tensor->dim[tensor->rank++] = 2;
  if (mutation == LAST_AXIS && rank > 0) tensor->dim[rank - 1]++;
  if (mutation == FIRST_AXIS && rank > 1) tensor->dim[0]++;
  if (mutation == SECOND_AXIS && rank > 2) tensor->dim[1]++;
  return rank > 0 || tensor->rank > 0;
}

static bool all_finite(const Tensor *tensors, int count, const char *name, Error *error) {
  for (int t = 0; t < count; t++)
    for (int64_t i = 0; tensors[t].data && i < tensor_count(&tensors[t]); i++)
      if (!isfinite(element(&tensors[t], i))) return fail(error, "%s[%d] is not finite", name, t);
  return true;
}

/* A changed shape is refused with a message that names the op, or it is legal and then the
 * reference stays within its memory: what lies around it is NaN. */
static bool check_refused(OpId id, const OpCase *c, const Tensor *in, bool *refused, Error *error) {
  Error message = {{0}};
  OpRun run;
  *refused = !op_run_make(&run, id, c->options, c->n_in, in, F64, kernels_reference[id], &message);
  if (*refused) {
    const char *name = op_table[id]->name;
    if (strstr(message.text, name)) return true;
    return fail(error, "refuses a wrong shape without naming %s: '%s'", name, message.text);
  }
  op_fill(&run, c);
  bool good = op_run_both(&run, error) && all_finite(run.out, run.call.n_out, "out", error) &&
              all_finite(run.din, run.call.n_in, "din", error);
  op_run_free(&run);
  return good;
}

static bool check_shapes(OpId id, const OpCase *c, Error *error) {
  for (int i = 0; i < c->n_in; i++) {
    bool any = c->n_in == 1;
    for (int mutation = 0; mutation < MUTATIONS; mutation++) {
      Tensor in[MAX_IN];
      bool refused;
      op_fill_shapes(c, F64, in);
      if (!mutate(&in[i], mutation)) continue;
      Error inner = {{0}};
      if (!check_refused(id, c, in, &refused, &inner))
        return fail(error, "with in[%d]%s: %s", i, tensor_shape_text(&in[i]), inner.text);
      any = any || refused;
      report.refused += refused;
      report.mutations++;
    }
    if (!any) return fail(error, "shape() accepts every wrong shape of in[%d]", i);
  }
  return true;
}

/* ---- (2) finite differences ------------------------------------------------------------------ */

/* d/dx of sum(dout * out), x being element e of in[i], by a central difference of step h. `out`
 * keeps room for one copy of the outputs. */
static double difference(OpRun *run, int i, int64_t e, double h, double *out, Error *error) {
  double x = element(&run->in[i], e), sum = 0;
  element_set(&run->in[i], e, x + h);
  if (!op_run_plain(run, error)) return NAN;
  for (int o = 0, at = 0; o < run->call.n_out; o++)
    for (int64_t k = 0; run->dout[o].data && k < tensor_count(&run->out[o]); k++)
      out[at++] = element(&run->out[o], k);
  element_set(&run->in[i], e, x - h);
  if (!op_run_plain(run, error)) return NAN;
  for (int o = 0, at = 0; o < run->call.n_out; o++)
    for (int64_t k = 0; run->dout[o].data && k < tensor_count(&run->out[o]); k++)
      sum += element(&run->dout[o], k) * (out[at++] - element(&run->out[o], k));
  element_set(&run->in[i], e, x);
  return sum / (2 * h);
}

/* A step that crosses a kink (ReLU, a voxel border) disagrees although the gradient is right; a
 * shorter one does not cross it. A wrong gradient agrees with none. */
static bool check_element(OpRun *run, int i, int64_t e, double scale, double *out, Error *error) {
  double expected = element(&run->din[i], e), best = INFINITY, nearest = NAN;
  for (double h = 1e-4; h > 1e-7 && !(best <= 1e-6); h /= 10) {
    double found = difference(run, i, e, h, out, error);
    if (!(fabs(found - expected) / scale < best)) continue;
    best = fabs(found - expected) / scale;
    nearest = found;
  }
  report.difference = fmax(report.difference, best);
  if (best <= 1e-6) return true;
  return fail(error, "din[%d]%s, element %lld: %.9g, finite difference %.9g (largest %.3g)", i,
              tensor_shape_text(&run->din[i]), (long long)e, expected, nearest, scale);
}

static bool check_differences(OpRun *run, Error *error) {
  int64_t total = 0, limit = settings.small ? 4 : 200, sample = settings.small ? 4 : 60;
  for (int o = 0; o < run->call.n_out; o++) total += tensor_count(&run->out[o]);
  double *out = calloc((size_t)total, sizeof *out);
  CHECK(out, "out of memory");
  bool good = true;
  Rng rng = rng_make(2, RNG_TEST, 0);
  for (int i = 0; good && i < run->call.n_in; i++) {
    if (!run->din[i].data) continue;
    int64_t count = tensor_count(&run->in[i]);
    double scale = tensor_largest(&run->din[i]);
    for (int64_t k = 0; good && k < (count <= limit ? count : sample); k++) {
      int64_t e = count <= limit ? k : rng_below(&rng, (uint32_t)count);
      good = check_element(run, i, e, scale, out, error);
    }
  }
  free(out);
  return good && op_run_plain(run, error); /* the outputs of the unchanged inputs again */
}

/* ---- one case -------------------------------------------------------------------------------- */

/* In BF16 where the kernel takes that: every operand it takes, and unless it wants them alike its
 * inputs or its outputs alone. */
static bool check_bf16(OpId id, const OpCase *c, int threads, Error *error) {
  static const unsigned masks[] = {~0u, SAVES_ALL_IN, ~(unsigned)SAVES_ALL_IN};
  const Kernel *kernel = kernels_cpu[id];
  for (int m = 0; m < (kernel->bf16_together ? 1 : 3); m++) {
    Kernel some = *kernel;
    some.bf16 &= masks[m];
    OpCheck check = {.id = id, .c = c, .kernel = &some, .type = BF16, .reference = NULL};
    Error inner = {{0}};
    if (some.bf16 && !op_check(&check, &report.bf16, &inner))
      return fail(error, "bf16 %s, %d threads: %s",
                  m == 0   ? "all"
                  : m == 1 ? "inputs"
                           : "outputs",
                  threads, inner.text);
  }
  return true;
}

static bool check_kernels(OpId id, const OpCase *c, const OpRun *reference, Error *error) {
  Error inner = {{0}};
  running.kernel = "portable";
  omp_set_num_threads(1);
  OpCheck check = {
      .id = id, .c = c, .kernel = kernels_portable[id], .type = F32, .reference = reference};
  if (reference && !op_check(&check, &report.errors, &inner))
    return fail(error, "portable: %s", inner.text);
  if (kernels_cpu[id] == kernels_portable[id]) return true;
  for (int threads = 1; threads <= 2; threads++) {
    running.kernel = threads == 1 ? "cpu, 1 thread" : "cpu, 2 threads";
    omp_set_num_threads(threads);
    check.kernel = kernels_cpu[id];
    if (!op_check(&check, &report.errors, &inner))
      return fail(error, "%s: %s", running.kernel, inner.text);
    if (reference && kernels_cpu[id]->bf16 && !processor_no_bf16() &&
        !check_bf16(id, c, threads, error))
      return false;
  }
  return true;
}

static bool check_reference(OpId id, const OpCase *c, OpRun *run, Error *error) {
  Error inner = {{0}};
  running.kernel = "reference";
  omp_set_num_threads(1);
  bool good = op_run_both(run, &inner);
  if (good && !c->bench)
    good = check_shapes(id, c, &inner) && op_check_in_place(run, &inner) &&
           (!op_run_has_backward(run) ||
            (check_differences(run, &inner) &&
             op_check_missing(id, c, run, F64, PRECISION_DOUBLE, &report.errors, &inner)));
  return good || fail(error, "reference: %s", inner.text);
}

/* The reference walks about 1e9 FLOP a second; 12 calls a case. */
static bool affordable(const OpRun *run) {
  Cost cost = op_cost(&run->call);
  return settings.slow || cost.flops + cost.bytes < 3e8;
}

static void check_case(OpId id, const OpCase *c) {
  if (c->bench && settings.small) return;
  running.op = op_table[id]->name;
  running.name = c->name;
  Error error = {{0}};
  OpRun reference;
  bool compared = false;
  bool good = op_case_run(&reference, id, c, F64, kernels_reference[id], &error);
  if (good) {
    compared = affordable(&reference);
    good =
        (compared && settings.kernels ? op_run_both(&reference, &error)
                                      : !compared || check_reference(id, c, &reference, &error)) &&
        check_kernels(id, c, compared ? &reference : NULL, &error);
    op_run_free(&reference);
  }
  report.cases++;
  totals.passed += good && compared;
  totals.failed += !good;
  totals.skipped += good && !compared;
  if (!good) printf("FAIL %s, %s: %s\n", op_table[id]->name, c->name, error.text);
  if (good && !compared)
    printf("skip %s, %s: not compared with the reference, which takes seconds (--slow)\n",
           op_table[id]->name, c->name);
}

static void crashed(int signal) {
  printf("FAIL %s, %s, %s: crashed (%s)%s\n", running.op, running.name, running.kernel,
         strsignal(signal),
         signal == SIGSEGV ? "; does it read a tensor that the row does not save?" : "");
  fflush(stdout);
  _exit(1);
}

static bool chosen(const char *name, int argc, char **argv) {
  bool any = false;
  for (int i = 1; i < argc; i++) {
    if (strcmp(argv[i], name) == 0) return true;
    any = any || argv[i][0] != '-';
  }
  return !any;
}

static bool flag(const char *name, int argc, char **argv) {
  for (int i = 1; i < argc; i++)
    if (strcmp(argv[i], name) == 0) return true;
  return false;
}

/* Whether all went well in a process that may use no more than this. */
static bool form_passes(Isa isa, int argc, char **argv) {
  char **arguments = calloc((size_t)argc + 2, sizeof *arguments), kernels[] = "--kernels";
  CHECK(arguments, "out of memory");
  memcpy(arguments, argv, (size_t)argc * sizeof *arguments);
  arguments[argc] = kernels;
  printf("kernels of %s:\n", isa_name(isa));
  fflush(stdout);
  pid_t child = fork();
  if (child == 0) {
    setenv("HARNESS_ISA", isa_name(isa), 1);
    execv("/proc/self/exe", arguments);
    _exit(127);
  }
  int status = 1;
  free(arguments);
  return waitpid(child, &status, 0) == child && status == 0;
}

/* That of the portable form is checked beside every other. */
static void check_other_forms(int argc, char **argv) {
  static const Isa forms[] = {ISA_V3, ISA_V4};
  Isa used = processor_kernels();
  for (size_t i = 0; i < sizeof forms / sizeof *forms && !getenv("HARNESS_ISA"); i++) {
    Isa next = i + 1 < sizeof forms / sizeof *forms ? forms[i + 1] : ISA_COUNT;
    if (used < forms[i]) {
      printf("skip kernels of %s: this processor has %s\n", isa_name(forms[i]), isa_name(used));
      totals.skipped++;
    } else if (used >= next && !form_passes(forms[i], argc, argv)) {
      printf("FAIL kernels of %s\n", isa_name(forms[i]));
      totals.failed++;
    }
  }
}

int main(int argc, char **argv) {
  signal(SIGSEGV, crashed);
  signal(SIGABRT, crashed);
  signal(SIGFPE, crashed);
  settings.slow = flag("--slow", argc, argv);
  settings.small = flag("--small", argc, argv);
  settings.kernels = flag("--kernels", argc, argv);
  for (int i = 1; i < argc; i++)
    if (argv[i][0] != '-' && op_find(argv[i]) == OP_COUNT) {
      fprintf(stderr, "test_ops: no op '%s'\n", argv[i]);
      return 2;
    }
  printf("%-18s %5s %7s %9s %9s %9s %17s %8s %s\n", "op", "cases", "refused", "forward", "backward",
         "differ.", "bf16: both", "seconds", "library allocations a call");
  for (int id = 0; id < OP_COUNT; id++) {
    if (!chosen(op_table[id]->name, argc, argv)) continue;
    memset(&report, 0, sizeof report);
    double start = omp_get_wtime();
    for (const OpCase *c = op_cases[id]; c->name; c++) check_case((OpId)id, c);
    printf("%-18s %5d %3d/%3d %9.1e %9.1e %9.1e  %.1e %.1e %8.1f %d\n", op_table[id]->name,
           report.cases, report.refused, report.mutations, report.errors.forward,
           report.errors.backward, report.difference, report.bf16.forward, report.bf16.backward,
           omp_get_wtime() - start, report.errors.foreign);
  }
  if (processor_no_bf16()) {
    printf("skip bf16 of every op: %s\n", processor_no_bf16());
    totals.skipped++;
  }
  check_other_forms(argc, argv);
  printf("%d passed, %d failed, %d skipped\n", totals.passed, totals.failed, totals.skipped);
  return totals.failed > 0;
}
