/* A Lua state that can compute and nothing else: base, table, string, math; `require` reads only
 * HOME/lua, HOME/paper and HOME/experiments; no files, no processes, no clock, no unseeded
 * randomness. Shared by experiment.c and model.c; nothing outside lua/ sees it. */
#ifndef LUA_SANDBOX_H
#define LUA_SANDBOX_H

#include "base/error.h"

#include <jansson.h>
#include <lua.h>

lua_State *sandbox_open(const char *home, Error *error);
/* Loads and runs a chunk file, leaves its one result on the stack. `name` is what messages show. */
bool sandbox_run(lua_State *L, const char *path, const char *name, Error *error);
/* Calls the function below `arguments` values; one result stays on the stack. */
bool sandbox_call(lua_State *L, int arguments, Error *error);

void sandbox_push_json(lua_State *L, const json_t *value);
/* The value at the index: tables with t[1] are arrays, others objects. New reference. NULL for a
 * function or userdata. A text that is not UTF-8 (a path may be) is an error: null is in its
 * place. */
json_t *sandbox_to_json(lua_State *L, int index, Error *error);

#endif
