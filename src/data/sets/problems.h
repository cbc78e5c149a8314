/* Everything found wrong, one sentence each. Private to src/data. */
#ifndef DATA_PROBLEMS_H
#define DATA_PROBLEMS_H

#include "base/paths.h"
#include "src/data/sets/dataset.h"

typedef struct Problems {
  int count;
  char **text;
} Problems;

void problems_add(Problems *problems, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
void problems_free(Problems *problems);
/* True without one; else the first is the error, and how many more there are. */
bool problems_told(const Problems *problems, const char *dir, Error *error);

/* dataset_open that goes on after a problem: cases with a problem are left out. False when nothing
 * can be said about cases at all. The dataset must be freed in both cases. */
bool dataset_scan(Dataset *dataset, const char *dir, Problems *problems);

#endif
