/* The named values of a call in a model's Lua file, m.NAME { ..., width = 48 }, by a C table. */
#ifndef LUA_CALL_OPTIONS_H
#define LUA_CALL_OPTIONS_H

#include "kernels/op.h"

#include <lua.h>

/* Fills an options struct from the table at index 1: what is not there has its default; an unknown
 * name, a type or a range that is not the option's is a Lua error, in which `block` is what was
 * called. Names that every call may have (name, share, frozen, group) are left to others. */
void call_options(lua_State *L, const Option *table, void *options, const char *block);

#endif
