/* The kernels of one form, and what its compiler was allowed to use. */
#include "kernels/cpu/form.h"
#include "kernels/cpu/simd.h"
#include "kernels/op.h"

#define DECLARE_FAST(name)  extern const Kernel name##_cpu;
#define DECLARE_PLAIN(name) extern const Op op_##name##_float;
#define OP(name, cpu, cuda) DECLARE_##cpu(name)
#include "kernels/ops.def"
#undef OP

#define KERNEL_FAST(name)  &name##_cpu
#define KERNEL_PLAIN(name) &op_##name##_float.reference
const Kernel *const FORM_OF(kernels)[OP_COUNT] = {
#define OP(name, cpu, cuda) [OP_##name] = KERNEL_##cpu(name),
#include "kernels/ops.def"
#undef OP
};

const Isa FORM_OF(form_isa) = SIMD_ISA;
