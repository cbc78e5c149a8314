#include "src/bench/bench.h"
#include "kernels/mode.h"
#include "src/bench/against.h"
#include "src/bench/op_bench.h"
#include "src/bench/selection.h"
#include "src/bench/session.h"
#include "src/store/processors.h"

#include <math.h>
#include <string.h>

/* ---- ops ----------------------------------------------------------------------------------------
 */

/* Marks the rows that show what `--deterministic` costs. */
static const char *price_text(const Session *session) {
  return kernel_mode.deterministic && !session->options->deterministic ? ", deterministic" : "";
}

/* Cold is what counts: within a step the operands of an op were last touched long ago. */
static void time_op(Session *session, OpBench *bench, const OpCheck *check, const char *dtype,
                    bool backward) {
  BenchRow row = row_make();
  Cost cost = op_cost(backward ? &bench->backward : &bench->forward);
  const TimingLimits *limits = &session->options->limits;
  Machine machine = machine_for(&session->machine, dtype);
  Work work = {.run = backward ? op_bench_backward : op_bench_forward,
               .user = bench,
               .device = session->machine.device};
  row.dtype = dtype;
  snprintf(row.kernel, sizeof row.kernel, "%s", op_table[bench->id]->name);
  snprintf(row.name, sizeof row.name, "%s%s", bench->c->name, price_text(session));
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
  OpBench bench;
  OpCheck check;
  if (!op_bench_make(&bench, chosen->op, chosen->c, type, backend->kernels[chosen->op], error))
    return false;
  bool good = (!backend->device || op_bench_place(&bench, backend, error)) &&
              op_bench_check(&bench, &check, error);
  const char *dtype = good ? op_bench_dtype(&bench) : "";
  if (good && !price_text(session)[0]) time_op(session, &bench, &check, dtype, false);
  if (good && bench.has_backward) time_op(session, &bench, &check, dtype, true);
  op_bench_free(&bench);
  return good;
}

static bool bench_types(Session *session, const Chosen *chosen, Error *error) {
  const Backend *backend = session->options->backend;
  bool both = backend->device && backend->kernels[chosen->op]->bf16;
  return bench_typed(session, chosen, F32, error) &&
         (!both || bench_typed(session, chosen, BF16, error));
}

/* On a GPU in both types, on the CPU in float; what is not deterministic there, once more so. */
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
  bool unordered = backend->device && op_table[chosen->op]->flags & OP_UNORDERED;
  bool good = bench_types(session, chosen, &inner);
  if (good && unordered && !session->options->deterministic && !session->options->no_price) {
    kernel_mode.deterministic = true;
    good = bench_types(session, chosen, &inner);
    kernel_mode.deterministic = false;
  }
  return good || fail(error, "%s: %s", name, inner.text);
}

/* ---- whole steps --------------------------------------------------------------------------------
 */

/* On a GPU by marks in the captured step. */
static void profile_step(const Session *session, const StepCase *c, Step *step) {
  enum { STEPS = 10, NODES = 40 };
  Machine machine = machine_for(&session->machine, step_dtype(c));
  Ceiling ceiling = {machine.fma_gflops, machine.copy_gbps};
  step->stepper.profile = true;
  step_run(step); /* captures it anew */
  for (int i = 0; i < step->graph->node_count; i++) step->graph->nodes[i]->seconds = 0;
  for (int i = 0; i < STEPS; i++) step_run(step);
  step->stepper.profile = false;
  fprintf(stderr, "step:%s, profile of %d steps; update %.3f ms", c->name, STEPS,
          1e3 * step->stepper.update_s);
  if (step->stepper.launches) fprintf(stderr, ", %d launches captured", step->stepper.launches);
  fprintf(stderr, "\n");
  plan_profile_print(step->plan, STEPS, &ceiling, stderr);
  plan_profile_nodes(step->plan, STEPS, &ceiling, NODES, stderr);
}

static bool time_step(Session *session, const StepCase *c, Error *error) {
  Step step;
  const BenchOptions *o = session->options;
  if (!step_make_on(&step, c, o->backend, o->home, o->threads, error)) return false;
  BenchRow row = row_make();
  step_describe(&step, c, &session->machine, &row);
  if (price_text(session)[0]) snprintf(row.name, sizeof row.name, "deterministic");
  Work work = {.run = step_run, .user = &step};
  timing_warm(&work, &o->limits);
  timing_run(&work, NULL, &o->limits, &row.hot);
  bool good = isfinite(step_loss(&step)) ||
              fail(error, "step:%s: the loss is not finite: the times mean nothing", c->name);
  session_add(session, &row);
  if (good && session->options->profile && !price_text(session)[0]) profile_step(session, c, &step);
  step_free(&step);
  return good;
}

static bool bench_step(Session *session, const StepCase *c, Error *error) {
  const BenchOptions *o = session->options;
  bool price = o->backend->device && !o->deterministic && !o->no_price;
  bool good = time_step(session, c, error);
  if (!good || !price) return good;
  kernel_mode.deterministic = true;
  good = time_step(session, c, error);
  kernel_mode.deterministic = false;
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
