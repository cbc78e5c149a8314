/* Attention as a framework without a fused kernel computes it: whole score matrices (N, heads, Tq,
 * Tk), the probabilities kept for backward, their gradient as large again. Kept to measure what
 * the tiled form saves. */
#ifndef KERNELS_CPU_ATTENTION_MATRIX_H
#define KERNELS_CPU_ATTENTION_MATRIX_H

#include "kernels/options.h"

/* Calls of op attention with naive = 1, float. */
size_t attention_matrix_scratch(const Call *call);
void attention_matrix_forward(const Call *call);
void attention_matrix_backward(const Call *call);

#endif
