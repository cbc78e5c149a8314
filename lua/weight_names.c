/* What parameters are called in other programs' files: lua/harness/weights.lua, called from C. */
#include "lua/bind.h"
#include "lua/sandbox.h"

/* Leaves harness.weights' function below the configuration and load(path, shown). */
static lua_State *begin(const char *home, const json_t *config, const char *function,
                        Error *error) {
  lua_State *L = sandbox_open(home, error);
  if (!L) return NULL;
  if (sandbox_require(L, "harness.weights", error)) {
    lua_getfield(L, -1, function);
    sandbox_push_json(L, config);
    sandbox_push_load(L);
    return L;
  }
  sandbox_close(L);
  return NULL;
}

static json_t *end(lua_State *L, int arguments, Error *error) {
  json_t *result = sandbox_call(L, arguments, error) ? sandbox_to_json(L, -1, error) : NULL;
  sandbox_close(L);
  return result;
}

json_t *weights_match(const char *home, const json_t *config, const json_t *ours,
                      const json_t *theirs, Error *error) {
  lua_State *L = begin(home, config, "match", error);
  if (!L) return NULL;
  sandbox_push_json(L, ours);
  sandbox_push_json(L, theirs);
  return end(L, 4, error);
}

json_t *weights_names(const char *home, const json_t *config, const char *map, const json_t *ours,
                      Error *error) {
  lua_State *L = begin(home, config, "names", error);
  if (!L) return NULL;
  lua_pushstring(L, map);
  sandbox_push_json(L, ours);
  return end(L, 4, error);
}
