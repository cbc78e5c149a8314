#include "src/machine/built.h"

#include <stdio.h>

/* BUILT_FROM is written by src/machine/built_from: the fields commit and diff. */
const Built built = {
    .version = RELEASE,
    .compiler = __VERSION__,
    .flags = BUILD_FLAGS,
#include BUILT_FROM
};

const char *built_text(char text[BUILT_TEXT]) {
  if (built.commit[0])
    snprintf(text, BUILT_TEXT, "%s (%.8s%s)", built.version, built.commit,
             built.diff[0] ? ", modified" : "");
  else
    snprintf(text, BUILT_TEXT, "%s (not of a git checkout: the commit is not known)",
             built.version);
  return text;
}
