/* The contract between the engine and the kernels: Tensor, Option, Op, Call, Kernel.
 *
 * Adding an op: kernels/NAME.c (its row and its reference loops), one line in ops.def, its option
 * struct in options.h, its cases in NAME.cases.c; a faster kernel in NAME.cpu.c and NAME.cu.
 *
 * Letters used for sizes: N batch, D H W axes (depth, height, width: always this order), C
 * channels, K queries, E hidden width, T tokens, L levels, P points. */
#ifndef KERNELS_OP_H
#define KERNELS_OP_H

#include "base/error.h"

#include <stddef.h>
#include <stdint.h>

/* ---- tensors --------------------------------------------------------------------------------- */

enum { MAX_RANK = 5, MAX_IN = 16, MAX_OUT = 4 };

typedef enum DType { F32, F64, BF16, I32 } DType;

/* A dense block, last axis fastest, no strides. Activations are channels last, (N, D, H, W, C):
 * a feature map is its own token matrix (N*D*H*W, C). Owns nothing. */
typedef struct Tensor {
  DType type;
  int rank; /* 0: a scalar */
  int64_t dim[MAX_RANK];
  void *data;
} Tensor;

size_t dtype_bytes(DType type);
int64_t tensor_count(const Tensor *tensor); /* elements */
size_t tensor_bytes(const Tensor *tensor);
/* Everything but the last axis, taken as one: the rows of the token matrix. */
int64_t tensor_rows(const Tensor *tensor);
int64_t tensor_last(const Tensor *tensor); /* channels; 1 for a scalar */
Tensor tensor_make(DType type, int rank, const int64_t *dim);
/* Shape (0): no numbers. It stands where an input is left out that the op's row calls optional. */
static inline bool tensor_absent(const Tensor *tensor) {
  return tensor->rank == 1 && tensor->dim[0] == 0;
}
/* "(2, 8, 9, 7, 16)" in a static ring of buffers, for messages. */
const char *tensor_shape_text(const Tensor *tensor);

/* ---- options: one table serves Lua, help, the hash and the docs ------------------------------ */

typedef enum OptionType {
  OPTION_INT,
  OPTION_FLOAT,
  OPTION_BOOL,
  OPTION_CHOICE,
  OPTION_INTS
} OptionType;

/* A list of whole numbers, e.g. strides {1,2,2} or widths {32,64,...}; nested lists arrive flat. */
enum { MAX_INTS = 36 }; /* three for each of twelve stages */
typedef struct Ints {
  int count;
  int v[MAX_INTS];
} Ints;

typedef struct Option {
  const char *name;
  OptionType type;
  size_t offset;       /* of the field in the options struct: int, double, int (bool), int, Ints */
  double fallback;     /* default; for OPTION_INTS the count stays 0 unless `ints` is given */
  double min, max;     /* allowed range, inclusive (each element of a list) */
  const char *choices; /* OPTION_CHOICE: "post|pre"; the field holds the index */
  const char *ints;    /* OPTION_INTS: default as text, "1,1,1" */
  const char *doc;
} Option;
/* A table ends with a row whose name is NULL. */

void options_defaults(const Option *table, void *options);

/* ---- ops ------------------------------------------------------------------------------------- */

typedef struct Op Op;

/* What a kernel sees. Forward reads in[], writes out[]. Backward reads dout[] and those in[]/out[]
 * that the op's row declares in `saves` for the gradients in `wants`; every other in/out has data
 * == NULL there (shapes are always valid). Backward overwrites din[], those of `adds` it adds to;
 * din[i].data == NULL means: not wanted (a frozen weight's, an image's).
 * dout[i].data == NULL means: no gradient arrives there, count it as zero. No gradient ever arrives
 * at an output i >= 1 that the row saves (a norm's mean, a log-sum-exp). */
typedef struct Call {
  const Op *op;
  const void *options; /* the op's struct from options.h */
  int n_in, n_out;
  Tensor in[MAX_IN], out[MAX_OUT];
  Tensor din[MAX_IN], dout[MAX_OUT];
  bool backward;
  unsigned wants; /* backward: SAVES_IN(i) of the gradients that are asked for, known to prepare */
  bool again; /* a second forward: outputs i >= 1 hold what the first wrote, only out[0] is asked */
  unsigned adds; /* backward: SAVES_IN(i) of the din[i] that hold a gradient, to be added to */
  size_t scratch_bytes; /* set by prepare; the plan provides `scratch`, 64-byte aligned */
  void *scratch;
  void *state;  /* the kernel's own, made by prepare, freed by release */
  void *stream; /* CUDA stream; NULL on the CPU */
} Call;

/* prepare runs once, before the plan, with shapes but without data: it sets scratch_bytes and may
 * keep primitives in state. forward and backward allocate nothing. */
typedef struct Kernel {
  void (*forward)(const Call *call);
  void (*backward)(const Call *call);
  bool (*prepare)(Call *call, Error *error); /* NULL: no scratch, no state */
  void (*release)(Call *call);               /* NULL: nothing to free */
  /* SAVES_IN(i) and SAVES_OUT(i) bits of the operands that may be stored as BF16 (arithmetic stays
   * in float); the bit of an operand is that of its gradient too. in[i].type says what a call got,
   * and din[i].type equals it, as dout[i].type equals out[i].type. The engine stores a value as
   * BF16 when every kernel that touches it declares it, so the operands of one call may differ in
   * type, unless bf16_together asks that the declared ones are all BF16 or all F32. */
  unsigned bf16;
  bool bf16_together;
  /* No operand may. A fast kernel says this or gives `bf16` (tests/run kernel_rows): a forgotten
   * mask would be no error, it would only keep what the kernel touches in float. */
  bool float_only;
  unsigned adds; /* SAVES_IN(i) of the din[i] that backward can add to: Call.adds has no others */
} Kernel;

