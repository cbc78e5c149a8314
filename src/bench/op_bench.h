/* One case of one op, ready to be called forward and backward as the plan would call it: shapes
 * and options from the case table, random inputs, poisoned outputs, backward sees only what the op
 * saves. */
#ifndef BENCH_OP_BENCH_H
#define BENCH_OP_BENCH_H

#include "engine/backend.h"
#include "kernels/op_case.h"

typedef struct OpBench {
  OpId id;
  const OpCase *c;
  const Kernel *kernel;
  Call forward, backward;
  Tensor in[MAX_IN], out[MAX_OUT], din[MAX_IN], dout[MAX_OUT]; /* owned memory of the host */
  const Backend *place; /* with a device: where the calls' copies of them lie; else NULL */
  bool has_backward;
} OpBench;

/* The errors of forward and backward against the reference: the largest difference in a result,
 * relative to that result's largest element (whole numbers: any difference counts as 1), and what
 * is allowed there; of the result that is nearest to its limit, or farthest beyond. */
typedef struct OpCheck {
  double error[2], tolerance[2];
  const char *reference; /* "double"; where that takes too long "double, sampled" if the op's single
                            elements can be computed (src/bench/sample.h), else "portable float",
                            on a GPU "the CPU's float" */
} OpCheck;

/* real BF16: the operands that the kernel takes so, the others F32. */
bool op_bench_make(OpBench *bench, OpId id, const OpCase *c, DType real, const Kernel *kernel,
                   Error *error);
/* Moves the calls to a backend's device; its kernels were given to op_bench_make. */
bool op_bench_place(OpBench *bench, const Backend *backend, Error *error);
void op_bench_free(OpBench *bench);
void op_bench_forward(void *bench);
void op_bench_backward(void *bench);
/* Runs both passes of `bench` and of the reference; afterwards the outputs stand for backward. */
bool op_bench_check(OpBench *bench, OpCheck *check, Error *error);
/* The same by samples alone, of an op that sample_knows. */
void op_bench_sample(OpBench *bench, OpCheck *check);
/* Of the products: "bf16", "f32", or "tf32" where a GPU's library may round to it. */
const char *op_bench_dtype(const OpBench *bench);
size_t op_bench_bytes(const OpBench *bench); /* operands, gradients and scratch */
/* "(16,3,3,3,16) (16) (2,32,32,32,16) stride=2,2,2" */
void op_bench_shape(const OpBench *bench, char *text, size_t bytes);

#endif
