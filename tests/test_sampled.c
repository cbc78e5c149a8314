/* The shapes of whole nets, op by op: every different node of a training graph, its kernels against
 * the double reference, or where that would walk too long against single elements computed anew in
 * double (src/bench/sample.h). Before that the samples themselves, on the ops' cases: with nothing
 * wrong they agree, with one wrong element at either end they do not.
 *
 *   build/tests/test_sampled [--paper] [--device cuda] [--timed] [--tf32] [NAME ...]
 *     --paper   the AMOS plan at the paper's scale; without it the nets of `quick`
 *     --device  kernels of a GPU; without it the CPU's fast ones
 *     --timed   engines by their time, as a plain run; without it as `run --deterministic`
 *     --tf32    float products in TF32
 *     --bf16    storage in BF16 alone
 *     --engines at last the engines of cuDNN and the algorithms of cuBLASLt that were used
 *     --part    2/14: the second of every fourteen nodes, so that several processes share them */
#include "kernels/cpu/processor.h"
#include "kernels/mode.h"
#include "lua/bind.h"
#include "src/bench/op_bench.h"
#include "src/bench/sample.h"
#include "src/train/config.h"
#include "src/train/footprint.h"
#include "tests/product_line.h"

#include <math.h>
#include <string.h>

static struct { int passed, failed, skipped; } totals;

static void count(bool good) {
  totals.passed += good;
  totals.failed += !good;
}

/* ---- the samples ----------------------------------------------------------------------------- */

static bool errors_small(const OpCheck *check) {
  return check->error[0] < 1e-5 && check->error[1] < 3e-5;
}

static Call on_host(const OpBench *b) {
  Call call = b->backward;
  for (int i = 0; i < call.n_in; i++)
    call.in[i].data = b->in[i].data, call.din[i].data = b->din[i].data;
  for (int i = 0; i < call.n_out; i++)
    call.out[i].data = b->out[i].data, call.dout[i].data = b->dout[i].data;
  return call;
}

static float largest(const Tensor *t) {
  float most = 0;
  for (int64_t i = 0; i < tensor_count(t); i++) most = fmaxf(most, fabsf(((float *)t->data)[i]));
  return most;
}

/* With one element changed of din[gradient] (< 0: of out[0]), `where` it is: that must show. */
static bool sees(const OpBench *b, int gradient, int64_t where) {
  const Tensor *result = gradient < 0 ? &b->out[0] : &b->din[gradient];
  float *at = (float *)result->data + where, kept = *at;
  Call call = on_host(b);
  *at += 1 + largest(result); /* errors are told beside the largest, too */
  double error =
      gradient < 0 ? sample_error_out(b->id, &call, 0) : sample_error_din(b->id, &call, gradient);
  *at = kept;
  return error > 1e-2;
}

static bool sees_all(OpBench *b) {
  bool good = true;
  for (int i = 0; i < b->forward.n_in; i++) {
    if (!b->din[i].data) continue;
    int64_t last = tensor_count(&b->din[i]) - 1;
    good = good && sees(b, i, 0) && sees(b, i, last);
  }
  return good && sees(b, -1, 0) && sees(b, -1, tensor_count(&b->out[0]) - 1);
}

static void check_samples(OpId id, const OpCase *c) {
  Error error = {""};
  OpBench b;
  OpCheck check;
  if (!op_bench_make(&b, id, c, F32, kernels_portable[id], &error)) {
    printf("FAIL %s, %s: %s\n", op_table[id]->name, c->name, error.text);
    count(false);
    return;
  }
  op_bench_sample(&b, &check);
  bool small = errors_small(&check), seen = sees_all(&b);
  count(small && seen);
  if (!small || !seen)
    printf("FAIL samples of %s, %s: errors %.1e and %.1e%s\n", op_table[id]->name, c->name,
           check.error[0], check.error[1], seen ? "" : "; a wrong element is not seen");
  op_bench_free(&b);
}

/* ---- cases out of nodes ---------------------------------------------------------------------- */

static size_t put_choice(const Option *o, int index, char *text, size_t bytes) {
  const char *name = o->choices;
  for (; index > 0; index--) name = strchr(name, '|') + 1;
  return (size_t)snprintf(text, bytes, "%s=%.*s", o->name, (int)strcspn(name, "|"), name);
}

static size_t put_ints(const Option *o, const Ints *ints, char *text, size_t bytes) {
  size_t used = (size_t)snprintf(text, bytes, "%s=", o->name);
  for (int i = 0; i < ints->count && used < bytes; i++)
    used += (size_t)snprintf(text + used, bytes - used, i ? ",%d" : "%d", ints->v[i]);
  return used;
}

