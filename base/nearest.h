/* The name a user probably meant: used wherever a typo is answered (subcommands, options, keys). */
#ifndef BASE_NEAREST_H
#define BASE_NEAREST_H

/* The number of single-character insertions, deletions, substitutions and swaps of neighbours
 * that turn a into b (Damerau-Levenshtein, optimal string alignment), letter case ignored.
 * Only the first 63 characters are compared. */
int nearest_distance(const char *a, const char *b);

/* The entry of names[0..count-1] nearest to word, or NULL when none is near: at most a third of
 * the longer word's length differs (one edit is always allowed); a name cut short (two letters or
 * more) counts as one edit. NULL entries are skipped; the result is one of the entries. */
const char *nearest_name(const char *word, const char *const *names, int count);

/* What a message about an unknown name ends with: `; did you mean "NAME"?`, or `; ` and
 * `otherwise`, or nothing where that is NULL. */
typedef struct Hint {
  char text[160];
} Hint;
Hint nearest_hint(const char *word, const char *const *names, int count, const char *otherwise);

#endif
