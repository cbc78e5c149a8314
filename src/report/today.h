/* What a stored experiment's file asks for today. */
#ifndef REPORT_TODAY_H
#define REPORT_TODAY_H

#include <jansson.h>

typedef struct TodayOf {
  const char *experiment, *file, *scale, *device;
} TodayOf;

/* At its scale, on its device and the data of config, one of its trials' (NULL: the data that the
 * file names, if any); NULL: it cannot be read.
 * Where it was typed from elsewhere, that of this name in HOME. A new reference. */
json_t *today_read(const char *home, const TodayOf *of, const json_t *config);

#endif