/* The data of an optional input; NULL: it is left out. Data of no bytes may lie anywhere. */
static inline void *input_data(const Call *call, int i) {
  return tensor_absent(&call->in[i]) ? NULL : call->in[i].data;
}

/* Floating-point operations (multiply and add count as two) and bytes that must move at least. */
typedef struct Cost {
  double flops, bytes;
} Cost;

enum {
  SAVES_OUT_SHIFT = 16,
  SAVES_ALL_IN = 0xffff,
  OP_NO_GRADIENT = 1, /* no output has a gradient */
  OP_CONSTANT = 2,    /* no inputs: computed once, kept */
  OP_INPLACE = 4,     /* out[0] may share the memory of in[0] (backward: din[0] that of dout[0]) */
  OP_AGAIN = 8,       /* out[0] is cheap beside what backward saves of the inputs anyway: it is
                         computed again for the gradients that read it, not kept (Call.again) */
  OP_UNORDERED = 16,  /* on a GPU the gradients' last bits may differ from call to call, unless
                         kernel_mode.deterministic (kernels/mode.h) */
  OP_VIEW = 32, /* out[0] is in[0] under another shape: the plan gives them one memory, also while
                   in[0] is still read; the kernel does nothing there, elsewhere it copies */
};
#define SAVES_IN(i)  (1u << (i))
#define SAVES_OUT(i) (1u << ((i) + SAVES_OUT_SHIFT))

/* One operator: a const row at the end of kernels/NAME.c. */
struct Op {
  const char *name, *doc;
  int min_in, max_in, n_out;
  unsigned flags;
  /* SAVES_IN/SAVES_OUT bits of what backward reads for the gradient of in[i]: a linear layer's
   * weight for that of x, x for that of the weight, so that what is frozen keeps nothing. */
  unsigned saves[MAX_IN];
  /* Optional: those of them that matter under the options of this call. */
  unsigned (*saves_at)(const Call *call);
  unsigned constant; /* SAVES_IN bits of inputs that never get a gradient (labels, masks) */
  /* Optional: of more of them, that get none under these options: a step, whole numbers. */
  unsigned (*constant_at)(const Call *call);
  /* Optional: SAVES_IN bits of those among them that forward writes under these options: buffers
   * (running statistics). Once a step: such an op is OP_AGAIN, and the second forward leaves them
   * as they are. */
  unsigned (*updates)(const Call *call);
  unsigned optional; /* SAVES_IN bits of inputs that may be left out (tensor_absent): a bias */
  const Option *options;
  size_t options_bytes;
  /* Fills out[].type/rank/dim from in[] and options, or says what does not fit. Real outputs take
   * the type of in[0] unless the op says otherwise; those of an OP_CONSTANT, F32 here, that of the
   * graph. */
  bool (*shape)(Call *call, Error *error);
  /* Optional; without it flops = 0. bytes: leave 0 for "every operand once". */
  void (*cost)(const Call *call, Cost *cost);
  /* Optional, of ops that sum products in float: of how many terms an element of out[0] is the sum
   * (gradient < 0), or one of din[gradient]. Without it sums are short, or run in double. */
  int64_t (*terms)(const Call *call, int gradient);
  Kernel reference;
};

/* ---- writing NAME.c -----------------------------------------------------------------------------
 * The file is compiled twice, with REAL = float (the portable CPU kernel) and REAL = double (the
 * oracle). Loops use REAL for every real operand and double for sums. The row is
 *     const Op OP_ROW(conv) = { .name = "conv", ... };
 * which declares op_conv_float or op_conv_double. Nothing else is exported. */
#ifndef REAL
#define REAL float
#endif
#define OP_PASTE2(name, real) op_##name##_##real
#define OP_PASTE(name, real)  OP_PASTE2(name, real)
#define OP_ROW(name)          OP_PASTE(name, REAL)

/* ---- the table (ops.def) --------------------------------------------------------------------- */

typedef enum OpId {
#define OP(name, cpu, cuda) OP_##name,
#include "kernels/ops.def"
#undef OP
  OP_COUNT
} OpId;

extern const Op *const op_table[OP_COUNT]; /* float rows: names, shapes, options, costs */
extern const Kernel *const kernels_reference[OP_COUNT]; /* double */
extern const Kernel *const kernels_portable[OP_COUNT];  /* float, reference loops */
/* float, the fastest that the processor can run: filled before main (kernels/cpu/form.h) */
extern const Kernel *kernels_cpu[OP_COUNT];

OpId op_find(const char *name); /* OP_COUNT when there is none */
/* SAVES_IN/SAVES_OUT bits of what backward reads in this call, for the gradients in call->wants. */
unsigned op_saves(const Call *call);
/* Of what it reads at most, for all gradients and under all options. */
unsigned op_saves_ever(const Op *op);
/* SAVES_IN bits of the inputs that get no gradient in this call. */
unsigned op_constant(const Call *call);
/* SAVES_IN bits of the buffers that this call's forward writes. */
unsigned op_updates(const Call *call);
/* The op's cost at the shapes of this call, bytes filled in; backward if call->backward. */
Cost op_cost(const Call *call);

#endif
