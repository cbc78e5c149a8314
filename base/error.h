/* How a failure travels: a function that can fail for a reason the user must hear returns bool,
 * and on false has written one sentence into its Error: what, where, expected and found, what to
 * do. Programming mistakes are CHECKed instead: they print file:line and abort, in release too. */
#ifndef BASE_ERROR_H
#define BASE_ERROR_H

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>

enum { ERROR_BYTES = 1024 };

typedef struct Error {
  char text[ERROR_BYTES]; /* empty: no error */
} Error;

/* Formats the sentence, keeps only the first one written, returns false:
 * `return fail(error, ...)`. */
bool fail(Error *error, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Whether it says that memory was wanting, which a smaller case or a larger machine would mend. */
bool error_of_memory(const Error *error);

#define CHECK(condition, ...)                                                                      \
  do {                                                                                             \
    if (!(condition)) {                                                                            \
      fprintf(stderr, "%s:%d: internal error: ", __FILE__, __LINE__);                              \
      fprintf(stderr, __VA_ARGS__);                                                                \
      fputc('\n', stderr);                                                                         \
      abort();                                                                                     \
    }                                                                                              \
  } while (0)

#endif
