/* The targets of tests/fuzz: each reads an input as a user's command would, and has to end with a
 * result or with an error's sentence. tests/test_corpora.c replays what is committed, libFuzzer
 * (tests/fuzz/fuzzer.c) looks for more. */
#ifndef TESTS_FUZZ_H
#define TESTS_FUZZ_H

#include "base/error.h"

#include <stddef.h>
#include <stdint.h>

typedef void FuzzTarget(const uint8_t *data, size_t bytes);

#define TARGET(name, most) void fuzz_##name(const uint8_t *data, size_t bytes);
#include "tests/fuzz/targets.def"
#undef TARGET

FuzzTarget *fuzz_target(const char *name); /* NULL: there is none */

/* The path of a file in memory with these bytes, until the next call. */
const char *fuzz_file(const uint8_t *data, size_t bytes);
/* The folder that a target works in, of this process, removed as it ends; and a file there. */
const char *fuzz_folder(void);
void fuzz_write(const char *name, const void *data, size_t bytes);
/* The bytes as a text, to be freed. */
char *fuzz_text(const uint8_t *data, size_t bytes);
/* The tree whose Lua is read: HARNESS_HOME, or where one is. */
const char *fuzz_home(void);
/* A reader says what is wrong exactly when it refuses. */
void fuzz_judge(bool good, const Error *error);

#endif
