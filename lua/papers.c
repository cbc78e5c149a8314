/* The papers' tables as data: lua/harness/papers.lua checks what paper/NAME.lua declares. */
#include "lua/bind.h"
#include "lua/sandbox.h"

#include <lauxlib.h>

/* What a function of harness/papers.lua returns of the words given, NULL with an error. */
static json_t *asked(const char *home, const char *function, const char *const *words, int count,
                     Error *error) {
  lua_State *L = sandbox_open(home, error);
  if (!L) return NULL;
  json_t *answer = NULL;
  if (sandbox_require(L, "harness.papers", error)) {
    lua_getfield(L, -1, function);
    for (int i = 0; i < count; i++) lua_pushstring(L, words[i]);
    if (sandbox_call(L, count, error)) answer = sandbox_to_json(L, -1, error);
  }
  sandbox_close(L);
  return answer;
}

json_t *papers_listed(const char *home, Error *error) {
  return asked(home, "all", NULL, 0, error);
}

json_t *paper_table(const char *home, const char *paper, const char *table, Error *error) {
  return asked(home, "one", (const char *const[]){paper, table}, 2, error);
}

json_t *paper_of_name(const char *home, const char *name, int table) {
  char number[32];
  Error unread = {""};
  snprintf(number, sizeof number, "%d", table);
  return asked(home, "printed", (const char *const[]){name, number}, 2, &unread);
}
