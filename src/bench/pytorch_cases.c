/* Our side of every comparison with PyTorch: the Dice metric, single ops, whole steps. */
#include "base/rng.h"
#include "kernels/mode.h"
#include "kernels/options.h"
#include "src/bench/formula.h"
#include "src/bench/pytorch.h"
#include "src/data/metrics/score.h"

#include <math.h>
#include <string.h>

/* ---- Dice ------------------------------------------------------------------------------------ */

enum { DICE_LABELS = 16, DICE_VOXELS = 64 * 192 * 160 };

struct DiceMaps {
  uint8_t prediction[DICE_VOXELS], reference[DICE_VOXELS];
  Score score[DICE_LABELS];
};

static void dice_run(void *user) {
  struct DiceMaps *maps = user;
  static const Grid grid = {.dim = {64, 192, 160}, .spacing = {1, 1, 1}};
  Error error;
  score_labels(maps->reference, maps->prediction, &grid, DICE_LABELS, NULL, maps->score, &error);
}

static bool dice_make(HarnessSide *side, const Session *session, Error *error) {
  side->maps = calloc(1, sizeof *side->maps);
  if (!side->maps) return fail(error, "no memory for two label maps");
  Rng rng = rng_make(1, RNG_TEST, 0);
  for (int i = 0; i < DICE_VOXELS; i++) {
    uint32_t draw = rng_u32(&rng);
    side->maps->prediction[i] = draw & 15;
    side->maps->reference[i] = draw >> 4 & 15;
  }
  snprintf(side->row.formula, sizeof side->row.formula, "none that is counted");
  side->row.traffic = "every voxel of both maps once";
  side->work = (Work){.run = dice_run, .user = side->maps};
  side->row.bytes = 2 * DICE_VOXELS;
  side->row.pass = "forward";
  side->row.least_us = machine_least_us(&session->machine, 0, side->row.bytes, &side->row.bound);
  snprintf(side->row.shape, sizeof side->row.shape, "(64,192,160) labels=16");
  side->request =
      json_pack("{s:s, s:i, s:i}", "bench", "dice", "labels", DICE_LABELS, "voxels", DICE_VOXELS);
  return true;
}

/* ---- ops ------------------------------------------------------------------------------------- */

static void both_run(void *bench) {
  op_bench_forward(bench);
  if (((OpBench *)bench)->has_backward) op_bench_backward(bench);
}

static json_t *grids(const int *sizes, int count) {
  json_t *list = json_array();
  for (int i = 0; i < count; i++)
    json_array_append_new(list,
                          json_pack("[i,i,i]", sizes[3 * i], sizes[3 * i + 1], sizes[3 * i + 2]));
  return list;
}

static json_t *deform_request(const OpBench *bench) {
  const DeformAttentionOptions *o = bench->forward.options;
  int levels = bench->forward.n_in - 2, value[3 * MAX_IN];
  for (int l = 0; l < levels; l++)
    for (int a = 0; a < 3; a++) value[3 * l + a] = (int)bench->forward.in[2 + l].dim[1 + a];
  return json_pack("{s:s, s:i, s:i, s:i, s:i, s:o, s:o}", "bench", "deform_attention", "batch",
                   (int)bench->forward.in[0].dim[0], "heads", o->heads, "points", o->points,
                   "width", (int)tensor_last(&bench->forward.in[2]), "query_grids",
                   grids(o->query_grids.v, o->query_grids.count / 3), "value_grids",
                   grids(value, levels));
}

static json_t *match_request(const OpBench *bench) {
  const int64_t *dim = bench->forward.in[0].dim;
  int64_t voxels = tensor_count(&bench->forward.in[2]) / dim[0];
  return json_pack("{s:s, s:I, s:I, s:I, s:I}", "bench", "match", "batch", (json_int_t)dim[0],
                   "queries", (json_int_t)dim[1], "classes", (json_int_t)dim[2] - 1, "voxels",
                   (json_int_t)voxels);
}

/* The op on its own shapes; what is padded has zeros there. */
static json_t *grid_request(const OpBench *bench) {
  const GridAttentionOptions *o = bench->forward.options;
  const int64_t *dim = bench->forward.in[0].dim;
  return json_pack("{s:s, s:I, s:I, s:I, s:I, s:i, s:i}", "bench", "grid_attention", "slices",
                   (json_int_t)(dim[0] * dim[1]), "height", (json_int_t)dim[2], "width",
                   (json_int_t)dim[3], "embed", (json_int_t)dim[4] / 3, "heads", o->heads, "window",
                   o->window);
}

static json_t *op_request(const OpBench *bench) {
  return bench->id == OP_match            ? match_request(bench)
         : bench->id == OP_grid_attention ? grid_request(bench)
                                          : deform_request(bench);
}

/* Of both passes. */
static void formulas(const OpBench *bench, const Cost *forward, const Cost *backward,
                     BenchRow *row) {
  char text[2][110];
  formula_text(bench->id, &bench->forward, forward->flops, text[0], sizeof text[0]);
  formula_text(bench->id, &bench->backward, backward->flops, text[1], sizeof text[1]);
  snprintf(row->formula, sizeof row->formula, "%s%s%s", text[0],
           bench->has_backward ? "; backward " : "", bench->has_backward ? text[1] : "");
  row->traffic = formula_bytes(bench->id);
}

