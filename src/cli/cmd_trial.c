/* The hidden subcommand `trial`: the process that `run` starts for one trial. Configuration on
 * standard input, events on descriptor 3 (on standard output when started by hand without one). */
#include "src/train/trial.h"

#include <fcntl.h>
#include <string.h>

#include "src/cli/cli.h"
#include "src/train/footprint.h"

static bool take(int key, char *value, void *user, Error *error) {
  (void)key, (void)user;
  return fail(error, "trial takes no operand, found '%s'", value ? value : "");
}

int command_trial(int argc, char **argv) {
  static const struct argp_option none[] = {{0}};
  static const Cli cli = {.name = "trial",
                          .operands = "",
                          .examples = "  harness trial < config.json\n  harness run FILE\n",
                          .text = "Trains and evaluates the configuration on standard input.",
                          .options = none,
                          .take = take};
  Common common = {0};
  Error error = {""};
  cli_parse(&cli, argc, argv, &common, NULL);
  json_error_t syntax;
  json_t *config = json_loadf(stdin, 0, &syntax);
  if (!config) {
    fail(&error, "the configuration on standard input is not JSON: line %d, column %d: %s",
         syntax.line, syntax.column, syntax.text);
    return cli_error(EXIT_USAGE, &error);
  }
  json_object_set_new(config, "home", json_string_nocheck(common.home));
  FILE *events = fcntl(3, F_GETFD) < 0 ? stdout : fdopen(3, "w");
  CHECK(events, "descriptor 3 cannot be written");
  setvbuf(events, NULL, _IOLBF, 0);
  const char *kind = json_string_value(json_object_get(config, "kind"));
  bool plans = kind && strcmp(kind, "plan") == 0;
  int code = plans ? footprint_trial(config, events) : trial_main(config, events);
  json_decref(config);
  fflush(events);
  return code;
}
