#include "src/cli/cli.h"
int command_doctor(int argc, char **argv) {
  (void)argc;
  (void)argv;
  return 2;
}
