#include "base/error.h"

#include <stdarg.h>
#include <string.h>

bool fail(Error *error, const char *format, ...) {
  if (!error->text[0]) {
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(error->text, sizeof error->text, format, arguments);
    va_end(arguments);
  }
  return false;
}

bool error_of_memory(const Error *error) {
  return strstr(error->text, "out of memory") || strstr(error->text, "no memory");
}
