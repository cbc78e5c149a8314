/* What a process asks of its kernels beside the options of an op: set once, before the first plan
 * is made. A kernel that has nothing to choose ignores it, as all of the CPU's do. */
#ifndef KERNELS_MODE_H
#define KERNELS_MODE_H

#include <stdbool.h>

/* Which float products of cuDNN and cuBLASLt may round their operands to TF32 (10 bits of
 * mantissa): PyTorch's defaults are those of TF32_CONV. */
typedef enum Tf32 { TF32_OFF, TF32_CONV, TF32_ON } Tf32;

typedef struct KernelMode {
  /* The same bits run to run on one machine: no engine of a library that sums in any order, and
   * none chosen by its time, since that may fall out differently the next time. Kernels of ours
   * give the same bits anyway. */
  bool deterministic;
  Tf32 tf32;
} KernelMode;

extern KernelMode kernel_mode; /* at first not deterministic, TF32_CONV */

bool tf32_parse(const char *text, Tf32 *tf32); /* "off", "conv" or "on" */
const char *tf32_name(Tf32 tf32);

#endif
