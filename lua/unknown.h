/* What a model's file asks of the builder `m` and is not there: an error with the name that was
 * probably meant, instead of Lua's "attempt to call a nil value". */
#ifndef LUA_UNKNOWN_H
#define LUA_UNKNOWN_H

#include <lua.h>

/* Of the table on top: reading a key that it has not is an error, "m.NAME: ...", but for `maybe`
 * (NULL: none), which is nil. prefix: what stands before the name, "m.". The texts are static. */
void unknown_refuse(lua_State *L, const char *prefix, const char *maybe);

#endif
