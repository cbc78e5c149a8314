/* BF16 operands for kernels written for float: copies in float stand in scratch while the kernel
 * runs. For small tensors and rare shapes; what is large reads BF16 itself. */
#ifndef KERNELS_CPU_STAGING_H
#define KERNELS_CPU_STAGING_H

#include "kernels/op.h"

/* At the end of prepare: adds the copies to the call's scratch. */
void staging_add(Call *call);
bool staging_prepare(Call *call, Error *error); /* the prepare of a kernel without other scratch */
bool staging_needed(const Call *call);          /* an operand of this call is BF16 */
/* Runs `pass` on the call with float copies in the place of its BF16 operands; on the call itself
 * when there are none. */
void staging_run(const Call *call, void (*pass)(const Call *call));

#endif
