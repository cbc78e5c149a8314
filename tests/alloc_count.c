/* The program's own malloc family takes precedence over the C library's for every caller, oneDNN
 * included; it counts and passes on. free needs no wrapper. */
#include "tests/alloc_count.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>

static atomic_int own, foreign;
static atomic_bool counting;

void alloc_count_start(void) {
  own = foreign = 0;
  counting = true;
}

AllocCount alloc_count_stop(void) {
  counting = false;
  return (AllocCount){own, foreign};
}

#ifndef __SANITIZE_ADDRESS__

extern void *__libc_malloc(size_t bytes);
extern void *__libc_calloc(size_t count, size_t bytes);
extern void *__libc_realloc(void *old, size_t bytes);
extern void *__libc_memalign(size_t alignment, size_t bytes);

extern const char __executable_start[], etext[]; /* the linker's: where our code lies */

static void count(const void *caller) {
  if (!counting) return;
  bool ours = (const char *)caller >= __executable_start && (const char *)caller < etext;
  atomic_fetch_add(ours ? &own : &foreign, 1);
}

void *malloc(size_t bytes) {
  count(__builtin_return_address(0));
  return __libc_malloc(bytes);
}

void *calloc(size_t number, size_t bytes) {
  count(__builtin_return_address(0));
  return __libc_calloc(number, bytes);
}

void *realloc(void *old, size_t bytes) {
  count(__builtin_return_address(0));
  return __libc_realloc(old, bytes);
}

void *aligned_alloc(size_t alignment, size_t bytes) {
  count(__builtin_return_address(0));
  return __libc_memalign(alignment, bytes);
}

int posix_memalign(void **out, size_t alignment, size_t bytes) {
  count(__builtin_return_address(0));
  *out = __libc_memalign(alignment, bytes);
  return *out ? 0 : ENOMEM;
}

#endif
