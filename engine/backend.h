/* Where a graph runs. A backend is a table of kernels and a way to hold memory. */
#ifndef ENGINE_BACKEND_H
#define ENGINE_BACKEND_H

#include "kernels/op.h"

typedef struct Backend {
  const char *name;             /* "cpu", "portable", "reference" */
  DType real;                   /* of every real tensor */
  const Kernel *const *kernels; /* by OpId */
  void *(*alloc)(size_t bytes); /* aligned to 64 bytes at least; NULL when there is none */
  void (*release)(void *memory);
  size_t (*available)(void); /* bytes that an allocation may still take */
} Backend;

extern const Backend backend_cpu;              /* the fast float kernels */
extern const Backend backend_portable;         /* the reference loops in float */
extern const Backend backend_reference;        /* the reference loops in double: the oracle */
const Backend *backend_find(const char *name); /* NULL when there is none */

#endif
