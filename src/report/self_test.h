/* An experiment of kind "self_test": do equal rows of real trainings get verdicts? Its stored
 * trials are dealt into tables by src/statistics/relabel.h, anew whenever they are shown: the same
 * trials give the same figures. */
#ifndef REPORT_SELF_TEST_H
#define REPORT_SELF_TEST_H

#include "src/report/result.h"
#include "src/report/sheet.h"
#include "src/statistics/relabel.h"
#include "src/statistics/trial_pool.h"

#include <stdio.h>

/* Tables of one shape; rates with cases random, fixed. */
typedef struct SelfTestShape {
  int rows, seeds;
  bool dealt; /* else there are too few trials for one table */
  RelabelRates rates[2];
  double *p; /* (count) of the claims alone, cases random, in order */
  int count;
} SelfTestShape;

typedef struct SelfTest {
  int tables; /* of each shape */
  Pool pool;
  double *figure; /* (pool.trials) in order */
  SelfTestShape *shape;
  int shapes;
} SelfTest;

/* settings: {"relabelings", "shapes": [{"rows", "seeds"}]} as text. metric: NULL: the
 * experiment's. */
bool self_test_load(Store *store, const Result *result, const char *settings, const char *metric,
                    SelfTest **test, Error *error);
void self_test_free(SelfTest *test); /* may be NULL */

/* A line for each shape and kind of cases, in one sheet, or for narrow screens in two: the rates
 * and what can be seen. */
typedef enum SelfTestPart { SELF_TEST_WHOLE, SELF_TEST_RATES, SELF_TEST_SEEN } SelfTestPart;
Sheet self_test_sheet(const Result *result, SelfTestPart part);
Sheet self_test_trials(const Result *result); /* how their figures lie */
/* One note a line after `mark`. */
void self_test_notes(const Result *result, const char *mark, FILE *out);
/* Formats as table_formats. */
void self_test_print(const Result *result, const char *format, FILE *out);

#endif
