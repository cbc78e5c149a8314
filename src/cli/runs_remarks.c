/* harness runs tag|note: what is said of a trial. */
#include <string.h>

#include "base/utf8.h"
#include "src/cli/cli.h"
#include "src/cli/runs.h"
#include "src/store/remarks.h"

static int say(Store *store, const RunsChoice *choice, const char *kind, Error *error) {
  const char *trial = choice->trial[0];
  for (int i = 1; i < choice->trials; i++) {
    char *text = utf8_shown(choice->trial[i]);
    bool good = (choice->remove ? remark_remove : remark_add)(store, trial, kind, text, error);
    free(text);
    if (!good) return EXIT_NOTHING;
  }
  return EXIT_DONE;
}

/* A tag is one word, so that a list of them can be read. */
int runs_tag(Store *store, const RunsChoice *choice, Error *error) {
  for (int i = 1; i < choice->trials; i++) {
    const char *word = choice->trial[i];
    if (!word[strcspn(word, " \t\r\n,")]) continue;
    fail(error, "a tag is one word, not \"%s\"; `harness runs note` takes sentences", word);
    return EXIT_USAGE;
  }
  return say(store, choice, "tag", error);
}

int runs_note(Store *store, const RunsChoice *choice, Error *error) {
  return say(store, choice, "note", error);
}
