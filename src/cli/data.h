/* The parts of `harness data`. */
#ifndef CLI_DATA_H
#define CLI_DATA_H

#include <stdbool.h>

int data_import_command(int argc, char **argv);
int data_plan_command(bool only_plan, int argc, char **argv);

#endif
