#include "base/nearest.h"

#include <ctype.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

enum { LONGEST = 63 };

static int least(int a, int b) {
  return a < b ? a : b;
}

static int length(const char *text) {
  return (int)strnlen(text, LONGEST);
}

int nearest_distance(const char *a, const char *b) {
  int row[LONGEST + 2][LONGEST + 2];
  int m = length(a), n = length(b);
  for (int i = 0; i <= m; i++) row[i][0] = i;
  for (int j = 0; j <= n; j++) row[0][j] = j;
  for (int i = 1; i <= m; i++) {
    for (int j = 1; j <= n; j++) {
      int ca = tolower((unsigned char)a[i - 1]), cb = tolower((unsigned char)b[j - 1]);
      int best = least(row[i - 1][j], row[i][j - 1]) + 1;
      best = least(best, row[i - 1][j - 1] + (ca != cb));
      bool swapped = i > 1 && j > 1 && ca == tolower((unsigned char)b[j - 2]) &&
                     cb == tolower((unsigned char)a[i - 2]);
      if (swapped) best = least(best, row[i - 2][j - 2] + 1);
      row[i][j] = best;
    }
  }
  return row[m][n];
}

const char *nearest_name(const char *word, const char *const *names, int count) {
  const char *best = NULL;
  int best_distance = LONGEST + 1;
  for (int i = 0; i < count; i++) {
    if (!names[i]) continue;
    int distance = nearest_distance(word, names[i]);
    bool begins = length(word) >= 2 && strncmp(word, names[i], (size_t)length(word)) == 0;
    if (begins) distance = 1; /* a name cut short is one slip, whatever is missing */
    if (distance >= best_distance) continue;
    best_distance = distance;
    best = names[i];
  }
  if (!best) return NULL;
  int longer = length(word) > length(best) ? length(word) : length(best);
  int allowed = longer / 3 > 1 ? longer / 3 : 1;
  return best_distance <= allowed ? best : NULL;
}

Hint nearest_hint(const char *word, const char *const *names, int count, const char *otherwise) {
  Hint hint = {""};
  const char *near = nearest_name(word, names, count);
  if (near)
    snprintf(hint.text, sizeof hint.text, "; did you mean \"%s\"?", near);
  else if (otherwise)
    snprintf(hint.text, sizeof hint.text, "; %s", otherwise);
  return hint;
}