static bool op_make(HarnessSide *side, const PeerCase *c, const Session *session, Error *error) {
  OpBench *bench = &side->op;
  BenchRow *row = &side->row;
  OpCheck check;
  const Backend *backend = session->options->backend;
  DType type = strcmp(c->dtype, "bf16") ? F32 : BF16;
  if (!op_bench_make(bench, c->op, c->c, type, backend->kernels[c->op], error) ||
      (backend->device && !op_bench_place(bench, backend, error)) ||
      !op_bench_check(bench, &check, error))
    return false;
  Cost cost = op_cost(&bench->forward), back = {0, 0};
  if (bench->has_backward) back = op_cost(&bench->backward);
  op_bench_shape(bench, row->shape, sizeof row->shape);
  row->pass = bench->has_backward ? "both" : "forward";
  int worse = check.error[1] * check.tolerance[0] > check.error[0] * check.tolerance[1];
  row->error = check.error[worse];
  row->tolerance = check.tolerance[worse];
  row->reference = check.reference;
  row->flops = cost.flops + back.flops;
  row->bytes = cost.bytes + back.bytes;
  row->dtype = op_bench_dtype(bench);
  row->least_us = machine_least_us(&session->machine, row->flops, row->bytes, &row->bound);
  row->ceilings[0] = session->machine.fma_gflops;
  row->ceilings[1] = session->machine.copy_gbps;
  formulas(bench, &cost, &back, row);
  side->work = (Work){.run = both_run, .user = bench, .device = backend->device};
  if (backend->device) {
    row->peak_bytes = (double)op_bench_bytes(bench);
    side->work.recorded = backend->device->record(both_run, bench);
  }
  side->request = op_request(bench);
  return true;
}

/* ---- blocks ---------------------------------------------------------------------------------- */

static bool block_side(HarnessSide *side, const PeerCase *c, const Session *session, Error *error) {
  const BlockCase *b = c->block;
  const Backend *backend = session->options->backend;
  DType storage = strcmp(c->dtype, "bf16") ? F32 : BF16;
  if (!block_make(&side->block, b, storage, backend, error)) return false;
  block_describe(&side->block, b, &session->machine, &side->row);
  side->work = (Work){.run = block_run, .user = &side->block, .device = backend->device};
  if (backend->device) side->work.recorded = backend->device->record(block_run, &side->block);
  side->request = json_pack("{s:s, s:i, s:i, s:i, s:i}", "bench", "sam_block", "grid", b->grid,
                            "embed", b->width, "heads", b->heads, "window", b->window);
  return true;
}

/* ---- steps ----------------------------------------------------------------------------------- */

static json_t *nested(const json_t *list) {
  json_t *out = json_array();
  bool flat = json_is_integer(json_array_get(list, 0));
  for (size_t i = 0; flat && i + 2 < json_array_size(list); i += 3) {
    json_t *triple = json_array();
    for (size_t a = 0; a < 3; a++) json_array_append(triple, json_array_get(list, i + a));
    json_array_append_new(out, triple);
  }
  if (flat) return out;
  json_decref(out);
  return json_deep_copy(list);
}

static bool step_side(HarnessSide *side, const PeerCase *c, const Session *session, Error *error) {
  Step *step = &side->step;
  const BenchOptions *o = session->options;
  side->lacks = !step_works(c->step, o->backend, error);
  if (side->lacks || !step_make_on(step, c->step, o->backend, o->home, o->threads, error))
    return false;
  step_describe(step, c->step, &session->machine, &side->row);
  side->work = (Work){.run = step_run, .user = step};
  json_t *config = json_deep_copy(step->config);
  const char *const triples[] = {"strides", "kernels"};
  for (int i = 0; i < 2; i++)
    json_object_set_new(config, triples[i], nested(json_object_get(config, triples[i])));
  side->request = json_pack("{s:s, s:o, s:i, s:i}", "bench", "step", "config", config, "classes",
                            step->classes, "channels", step->channels);
  return true;
}

static void name_row(const PeerCase *c, BenchRow *row) {
  row->dtype = c->dtype;
  if (c->step) step_name(c->step, row);
  if (c->block) snprintf(row->kernel, sizeof row->kernel, "%s", c->block->name);
  if (c->block) row->pass = "both";
  if (c->c) snprintf(row->name, sizeof row->name, "%s", c->c->name);
  if (!c->step && !c->block)
    snprintf(row->kernel, sizeof row->kernel, "%s", c->c ? op_table[c->op]->name : "dice");
  if (!c->first) return;
  snprintf(row->kernel, sizeof row->kernel, "first-step:%s", c->step->name);
  row->pass = "start";
}

bool side_make(HarnessSide *side, const PeerCase *c, const Session *session, Error *error) {
  *side = (HarnessSide){.row = row_make()};
  name_row(c, &side->row);
  bool good = c->step    ? step_side(side, c, session, error)
              : c->block ? block_side(side, c, session, error)
              : c->c     ? op_make(side, c, session, error)
                         : dice_make(side, session, error);
  if (!good) {
    side->lacks = side->lacks || error_of_memory(error);
    side_free(side);
    return false;
  }
  json_object_set_new(side->request, "threads", json_integer(session->options->threads));
  json_object_set_new(side->request, "dtype", json_string(c->dtype));
  json_object_set_new(side->request, "device",
                      json_string(session->options->device ? session->options->device : "cpu"));
  json_object_set_new(side->request, "tf32", json_string(tf32_name(kernel_mode.tf32)));
  json_object_set_new(side->request, "compile", json_boolean(session->options->compile));
  json_object_set_new(side->request, "seconds", json_real(session->options->limits.seconds));
  return true;
}

void side_free(HarnessSide *side) {
  if (side->work.recorded) side->work.device->forget(side->work.recorded);
  if (side->op.kernel) op_bench_free(&side->op);
  if (side->block.params) block_free(&side->block);
  if (side->step.config) step_free(&side->step);
  free(side->maps);
  json_decref(side->request);
  side->request = NULL;
}
