#include "lua/groups.h"
#include "base/nearest.h"

#include <lauxlib.h>
#include <string.h>

static void check_keys(lua_State *L) {
  const char *const known[] = {"name", "rate", "decay"};
  for (lua_pushnil(L); lua_next(L, 1); lua_pop(L, 1)) {
    const char *key = lua_type(L, -2) == LUA_TSTRING ? lua_tostring(L, -2) : "";
    bool good = false;
    for (int i = 0; i < 3; i++) good |= strcmp(key, known[i]) == 0;
    if (good) continue;
    Hint hint = nearest_hint(key, known, 3, NULL);
    luaL_error(L, "m.group takes name, rate and decay, found '%s'%s", key, hint.text);
  }
}

int groups_declare(lua_State *L) {
  Params *params = lua_touserdata(L, lua_upvalueindex(1));
  luaL_checktype(L, 1, LUA_TTABLE);
  lua_settop(L, 1);
  check_keys(L);
  lua_getfield(L, 1, "name");
  const char *name = lua_type(L, -1) == LUA_TSTRING ? lua_tostring(L, -1) : "";
  if (!name[0]) return luaL_error(L, "m.group: a group has a name: m.group { name = \"adapter\" }");
  for (int g = 0; g < FIRST_GROUPS; g++)
    if (strcmp(name, params->group[g].name) == 0)
      return luaL_error(L, "group %s: it is always there, and its rate is option lr_%s", name,
                        name);
  int type = lua_getfield(L, 1, "rate");
  double rate = luaL_optnumber(L, -1, 1);
  if (!(rate >= 0 && rate <= 1e6) || (type != LUA_TNIL && type != LUA_TNUMBER))
    return luaL_error(L, "group %s: rate: expected a number from 0 to 1e6", name);
  type = lua_getfield(L, 1, "decay");
  if (type != LUA_TNIL && type != LUA_TBOOLEAN)
    return luaL_error(L, "group %s: decay: expected true or false", name);
  bool decay = type == LUA_TNIL || lua_toboolean(L, -1);
  int before = params->groups;
  Error error = {""};
  Group group = params_group(params, name, &error);
  if (group < 0) return luaL_error(L, "%s", error.text);
  ParamGroup *made = &params->group[group];
  if (group < before && (made->factor != rate || made->decay != decay))
    return luaL_error(L, "group %s: is there already with another rate or decay", name);
  made->factor = rate;
  made->decay = decay;
  lua_pushstring(L, name);
  return 1;
}

Group groups_of_call(lua_State *L, const Params *params) {
  const char *names[MAX_GROUPS];
  char listed[512] = "";
  size_t used = 0;
  int type = lua_getfield(L, 1, "group");
  const char *name = type == LUA_TSTRING ? lua_tostring(L, -1) : "";
  lua_pop(L, 1); /* the table keeps it */
  if (type == LUA_TNIL) return -1;
  for (int g = 0; g < params->groups; g++) {
    names[g] = params->group[g].name;
    if (strcmp(name, names[g]) == 0) return g;
    if (used < sizeof listed)
      used +=
          (size_t)snprintf(listed + used, sizeof listed - used, "%s%s", g ? ", " : "", names[g]);
  }
  Hint hint = nearest_hint(name, names, params->groups, NULL);
  luaL_error(L, "there is no group '%s'%s: this model has %s; m.group { name = ... } makes another",
             name, hint.text, listed);
  return -1;
}
