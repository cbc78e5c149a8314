/* The CUDA kernels on a GPU, on every case of their ops, against the double reference: forward and
 * backward, F32 and where they take it BF16, guards around every block, each call twice with equal
 * bits. Without a GPU: skipped.
 *
 *   build/tests/test_cuda [--bench] [--timed] [--tf32] [--device cuda:1] [NAME ...]
 *     --bench       the large shapes too, where the reference is quick enough; tests/test_sampled.c
 *                   looks at those of whole nets
 *     --timed       as a plain run chooses: library engines by their time, sums in any order;
 *                   without it as `run --deterministic` does
 *     --properties  only says what the card is, as kernels/cuda/devices/ would have it
 *     --tf32        float products in TF32, with the tolerance of its 10 bits; without it in
 *                   float */
#include "engine/backend.h"
#include "kernels/mode.h"
#include "tests/op_check.h"

#include <string.h>

static struct { int passed, failed, skipped; } totals;

static void check_case(const Backend *gpu, OpId id, const OpCase *c, DType type,
                       const OpRun *reference, OpErrors *errors) {
  Error error = {{0}};
  OpCheck check = {.id = id,
                   .c = c,
                   .kernel = gpu->kernels[id],
                   .type = type,
                   .precision = kernel_mode.tf32 == TF32_ON ? PRECISION_TF32 : PRECISION_GPU,
                   .reference = reference};
  op_run_on(gpu);
  bool good = op_check(&check, errors, &error);
  op_run_on(NULL);
  totals.passed += good;
  totals.failed += !good;
  if (!good)
    printf("FAIL %s, %s, %s: %s\n", op_table[id]->name, c->name, type == BF16 ? "bf16" : "f32",
           error.text);
  fflush(stdout);
}

/* The reference walks about 1e9 FLOP a second. */
static bool affordable(const OpRun *run) {
  Cost cost = op_cost(&run->call);
  return cost.flops + cost.bytes < 3e8;
}

static void check_op(const Backend *gpu, OpId id, bool bench) {
  OpErrors single = {0}, half = {0};
  for (const OpCase *c = op_cases[id]; c->name; c++) {
    Error error = {{0}};
    OpRun reference;
    if (c->bench && !bench) continue;
    bool good = op_case_run(&reference, id, c, F64, kernels_reference[id], &error);
    CHECK(good, "%s: %s", c->name, error.text);
    if (affordable(&reference)) {
      good = op_run_both(&reference, &error);
      CHECK(good, "%s: %s", c->name, error.text);
      check_case(gpu, id, c, F32, &reference, &single);
      if (gpu->kernels[id]->bf16) check_case(gpu, id, c, BF16, NULL, &half);
    } else {
      totals.skipped++;
    }
    op_run_free(&reference);
  }
  printf("%-18s f32 %9.1e %9.1e   bf16 %9.1e %9.1e\n", op_table[id]->name, single.forward,
         single.backward, half.forward, half.backward);
}

static bool chosen(const char *name, int count, char **names) {
  for (int i = 0; i < count; i++)
    if (strcmp(names[i], name) == 0) return true;
  return count == 0;
}

int main(int argc, char **argv) {
  bool bench = false, properties = false;
  const char *device = "cuda";
  char *names[OP_COUNT + 1];
  int count = 0;
  kernel_mode = (KernelMode){.deterministic = true, .tf32 = TF32_OFF};
  for (int i = 1; i < argc; i++) {
    if (strcmp(argv[i], "--bench") == 0)
      bench = true;
    else if (strcmp(argv[i], "--properties") == 0)
      properties = true;
    else if (strcmp(argv[i], "--timed") == 0)
      kernel_mode.deterministic = false;
    else if (strcmp(argv[i], "--tf32") == 0)
      kernel_mode.tf32 = TF32_ON;
    else if (strcmp(argv[i], "--device") == 0 && i + 1 < argc)
      device = argv[++i];
    else if (count < OP_COUNT)
      names[count++] = argv[i];
  }
  Error error = {{0}};
  const Backend *gpu = backend_open(device, &error);
  if (!gpu || !gpu->device) {
    printf("SKIP: %s\n0 passed, 0 failed, 1 skipped\n", error.text);
    return 0;
  }
  if (properties) {
    char text[4096];
    gpu->device->properties(text, sizeof text);
    puts(text);
    return 0;
  }
  printf("largest error relative to a result's largest element, forward and backward\n");
  for (int id = 0; id < OP_COUNT; id++) {
    if (!chosen(op_table[id]->name, count, names)) continue;
    if (gpu->kernels[id])
      check_op(gpu, (OpId)id, bench);
    else
      printf("%-18s no CUDA kernel\n", op_table[id]->name);
  }
  printf("%d passed, %d failed, %d skipped\n", totals.passed, totals.failed, totals.skipped);
  return totals.failed > 0;
}
