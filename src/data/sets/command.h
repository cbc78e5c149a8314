/* `harness data ...`: parsed options in, exit code out (0 ok, 3 data unfit or not makeable). */
#ifndef DATA_COMMAND_H
#define DATA_COMMAND_H

#include "src/data/phantom/phantom.h"

int data_check_command(const char *dir, bool json);
int data_phantom_command(const char *dir, const PhantomOptions *options);

#endif
