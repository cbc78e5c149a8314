#include "src/cli/cli.h"

#include <ctype.h>
#include <jansson.h>
#include <math.h>
#include <string.h>

#include "base/home.h"
#include "base/nearest.h"
#include "src/cli/progress.h"
#include "src/machine/built.h"

enum { OPTIONS_MAX = 64, KEY_DB = 1000, KEY_NO_COLOR };

static const struct argp_option common_options[] = {
    {"db", KEY_DB, "FILE", 0, "The database (default: results/harness.db, or HARNESS_DB)", 10},
    {"quiet", 'q', 0, 0, "Say nothing but results and errors", 10},
    {"no-color", KEY_NO_COLOR, 0, 0, "No colours (also: NO_COLOR in the environment)", 10},
    {"help", 'h', 0, 0, "Show this text", 11},
    {"version", 'V', 0, 0, "Show the version", 11},
    {0}};

typedef struct Parsing {
  const Cli *cli;
  Common *common;
  void *user;
} Parsing;

int cli_error(int code, const Error *error) {
  bool colour = progress_colour(2);
  fprintf(stderr, "harness: %serror:%s %s\n", colour ? "\033[31m" : "", colour ? "\033[0m" : "",
          error->text);
  return code;
}

int cli_unknown(const char *what, const char *word, const char *const *names, int count) {
  Error error = {""};
  fail(&error, "unknown %s \"%s\"%s", what, word,
       nearest_hint(word, names, count, "`harness help` lists what there is").text);
  return cli_error(EXIT_USAGE, &error);
}

bool cli_number(const char *option, const char *text, double least, double *value, Error *error) {
  char *end;
  *value = strtod(text, &end);
  if (end != text && !*end && isfinite(*value) && *value >= least) return true;
  return fail(error, "%s needs a number of at least %g, not \"%s\"", option, least, text);
}

/* from: "--db" or "HARNESS_DB". */
static void take_database(const char *from, const char *value, Common *common) {
  Error error = {""};
  if (strlen(value) >= sizeof common->db) {
    fail(&error, "%s: the path has %zu characters, at most %zu are taken", from, strlen(value),
         sizeof common->db - 1);
    exit(cli_error(EXIT_USAGE, &error));
  }
  strcpy(common->db, value);
}

/* An empty variable counts as not set: unlike an empty option, nobody typed it. */
static void find_database(Common *common) {
  char results[HOME_BYTES];
  const char *given = getenv("HARNESS_DB");
  if (given && given[0]) {
    take_database("HARNESS_DB", given, common);
    return;
  }
  home_results(common->home, results);
  snprintf(common->db, sizeof common->db, "%.4000s/harness.db", results);
}

static _Noreturn void show_help(const Cli *cli, struct argp_state *state) {
  printf("Examples:\n%s\n", cli->examples);
  fflush(stdout);
  argp_state_help(state, stdout, ARGP_HELP_SHORT_USAGE | ARGP_HELP_PRE_DOC | ARGP_HELP_LONG);
  exit(EXIT_DONE);
}

static const struct argp_option *option_of(const struct argp *argp, int key) {
  const struct argp_option *option = argp->options;
  while ((option->name || option->doc) && option->key != key) option++;
  return option->name ? option : NULL;
}

/* What an unset variable leaves behind: no option and no operand means anything by it. SQLite takes
 * an empty name for a database of its own, which it deletes at the end. */
static bool check_empty(const struct argp_state *state, int key, const char *value, Error *error) {
  const Parsing *parsing = state->input;
  if (!value || value[0] || key == ARGP_KEY_ARGS || key == ARGP_KEY_ERROR) return true;
  if (key == ARGP_KEY_ARG)
    return fail(error, "harness %s: an operand is empty; is a variable unset?", parsing->cli->name);
  const struct argp_option *option = option_of(state->root_argp, key);
  return !option || fail(error,
                         "harness %s: --%s needs a %s, and what is given is empty; is a "
                         "variable unset?",
                         parsing->cli->name, option->name, option->arg ? option->arg : "value");
}

static error_t take(int key, char *value, struct argp_state *state) {
  Parsing *parsing = state->input;
  Error error = {""};
  if (!check_empty(state, key, value, &error)) exit(cli_error(EXIT_USAGE, &error));
  if (key == 'h') show_help(parsing->cli, state);
  if (key == 'V') {
    printf("harness %s\n", built_text((char[BUILT_TEXT]){""}));
    exit(EXIT_DONE);
  }
  if (key == KEY_DB) take_database("--db", value, parsing->common);
  if (key == 'q') parsing->common->quiet = true;
  if (key == KEY_NO_COLOR) progress_no_color = true;
  if (key == KEY_DB || key == 'q' || key == KEY_NO_COLOR) return 0;
  bool typed = (key > 0 && key < ARGP_KEY_END) || key == ARGP_KEY_ARG;
  if (!typed) return ARGP_ERR_UNKNOWN;
  if (parsing->cli->take &&
      parsing->cli->take(key == ARGP_KEY_ARG ? ' ' : key, value, parsing->user, &error))
    return 0;
  if (!error.text[0])
    fail(&error, "harness %s: \"%s\" is one operand too many", parsing->cli->name, value);
  exit(cli_error(EXIT_USAGE, &error));
}

