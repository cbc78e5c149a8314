/* How stored trials stand to the program and the Lua files of today: neither is part of their
 * identity, so both are said, and nothing is repeated by itself. */
#ifndef CLI_MARKS_H
#define CLI_MARKS_H

#include "src/cli/experiments.h"

typedef struct Mark {
  bool other_text;    /* a Lua file that its model came from says something else today */
  bool unknown_text;  /* done, and which text its model had was not stored */
  bool other_build;   /* done, by another binary */
  bool other_weights; /* it scored weights whose training was repeated or taken back since */
  char *file;         /* of other_text: the first such file */
} Mark;

/* (trials) of an experiment whose cells are listed; store NULL: nothing is stored. NULL with an
 * error. The caller frees with marks_free. */
Mark *marks_read(Store *store, const char *home, const Experiment *experiment, Error *error);
void marks_free(Mark *marks, int count);

/* What the marks of all say, a line each, begun by `head`; experiment p has marks[p]. */
void marks_tell(const Experiments *experiments, Mark *const *marks, const char *head, FILE *out);

#endif
