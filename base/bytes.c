#include "base/bytes.h"

#include <math.h>
#include <stdio.h>

const char *bytes_text(double bytes, char text[BYTES_TEXT]) {
  static const char *const units[] = {"bytes", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
  int unit = 0;
  if (!isfinite(bytes)) return snprintf(text, BYTES_TEXT, "-"), text;
  for (; unit < 6 && fabs(bytes) >= 1000; unit++) bytes /= 1024; /* 1000: never four digits */
  int digits = unit == 0 || fabs(bytes) >= 99.95 ? 0 : fabs(bytes) >= 9.995 ? 1 : 2;
  snprintf(text, BYTES_TEXT, "%.*f %s", digits, bytes, units[unit]);
  return text;
}
