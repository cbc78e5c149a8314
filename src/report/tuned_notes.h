/* Of a table whose rows' rates were chosen (lr=tuned): the tries, what they came to, and the choice
 * that the row's trials have. */
#ifndef REPORT_TUNED_NOTES_H
#define REPORT_TUNED_NOTES_H

#include "src/report/result.h"

/* Reads the tries of the result's plan into result->tuned. */
bool tuned_read(Store *store, Result *result, Error *error);
/* A note a row, each begun by mark. */
void tuned_notes(const Result *result, const char *mark, FILE *out);
/* [{"row", "fold", "lr", "edge", "tries": [{"lr", "dice", "tries", "collapsed", "lost", "open"}]}];
 * lr: of the row's trials; null: no try ended well. New reference. */
json_t *tuned_json(const Result *result);

#endif
