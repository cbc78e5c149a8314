/* Which parameters are frozen by their names: patterns with commas between them. A pattern means a
 * parameter's name, or the scope that leads to it ("encoder" all of "encoder.stage0.conv0.weight");
 * * ? and [] are the shell's, a dot is a letter to them. A pattern behind a minus sign takes out
 * again what those before it mean: "encoder,-*.adapter". */
#include "engine/graph.h"

#include <fnmatch.h>
#include <string.h>

enum { NAME_BYTES = 512 };

/* The next pattern of *rest; false: there is no more. */
static bool next_pattern(const char **rest, char pattern[NAME_BYTES]) {
  *rest += strspn(*rest, ", ");
  size_t length = strcspn(*rest, ", ");
  snprintf(pattern, NAME_BYTES, "%.*s", (int)length, *rest);
  *rest += length;
  return length > 0;
}

static bool means(const char *pattern, const char *name) {
  char start[NAME_BYTES];
  snprintf(start, sizeof start, "%s", name);
  while (fnmatch(pattern, start, 0) != 0) {
    char *dot = strrchr(start, '.');
    if (!dot) return false;
    *dot = '\0';
  }
  return true;
}

bool freeze_names(const char *patterns, const char *name) {
  char pattern[NAME_BYTES];
  bool frozen = false;
  while (patterns && next_pattern(&patterns, pattern)) {
    bool out = *pattern == '-';
    if (means(pattern + out, name)) frozen = !out;
  }
  return frozen;
}

/* The first parts of the parameters' names, each once: "encoder, bridge, head". */
static void scopes_text(const Params *params, char *text, size_t bytes) {
  size_t used = 0;
  text[0] = '\0';
  for (int i = 0; i < params->count; i++) {
    const char *name = params->list[i]->name;
    int length = (int)strcspn(name, ".");
    bool new = true;
    for (int k = 0; k < i; k++)
      new = new && ((int)strcspn(params->list[k]->name, ".") != length ||
                    strncmp(params->list[k]->name, name, (size_t)length) != 0);
    if (new &&used < bytes)
      used += (size_t)snprintf(text + used, bytes - used, "%s%.*s", used ? ", " : "", length, name);
  }
}

bool freeze_check(const Params *params, const char *patterns, Error *error) {
  char pattern[NAME_BYTES], scopes[NAME_BYTES];
  while (patterns && next_pattern(&patterns, pattern)) {
    const char *named = pattern + (*pattern == '-');
    bool found = false;
    for (int i = 0; i < params->count; i++) found = found || means(named, params->list[i]->name);
    if (found) continue;
    scopes_text(params, scopes, sizeof scopes);
    return fail(error, "freeze: no parameter of the model is called '%s'; its scopes are %s", named,
                scopes);
  }
  return !params->count || params_trained(params) > 0 ||
         fail(error, "freeze: all parameters of the model are frozen, so nothing trains");
}
