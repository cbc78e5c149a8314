/* harness(1), from the tables that the program itself reads. */
#include "src/cli/described.h"
#include "src/cli/experiment_files.h"
#include "src/machine/built.h"
#include "src/store/field.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

/* Text as roff has it: no character means anything. */
static void put(const char *text, FILE *out) {
  for (bool first = true; *text; first = *text == '\n', text++) {
    if (first && (*text == '.' || *text == '\'')) fputs("\\&", out);
    if (*text == '\\')
      fputs("\\e", out);
    else if (*text == '-')
      fputs("\\-", out);
    else
      fputc(*text, out);
    if ((*text == '|' || *text == ',') && text[1] > ' ')
      fputs("\\:", out); /* a line may end here */
  }
}

static void put_bold(const char *text, FILE *out) {
  fputs("\\fB", out);
  put(text, out);
  fputs("\\fR", out);
}

static void put_options(const json_t *options, FILE *out) {
  const json_t *option;
  size_t i;
  json_array_foreach(options, i, option) {
    const char *key = field_text(option, "key"), *arg = field_text(option, "arg");
    bool optional = json_is_true(json_object_get(option, "optional"));
    fputs(".TP\n", out);
    if (key[0]) fprintf(out, "\\fB\\-%s\\fR, ", key);
    fputs("\\fB\\-\\-", out);
    put(field_text(option, "name"), out);
    fputs("\\fR", out);
    if (arg[0]) fputs(optional ? "[=" : "=", out), put(arg, out), fputs(optional ? "]" : "", out);
    fputc('\n', out);
    put(field_text(option, "doc"), out);
    fputc('\n', out);
  }
}

static void put_examples(const char *examples, FILE *out) {
  if (!examples[0]) return;
  fputs(".PP\n.nf\n", out);
  put(examples, out);
  if (examples[strlen(examples) - 1] != '\n') fputc('\n', out);
  fputs(".fi\n", out);
}

/* operands: one line a form, as argp has them. */
static void put_command(const json_t *command, FILE *out) {
  const char *name = field_text(command, "name"), *at = field_text_if(command, "operands");
  bool options = json_array_size(json_object_get(command, "options")) > 0;
  fputs(".SS harness ", out);
  put(name, out);
  fputc('\n', out);
  const char *text = field_text_if(command, "text"), *summary = field_text_if(command, "summary");
  if (json_object_get(command, "operands")) {
    do {
      size_t length = strcspn(at, "\n");
      char *form = strndup(at, length);
      fputs(at == json_string_value(json_object_get(command, "operands")) ? ".PP\n" : ".br\n", out);
      fputs("\\fBharness ", out);
      put(name, out);
      fputs(options ? "\\fR [options] " : "\\fR ", out);
      put(form ? form : "", out);
      fputc('\n', out);
      free(form);
      at += length + (at[length] == '\n');
    } while (*at);
  }
  fputs(".PP\n", out);
  put(text[0] ? text : summary, out);
  fputc('\n', out);
  put_options(json_object_get(command, "options"), out);
  put_examples(field_text_if(command, "examples"), out);
}

static void put_meanings(const char *title, const Meaning *meaning, FILE *out) {
  fprintf(out, ".SH %s\n", title);
  for (; meaning->name; meaning++) {
    fputs(".TP\n", out);
    put_bold(meaning->name, out);
    fputc('\n', out);
    put(meaning->text, out);
    fputc('\n', out);
  }
}

static void put_value(const char *before, const json_t *value, FILE *out) {
  char *text = json_dumps(value, JSON_COMPACT | JSON_ENCODE_ANY | JSON_REAL_PRECISION(6));
  fputs(before, out);
  put(json_is_string(value) ? json_string_value(value) : text ? text : "", out);
  free(text);
}

