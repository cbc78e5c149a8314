/* What a dry run asks of the trials that would run: whether their networks can be built here at
 * all, what memory the largest takes, and the hours of all. Nothing of a step is allocated. */
#ifndef CLI_FORECAST_H
#define CLI_FORECAST_H

#include "src/store/store.h"

typedef struct Forecast {
  const char *home, *db;
  json_t *known; /* by configuration without its seed: what was found of it */
  double work;   /* FLOP of all steps */
  double peak;   /* bytes of the largest */
  int trials, failing, threads;
} Forecast;

/* Of one trial more; false: it would fail, with the reason. */
bool forecast_add(Forecast *forecast, const json_t *experiment, const Cell *trial, Error *why);
/* The line that a dry run ends with, of so many trials at a time. */
void forecast_print(const Forecast *forecast, const char *device, int jobs, FILE *out);
void forecast_free(Forecast *forecast);

#endif
