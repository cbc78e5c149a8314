/* until=decided: seeds are added to an experiment's rows until the paper's claims about them are
 * decided, out of reach, or the budget is spent (src/statistics/looks.h).
 *
 *   until_begin -> (run what is missing -> until_step)* -> until_end -> until_free
 *
 * The cells of such an experiment are those of the next look; what its looks came to follows from
 * the stored trials alone, so that the same command goes on after a kill as if nothing had been. */
#ifndef CLI_UNTIL_H
#define CLI_UNTIL_H

#include "src/cli/cli.h"
#include "src/cli/experiments.h"
#include "src/store/sequence.h"

typedef struct Growing Growing; /* an experiment whose seeds are added */

typedef struct Until {
  Growing *item; /* (count) */
  int count;
  int jobs; /* trials at a time, so that a budget pays for so many times more */
  double budget_s;
  double deadline; /* of this call: a trial starts only where it would end before; 0: none */
  double trial_s;  /* that one is expected to take; 0: not known */
  bool over;       /* the time of this call was */
  bool quiet;
} Until;

/* Whether an experiment asks for it; the most threads that a trial of those takes. */
bool until_asked(const Experiments *experiments);
int until_threads(const Experiments *experiments);

/* Stores what is planned where it is not stored yet. Experiments of which nothing is claimed keep
 * their cells. False: nothing is claimed at all, or the budget pays for no trial. The caller frees
 * with until_free, also after a failure. */
bool until_begin(Until *until, Experiments *experiments, Store *store, Error *error);
/* Says what the looks came to that are new, and adds the cells of the next ones. *more: there are
 * trials to run. */
bool until_step(Until *until, Store *store, bool *more, Error *error);
/* Says how it ended; true: some claim is open, and the same command goes on. */
bool until_end(const Until *until, bool interrupted);
void until_free(Until *until);

/* Gives each such experiment the cells of its next look, and with `out` says what all looks would
 * cost; store, which is not changed, may be NULL. */
bool until_preview(Until *until, Experiments *experiments, Store *store, const Common *common,
                   FILE *out, Error *error);

#endif
