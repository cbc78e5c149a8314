/* The single elements themselves: element `at` of out[operand] or of din[operand], from a call that
 * has all its operands on the host (src/bench/sample.h). */
#ifndef BENCH_SAMPLE_ELEMENT_H
#define BENCH_SAMPLE_ELEMENT_H

#include "kernels/cpu/bf16.h"
#include "kernels/options.h"

typedef double SampleElement(const Call *call, int operand, int64_t at);

SampleElement sample_conv_y, sample_conv_dx, sample_conv_dw, sample_transpose_y,
    sample_transpose_dx, sample_transpose_dw;
/* The bias of a conv or conv_transpose. */
SampleElement sample_sum_db;
SampleElement sample_linear_y, sample_linear_dx, sample_linear_dw, sample_linear_db,
    sample_matmul_y, sample_matmul_da, sample_matmul_db, sample_attention_y, sample_attention_kept,
    sample_attention_dq;
/* k or v */
SampleElement sample_attention_dkv;
SampleElement sample_norm_y, sample_norm_dx;
/* gamma or beta */
SampleElement sample_norm_parameter;
SampleElement sample_deform_y;
/* offsets or weights */
SampleElement sample_deform_points;
/* values */
SampleElement sample_deform_values;

static inline double sample_value(const Tensor *tensor, int64_t at) {
  if (tensor->type == BF16) return (double)bf16_float(((const uint16_t *)tensor->data)[at]);
  return (double)((const float *)tensor->data)[at];
}

#endif
