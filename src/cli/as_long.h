/* Rows that train for as long as another (lua/harness/as_long.lua): their cells stand in the
 * document's "later" until what trainings took is stored, and then among its "cells", with their
 * steps. So the same command has the same trials again while those trainings are what they were. */
#ifndef CLI_AS_LONG_H
#define CLI_AS_LONG_H

#include "src/cli/experiments.h"

/* Moves the cells whose steps are known by now; store may be NULL. *moved and *waiting: how many
 * cells were and are left, added to. */
bool as_long_settle(Experiments *experiments, Store *store, int *moved, int *waiting, Error *error);

#endif
