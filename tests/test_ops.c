/* Every op on every case of its table, in the order of suspicion: wrong shapes are refused; the
 * double reference agrees with finite differences; the float kernels, on one and on two threads,
 * agree with the double reference; asking for fewer gradients changes none of the others; in place
 * equals out of place. What each single call is watched for: tests/op_run.h.
 *
 *   build/tests/test_ops [--slow] [--small] [NAME ...]
 * --slow: the double reference also runs on the shapes where it takes seconds. --small: no bench
 * shapes and few finite differences (for memory checkers). */
#include "kernels/op_case.h"
#include "kernels/rng.h"
#include "tests/op_run.h"

#include <math.h>
#include <omp.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

static struct { bool slow, small; } settings;

static struct { int passed, failed, skipped; } totals;

/* What runs, for the message of a crash. */
static struct { const char *op, *name, *kernel; } running;

/* Of one op: the largest errors of the float kernels, relative to the largest element. */
static struct {
  double forward, backward, difference;
  int cases, refused, mutations, foreign;
} report;

/* ---- filling --------------------------------------------------------------------------------- */

static void fill_matching(Tensor *tensor, int classes, Rng *rng) {
  int64_t queries = tensor_last(tensor);
  for (int64_t row = 0; row < tensor_rows(tensor); row++) {
    for (int64_t q = 0; q < queries; q++) element_set(tensor, row * queries + q, -1);
    for (int c = 0; c < classes && c < queries; c++) {
      int64_t q = rng_below(rng, (uint32_t)queries);
      while (element(tensor, row * queries + q) >= 0) q = (q + 1) % queries;
      if (rng_below(rng, 4)) element_set(tensor, row * queries + q, c);
    }
  }
}

static double fill_draw(const CaseInput *input, Rng *rng) {
  if (input->fill == FILL_LABELS) return rng_below(rng, (uint32_t)input->bound);
  if (input->fill == FILL_POSITIVE) return (float)rng_between(rng, .5, 1.5);
  return (float)(rng_normal(rng) * (input->fill == FILL_GRID ? input->bound : 1));
}

/* The same values whatever the type: real ones are rounded to float. */
static void fill_input(Tensor *tensor, const CaseInput *input, uint64_t item) {
  Rng rng = rng_make(1, RNG_TEST, item);
  if (input->fill == FILL_MATCHING) {
    fill_matching(tensor, (int)input->bound, &rng);
    return;
  }
  for (int64_t i = 0; i < tensor_count(tensor); i++) element_set(tensor, i, fill_draw(input, &rng));
}

static void fill_run(OpRun *run, const OpCase *c) {
  static const CaseInput gradient = {.fill = FILL_NORMAL};
  for (int i = 0; i < run->call.n_in; i++) fill_input(&run->in[i], &c->in[i], (uint64_t)i);
  for (int i = 0; i < run->call.n_out; i++)
    if (run->dout[i].data) fill_input(&run->dout[i], &gradient, 100 + (uint64_t)i);
}

static void case_inputs(const OpCase *c, DType real, Tensor in[MAX_IN]) {
  for (int i = 0; i < c->n_in; i++) {
    bool whole = c->in[i].fill == FILL_LABELS || c->in[i].fill == FILL_MATCHING;
    in[i] = tensor_make(whole ? I32 : real, c->in[i].rank, c->in[i].dim);
  }
}

static bool run_make(OpRun *run, OpId id, const OpCase *c, DType real, const Kernel *kernel,
                     Error *error) {
  Tensor in[MAX_IN];
  case_inputs(c, real, in);
  if (!op_run_make(run, id, c->options, c->n_in, in, real, kernel, error)) return false;
  fill_run(run, c);
  return true;
}

/* ---- running and comparing
 * ------------------------------------------------------------------------------- */

static bool has_backward(const OpRun *run) {
  bool any = false;
  for (int i = 0; i < run->call.n_in; i++) any = any || run->din[i].data;
  return any;
}

static bool run_both(OpRun *run, Error *error) {
  if (!op_run_forward(run, error)) return false;
  report.foreign =
      run->foreign_allocations > report.foreign ? run->foreign_allocations : report.foreign;
  if (has_backward(run) && !op_run_backward(run, OP_RUN_ALL, OP_RUN_ALL, error)) return false;
  report.foreign =
      run->foreign_allocations > report.foreign ? run->foreign_allocations : report.foreign;
  return true;
}

