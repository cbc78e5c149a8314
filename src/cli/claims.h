/* Who runs what of a sweep on many machines, told by files of a shared disk alone; nobody waits and
 * nobody serves. A unit of work is a name, such as a trial's hash with a turn behind it.
 *
 *   claims/UNIT.G       the worker that took it as number G = 0, 1, ...: an object with "worker"
 *   claims/UNIT.G.back  it gave the unit back, as when its time was over
 *   done/UNIT           the unit is done: the same
 *
 * Each is written whole under a name of its own and then linked to its place, which succeeds once
 * however many try, on a network file system too; none is changed or removed afterwards. Who takes
 * over what another had links the next number, and one that sees it stops. */
#ifndef CLI_CLAIMS_H
#define CLI_CLAIMS_H

#include <jansson.h>
#include <stdbool.h>

#include "base/error.h"

enum {
  CLAIM_NAME = 160, /* of a worker, and of a unit */
  CLAIM_DEATHS = 3  /* so many workers died of a unit: it is left alone */
};

typedef struct Claims {
  const char *folder;                            /* that of the sweep; holds claims/ and done/ */
  const char *worker;                            /* this one */
  bool (*lives)(void *user, const char *worker); /* whether another one still works */
  void *user;
} Claims;

typedef struct ClaimState {
  bool done;
  bool held;     /* the last one that took it still has it */
  bool given_up; /* deaths are CLAIM_DEATHS */
  int taken;     /* by so many so far: the last is number taken - 1 */
  int deaths;    /* of them: neither done nor given back, and gone */
} ClaimState;

bool claims_folders(const Claims *claims, Error *error); /* makes them */
bool claims_look(const Claims *claims, const char *unit, ClaimState *state, Error *error);
/* Takes what was free as `state` says; *taken false: another was faster. what: its claim, without
 * "worker"; see above. */
bool claims_take(const Claims *claims, const char *unit, const ClaimState *state,
                 const json_t *what, bool *taken, Error *error);
/* number: as it was taken, state.taken of then. */
bool claims_give_back(const Claims *claims, const char *unit, int number, Error *error);
/* *first false: another worker was done with it before. */
bool claims_finish(const Claims *claims, const char *unit, const json_t *what, bool *first,
                   Error *error);
/* Another took it over. */
bool claims_lost(const Claims *claims, const char *unit, int number);

/* The object in claims/UNIT.NUMBER, or in done/UNIT for number -1; NULL: there is none. */
json_t *claims_read(const char *folder, const char *unit, int number);

/* Makes folder/name hold the text; *mine false: it was there already. */
bool claims_put_once(const char *folder, const char *name, const char *text, const char *worker,
                     bool *mine, Error *error);

#endif