/* As options_parse reads them; a list that is empty is left out. */
static void options_text(const Call *call, char *text, size_t bytes) {
  size_t used = 0;
  text[0] = 0;
  for (const Option *o = call->op->options; o && o->name && used < bytes; o++) {
    const char *at = (const char *)call->options + o->offset;
    const Ints *ints = (const Ints *)(const void *)at;
    int whole = *(const int *)(const void *)at;
    if (o->type == OPTION_INTS && ints->count == 0) continue;
    if (used) used += (size_t)snprintf(text + used, bytes - used, " ");
    char *to = text + used;
    size_t room = bytes - used;
    used += o->type == OPTION_INTS     ? put_ints(o, ints, to, room)
            : o->type == OPTION_CHOICE ? put_choice(o, whole, to, room)
            : o->type == OPTION_FLOAT
                ? (size_t)snprintf(to, room, "%s=%.9g", o->name, *(const double *)(const void *)at)
                : (size_t)snprintf(to, room, "%s=%d", o->name, whole);
  }
}

typedef struct NodeCase {
  OpId id;
  OpCase c;
  char name[64], options[512];
} NodeCase;

static Fill fill_of(OpId id, const Tensor *in, int i) {
  bool norm = id == OP_instance_norm || id == OP_batch_norm || id == OP_layer_norm;
  if (in->type == I32) return in->rank == 2 ? FILL_MATCHING : FILL_LABELS;
  if (id == OP_deform_attention && i == 0) return FILL_GRID;
  if (in->rank == 3 && (id == OP_box_loss || (id == OP_match && i == 4))) return FILL_BOXES;
  return norm && i == 0 ? FILL_POSITIVE : FILL_NORMAL;
}

static void case_make(NodeCase *c, const Node *node) {
  const Call *call = &node->call;
  *c = (NodeCase){.id = node->op};
  snprintf(c->name, sizeof c->name, "%.63s", node->scope);
  options_text(call, c->options, sizeof c->options);
  c->c.n_in = call->n_in;
  for (int i = 0; i < call->n_in; i++) {
    CaseInput *in = &c->c.in[i];
    in->rank = call->in[i].rank;
    memcpy(in->dim, call->in[i].dim, sizeof in->dim);
    in->fill = fill_of(node->op, &call->in[i], i);
    in->bound = in->fill == FILL_GRID ? 2 : 16;
  }
}

static bool same(const NodeCase *a, const NodeCase *b) {
  bool equal = a->id == b->id && a->c.n_in == b->c.n_in && !strcmp(a->options, b->options);
  for (int i = 0; equal && i < a->c.n_in; i++)
    equal = a->c.in[i].rank == b->c.in[i].rank &&
            !memcmp(a->c.in[i].dim, b->c.in[i].dim, sizeof a->c.in[i].dim);
  return equal;
}

enum { CASES_MAX = 1024 };
static NodeCase *cases;
static int cases_found;

static void collect(const Graph *graph) {
  for (int n = 0; n < graph->node_count; n++) {
    const Node *node = graph->nodes[n];
    NodeCase *c = &cases[cases_found];
    if (node->call.backward || node->call.again) continue;
    CHECK(cases_found < CASES_MAX, "more than %d different nodes", CASES_MAX);
    case_make(c, node);
    int i = 0;
    while (!same(&cases[i], c)) i++;
    cases_found += i == cases_found;
  }
}

static void collect_graph(bool paper, char *head, char *bridge) {
  char *overrides[] = {paper ? "scale=paper" : "scale=quick", "queries=1", "seeds=1", head, bridge};
  Error error = {""};
  json_t *plan = NULL;
  Footprint f;
  const Labelling plain = labelling_plain(16);
  if (!experiment_read(".", "experiments/query_count.lua",
                       bridge ? 5
                       : head ? 4
                              : 3,
                       overrides, NULL, &plan, &error))
    CHECK(false, "%s", error.text);
  json_t *config = json_object_get(json_array_get(json_object_get(plan, "cells"), 0), "config");
  json_object_set_new(config, "home", json_string("."));
  CHECK(footprint_make(&f, config, &backend_cpu, 1, &plain, &error), "%s", error.text);
  collect(f.graph);
  footprint_free(&f);
  json_decref(plan);
}

/* ---- comparing ------------------------------------------------------------------------------- */

