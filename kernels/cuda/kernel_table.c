/* The CUDA kernels by op, NULL where there is none; compiled a second time for the emulator, which
 * has those that are all ours. */
#include "kernels/cuda/kernel_table.h"

#ifdef CUDA_EMULATOR
#define SYMBOL(name) name##_emulated
#define TABLE        kernels_emulated
#define DECLARE_LIBRARY(name)
#define KERNEL_LIBRARY(name) NULL
#else
#define SYMBOL(name)          name##_cuda
#define TABLE                 kernels_cuda
#define DECLARE_LIBRARY(name) extern const Kernel SYMBOL(name);
#define KERNEL_LIBRARY(name)  &SYMBOL(name)
#endif

#define DECLARE_CUDA(name) extern const Kernel SYMBOL(name);
#define KERNEL_CUDA(name)  &SYMBOL(name)
#define DECLARE_NONE(name)
#define KERNEL_NONE(name) NULL

#define OP(name, cpu, cuda) DECLARE_##cuda(name)
#include "kernels/ops.def"
#undef OP

const Kernel *const TABLE[OP_COUNT] = {
#define OP(name, cpu, cuda) KERNEL_##cuda(name),
#include "kernels/ops.def"
#undef OP
};
