/* What cuDNN plans for a GPU that is not here: every convolution of the ops' cases and of the AMOS
 * and BTCV plans at the paper's scale, in BF16, float with TF32 and float, on sm_80 and sm_90. Each
 * has a precompiled engine within its workspace, which adds the bias where there is one to add. And
 * what cuBLASLt will be asked for, which names no algorithm without a GPU.
 * Nothing runs: what the engines compute, `make gpu-check` compares.
 *
 *   build/tests/test_plans [GPU ...]    of kernels/cuda/devices; at first a100 h100, each in a
 *                                       process of its own */
#include "kernels/op_case.h"
#include "lua/bind.h"
#include "src/train/config.h"
#include "src/train/footprint.h"
#include "tests/product_line.h"

#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#ifdef WITH_CUDA
#include "tests/gemm_stand_in.h"
#endif

static struct { int passed, failed, skipped; } totals;

static const int64_t MOST_WORKSPACE = (int64_t)1 << 30;

/* ---- graphs ---------------------------------------------------------------------------------- */

/* nnU-Net's plans as tests/test_planner.c finds them; AMOS's is the experiment's own. */
#define BTCV "patch=48,192,192", "strides=1,1,1,1,2,2,2,2,2,2,2,2,2,2,2,1,2,2"
static const struct {
  const char *name, *overrides[4];
} graphs[] = {
    {"AMOS nnU-Net", {"head=point_wise", "bridge=none"}},
    {"AMOS MaskMed", {0}},
    {"BTCV nnU-Net", {"head=point_wise", "bridge=none", BTCV}},
    {"BTCV MaskMed", {BTCV, "key_grid=12,24,24"}},
};

/* A product of a BF16 graph that would run without tensor cores, and costs something. */
static const Node *float_product(const Graph *graph) {
  for (int n = 0; n < graph->node_count; n++) {
    const Node *node = graph->nodes[n];
    const Call *call = &node->call;
    bool half = call->out[0].type == BF16, product = node->op == OP_linear ||
                                                     node->op == OP_matmul || node->op == OP_conv ||
                                                     node->op == OP_conv_transpose;
    for (int i = 0; i < call->n_in; i++) half = half || call->in[i].type == BF16;
    if (product && !half && op_cost(call).flops > 1e9) return node;
  }
  return NULL;
}

static void plan_graph(int index, const char *type, const Backend *gpu) {
  char *overrides[12] = {"scale=paper", "queries=1", "seeds=1", "device=cuda", (char *)type};
  int count = 5;
  for (int i = 0; i < 4 && graphs[index].overrides[i]; i++)
    overrides[count++] = (char *)graphs[index].overrides[i];
  json_t *plan = NULL;
  Error error = {""};
  Footprint f = {0};
  const Labelling plain = labelling_plain(16);
  bool good =
      experiment_read(".", "experiments/query_count.lua", count, overrides, NULL, &plan, &error);
  json_t *config = json_object_get(json_array_get(json_object_get(plan, "cells"), 0), "config");
  if (good) json_object_set_new(config, "home", json_string("."));
  good = good && footprint_make(&f, config, gpu, 1, &plain, &error);
  const Node *slow = good && !strcmp(type, "dtype=bf16") ? float_product(f.graph) : NULL;
  if (slow) good = fail(&error, "%s %s multiplies in float", slow->scope, slow->call.op->name);
  if (f.graph) footprint_free(&f);
  totals.passed += good;
  totals.failed += !good;
  if (!good) printf("FAIL %s, %s: %s\n", graphs[index].name, type, error.text);
  json_decref(plan);
}

/* ---- cases ----------------------------------------------------------------------------------- */

static bool call_make(Call *call, OpId id, const OpCase *c, bool half, Error *error) {
  const Op *op = op_table[id];
  *call = (Call){.op = op, .n_in = c->n_in, .n_out = op->n_out};
  void *options = calloc(1, op->options_bytes + 1);
  CHECK(options, "out of memory");
  call->options = options;
  options_defaults(op->options, options);
  for (int i = 0; i < c->n_in; i++) call->in[i] = tensor_make(F32, c->in[i].rank, c->in[i].dim);
  if (!options_parse(op->options, options, c->options, error) || !op->shape(call, error))
    return false;
  for (int i = 2; half && i < call->n_in; i++) call->in[i].type = BF16; /* after weight and bias */
  if (half) call->out[0].type = BF16;
  for (int i = 0; i < call->n_in; i++) call->din[i] = call->in[i];
  call->dout[0] = call->out[0];
  return true;
}

static void plan_case(OpId id, const OpCase *c, bool half, const Backend *gpu) {
  const Kernel *kernel = gpu->kernels[id];
  Error error = {""};
  Call call;
  bool good = call_make(&call, id, c, half, &error);
  for (int backward = 0; good && backward < 2; backward++) {
    call.backward = backward;
    for (int i = 0; backward && i < call.n_in; i++)
      if (!(call.op->constant & SAVES_IN(i))) call.wants |= SAVES_IN(i);
    good = kernel->prepare(&call, &error);
    if (good) kernel->release(&call);
  }
  free((void *)call.options);
  totals.passed += good;
  totals.failed += !good;
  if (!good) printf("FAIL %s, %s: %s\n", op_table[id]->name, c->name, error.text);
}

