#include "lua/scopes.h"

#include <lauxlib.h>
#include <string.h>

static const char SCOPES[] = "scopes"; /* in the registry: name -> block */

void scopes_begin(lua_State *L) {
  lua_newtable(L);
  lua_setfield(L, LUA_REGISTRYINDEX, SCOPES);
}

bool call_says(lua_State *L, const char *key) {
  int type = lua_getfield(L, 1, key);
  if (type != LUA_TNIL && type != LUA_TBOOLEAN)
    luaL_error(L, "%s: expected true or false, found %s", key, luaL_typename(L, -1));
  bool yes = lua_toboolean(L, -1);
  lua_pop(L, 1);
  return yes;
}

Scope scope_claim(lua_State *L, const char *block) {
  bool share = call_says(L, "share");
  lua_getfield(L, 1, "name");
  Scope scope = {luaL_optstring(L, -1, block), false};
  lua_getfield(L, LUA_REGISTRYINDEX, SCOPES);
  lua_getfield(L, -1, scope.name);
  const char *owner = lua_tostring(L, -1);
  scope.again = owner != NULL;
  if (owner && !share)
    luaL_error(L, "the name '%s' is taken: give this block another name = ..., or share = true",
               scope.name);
  if (owner && strcmp(owner, block) != 0)
    luaL_error(
        L,
        "share = true: the name '%s' is another block's, m.%s; its parameters are none of m.%s's",
        scope.name, owner, block);
  lua_pushstring(L, block);
  lua_setfield(L, -3, scope.name);
  lua_pop(L, 3);
  return scope;
}

void scope_check(lua_State *L, const Scope *scope, const Params *params, int had) {
  if (!scope->again || params->count == had) return;
  luaL_error(L,
             "share = true: the first block of the name '%s' has no parameter %s; what shares has "
             "its options",
             scope->name, params->list[had]->name);
}
