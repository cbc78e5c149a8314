/* Every subcommand as it describes itself, for the man page and the completions of shells. */
#ifndef CLI_DESCRIBED_H
#define CLI_DESCRIBED_H

#include <jansson.h>
#include <stdio.h>

#include "base/error.h"

/* A name and what it means; lists end with a NULL name. */
typedef struct Meaning {
  const char *name, *text;
} Meaning;

extern const Meaning environment_meanings[], exit_meanings[];

/* All that `harness help` lists, in its order, the parts of a subcommand behind it: [{"name",
 * "summary", "operands", "examples", "text", "options": [{"name", "key", "arg", "optional",
 * "doc"}], "common": options that all have, "parts"}]. key: its letter or "". NULL with an error.
 * The caller decrefs. */
json_t *described(Error *error);

/* What may be typed behind an experiment, as experiment_options has its rows: keys of a sweep,
 * options of every experiment and of all models. */
json_t *described_keys(const char *home, Error *error);

/* harness(1). */
bool man_page_print(const char *home, FILE *out, Error *error);
/* The words of a shell, bash, zsh or fish, to be typed on. */
bool completion_print(const char *home, const char *shell, FILE *out, Error *error);

#endif
