/* The command that asks for stored trials again, with all that its experiment's file says otherwise
 * today. */
#ifndef REPORT_REPRODUCE_H
#define REPORT_REPRODUCE_H

#include "src/report/firsts.h"
#include "src/report/result.h"

typedef struct Reproduce {
  const char *file;      /* of the experiment */
  const json_t *wanted;  /* what the file asks for today at this scale, of the data that is stored;
                            NULL: not known */
  const json_t *untyped; /* the same where no data is typed; NULL: it names none, or not known */
  const json_t *options; /* experiment_options of every model */
  const Firsts *firsts;  /* what is stored; NULL: nothing */
  const char *scale, *dataset, *device;
  int seeds;
  double budget_s;  /* of until=decided; NaN: it is not */
  const char *fold; /* of one trial; NULL: all that the file asks for */
  const char *more; /* flags, or "" */
} Reproduce;

/* Of a table; firsts, options and more are the caller's to add. */
Reproduce reproduce_of(const Result *result, const char *file, const json_t *wanted);
/* "./harness run experiments/query_count.lua queries=1,2 seeds=3"; malloced. */
char *reproduce_command(const Reproduce *of);

/* The same of a stored table, or of one trial with its seed and fold, by its experiment's file as
 * it was typed, or that of this name in HOME. malloced; NULL: it belongs to no experiment. */
char *reproduce_result(Store *store, const char *home, const Result *result);
char *reproduce_trial(Store *store, const char *home, const char *hash);

#endif
