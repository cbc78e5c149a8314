/* Tries of learning rates (lr=tuned) and what they choose: of each row and fold some rates, each
 * tried with some seeds by trials that train and are scored on an inner split of the fold's
 * training cases (split_inner). The rate with the best mean Dice is the row's; of equal ones the
 * smaller. A collapsed try counts as 0; a rate of which a try ended in any other way than well is
 * lost. */
#ifndef STORE_TRIES_H
#define STORE_TRIES_H

#include "src/store/typed_rows.h"

typedef struct Try {
  int position, fold, seed; /* position: of the table's row */
  double lr, dice;          /* dice NaN: none is stored */
  double used;              /* the rate of the row's own trials; NaN: none are stored */
  Status status;
  int cases; /* that scored it */
} Try;

/* One rate of a row and fold. */
typedef struct TriedRate {
  int position, fold;
  double lr, dice;                  /* the mean over its tries; NaN: one is open, or lost */
  int tries, open, lost, collapsed; /* how many */
  int first_seed, last_seed, cases;
  bool used; /* the row's own trials have it */
} TriedRate;

/* The tries, which are sorted, as rates in the order of position, fold and lr: rate (count) -> how
 * many. */
int tries_rates(Try *tries, int count, TriedRate *rate);
/* How many rates at the front are of one row and fold. */
int tries_group(const TriedRate *rate, int count);
/* Which of a group is chosen; -1: none. It is final when none of the group's tries is open. */
int tries_choice(const TriedRate *rate, int count);

/* Dice and cases of a stored trial; NaN and 0 where it has none. */
bool tries_score(Store *store, int64_t trial, Try *one, Error *error);
/* Those of a plan, malloced. What is used was chosen when the plan was made; a try that was
 * repeated since may choose otherwise. */
bool tries_of_plan(Store *store, int64_t plan_id, Try **tries, int *count, Error *error);

#endif
