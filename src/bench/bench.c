#include "src/bench/bench.h"
#include "src/bench/against.h"
#include "src/bench/op_bench.h"
#include "src/bench/selection.h"
#include "src/bench/session.h"
#include "src/store/processors.h"

#include <math.h>
#include <string.h>

/* ---- ops ----------------------------------------------------------------------------------------
 */

/* The ceiling of arithmetic on this row's operands: BF16 is multiplied by the matrix units. */
static Machine machine_for(const Session *session, const char *dtype) {
  Machine machine = session->machine;
  if (!strcmp(dtype, "bf16") && machine.matrix_gflops > 0)
    machine.fma_gflops = machine.matrix_gflops;
  return machine;
}

/* Cold is what counts: within a step the operands of an op were last touched long ago. */
static void time_op(Session *session, OpBench *bench, const OpCheck *check, const char *dtype,
                    bool backward) {
  BenchRow row = row_make();
  Cost cost = op_cost(backward ? &bench->backward : &bench->forward);
  const TimingLimits *limits = &session->options->limits;
  Machine machine = machine_for(session, dtype);
  Work work = {.run = backward ? op_bench_backward : op_bench_forward,
               .user = bench,
               .device = session->machine.device};
  row.dtype = dtype;
  snprintf(row.kernel, sizeof row.kernel, "%s", op_table[bench->id]->name);
  snprintf(row.name, sizeof row.name, "%s", bench->c->name);
  op_bench_shape(bench, row.shape, sizeof row.shape);
  row.pass = backward ? "backward" : "forward";
  row.error = check->error[backward];
  row.tolerance = check->tolerance;
  row.reference = check->reference;
  row.flops = cost.flops;
  row.bytes = cost.bytes;
  row.least_us = machine_least_us(&machine, cost.flops, cost.bytes, &row.bound);
  if (!row_wrong(&row)) {
    if (work.device) work.recorded = work.device->record(work.run, work.user);
    timing_warm(&work, limits);
    timing_run(&work, NULL, limits, &row.hot);
    timing_run(&work, &session->flush, limits, &row.cold);
    if (work.device) work.device->forget(work.recorded);
  }
  session_add(session, &row);
}

static bool bench_typed(Session *session, const Chosen *chosen, DType type, Error *error) {
  const Backend *backend = session->options->backend;
  const char *dtype = type == BF16 ? "bf16" : "f32";
  OpBench bench;
  OpCheck check;
  if (!op_bench_make(&bench, chosen->op, chosen->c, type, backend->kernels[chosen->op], error))
    return false;
  bool good = (!backend->device || op_bench_place(&bench, backend, error)) &&
              op_bench_check(&bench, &check, error);
  if (good) time_op(session, &bench, &check, dtype, false);
  if (good && bench.has_backward) time_op(session, &bench, &check, dtype, true);
  op_bench_free(&bench);
  return good;
}

/* On a GPU in both types, on the CPU in float. */
static bool bench_op(Session *session, const Chosen *chosen, Error *error) {
  const Backend *backend = session->options->backend;
  const Kernel *kernel = backend->kernels[chosen->op];
  Error inner = {""};
  char name[160];
  chosen_name(chosen, name, sizeof name);
  if (!kernel) {
    fprintf(stderr, "%s: no %s kernel\n", name, backend->name);
    return true;
  }
  bool good = bench_typed(session, chosen, F32, &inner);
  if (good && backend->device && kernel->bf16) good = bench_typed(session, chosen, BF16, &inner);
  return good || fail(error, "%s: %s", name, inner.text);
}

/* ---- whole steps --------------------------------------------------------------------------------
 */

static bool bench_step(Session *session, const StepCase *c, Error *error) {
  Step step;
  const BenchOptions *o = session->options;
  if (!step_make_on(&step, c, o->backend, o->home, o->threads, error)) return false;
  BenchRow row = row_make();
  Machine machine = machine_for(session, step_dtype(c));
  step_describe(&step, c, &machine, &row);
  Work work = {.run = step_run, .user = &step};
  timing_warm(&work, &o->limits);
  timing_run(&work, NULL, &o->limits, &row.hot);
  bool good = isfinite(step_loss(&step)) ||
              fail(error, "step:%s: the loss is not finite: the times mean nothing", c->name);
  session_add(session, &row);
  step_free(&step);
  return good;
}

/* ---- the run ------------------------------------------------------------------------------------
 */

static int widest(const Chosen *list, int count) {
  int width = 12;
  char name[160];
  for (int i = 0; i < count; i++) {
    chosen_name(&list[i], name, sizeof name);
    int length = (int)strlen(name);
    width = length > width ? length : width;
  }
  return width;
}

static void print_list(const Chosen *list, int count) {
  char name[160];
  for (int i = 0; i < count; i++) {
    chosen_name(&list[i], name, sizeof name);
    puts(name);
  }
}

/* Before the first thread starts; a peer, which this process starts, is bound to the same. */
static void claim_processors(int threads) {
  int list[PROCESSORS_MAX], count = processors_list(list);
  if (threads <= count) processors_claim(processors_scope(), list, count, threads);
}

int bench_run(const BenchOptions *options, Error *error) {
  if (options->first_step) return first_step_main(options, options->first_step, error);
  if (!options->list) claim_processors(options->threads);
  if (options->against) return against_run(options, error);
  Chosen *list;
  int count;
  if (!selection_make(options, &list, &count, error)) return 2;
  bool good = true;
  int wrong = 0;
  if (options->list) {
    print_list(list, count);
  } else {
    Session session = session_begin(options, widest(list, count));
    for (int i = 0; good && i < count && !session_interrupted(); i++)
      good = list[i].step ? bench_step(&session, list[i].step, error)
                          : bench_op(&session, &list[i], error);
    wrong = session.wrong;
    good = session_end(&session, error) && good;
  }
  free(list);
  if (!good) return 3;
  if (session_interrupted()) return 75;
  if (!wrong) return 0;
  fail(error, "%d row%s beyond the tolerance: wrong kernels were not timed", wrong,
       wrong > 1 ? "s are" : " is");
  return 1;
}