/* ---- the table ------------------------------------------------------------------------------- */

static const char *type_of(const ConvolutionChoice *c) {
  return c->shape.type == BF16 ? "bf16" : c->mode.tf32 == TF32_OFF ? "float" : "tf32";
}

static void print_choice(const ConvolutionChoice *c, void *user) {
  static const char *const passes[] = {"y", "dx", "dw"};
  const ConvolutionShape *s = &c->shape;
  const char *wrong = c->compiled                                        ? "compiled at run time"
                      : c->workspace > MOST_WORKSPACE                    ? "too much workspace"
                      : c->pass == CONVOLUTION_Y && c->bias && !c->fused ? "bias apart"
                      : c->shape.type == BF16 && !c->tensor_cores        ? "no tensor cores"
                                                                         : NULL;
  printf("%s%s%s%-5s %-5s %-2s %lld x %lldx%lldx%lld, %lld to %lld, %lldx%lldx%lld/%lld,%lld,%lld: "
         "engine %d%s%s%s, %.1f MiB\n",
         wrong ? "FAIL " : "", wrong ? wrong : "", wrong ? ": " : "", (const char *)user,
         type_of(c), passes[c->pass], (long long)s->batch, (long long)s->in[0], (long long)s->in[1],
         (long long)s->in[2], (long long)s->channels, (long long)s->outs, (long long)s->kernel[0],
         (long long)s->kernel[1], (long long)s->kernel[2], (long long)s->stride[0],
         (long long)s->stride[1], (long long)s->stride[2], c->engine, c->notes,
         c->fused ? " +bias" : "", s->adds ? " adds" : "", (double)c->workspace / 0x1p20);
  totals.passed += !wrong;
  totals.failed += wrong != NULL;
}

static int products;

/* The library multiplies BF16 on tensor cores where rows begin at multiples of 16 bytes; else it is
 * said here. */
static void look_at_product(const ProductChoice *c, void *user) {
  int64_t a = c->turn_a ? c->m : c->k, b = c->turn_b ? c->k : c->n;
  bool odd = c->in == BF16 && (a % 8 || b % 8);
  product_line(c, user);
  if (odd) printf("  rows of A or B that are no multiple of 16 bytes\n");
  products++;
}

static void plan_all(const Backend *gpu) {
  static const struct {
    const char *dtype;
    Tf32 tf32;
  } types[] = {{"dtype=bf16", TF32_CONV}, {"tf32=conv", TF32_CONV}, {"tf32=off", TF32_OFF}};
  static const OpId ops[] = {OP_conv, OP_conv_transpose};
  for (int t = 0; t < 3; t++) {
    kernel_mode = (KernelMode){.deterministic = true, .tf32 = types[t].tf32};
    for (int o = 0; o < 2; o++)
      for (const OpCase *c = op_cases[ops[o]]; c->name; c++) plan_case(ops[o], c, t == 0, gpu);
    for (int g = 0; g < (int)(sizeof graphs / sizeof *graphs); g++)
      plan_graph(g, types[t].dtype, gpu);
  }
}

/* ---- products: cuBLASLt cannot be asked without a GPU ---------------------------------------- */

static void check(bool good, const char *what) {
  totals.passed += good;
  totals.failed += !good;
  if (!good) printf("FAIL %s\n", what);
}

#ifdef WITH_CUDA
static void plan_products(void) {
  GemmAnswer whole = gemm_stand_in(true), apart = gemm_stand_in(false);
  check(whole.made && whole.launches == 1, "a product with its bias in the epilogue");
  check(apart.made, "no algorithm has the epilogue: the product is made without it");
  check(whole.algorithm == 7 && whole.splits == 9, "the algorithm that was chosen is told");
  check(apart.launches == 2 && apart.epilogue != whole.epilogue, "the bias is added apart");
  check(whole.null_biases + apart.null_biases == 0, "the bias has an address when it is asked for");
}
#else
static void plan_products(void) {
}
#endif

static int run(const char *name) {
  Error error = {""};
  const Backend *gpu = backend_planned(".", name, &error);
  if (gpu) {
    plan_all(gpu);
    backend_engines(print_choice, (void *)name);
    backend_products(look_at_product, (void *)name);
    check(products > 100, "the products of four nets in three types are listed");
    plan_products();
  } else {
    printf("SKIP: %s\n", error.text);
    totals.skipped++;
  }
  printf("%d passed, %d failed, %d skipped\n", totals.passed, totals.failed, totals.skipped);
  return totals.failed > 0;
}

int main(int argc, char **argv) {
  char *both[] = {"a100", "h100"}, **names = argc > 1 ? argv + 1 : both;
  int count = argc > 1 ? argc - 1 : 2, failed = 0, status;
  setvbuf(stdout, NULL, _IOLBF, 0);
  for (int i = 0; i < count; i++)
    if (fork() == 0) _exit(run(names[i]));
  while (wait(&status) > 0) failed |= status != 0;
  return failed;
}
