/* Names of calls, m.NAME{ ..., name = "head", share = true }: where a block's parameters stand, and
 * which calls have the same ones. */
#ifndef LUA_SCOPES_H
#define LUA_SCOPES_H

#include "engine/params.h"

#include <lua.h>
#include <stdbool.h>

/* A model's names begin: none is taken. */
void scopes_begin(lua_State *L);

/* again: another call has the name, and this one shares its parameters. */
typedef struct Scope {
  const char *name;
  bool again;
} Scope;

/* The name of the call whose table is at index 1, by default the block's. That two calls have one
 * set of parameters must be meant (share = true), of the same block; anything else is a Lua error.
 * Their gradients add up: a parameter is one value of the graph, however many nodes read it. */
Scope scope_claim(lua_State *L, const char *block);
/* After building: what shares made no parameter of its own. had: how many there were before. */
void scope_check(lua_State *L, const Scope *scope, const Params *params, int had);

/* key = true in the call's table. */
bool call_says(lua_State *L, const char *key);

#endif
