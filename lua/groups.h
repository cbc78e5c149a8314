/* Groups of parameters in a model's file: m.group { name = "adapter", rate = 0.1, decay = false }
 * makes one, whose parameters learn at `rate` times the schedule's rate (1) and decay or not
 * (true); m.BLOCK { ..., group = "adapter" } puts a block's parameters there. */
#ifndef LUA_GROUPS_H
#define LUA_GROUPS_H

#include "engine/params.h"

#include <lua.h>

/* m.group, with the Params (light userdata) as its first upvalue. Returns the name. */
int groups_declare(lua_State *L);
/* That of the call's table, argument 1; negative: it names none. A Lua error lists the groups
 * where it names another. */
Group groups_of_call(lua_State *L, const Params *params);

#endif
