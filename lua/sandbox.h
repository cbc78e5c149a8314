/* A Lua state that can compute and nothing else, within limits.h: base, table, string, math;
 * `require` reads only HOME/lua, HOME/paper and HOME/experiments, and in a file elsewhere of these
 * what models are made of, and what lies beside that file; no other files, no processes, no clock,
 * no unseeded randomness. Shared by experiment.c and model.c; nothing outside lua/ sees it. */
#ifndef LUA_SANDBOX_H
#define LUA_SANDBOX_H

#include "base/error.h"

#include <jansson.h>
#include <lua.h>

lua_State *sandbox_open(const char *home, Error *error);
void sandbox_close(lua_State *L);
/* Loads and runs a user's file, leaves its one result on the stack. `shown` is what messages call
 * it. */
bool sandbox_run(lua_State *L, const char *path, const char *shown, Error *error);
/* Leaves the module's value on the stack. */
bool sandbox_require(lua_State *L, const char *module, Error *error);
/* Pushes load(path, shown), sandbox_run for Lua. */
void sandbox_push_load(lua_State *L);
/* How many files have been run, and of file i, from 0 in that order, its text and its name: HOME's
 * path of its own files ("lua/harness/parts/encoder.lua"), of others that from the folder of the
 * file that was run: it tells nothing of where they lie. Both live as long as the state. */
int sandbox_files(lua_State *L);
void sandbox_file(lua_State *L, int i, const char **name, const char **text);
/* Calls the function below `arguments` values; one result stays on the stack. */
bool sandbox_call(lua_State *L, int arguments, Error *error);

void sandbox_push_json(lua_State *L, const json_t *value);
/* The value at the index: tables with t[1] are arrays, others objects; metamethods are not asked.
 * New reference. NULL for a function or userdata. A text that is not UTF-8 (a path may be), or a
 * table that holds itself, is an error: null is in its place. */
json_t *sandbox_to_json(lua_State *L, int index, Error *error);

#endif