/* The keys of a command line of `run`, `estimate` and `slurm`. */
static void put_keys(const json_t *options, FILE *out) {
  const json_t *option;
  size_t i, k;
  fputs(".SH KEYS OF EXPERIMENTS\nA word key=value behind an experiment wins over what its file "
        "says. What a model or a block reads is its own.\n",
        out);
  json_array_foreach(options, i, option) {
    const json_t *choices = json_object_get(option, "choices"), *choice;
    const json_t *fallback = json_object_get(option, "default");
    fputs(".TP\n", out);
    put_bold(field_text(option, "name"), out);
    fputc('=', out);
    if (!choices) put(field_text(option, "type"), out);
    json_array_foreach(choices, k, choice) put_value(k ? "|\\:" : "", choice, out);
    fputc('\n', out);
    put(field_text(option, "doc"), out);
    if (fallback && !json_is_null(fallback)) put_value("; default ", fallback, out);
    fputc('\n', out);
  }
}

static void put_experiments(const char *home, FILE *out) {
  json_t *names = experiment_names(home), *name;
  size_t i;
  fputs(".SH EXPERIMENTS\nThose that come with the program are known by name, besides files of "
        "one's own: ",
        out);
  json_array_foreach(names, i, name) put_value(i ? ", " : "", name, out);
  fputs(".\n", out);
  json_decref(names);
}

/* No date but that of the sources: pages of the same sources are equal. */
static void put_head(FILE *out) {
  const char *epoch = getenv("SOURCE_DATE_EPOCH");
  char day[32] = "";
  time_t second = epoch ? (time_t)strtoll(epoch, NULL, 10) : 0;
  struct tm tm;
  if (epoch && gmtime_r(&second, &tm)) strftime(day, sizeof day, "%Y-%m-%d", &tm);
  fprintf(out, ".TH HARNESS 1 \"%s\" \"harness %s\" \"User Commands\"\n", day, built.version);
  fputs(".ad l\n.nh\n.SH NAME\nharness \\- ablations of 3D medical segmentation, re\\-run and "
        "measured\n"
        ".SH SYNOPSIS\n.B harness\nSUBCOMMAND [options] [operands]\n"
        ".SH DESCRIPTION\nComposes the building blocks of segmentation networks by short Lua "
        "scripts, trains and times them on a CPU or an NVIDIA GPU, keeps everything in one SQLite "
        "file, and prints the tables of papers with the numbers measured beside theirs.\n.PP\n"
        "Results go to standard output, everything else to standard error.\n",
        out);
}

bool man_page_print(const char *home, FILE *out, Error *error) {
  json_t *all = described(error), *command;
  json_t *options = all ? described_keys(home, error) : NULL;
  size_t i;
  if (options) {
    put_head(out);
    fputs(".SH SUBCOMMANDS\n", out);
    json_array_foreach(all, i, command) put_command(command, out);
    fputs(".SS harness help\n\\fBharness help\\fR [options|models|blocks|ops|papers|NAME]\n.br\n"
          "\\fBharness help man\\fR\n.br\n\\fBharness help completion\\fR bash|zsh|fish\n.PP\n"
          "Lists these, tells of one, or prints this page or the words of a shell.\n"
          ".SS harness version\nThe version, and the commit that it was built from.\n"
          ".SH OPTIONS OF EVERY SUBCOMMAND\n",
          out);
    put_options(json_object_get(json_array_get(all, 0), "common"), out);
    put_experiments(home, out);
    put_keys(options, out);
    put_meanings("ENVIRONMENT", environment_meanings, out);
    put_meanings("EXIT STATUS", exit_meanings, out);
    fputs(".SH FILES\n.TP\n\\fBresults/\\fR\nDatabase, checkpoints, logs, plots, phantoms: where "
          "the user stands; of a program in the folder in which it was built, there.\n"
          ".SH SEE ALSO\nThe pages in /usr/share/doc/harness or, of a source tree, docs/.\n",
          out);
  }
  bool good = options != NULL;
  json_decref(options);
  json_decref(all);
  return good;
}
