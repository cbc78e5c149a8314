/* What this program was built from, compiled in: no later state of the folder is taken for it. */
#ifndef MACHINE_BUILT_H
#define MACHINE_BUILT_H

typedef struct Built {
  const char *version, *compiler, *flags;
  const char *commit; /* 40 digits; "": there was no git checkout */
  const char *diff;   /* of the tree to that commit, with files that git does not know; "": none */
} Built;

extern const Built built;

enum { BUILT_TEXT = 80 };

/* "0.2.0 (073ebeba, modified)" */
const char *built_text(char text[BUILT_TEXT]);

#endif
