/* Trials that differ in options of evaluation alone share one training: one of them trains, the
 * others score the weights that it kept. They stay trials of their own, each with its attempts and
 * figures; what is shared is found by Cell.training. */
#ifndef CLI_SHARE_H
#define CLI_SHARE_H

#include "src/store/code.h"
#include "src/store/store.h"

typedef enum ShareKind {
  SHARE_NOTHING,  /* it has to train */
  SHARE_WEIGHTS,  /* there are weights to score */
  SHARE_COLLAPSED /* the training collapsed before there were any */
} ShareKind;

typedef struct Share {
  ShareKind kind;
  char hash[HASH_BYTES];     /* the trial that is stored */
  int64_t attempt;           /* that trained */
  char message[ERROR_BYTES]; /* of SHARE_COLLAPSED: why; of SHARE_NOTHING why weights of a trained
                                trial cannot be scored, or "" */
} Share;

/* What is stored of the trial's training, under other trials; store NULL: nothing. */
bool share_find(Store *store, CodeToday *today, const Cell *trial, Share *share, Error *error);

/* The trial trained by itself before: its newest attempt is no score. */
bool share_trained(Store *store, const Cell *trial, bool *trained, Error *error);

/* Whether the weights of the trial of this hash are there, and of the end of a training as
 * `trial`'s: why is "", or says what is wrong. */
void share_judge(const char *folder, const char *hash, const Cell *trial, char why[ERROR_BYTES]);

/* The file of a trial's weights, beside the database. */
enum { WEIGHTS_PATH = 4400 };
void weights_path(const char *folder, const char *hash, char path[WEIGHTS_PATH]);
/* They are there, or those before them. */
bool weights_there(const char *folder, const char *hash);
/* Puts the weights of a trial, and what is kept beside them, into another folder of results, where
 * checkpoints/ is; those that are not there are none. */
bool weights_place(const char *from, const char *to, const char *hash, Error *error);
/* Makes the weights of trial `from` those of `to` as well: one file under two names, or a copy
 * where the file system has no such links. What `to` had is gone. */
bool share_place(const char *folder, const char *from, const char *to, Error *error);

#endif
