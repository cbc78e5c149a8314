#include "src/bench/bench.h"
#include "base/nearest.h"
#include "kernels/mode.h"
#include "kernels/op_case.h"
#include "src/bench/formula.h"
#include "src/bench/op_bench.h"
#include "src/bench/pytorch.h"
#include "src/bench/row.h"
#include "src/bench/step.h"
#include "src/machine/processors.h"

#include <math.h>
#include <string.h>

/* ---- selection: which benches a filter means ------------------------------------------------- */

typedef struct Chosen {
  OpId op; /* with c */
  const OpCase *c;
  const StepCase *step; /* or a step */
} Chosen;

enum { STEPS_MAX = 16 };

/* "conv, quick s0" or "step:unet-32". */
static void chosen_name(const Chosen *chosen, char *text, size_t bytes) {
  if (chosen->step)
    snprintf(text, bytes, "step:%s", chosen->step->name);
  else
    snprintf(text, bytes, "%s, %s", op_table[chosen->op]->name, chosen->c->name);
}

static bool fits(const Chosen *chosen, const char *filter) {
  char name[160];
  chosen_name(chosen, name, sizeof name);
  if (chosen->step) return !strncmp(filter, "step", 4) && !strncmp(name, filter, strlen(filter));
  OpId op = op_find(filter);
  return op == OP_COUNT ? strstr(name, filter) != NULL : op == chosen->op;
}

/* A step's whole name: it means that step alone, not those whose names go on after it. */
static bool is_step(const Chosen *all, int count, const char *filter) {
  char name[160];
  for (int i = 0; i < count; i++) {
    chosen_name(&all[i], name, sizeof name);
    if (all[i].step && !strcmp(name, filter)) return true;
  }
  return false;
}

static bool unknown(const char *filter, Error *error) {
  const char *names[OP_COUNT + STEPS_MAX];
  char steps[STEPS_MAX][64];
  int count = 0;
  for (; count < OP_COUNT; count++) names[count] = op_table[count]->name;
  for (int i = 0; step_cases[i].name && i < STEPS_MAX; i++) {
    snprintf(steps[i], sizeof steps[i], "step:%s", step_cases[i].name);
    names[count++] = steps[i];
  }
  return fail(error, "no bench fits \"%s\"%s", filter,
              nearest_hint(filter, names, count, "`harness bench --list` names them all").text);
}

/* Marks which of `all` a filter means; with no filter the ops. */
static bool take(const BenchOptions *options, const Chosen *all, int count, bool *wanted,
                 Error *error) {
  for (int i = 0; i < count; i++) wanted[i] = !options->filters && !all[i].step;
  for (int f = 0; f < options->filters; f++) {
    bool any = false, whole = is_step(all, count, options->filter[f]);
    for (int i = 0; i < count; i++) {
      if (!fits(&all[i], options->filter[f]) || (whole && !is_step(&all[i], 1, options->filter[f])))
        continue;
      wanted[i] = any = true;
    }
    if (!any) return unknown(options->filter[f], error);
  }
  return true;
}

static int every(const Backend *backend, Chosen *all) {
  int count = 0;
  for (int id = 0; id < OP_COUNT; id++)
    for (const OpCase *c = op_cases[id]; c->name; c++) {
      if (!c->bench) continue;
      if (all) all[count] = (Chosen){(OpId)id, c, NULL};
      count++;
    }
  for (const StepCase *s = step_cases; s->name; s++) {
    if (!step_on(s, backend)) continue;
    if (all) all[count] = (Chosen){OP_COUNT, NULL, s};
    count++;
  }
  return count;
}

/* The chosen benches in the table's order (malloced). A filter is an op's name, which means that
 * op alone; `step` or step:NAME, a whole name meaning that step alone; or a part of "op, case". No
 * filter: every bench case of every op. false with the nearest name when one of the filters fits
 * nothing. */
static bool selection_make(const BenchOptions *options, Chosen **list, int *count, Error *error) {
  int total = every(options->backend, NULL);
  *list = calloc((size_t)total, sizeof **list);
  bool *wanted = calloc((size_t)total, sizeof *wanted);
  CHECK(*list && wanted, "no memory for %d benches", total);
  every(options->backend, *list);
  *count = 0;
  bool good = take(options, *list, total, wanted, error);
  for (int i = 0; good && i < total; i++)
    if (wanted[i]) (*list)[(*count)++] = (*list)[i];
  free(wanted);
  if (!good) free(*list);
  if (!good) *list = NULL;
  return good;
}

/* ---- ops ------------------------------------------------------------------------------------- */

/* Marks the rows that show what `--deterministic` costs. */
static const char *price_text(const Session *session) {
  return kernel_mode.deterministic && !session->options->deterministic ? ", deterministic" : "";
}

/* A case that could not be made: the run goes on. */
static void give_up(Session *session, BenchRow *row, bool lacks, const Error *why) {
  row_give_up(row, lacks || error_of_memory(why), why);
  session_add(session, row);
}

static void name_op(const Session *session, const Chosen *chosen, const char *dtype,
                    BenchRow *row) {
  row->dtype = dtype;
  snprintf(row->kernel, sizeof row->kernel, "%s", op_table[chosen->op]->name);
  snprintf(row->name, sizeof row->name, "%s%s", chosen->c->name, price_text(session));
}

