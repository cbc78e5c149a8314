/* The program: one table of subcommands. */
#include <signal.h>
#include <string.h>

#include "kernels/cpu/processor.h"
#include "lua/bind.h"
#include "src/cli/cli.h"

const Command commands[] = {
#define COMMAND(name, summary) {#name, summary, command_##name},
#include "src/cli/commands.def"
#undef COMMAND
};
const int command_count = sizeof commands / sizeof *commands;

static int print_help(FILE *out) {
  fprintf(out, "Examples:\n"
               "  harness run experiments/query_count.lua\n"
               "  harness table 6 --format md\n\n"
               "Usage: harness SUBCOMMAND [options] [operands]\n\nSubcommands:\n");
  for (int i = 0; i < command_count; i++)
    if (commands[i].summary) fprintf(out, "  %-9s %s\n", commands[i].name, commands[i].summary);
  fprintf(out, "  %-9s %s\n  %-9s %s\n", "help",
          "this text; `help NAME` for a subcommand, a building block or an op", "version",
          "the version");
  fprintf(
      out,
      "\nResults go to standard output, everything else to standard error.\n"
      "Environment: HARNESS_HOME (the program's folder), HARNESS_DB (the database), HARNESS_CACHE\n"
      "(where what is made of data sets goes, as `data preprocess --cache`), HARNESS_ISA\n"
      "(portable, v3, v4 or v4+bf16: no more than that of the processor).\n"
      "Exit codes: 0 ok, 1 ran but some trials failed, 2 usage, 3 environment unfit,\n"
      "4 regression, 5 nothing to compare, 75 interrupted (the same command goes on).\n");
  return EXIT_DONE;
}

static int dispatch(const char *name, int argc, char **argv) {
  const char *names[2 + sizeof commands / sizeof *commands] = {"help", "version"};
  int count = 2;
  for (int i = 0; i < command_count; i++) {
    if (strcmp(name, commands[i].name) == 0) return commands[i].main(argc, argv);
    if (commands[i].summary) names[count++] = commands[i].name;
  }
  static const char *const flags[] = {"--help", "--version"};
  if (name[0] == '-') return cli_unknown("option", name, flags, 2);
  return cli_unknown("subcommand", name, names, count);
}

static bool is_subcommand(const char *name) {
  bool found = false;
  for (int i = 0; i < command_count; i++) found = found || !strcmp(name, commands[i].name);
  return found;
}

/* The options of an experiment as lua/harness/options.lua has them: name, default, scales, doc. */
static int print_options(void) {
  char home[4096];
  Error error = {""};
  cli_home(home);
  json_t *options = experiment_options(home, &error), *row;
  if (!options) return cli_error(EXIT_UNFIT, &error);
  size_t i;
  printf("Options of an experiment, as key=value; also scale=quick|small|paper and seeds=N\n\n");
  json_array_foreach(options, i, row) {
    static const char *const columns[] = {"default", "quick", "small"};
    printf("%-18s %s\n", json_string_value(json_object_get(row, "name")),
           json_string_value(json_object_get(row, "doc")));
    for (int c = 0; c < 3; c++) {
      char *text = json_dumps(json_object_get(row, columns[c]),
                              JSON_COMPACT | JSON_ENCODE_ANY | JSON_REAL_PRECISION(6));
      if (text) printf("%s%s %s", c ? ", " : "                     ", columns[c], text);
      free(text);
    }
    printf("\n");
  }
  json_decref(options);
  return EXIT_DONE;
}

static int help(int argc, char **argv) {
  const char *word = argc < 2 ? "help" : argv[1];
  if (!strcmp(word, "help") || !strcmp(word, "version")) return print_help(stdout);
  if (!strcmp(word, "options")) return print_options();
  if (!is_subcommand(word) && block_help(word, stdout)) return EXIT_DONE;
  char option[] = "--help";
  char *arguments[] = {argv[1], option, NULL};
  return dispatch(word, 2, arguments);
}

static int command_main(int argc, char **argv) {
  if (argc < 2) {
    print_help(stderr);
    return EXIT_USAGE;
  }
  const char *word = argv[1];
  if (!strcmp(word, "--help") || !strcmp(word, "-h")) return print_help(stdout);
  if (!strcmp(word, "help")) return help(argc - 1, argv + 1);
  if (strcmp(word, "--version") && strcmp(word, "-V") && strcmp(word, "version"))
    return dispatch(word, argc - 1, argv + 1);
  printf("harness %s\n", VERSION);
  return EXIT_DONE;
}

/* A result that could not be written whole must not end as success (a full disk, a closed pipe). */
int main(int argc, char **argv) {
  Error error = {""};
  if (!processor_check(&error)) return cli_error(EXIT_UNFIT, &error);
  signal(SIGXFSZ, SIG_IGN); /* a write past `ulimit -f` fails and is told, here and in trials */
  int code = command_main(argc, argv);
  if (fflush(stdout) == 0 && !ferror(stdout)) return code;
  fail(&error, "the result could not be written whole to standard output");
  return cli_error(EXIT_UNFIT, &error);
}
