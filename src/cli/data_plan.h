/* harness data plan and data preprocess: a data set is looked at, planned and prepared. */
#ifndef CLI_DATA_PLAN_H
#define CLI_DATA_PLAN_H

#include "src/cli/cli.h"

/* only_plan: plan; else preprocess, which plans where there is no plan. Returns the exit code. */
int data_plan_command(bool only_plan, int argc, char **argv);

#endif
