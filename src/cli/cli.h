/* What every subcommand shares: options, help, errors, exit codes. */
#ifndef CLI_CLI_H
#define CLI_CLI_H

#include <argp.h>
#include <stdbool.h>

#include "base/error.h"

/* Exit codes, as documented in `harness help`. */
enum {
  EXIT_DONE = 0,
  EXIT_SOME_FAILED = 1,
  EXIT_USAGE = 2,
  EXIT_UNFIT = 3,
  EXIT_REGRESSION = 4,
  EXIT_NOTHING = 5,
  EXIT_INTERRUPTED = 75
};

/* A subcommand. main gets argv with argv[0] = its name and returns the exit code. */
typedef struct Command {
  const char *name;
  const char *summary; /* NULL: not listed */
  int (*main)(int argc, char **argv);
} Command;

enum { COMMANDS_MOST = 32 };
extern const Command commands[];
extern const int command_count;

/* How a subcommand reads its arguments. take is called for each of its options (by key, ' ' for
 * an operand) and returns false, with a reason or none, to refuse it. */
typedef struct Cli {
  const char *name;                  /* "run" or "runs list" */
  const char *operands;              /* "FILE [key=value ...]" */
  const char *examples;              /* two lines or more */
  const char *text;                  /* what it does */
  const struct argp_option *options; /* ended by {0} */
  bool (*take)(int key, char *value, void *user, Error *error);
} Cli;

/* A row of options that is none but a word that begins another command, "compare" of bench. */
#define CLI_PART(word, doc)                                                                        \
  { word, 0, 0, OPTION_DOC, doc, 9 }

typedef struct Common {
  char db[4096];   /* --db, else HARNESS_DB, else harness.db in home_results */
  char home[4096]; /* of home_find */
  bool quiet;
} Common;

/* Parses; --help prints and exits 0, a mistake prints and exits 2. */
void cli_parse(const Cli *cli, int argc, char **argv, Common *common, void *user);

/* The option by which a subcommand tells src/cli/described.c of itself. */
#define CLI_DESCRIBE "--describe"
/* What `harness NAME WORD` comes to where no part of that subcommand is called by the word: its
 * usage for --help and for no word (""), else an error with the nearest of names. */
int cli_parts(const char *name, const char *word, const char *const *names, int count,
              const char *usage);

/* Prints "harness: error: ..." and returns the code. */
int cli_error(int code, const Error *error);
/* Prints that what is unknown, with the nearest of names; returns EXIT_USAGE. */
int cli_unknown(const char *what, const char *word, const char *const *names, int count);
/* A positive number or a refusal naming the option. */
bool cli_number(const char *option, const char *text, double least, double *value, Error *error);
/* Takes the word cases=random or cases=fixed, which says how a table is read; *taken: it was
 * one. */
bool cli_cases(const char *word, bool *fixed, bool *taken, Error *error);

#define COMMAND(name, summary) int command_##name(int argc, char **argv);
#include "src/cli/commands.def"
#undef COMMAND

#endif
