/* How much a Lua state may use, and which functions it has: base, table, string and math without
 * what reaches outside (files, processes, the clock, chance, the collector) or what would compute
 * in C for ever without an instruction. What a file of a user's asks for beyond that is an error at
 * its line, which no pcall of its own keeps from ending it. Shared by the sandbox alone. */
#ifndef LUA_LIMITS_H
#define LUA_LIMITS_H

#include "base/error.h"

#include <lua.h>

#ifndef LUA_MILLIONS /* less under a fuzzer's sanitizers */
#define LUA_MILLIONS 100
#define LUA_MIB      256
#endif

enum {
  LUA_MIB_MOST = LUA_MIB,               /* of memory; twice that until the next instruction */
  LUA_INSTRUCTIONS_MOST = LUA_MILLIONS, /* of a state */
  LUA_SECONDS_MOST = 60 /* of processor time, for what takes long in few instructions */
};

/* NULL with an error: no memory. */
lua_State *limits_open(Error *error);
void limits_close(lua_State *L);
/* lua_pcall with one result. Outside of it, in C's own calls, memory has no limit, since nobody
 * could catch that error. */
int limits_call(lua_State *L, int arguments);

#endif