/* argp would take any unambiguous beginning of an option; later options would then break scripts.
 * So the names are checked here first, which also lets a typo be answered. */
static void check_names(const struct argp_option *options, int argc, char **argv) {
  char dashed[OPTIONS_MAX][64];
  const char *names[OPTIONS_MAX];
  int count = 0;
  for (int i = 0; options[i].name || options[i].doc; i++) {
    if (!options[i].name || options[i].flags & OPTION_DOC || count == OPTIONS_MAX) continue;
    snprintf(dashed[count], sizeof dashed[count], "--%s", options[i].name);
    names[count] = dashed[count];
    count++;
  }
  for (int i = 1; i < argc && strcmp(argv[i], "--"); i++) {
    if (strncmp(argv[i], "--", 2)) continue;
    char name[64];
    snprintf(name, sizeof name, "%.*s", (int)strcspn(argv[i], "="), argv[i]);
    bool known = false;
    for (int k = 0; k < count; k++) known = known || strcmp(name, names[k]) == 0;
    if (known) continue;
    Error error = {""};
    fail(&error, "harness %s: unknown option \"%s\"%s", argv[0], name,
         nearest_hint(name, names, count, "`--help` lists what there is").text);
    exit(cli_error(EXIT_USAGE, &error));
  }
}

/* ---- what a subcommand says of itself (src/cli/described.h) ---------------------------------- */

static json_t *options_json(const struct argp_option *options) {
  json_t *list = json_array();
  for (const struct argp_option *o = options; o && (o->name || o->doc); o++) {
    char key[2] = {(char)(isprint(o->key) ? o->key : 0), 0};
    if (!o->name || o->flags & (OPTION_HIDDEN | OPTION_DOC)) continue;
    json_array_append_new(list, json_pack("{s:s, s:s, s:s, s:b, s:s}", "name", o->name, "key", key,
                                          "arg", o->arg ? o->arg : "", "optional",
                                          (o->flags & OPTION_ARG_OPTIONAL) != 0, "doc", o->doc));
  }
  return list;
}

static int print_described(json_t *document) {
  json_dumpf(document, stdout, JSON_COMPACT); /* of the program to itself */
  json_decref(document);
  return EXIT_DONE;
}

static json_t *parts_json(const char *const *names, int count) {
  json_t *parts = json_array();
  for (int i = 0; i < count; i++) json_array_append_new(parts, json_string(names[i]));
  return parts;
}

static int describe(const Cli *cli) {
  const char *names[OPTIONS_MAX];
  int parts = 0;
  for (const struct argp_option *o = cli->options; o && (o->name || o->doc); o++)
    if (o->flags & OPTION_DOC && parts < OPTIONS_MAX) names[parts++] = o->name;
  return print_described(
      json_pack("{s:s, s:s, s:s, s:s, s:o, s:o, s:o}", "name", cli->name, "operands", cli->operands,
                "examples", cli->examples, "text", cli->text, "options", options_json(cli->options),
                "common", options_json(common_options), "parts", parts_json(names, parts)));
}

int cli_parts(const char *name, const char *word, const char *const *names, int count,
              const char *usage) {
  bool help = !strcmp(word, "--help") || !strcmp(word, "-h");
  char what[64];
  if (!strcmp(word, CLI_DESCRIBE))
    return print_described(
        json_pack("{s:s, s:o}", "name", name, "parts", parts_json(names, count)));
  snprintf(what, sizeof what, "subcommand of %s", name);
  if (word[0] && !help) return cli_unknown(what, word, names, count);
  fputs(usage, help ? stdout : stderr);
  return help ? EXIT_DONE : EXIT_USAGE;
}

/* ---- its arguments --------------------------------------------------------------------------- */

void cli_parse(const Cli *cli, int argc, char **argv, Common *common, void *user) {
  struct argp_option options[OPTIONS_MAX] = {{0}};
  char title[64], doc[2048];
  int count = 0;
  for (int i = 0; cli->options && (cli->options[i].name || cli->options[i].doc); i++)
    options[count++] = cli->options[i];
  memcpy(options + count, common_options, sizeof common_options);
  if (argc == 2 && !strcmp(argv[1], CLI_DESCRIBE)) exit(describe(cli));
  *common = (Common){.quiet = false};
  home_find(common->home);
  find_database(common);
  argv[0] = (char *)cli->name;
  check_names(options, argc, argv);
  snprintf(title, sizeof title, "harness %s", cli->name);
  argv[0] = title;
  snprintf(doc, sizeof doc, "%s", cli->text);
  struct argp argp = {.options = options, .parser = take, .args_doc = cli->operands, .doc = doc};
  Parsing parsing = {cli, common, user};
  argp_err_exit_status = EXIT_USAGE;
  argp_parse(&argp, argc, argv, ARGP_NO_HELP, NULL, &parsing);
}

bool cli_cases(const char *word, bool *fixed, bool *taken, Error *error) {
  static const char key[] = "cases=", *const values[] = {"random", "fixed"};
  const char *value = word + strlen(key);
  *taken = !strncmp(word, key, strlen(key));
  if (!*taken) return true;
  *fixed = !strcmp(value, values[1]);
  if (*fixed || !strcmp(value, values[0])) return true;
  return fail(error, "%s: cases are random (verdicts hold for new cases, too) or fixed%s", word,
              nearest_hint(value, values, 2, NULL).text);
}
