/* One experiment whose seeds are added (until.h): its cells, and what is printed of it. */
#ifndef CLI_GROWING_H
#define CLI_GROWING_H

#include "src/cli/experiments.h"
#include "src/report/replay.h"

struct Growing {
  Experiment *experiment;
  Sequence sequence;
  json_t *pattern; /* the document's own cells: used where they are of the seed, else copied */
  int rows;
  int *fold;            /* (sequence.folds) */
  bool *claimed;        /* (rows) something is claimed of it */
  bool *collapses;      /* (rows) the paper says so */
  int *seeds;           /* (rows * folds) that it has cells of, from sequence.first_seed on */
  double budget_s;      /* of this call */
  int asked_first;      /* first_seed= as given; -1: not given */
  bool found;           /* the sequence was stored before */
  bool settled;         /* its looks are */
  bool estimated;       /* known_trial_s is no stored time */
  double known_trial_s; /* of stored trials of these rows; 0: there is none */
  int waiting;          /* trials that are to run */
  bool grew;            /* it has cells that it had not, which may be stored trials */
  int said;             /* looks that were told */
  LooksState state;     /* at the last step */
};
typedef struct Growing Growing;

/* Those that ask for it and of whose rows something is claimed (malloced). Others are left as they
 * are; false where there is none, or where its folds make no verdict. */
bool growing_list(Experiments *experiments, Growing **list, int *count, bool quiet, Error *error);
/* Its stored plan, or where there is none a new one, not stored, of seeds that nobody has judged;
 * store may be NULL. */
bool growing_find(Growing *growing, Store *store, Error *error);
/* Gives each row cells of so many seeds, need (rows), that ended or are to run: one that failed is
 * replaced by the next. None is taken away. */
bool growing_extend(Growing *growing, const int *need, Store *store, Error *error);
/* The same of the first look. */
bool growing_begin(Growing *growing, Store *store, Error *error);
const char *growing_name(const Growing *growing); /* the experiment's */
/* Trials of one seed of all rows of which something is claimed. */
int growing_seed_trials(const Growing *growing);
void growing_free(Growing *growing);

/* ---- what is said (growing_print.c) ---------------------------------------------------------- */

enum { TIME_TEXT = 32 };
void time_text(double seconds, char text[TIME_TEXT]);

void growing_print_plan(const Growing *growing, FILE *out);
/* replay: of the first k + 1 looks. */
void growing_print_look(const Growing *growing, const Replay *replay, int k, FILE *out);
void growing_print_end(const Growing *growing, bool unfinished, FILE *out);
/* seed_s: one seed of all experiments together; 0: not known. */
void growing_print_cost(const Growing *growing, double seed_s, int jobs, FILE *out);

#endif
