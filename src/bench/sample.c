#include "src/bench/sample.h"
#include "base/rng.h"
#include "src/bench/sample_element.h"

#include <math.h>

enum { MANY = 4096, SOME = 1024, FEW = 64 };

/* ---- the table ----------------------------------------------------------------------------------
 */

typedef struct Target {
  SampleElement *evaluate; /* NULL: not compared */
  int samples;
} Target;

/* din of the operands beyond the last are computed as the last. */
typedef struct Sampler {
  OpId id;
  Target out[2], din[4];
} Sampler;

static const Sampler samplers[] = {
    {OP_conv,
     {{sample_conv_y, MANY}},
     {{sample_conv_dw, FEW}, {sample_sum_db, FEW}, {sample_conv_dx, MANY}}},
    {OP_conv_transpose,
     {{sample_transpose_y, MANY}},
     {{sample_transpose_dw, FEW}, {sample_sum_db, FEW}, {sample_transpose_dx, MANY}}},
    {OP_linear,
     {{sample_linear_y, MANY}},
     {{sample_linear_dw, FEW}, {sample_linear_db, FEW}, {sample_linear_dx, MANY}}},
    {OP_matmul, {{sample_matmul_y, MANY}}, {{sample_matmul_da, MANY}, {sample_matmul_db, FEW}}},
    {OP_attention,
     {{sample_attention_y, SOME}, {sample_attention_lse, FEW}},
     {{sample_attention_dq, FEW}, {sample_attention_dkv, FEW}, {sample_attention_dkv, FEW}, {0}}},
    {OP_deform_attention,
     {{sample_deform_y, MANY}},
     {{sample_deform_points, MANY}, {sample_deform_points, MANY}, {sample_deform_values, FEW}}},
    {OP_instance_norm,
     {{sample_norm_y, FEW}},
     {{sample_norm_parameter, 4}, {sample_norm_parameter, 4}, {sample_norm_dx, FEW}}},
};

static const Sampler *sampler_of(OpId id) {
  for (size_t i = 0; i < sizeof samplers / sizeof *samplers; i++)
    if (samplers[i].id == id) return &samplers[i];
  return NULL;
}

bool sample_knows(OpId id) {
  return sampler_of(id) != NULL;
}

/* A quarter of the samples at either end, the others anywhere. */
static int64_t sample_place(int64_t count, int samples, int i) {
  Rng rng = rng_make(1, RNG_TEST, (uint64_t)i);
  if (count <= samples) return i;
  if (i < samples / 4) return i;
  if (i < samples / 2) return count - 1 - (i - samples / 4);
  return (int64_t)(rng_between(&rng, 0, 1) * (double)(count - 1));
}

static double compare(const Call *call, const Tensor *found, const Target *target, int operand) {
  int64_t count = found->data && target->evaluate ? tensor_count(found) : 0;
  int samples = count < target->samples ? (int)count : target->samples;
  double worst = 0, largest = 0;
#pragma omp parallel for schedule(dynamic) reduction(max : worst, largest)
  for (int i = 0; i < samples; i++) {
    int64_t at = sample_place(count, samples, i);
    double expected = target->evaluate(call, operand, at),
           apart = fabs(sample_value(found, at) - expected);
    worst = fmax(worst, isnan(apart) ? INFINITY : apart);
    largest = fmax(largest, fabs(expected));
  }
  return worst / (largest > 1e-12 ? largest : 1);
}

double sample_error_out(OpId id, const Call *call, int i) {
  return i < 2 ? compare(call, &call->out[i], &sampler_of(id)->out[i], i) : 0;
}

double sample_error_din(OpId id, const Call *call, int i) {
  const Sampler *s = sampler_of(id);
  int last = 3;
  while (!s->din[last].evaluate) last--;
  return compare(call, &call->din[i], &s->din[i < last ? i : last], i);
}