static void check_case(const Backend *backend, const NodeCase *c, DType type) {
  Error error = {""};
  OpBench b;
  OpCheck check = {.reference = ""};
  OpCase one = c->c;
  one.name = c->name;
  one.options = c->options;
  bool good = op_bench_make(&b, c->id, &one, type, backend->kernels[c->id], &error);
  bool made = good;
  good = good && (!backend->device || op_bench_place(&b, backend, &error)) &&
         op_bench_check(&b, &check, &error);
  bool right = good && check.error[0] <= check.tolerance[0] && check.error[1] <= check.tolerance[1];
  count(right);
  if (made) {
    char shape[256];
    op_bench_shape(&b, shape, sizeof shape);
    printf("%s%-16s %-5s %8.1e %8.1e  %-16s %s %s%s\n", right ? "" : "FAIL ", op_table[c->id]->name,
           op_bench_dtype(&b), check.error[0], check.error[1], check.reference, c->name, shape,
           error.text);
    op_bench_free(&b);
  } else {
    printf("FAIL %s, %s: %s\n", op_table[c->id]->name, c->name, error.text);
  }
}

static void print_engine(const ConvolutionChoice *c, void *user) {
  static const char *const passes[] = {"y", "dx", "dw"};
  const ConvolutionShape *s = &c->shape;
  (void)user;
  printf("engine %-4s %-2s %lld x %lldx%lldx%lld, %lld to %lld, %lldx%lldx%lld/%lld,%lld,%lld: "
         "%d%s%s, %.1f MiB, %.3f ms\n",
         s->type == BF16            ? "bf16"
         : c->mode.tf32 == TF32_OFF ? "f32"
                                    : "tf32",
         passes[c->pass], (long long)s->batch, (long long)s->in[0], (long long)s->in[1],
         (long long)s->in[2], (long long)s->channels, (long long)s->outs, (long long)s->kernel[0],
         (long long)s->kernel[1], (long long)s->kernel[2], (long long)s->stride[0],
         (long long)s->stride[1], (long long)s->stride[2], c->engine, c->notes,
         c->fused ? " +bias" : "", (double)c->workspace / 0x1p20, 1e3 * c->seconds);
}

static void print_product(const ProductChoice *c, void *user) {
  (void)user;
  product_line(c, "product");
}

static bool chosen(const char *name, int names, char **list) {
  for (int i = 0; i < names; i++)
    if (!strcmp(list[i], name)) return true;
  return names == 0;
}

int main(int argc, char **argv) {
  bool paper = false, engines = false, with_float = true;
  int part = 1, parts = 1;
  const char *device = "cpu";
  char *names[OP_COUNT + 1];
  int count_names = 0;
  kernel_mode = (KernelMode){.deterministic = true, .tf32 = TF32_CONV};
  for (int i = 1; i < argc; i++) {
    if (!strcmp(argv[i], "--paper"))
      paper = true;
    else if (!strcmp(argv[i], "--engines"))
      engines = true;
    else if (!strcmp(argv[i], "--bf16"))
      with_float = false;
    else if (!strcmp(argv[i], "--timed"))
      kernel_mode.deterministic = false;
    else if (!strcmp(argv[i], "--tf32"))
      kernel_mode.tf32 = TF32_ON;
    else if (!strcmp(argv[i], "--device") && i + 1 < argc)
      device = argv[++i];
    else if (!strcmp(argv[i], "--part") && i + 1 < argc)
      CHECK(sscanf(argv[++i], "%d/%d", &part, &parts) == 2 && parts > 0, "--part K/N, found %s",
            argv[i]);
    else if (count_names < OP_COUNT)
      names[count_names++] = argv[i];
  }
  Error error = {""};
  const Backend *backend = backend_open(device, &error);
  if (!backend) {
    printf("SKIP: %s\n0 passed, 0 failed, 1 skipped\n", error.text);
    return 0;
  }
  setvbuf(stdout, NULL, _IOLBF, 0);
  for (int id = 0; id < OP_COUNT && !paper; id++)
    for (const OpCase *c = op_cases[id]; sample_knows((OpId)id) && c->name; c++)
      if (!c->bench && chosen(op_table[id]->name, count_names, names)) check_samples((OpId)id, c);
  cases = calloc(CASES_MAX + 1, sizeof *cases);
  CHECK(cases, "no memory");
  collect_graph(paper, NULL, NULL);
  collect_graph(paper, "head=point_wise", "bridge=none");
  collect_graph(paper, "bridge=standard", NULL);
  int seen = 0;
  for (int i = 0; i < cases_found; i++) {
    const Kernel *kernel = backend->kernels[cases[i].id];
    if (!kernel || !chosen(op_table[cases[i].id]->name, count_names, names)) continue;
    if (seen++ % parts != part - 1) continue;
    if (with_float) check_case(backend, &cases[i], F32);
    if (kernel->bf16 && (backend->device || !processor_no_bf16()))
      check_case(backend, &cases[i], BF16);
  }
  if (engines) backend_engines(print_engine, NULL);
  if (engines) backend_products(print_product, NULL);
  printf("%d passed, %d failed, %d skipped\n", totals.passed, totals.failed, totals.skipped);
  return totals.failed > 0;
}