/* Cold is what counts: within a step the operands of an op were last touched long ago. */
static void time_op(Session *session, const Chosen *chosen, OpBench *bench, const OpCheck *check,
                    bool backward) {
  BenchRow row = row_make();
  Cost cost = op_cost(backward ? &bench->backward : &bench->forward);
  const TimingLimits *limits = &session->options->limits;
  Machine machine = machine_for(&session->machine, op_bench_dtype(bench));
  Work work = {.run = backward ? op_bench_backward : op_bench_forward,
               .user = bench,
               .device = session->machine.device};
  name_op(session, chosen, op_bench_dtype(bench), &row);
  op_bench_shape(bench, row.shape, sizeof row.shape);
  row.pass = backward ? "backward" : "forward";
  row.error = check->error[backward];
  row.tolerance = check->tolerance[backward];
  row.reference = check->reference;
  row.flops = cost.flops;
  row.bytes = cost.bytes;
  row.least_us = machine_least_us(&machine, cost.flops, cost.bytes, &row.bound);
  row.ceilings[0] = machine.fma_gflops;
  row.ceilings[1] = machine.copy_gbps;
  formula_text(chosen->op, backward ? &bench->backward : &bench->forward, cost.flops, row.formula,
               sizeof row.formula);
  row.traffic = formula_bytes(chosen->op);
  if (!row_wrong(&row)) {
    if (work.device) work.recorded = work.device->record(work.run, work.user);
    timing_warm(&work, limits);
    timing_run(&work, NULL, limits, &row.hot);
    timing_run(&work, &session->flush, limits, &row.cold);
    session_clock(session, &row);
    if (work.device) work.device->forget(work.recorded);
  }
  session_add(session, &row);
}

static void bench_typed(Session *session, const Chosen *chosen, DType type) {
  const Backend *backend = session->options->backend;
  OpBench bench;
  OpCheck check;
  Error error = {""};
  bool made =
      op_bench_make(&bench, chosen->op, chosen->c, type, backend->kernels[chosen->op], &error);
  if (made && (!backend->device || op_bench_place(&bench, backend, &error)) &&
      op_bench_check(&bench, &check, &error)) {
    if (!price_text(session)[0]) time_op(session, chosen, &bench, &check, false);
    if (bench.has_backward) time_op(session, chosen, &bench, &check, true);
  } else {
    BenchRow row = row_make();
    name_op(session, chosen, type == BF16 ? "bf16" : "f32", &row);
    give_up(session, &row, false, &error);
  }
  if (made) op_bench_free(&bench);
}

static void bench_types(Session *session, const Chosen *chosen) {
  const Backend *backend = session->options->backend;
  bench_typed(session, chosen, F32);
  if (backend->device && backend->kernels[chosen->op]->bf16) bench_typed(session, chosen, BF16);
}

/* On a GPU in both types, on the CPU in float; what is not deterministic there, once more so. */
static void bench_op(Session *session, const Chosen *chosen) {
  const Backend *backend = session->options->backend;
  if (!backend->kernels[chosen->op]) {
    BenchRow row = row_make();
    Error none = {""};
    fail(&none, "there is no %s kernel yet", backend->name);
    name_op(session, chosen, "f32", &row);
    give_up(session, &row, true, &none);
    return;
  }
  bool unordered = backend->device && op_table[chosen->op]->flags & OP_UNORDERED;
  bench_types(session, chosen);
  if (!unordered || session->options->deterministic || session->options->no_price) return;
  kernel_mode.deterministic = true;
  bench_types(session, chosen);
  kernel_mode.deterministic = false;
}

/* ---- whole steps ----------------------------------------------------------------------------- */

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

static void time_made(Session *session, const StepCase *c, Step *step, BenchRow *row) {
  Error error = {""};
  const TimingLimits *limits = &session->options->limits;
  step_describe(step, c, &session->machine, row);
  Work work = {.run = step_run, .user = step};
  timing_warm(&work, limits);
  timing_run(&work, NULL, limits, &row->hot);
  session_clock(session, row);
  if (!isfinite(step_loss(step))) {
    fail(&error, "the loss is not finite, its time would mean nothing");
    row_give_up(row, false, &error);
  }
  bool profiled = session->options->profile && !row->failed && !price_text(session)[0];
  session_add(session, row);
  if (profiled) profile_step(session, c, step);
}

static void time_step(Session *session, const StepCase *c) {
  Step step;
  Error error = {""};
  const BenchOptions *o = session->options;
  BenchRow row = row_make();
  step_name(c, &row);
  if (price_text(session)[0]) snprintf(row.name, sizeof row.name, "deterministic");
  if (!step_works(c, o->backend, &error)) {
    give_up(session, &row, true, &error);
  } else if (!step_make_on(&step, c, o->backend, o->home, o->threads, &error)) {
    give_up(session, &row, false, &error);
  } else {
    time_made(session, c, &step, &row);
    step_free(&step);
  }
}

static void bench_step(Session *session, const StepCase *c) {
  const BenchOptions *o = session->options;
  bool price = o->backend->device && !o->deterministic && !o->no_price;
  time_step(session, c);
  if (!price) return;
  kernel_mode.deterministic = true;
  time_step(session, c);
  kernel_mode.deterministic = false;
}

/* ---- the run --------------------------------------------------------------------------------- */

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
    for (int i = 0; i < count && !session_interrupted(); i++)
      if (list[i].step)
        bench_step(&session, list[i].step);
      else
        bench_op(&session, &list[i]);
    wrong = session.wrong;
    good = session_end(&session, error);
  }
  free(list);
  if (!good) return 3;
  if (session_interrupted()) return 75;
  return session_verdict(wrong, error);
}
