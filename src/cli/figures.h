/* Kinds of `harness plot` that run trained weights again. */
#ifndef CLI_FIGURES_H
#define CLI_FIGURES_H

#include <stdbool.h>

/* When argv[1] names such a picture: draws it, *code is the exit code, true. */
bool command_figure(int argc, char **argv, int *code);

#endif
