/* When a loop is worth a second thread. */
#ifndef KERNELS_CPU_PARALLEL_H
#define KERNELS_CPU_PARALLEL_H

/* Elements, of a few operations each, that one thread has done before a second has woken up. */
enum { PARALLEL_LEAST = 1 << 15 };

#endif
