/* Memory that a process may have here, and what the kernel did where there was none: of the
 * machine, of the control groups that this process is in (both versions), of its own limits. */
#ifndef BASE_MEMORY_H
#define BASE_MEMORY_H

#include <stddef.h>

/* Bytes of the machine, or of the smallest control group around this process. */
size_t memory_limit(void);
/* Bytes that this process may still take before somebody has to go: the least of what the kernel
 * would give without swapping, of what its groups and `ulimit -v` leave it. SIZE_MAX: not known. */
size_t memory_available(void);
/* How many processes the kernel has killed for lack of memory, of this process' control group or,
 * where that does not count them, of the machine; negative: nobody counts. */
long long memory_kills(void);

#endif
