/* Stored configurations: the first trial of each row of a plan. */
#ifndef REPORT_FIRSTS_H
#define REPORT_FIRSTS_H

#include "src/store/typed_rows.h"

typedef struct First {
  const char *key, *label;
  int seed;
  json_t *config;
} First;

typedef struct Firsts {
  First *item; /* (count), and one without configuration */
  int count;
  Rows rows;
} Firsts;

/* None where they cannot be read. options: experiment_options of every model; those of models of
 * one's own join them. */
Firsts firsts_load(Store *store, const char *home, json_t *options, int64_t plan_id);
void firsts_free(Firsts *firsts);

const json_t *first_option(const First *trial, const char *name);
/* All rows have the same value. */
bool firsts_share(const Firsts *firsts, const char *name);

#endif
