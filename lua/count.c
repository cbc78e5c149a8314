#include "lua/count.h"
#include "lua/sandbox.h"

#include <lauxlib.h>

/* The trial's configuration with the options `set`, which it takes. */
static json_t *config_with(const json_t *config, json_t *set) {
  json_t *other = json_copy((json_t *)(uintptr_t)config);
  json_object_set_new(other, "counted", set);
  json_object_del(other, "freeze"); /* its patterns mean the trial's own parameters */
  return other;
}

static bool count(const Counting *counting, json_t *set, int64_t *total, Error *error) {
  json_t *config = config_with(counting->config, set);
  Params *params = params_make(counting->real);
  Graph *graph = graph_make(params);
  Model model;
  bool good = model_build(counting->home, config, counting->shape, graph, &model, error);
  *total = params_total(params);
  graph_free(graph);
  params_free(params);
  json_decref(config);
  return good;
}

int count_parameters(lua_State *L) {
  const Counting *counting = lua_touserdata(L, lua_upvalueindex(1));
  luaL_checktype(L, 1, LUA_TTABLE);
  if (json_object_get(counting->config, "counted"))
    return luaL_error(L, "m.parameters: a model that is counted asks for no third one's number");
  int64_t total = 0;
  Error error = {""};
  json_t *set = sandbox_to_json(L, 1, &error);
  if (!json_is_object(set) || error.text[0]) {
    json_decref(set);
    return luaL_error(L, "m.parameters: expected { option = value }%s%s", error.text[0] ? ": " : "",
                      error.text);
  }
  if (!count(counting, set, &total, &error)) return luaL_error(L, "m.parameters: %s", error.text);
  lua_pushinteger(L, total);
  return 1;
}