static double largest(const Tensor *tensor) {
  double most = 0;
  for (int64_t i = 0; i < tensor_count(tensor); i++) most = fmax(most, fabs(element(tensor, i)));
  return most > 1e-12 ? most : 1; /* all zero in theory: the rounding error counts absolutely */
}

/* Within `tolerance` of the expected tensor's largest element; whole numbers exactly. */
static bool compare(const Tensor *found, const Tensor *expected, const char *name, int index,
                    double tolerance, double *worst, Error *error) {
  double scale = largest(expected);
  if (expected->type == I32) tolerance = 0;
  for (int64_t i = 0; i < tensor_count(expected); i++) {
    double error_here = fabs(element(found, i) - element(expected, i)) / scale;
    *worst = fmax(*worst, error_here);
    if (!(error_here <= tolerance)) /* NaN fails */
      return fail(error, "%s[%d]%s, element %lld: %.9g, expected %.9g (largest %.3g)", name, index,
                  tensor_shape_text(expected), (long long)i, element(found, i),
                  element(expected, i), scale);
  }
  return true;
}

static bool compare_outputs(const OpRun *found, const OpRun *expected, double tolerance,
                            Error *error) {
  for (int i = 0; i < found->call.n_out; i++)
    if (!compare(&found->out[i], &expected->out[i], "out", i, tolerance, &report.forward, error))
      return false;
  return true;
}

static bool compare_gradients(const OpRun *found, const OpRun *expected, int want, double tolerance,
                              Error *error) {
  for (int i = 0; i < found->call.n_in; i++)
    if (want >> i & 1 && found->din[i].data &&
        !compare(&found->din[i], &expected->din[i], "din", i, tolerance, &report.backward, error))
      return false;
  return true;
}

/* ---- (1) wrong shapes ------------------------------------------------------------------------ */

enum { DROP_AXIS, ADD_AXIS, LAST_AXIS, FIRST_AXIS, MUTATIONS };

static bool mutate(Tensor *tensor, int mutation) {
  int rank = tensor->rank;
  if (mutation == DROP_AXIS && rank > 0) tensor->rank--;
  if (mutation == ADD_AXIS && rank < MAX_RANK) tensor->dim[tensor->rank++] = 2;
  if (mutation == LAST_AXIS && rank > 0) tensor->dim[rank - 1]++;
  if (mutation == FIRST_AXIS && rank > 1) tensor->dim[0]++;
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
  fill_run(&run, c);
  bool good = run_both(&run, error) && all_finite(run.out, run.call.n_out, "out", error) &&
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
      case_inputs(c, F64, in);
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
    double scale = largest(&run->din[i]);
    for (int64_t k = 0; good && k < (count <= limit ? count : sample); k++) {
      int64_t e = count <= limit ? k : rng_below(&rng, (uint32_t)count);
      good = check_element(run, i, e, scale, out, error);
    }
  }
  free(out);
  return good && op_run_plain(run, error); /* the outputs of the unchanged inputs again */
}

/* ---- (6), (7) subsets and in place ----------------------------------------------------------- */

/* A gradient that does not arrive counts as zero. */
static bool check_missing_dout(OpId id, const OpCase *c, const OpRun *full, DType real,
                               double tolerance, Error *error) {
  for (int o = 0; full->call.n_out > 1 && o < full->call.n_out; o++) {
    if (!full->dout[o].data) continue;
    OpRun zero, missing;
    if (!run_make(&zero, id, c, F64, kernels_reference[id], error)) return false;
    bool good = run_make(&missing, id, c, real, full->kernel, error);
    CHECK(good, "the same case was made before");
    memset(zero.dout[o].data, 0, tensor_bytes(&zero.dout[o]));
    Error inner = {{0}};
    good = op_run_forward(&zero, &inner) && op_run_forward(&missing, &inner) &&
           op_run_backward(&zero, OP_RUN_ALL, OP_RUN_ALL, &inner) &&
           op_run_backward(&missing, OP_RUN_ALL, ~(1 << o), &inner) &&
           compare_gradients(&missing, &zero, OP_RUN_ALL, tolerance, &inner);
    op_run_free(&zero);
    op_run_free(&missing);
    if (!good) return fail(error, "without dout[%d]: %s", o, inner.text);
  }
  return true;
}

