/* The CUDA kernels: the real ones exist in a CUDA build, the emulated ones in tests. */
#ifndef KERNELS_CUDA_KERNEL_TABLE_H
#define KERNELS_CUDA_KERNEL_TABLE_H

#include "kernels/op.h"
#include "kernels/volumes/volume_ops.h"

extern const Kernel *const kernels_cuda[OP_COUNT];
extern const Kernel *const kernels_emulated[OP_COUNT];
extern const PatchOps patch_ops_cuda, patch_ops_emulated;
extern const SlabOps slab_ops_cuda, slab_ops_emulated;

#endif
