#include "lua/unknown.h"
#include "base/nearest.h"

#include <lauxlib.h>
#include <stdbool.h>
#include <string.h>

enum { NAMES = 256 };

/* What is said of m.softmax, which is m.op.softmax, and the other way round. */
static const char *elsewhere(lua_State *L, const char *prefix, const char *key) {
  bool outer = strcmp(prefix, "m.") == 0;
  lua_getfield(L, LUA_REGISTRYINDEX, outer ? "builder.m.op." : "builder.m.");
  lua_pushstring(L, key);
  if (!lua_istable(L, -2) || lua_rawget(L, -2) == LUA_TNIL) return NULL;
  return lua_pushfstring(L, "; it is %s%s", outer ? "m.op." : "m.", key);
}

static int refuse(lua_State *L) {
  const char *prefix = lua_tostring(L, lua_upvalueindex(1));
  const char *maybe = lua_tostring(L, lua_upvalueindex(2));
  const char *key = luaL_tolstring(L, 2, NULL), *names[NAMES + 1];
  int count = 0;
  if (maybe && strcmp(key, maybe) == 0) return 0;
  if (maybe) names[count++] = maybe;
  for (lua_pushnil(L); count < NAMES && lua_next(L, 1); lua_pop(L, 1))
    if (lua_type(L, -2) == LUA_TSTRING) names[count++] = lua_tostring(L, -2); /* the table's */
  const char *other = elsewhere(L, prefix, key);
  if (other) return luaL_error(L, "there is no %s%s%s", prefix, key, other);
  Hint hint = nearest_hint(key, names, count, "`harness help blocks` and `help ops` list them");
  return luaL_error(L, "there is no %s%s%s", prefix, key, hint.text);
}

void unknown_refuse(lua_State *L, const char *prefix, const char *maybe) {
  const char *place = lua_pushfstring(L, "builder.%s", prefix);
  lua_pushvalue(L, -2);
  lua_setfield(L, LUA_REGISTRYINDEX, place);
  lua_pop(L, 1);
  lua_createtable(L, 0, 1);
  lua_pushstring(L, prefix);
  lua_pushstring(L, maybe);
  lua_pushcclosure(L, refuse, 2);
  lua_setfield(L, -2, "__index");
  lua_setmetatable(L, -2);
}
