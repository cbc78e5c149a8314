/* Runs one op on one kernel at Call level as the plan would, but suspiciously: every buffer stands
 * between canaries, outputs and scratch are poisoned with NaN before each call, inputs are sealed,
 * backward sees only what the op saves, every call is made twice and must give the same bits, and
 * the second must not allocate. */
#ifndef TESTS_OP_RUN_H
#define TESTS_OP_RUN_H

#include "engine/backend.h"
#include "kernels/op.h"

typedef struct OpRun {
  Call call; /* shapes, options; every data pointer NULL */
  const Kernel *kernel;
  Tensor in[MAX_IN], out[MAX_OUT], din[MAX_IN], dout[MAX_OUT]; /* guarded memory, owned */
  Tensor updated[MAX_IN];  /* the same: in[i] as forward leaves it, where it writes it */
  int foreign_allocations; /* of the last call: made by libraries, reported, no failure */
} OpRun;

enum { OP_RUN_ALL = -1 };

/* Kernels called from here on work in this backend's memory: every guarded block is carried there
 * before a call and back after it. NULL: they work in the host's, as at the start. */
void op_run_on(const Backend *backend);

/* Parses options, infers shapes, allocates all tensors. `in` gives types and shapes; `real` is the
 * type of a constant op's output; BF16: operands given as F32 are stored as BF16 where the kernel
 * takes that. On failure nothing is left to free. */
bool op_run_make(OpRun *run, OpId op, const char *options, int n_in, const Tensor *in, DType real,
                 const Kernel *kernel, Error *error);
void op_run_free(OpRun *run);

/* Reads run->in, writes run->out and run->updated. */
bool op_run_forward(OpRun *run, Error *error);
/* After it: the second forward of an OP_AGAIN op (Call.again), which must give the same bits of
 * out[0] and leave all else as it is. */
bool op_run_forward_again(OpRun *run, Error *error);
/* Reads run->dout, and of in and out what the op saves; writes run->din. Bit i of `want`: din[i] is
 * asked for; bit i of `given`: dout[i] arrives. Bits of inputs and outputs without a gradient are
 * ignored. */
bool op_run_backward(OpRun *run, int want, int given, Error *error);
/* All of them; to before[i], where it has data, din[i] is added (Call.adds). */
bool op_run_backward_adding(OpRun *run, const Tensor *before, Error *error);
/* The same with out[0] in the memory of in[0] (backward: din[0] in that of dout[0]): the result
 * must equal what run->out (run->din) holds, bit by bit. */
bool op_run_forward_in_place(OpRun *run, Error *error);
bool op_run_backward_in_place(OpRun *run, Error *error);

/* forward once, unchecked: for finite differences. */
bool op_run_plain(OpRun *run, Error *error);

double element(const Tensor *tensor, int64_t i);
void element_set(Tensor *tensor, int64_t i, double value);

#endif
