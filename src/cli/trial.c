/* The hidden subcommand `trial`: the process that `run` starts for one trial. Configuration on
 * standard input, events on descriptor 3 (on standard output when started by hand without one). */
#include "src/train/trial.h"

#include <fcntl.h>

#include "src/cli/cli.h"

int command_trial(int argc, char **argv) {
  (void)argc, (void)argv;
  Error error = {""};
  json_error_t syntax;
  json_t *config = json_loadf(stdin, 0, &syntax);
  if (!config) {
    fail(&error, "the configuration on standard input is not JSON: line %d, column %d: %s",
         syntax.line, syntax.column, syntax.text);
    return cli_error(EXIT_USAGE, &error);
  }
  FILE *events = fcntl(3, F_GETFD) < 0 ? stdout : fdopen(3, "w");
  CHECK(events, "descriptor 3 cannot be written");
  setvbuf(events, NULL, _IOLBF, 0);
  int code = trial_main(config, events);
  json_decref(config);
  fflush(events);
  return code;
}
