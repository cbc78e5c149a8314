/* The program: what its first word means. */
#include <signal.h>
#include <string.h>

#include "base/home.h"
#include "kernels/cpu/processor.h"
#include "lua/bind.h"
#include "src/cli/cli.h"
#include "src/cli/described.h"
#include "src/machine/built.h"

static int print_help(FILE *out) {
  fprintf(out, "Examples:\n"
               "  harness run experiments/query_count.lua\n"
               "  harness table 6 --format md\n\n"
               "Usage: harness SUBCOMMAND [options] [operands]\n\nSubcommands:\n");
  for (int i = 0; i < command_count; i++)
    if (commands[i].summary) fprintf(out, "  %-9s %s\n", commands[i].name, commands[i].summary);
  fprintf(
      out, "  %-9s %s\n  %-9s %s\n", "help",
      "this text; `help options|models|blocks|ops|papers` list those, `help NAME` tells of "
      "one,\n            `help man` is a man page, `help completion bash|zsh|fish` what a shell "
      "completes",
      "version", "the version");
  fprintf(out, "\nResults go to standard output, everything else to standard error.\n"
               "\nEnvironment:\n");
  for (const Meaning *m = environment_meanings; m->name; m++)
    fprintf(out, "  %-15s %s\n", m->name, m->text);
  fprintf(out, "\nExit codes:\n");
  for (const Meaning *m = exit_meanings; m->name; m++)
    fprintf(out, "  %-3s %s\n", m->name, m->text);
  return EXIT_DONE;
}

/* Once: trials are processes of their own. */
static void tell_slow(const Command *command) {
  const char *reason = processor_no_simd();
  if (reason && command->summary)
    fprintf(stderr, "harness: warning: %s: plain loops serve as kernels, many times slower\n",
            reason);
}

static int dispatch(const char *name, int argc, char **argv) {
  const char *names[2 + COMMANDS_MOST] = {"help", "version"};
  int count = 2;
  for (int i = 0; i < command_count; i++) {
    if (strcmp(name, commands[i].name) == 0) {
      tell_slow(&commands[i]);
      return commands[i].main(argc, argv);
    }
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

/* Nothing is called by this word: the subcommand that was meant, or what else there is help of. */
static int help_unknown(const char *home, const char *word) {
  const char *names[COMMANDS_MOST];
  int count = 0;
  for (int i = 0; i < command_count; i++)
    if (commands[i].summary) names[count++] = commands[i].name;
  if (nearest_name(word, names, count)) return cli_unknown("subcommand", word, names, count);
  Error error = {""};
  Hint hint = help_hint(home, word);
  fail(&error, "help knows no \"%s\"%s", word,
       hint.text[0] ? hint.text
                    : "; `harness help`, and `help options|models|blocks|ops|papers`, list all");
  return cli_error(EXIT_USAGE, &error);
}

static int for_shells(const char *home, const char *word, const char *shell) {
  Error error = {""};
  bool good = !strcmp(word, "man") ? man_page_print(home, stdout, &error)
                                   : completion_print(home, shell ? shell : "", stdout, &error);
  return good ? EXIT_DONE : cli_error(EXIT_USAGE, &error);
}

static int help(int argc, char **argv) {
  char home[4096];
  Error error = {""};
  const char *word = argc < 2 ? "help" : argv[1];
  if (!strcmp(word, "help") || !strcmp(word, "version")) return print_help(stdout);
  if (is_subcommand(word)) {
    char option[] = "--help";
    char *arguments[] = {argv[1], option, NULL};
    return dispatch(word, 2, arguments);
  }
  home_find(home);
  if (!strcmp(word, "man") || !strcmp(word, "completion")) return for_shells(home, word, argv[2]);
  if (help_about(home, word, stdout, &error)) return EXIT_DONE;
  return error.text[0] ? cli_error(EXIT_USAGE, &error) : help_unknown(home, word);
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
  printf("harness %s\n", built_text((char[BUILT_TEXT]){""}));
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
