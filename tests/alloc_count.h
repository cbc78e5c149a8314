/* Counts heap allocations between start and stop, all threads. Linked into the programs that
 * run single ops (op_run.h); under a sanitizer, which brings its own malloc, all are zero. */
#ifndef TESTS_ALLOC_COUNT_H
#define TESTS_ALLOC_COUNT_H

typedef struct AllocCount {
  int own;     /* called from our program's code */
  int foreign; /* called from a library: oneDNN, libstdc++, the OpenMP runtime */
} AllocCount;

void alloc_count_start(void);
AllocCount alloc_count_stop(void);

#endif