/* Expects run->din to be complete, leaves it so. */
static bool check_subsets(OpRun *run, const OpRun *expected, double tolerance, Error *error) {
  for (int i = 0; i < run->call.n_in; i++) {
    if (!run->din[i].data) continue;
    int subsets[] = {~(1 << i), 1 << i};
    for (int s = 0; s < 2; s++)
      if (!op_run_backward(run, subsets[s], OP_RUN_ALL, error) ||
          !compare_gradients(run, expected, subsets[s], tolerance, error))
        return false;
  }
  return op_run_backward(run, OP_RUN_ALL, OP_RUN_ALL, error);
}

static bool check_in_place(OpRun *run, Error *error) {
  if (!(run->call.op->flags & OP_INPLACE)) return true;
  if (!op_run_forward_in_place(run, error)) return false;
  return !run->din[0].data || op_run_backward_in_place(run, error);
}

/* ---- one case -------------------------------------------------------------------------------- */

/* `reference` may be NULL: then the kernel is only watched. */
static bool check_kernel(OpId id, const OpCase *c, const Kernel *kernel, const OpRun *reference,
                         Error *error) {
  double tolerance = c->tolerance > 0 ? c->tolerance : 1e-5;
  OpRun run;
  if (!run_make(&run, id, c, F32, kernel, error)) return false;
  bool good = run_both(&run, error);
  if (good && reference)
    good =
        compare_outputs(&run, reference, tolerance, error) &&
        (!has_backward(&run) || compare_gradients(&run, reference, OP_RUN_ALL, tolerance, error));
  if (good && reference && has_backward(&run) && !c->bench)
    good = check_subsets(&run, reference, tolerance, error) &&
           check_missing_dout(id, c, &run, F32, tolerance, error);
  good = good && check_in_place(&run, error);
  op_run_free(&run);
  return good;
}

static bool check_kernels(OpId id, const OpCase *c, const OpRun *reference, Error *error) {
  Error inner = {{0}};
  running.kernel = "portable";
  omp_set_num_threads(1);
  if (reference && !check_kernel(id, c, kernels_portable[id], reference, &inner))
    return fail(error, "portable: %s", inner.text);
  if (kernels_cpu[id] == kernels_portable[id]) return true;
  for (int threads = 1; threads <= 2; threads++) {
    running.kernel = threads == 1 ? "cpu, 1 thread" : "cpu, 2 threads";
    omp_set_num_threads(threads);
    if (!check_kernel(id, c, kernels_cpu[id], reference, &inner))
      return fail(error, "%s: %s", running.kernel, inner.text);
  }
  return true;
}

static bool check_reference(OpId id, const OpCase *c, OpRun *run, Error *error) {
  Error inner = {{0}};
  running.kernel = "reference";
  omp_set_num_threads(1);
  bool good = run_both(run, &inner);
  if (good && !c->bench)
    good = check_shapes(id, c, &inner) && check_in_place(run, &inner) &&
           (!has_backward(run) ||
            (check_differences(run, &inner) && check_missing_dout(id, c, run, F64, 1e-12, &inner)));
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
  bool good = run_make(&reference, id, c, F64, kernels_reference[id], &error);
  if (good) {
    compared = affordable(&reference);
    good = (!compared || check_reference(id, c, &reference, &error)) &&
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

int main(int argc, char **argv) {
  signal(SIGSEGV, crashed);
  signal(SIGABRT, crashed);
  signal(SIGFPE, crashed);
  settings.slow = flag("--slow", argc, argv);
  settings.small = flag("--small", argc, argv);
  for (int i = 1; i < argc; i++)
    if (argv[i][0] != '-' && op_find(argv[i]) == OP_COUNT) {
      fprintf(stderr, "test_ops: no op '%s'\n", argv[i]);
      return 2;
    }
  printf("%-18s %5s %7s %9s %9s %9s %8s %s\n", "op", "cases", "refused", "forward", "backward",
         "differ.", "seconds", "library allocations a call");
  for (int id = 0; id < OP_COUNT; id++) {
    if (!chosen(op_table[id]->name, argc, argv)) continue;
    memset(&report, 0, sizeof report);
    double start = omp_get_wtime();
    for (const OpCase *c = op_cases[id]; c->name; c++) check_case((OpId)id, c);
    printf("%-18s %5d %3d/%3d %9.1e %9.1e %9.1e %8.1f %d\n", op_table[id]->name, report.cases,
           report.refused, report.mutations, report.forward, report.backward, report.difference,
           omp_get_wtime() - start, report.foreign);
  }
  printf("%d passed, %d failed, %d skipped\n", totals.passed, totals.failed, totals.skipped);
  return totals.failed > 0;
}
