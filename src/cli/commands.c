/* The one table of subcommands. */
#include "src/cli/cli.h"

const Command commands[] = {
#define COMMAND(name, summary) {#name, summary, command_##name},
#include "src/cli/commands.def"
#undef COMMAND
};
const int command_count = sizeof commands / sizeof *commands;
_Static_assert(sizeof commands / sizeof *commands <= COMMANDS_MOST, "COMMANDS_MOST is too small");
