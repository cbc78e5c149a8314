#include "lua/limits.h"

#include <lauxlib.h>
#include <lualib.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { STRIDE = 10000 /* instructions between two looks */, MILLION = 1000000 };
static const size_t BYTES_MOST = (size_t)LUA_MIB_MOST << 20;
static const double STEPS_MOST = 2e10; /* of a pattern in its text: a minute */

typedef enum Excess { NONE, MEMORY, INSTRUCTIONS, SECONDS } Excess;

/* Of a state; its allocator's. */
typedef struct Limits {
  lua_State *state;
  size_t used;
  bool full; /* of memory, as far as the allocator knows: there may be garbage */
  int calls; /* limits_call in limits_call; 0: C's own */
  int64_t instructions;
  double start; /* processor seconds */
  Excess excess;
} Limits;

static Limits *limits_of(lua_State *L) {
  void *user;
  lua_getallocf(L, &user);
  return user;
}

static double processor_seconds(void) {
  struct timespec t;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
  return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* ---- memory and instructions ----------------------------------------------------------------- */

static void look(lua_State *L, lua_Debug *at);

/* lua_Alloc: without `old` its size says what is made. Lua relies on it that less always fits. Who
 * takes too much ends at the next instruction, which has a line; until then there is twice that. */
static void *allocate(void *user, void *old, size_t had, size_t wanted) {
  Limits *limits = user;
  if (!old) had = 0;
  size_t more = wanted > had ? wanted - had : 0;
  if (more && limits->calls && limits->used + more > BYTES_MOST) {
    if (limits->used + more > 2 * BYTES_MOST) return NULL;
    limits->full = true;
    lua_sethook(limits->state, look, LUA_MASKCOUNT, 1); /* may be called at any moment */
  }
  void *memory = NULL;
  if (wanted)
    memory = realloc(old, wanted);
  else
    free(old);
  if (memory || !wanted) limits->used += wanted - had;
  return memory;
}

/* Whether without the garbage it is still too much. */
static bool is_full(lua_State *L, Limits *limits) {
  if (!limits->full) return false;
  limits->full = false;
  lua_sethook(L, look, LUA_MASKCOUNT, STRIDE);
  lua_gc(L, LUA_GCCOLLECT);
  return limits->used > BYTES_MOST;
}

static Excess excess_of(lua_State *L, Limits *limits) {
  if (is_full(L, limits)) return MEMORY;
  if (limits->instructions > (int64_t)LUA_INSTRUCTIONS_MOST * MILLION) return INSTRUCTIONS;
  return processor_seconds() - limits->start > LUA_SECONDS_MOST ? SECONDS : NONE;
}

/* Once it is too much every further instruction is, so that whoever catches the error ends too. */
static void look(lua_State *L, lua_Debug *at) {
  static const struct {
    const char *words;
    int most;
  } told[] = {[MEMORY] = {"more than %d MiB of memory: what does it collect?", LUA_MIB_MOST},
              [INSTRUCTIONS] = {"more than %d million instructions: does it ever end?",
                                LUA_INSTRUCTIONS_MOST},
              [SECONDS] = {"more than %d seconds: does it ever end?", LUA_SECONDS_MOST}};
  (void)at;
  Limits *limits = limits_of(L);
  if (!limits->excess) {
    if (!limits->full) limits->instructions += STRIDE;
    limits->excess = excess_of(L, limits);
  }
  if (!limits->excess) return;
  lua_sethook(L, look, LUA_MASKCOUNT, 1);
  luaL_where(L, 0);
  lua_pushfstring(L, told[limits->excess].words, told[limits->excess].most);
  lua_concat(L, 2);
  lua_error(L);
}

int limits_call(lua_State *L, int arguments) {
  Limits *limits = limits_of(L);
  limits->calls++;
  int code = lua_pcall(L, arguments, 1, 0);
  limits->calls--;
  if (code != LUA_ERRMEM) return code;
  lua_pop(L, 1);
  lua_pushfstring(L, "more than %d MiB of memory at once: what is it that large?",
                  2 * LUA_MIB_MOST);
  return code;
}

/* ---- the libraries' functions ---------------------------------------------------------------- */

/* The function as Lua has it, in the place of this one, so that its errors name it. */
static int call_original(lua_State *L) {
  return lua_tocfunction(L, lua_upvalueindex(1))(L);
}

/* Its metamethods could make a length of anything, for loops that run in C. */
static int plain_table(lua_State *L) {
  static const char *const odd[] = {"__len", "__index", "__newindex"};
  for (int argument = 1; argument <= 5; argument += 4) /* table.move's second one is its fifth */
    for (int i = 0; i < 3; i++)
      if (lua_istable(L, argument) && luaL_getmetafield(L, argument, odd[i]) != LUA_TNIL)
        return luaL_argerror(L, argument, "a table with metamethods");
  return call_original(L);
}

static int short_move(lua_State *L) {
  lua_Integer first = luaL_checkinteger(L, 2), last = luaL_checkinteger(L, 3), count;
  if (last >= first && (__builtin_sub_overflow(last, first, &count) || count > MILLION))
    return luaL_argerror(L, 3, "more than a million values");
  return plain_table(L);
}

static int short_repetition(lua_State *L) {
  size_t length, between = 0;
  luaL_checklstring(L, 1, &length);
  lua_Integer times = luaL_checkinteger(L, 2);
  luaL_optlstring(L, 3, "", &between);
  if (times > 0 && (double)times * (double)(length + between + 1) > (double)BYTES_MOST)
    return luaL_argerror(L, 2, "too many times");
  return call_original(L);
}

/* Behind a pattern's set "[^]abc%]]". */
static const char *set_end(const char *at, const char *end) {
  if (++at < end && *at == '^') at++;
  do {
    if (at < end && *at++ == '%' && at < end) at++;
  } while (at < end && *at != ']');
  return at;
}

/* At most: from every start, each repetition tries every length. */
static double pattern_steps(const char *pattern, size_t length, double text) {
  const char *end = pattern + length;
  double steps = length && *pattern == '^' ? 1 : text + 1;
  for (const char *at = pattern; at < end; at++) {
    bool escaped = *at == '%' && at + 1 < end;
    if (escaped) at++;
    if (escaped ? *at == 'b' : *at && strchr("*+-", *at)) steps *= text + 1;
    if (!escaped && *at == '[') at = set_end(at, end);
  }
  return steps;
}

static int short_search(lua_State *L) {
  size_t text, length;
  luaL_checklstring(L, 1, &text);
  const char *pattern = luaL_checklstring(L, 2, &length);
  if (pattern_steps(pattern, length, (double)text) > STEPS_MOST)
    return luaL_argerror(L, 2, "a pattern of so many repetitions may take for ever in this text");
  return call_original(L);
}

/* A finaliser would run where nothing is counted. */
static int no_finaliser(lua_State *L) {
  if (lua_istable(L, 2)) {
    lua_pushliteral(L, "__gc");
    if (lua_rawget(L, 2) != LUA_TNIL) return luaL_argerror(L, 2, "a metatable with __gc");
    lua_pop(L, 1);
  }
  return call_original(L);
}

/* Standard output has results alone. */
static int print(lua_State *L) {
  int count = lua_gettop(L);
  for (int i = 1; i <= count; i++) {
    fprintf(stderr, "%s%s", i > 1 ? "\t" : "", luaL_tolstring(L, i, NULL));
    lua_pop(L, 1);
  }
  fputc('\n', stderr);
  return 0;
}

static const struct {
  const char *module, *name;
  lua_CFunction instead; /* NULL: there is none */
} functions[] = {
    {"_G", "dofile", NULL},
    {"_G", "loadfile", NULL},
    {"_G", "load", NULL},
    {"_G", "collectgarbage", NULL},
    {"_G", "warn", NULL},
    {"_G", "print", print},
    {"_G", "setmetatable", no_finaliser},
    {"math", "random", NULL},
    {"math", "randomseed", NULL},
    {"string", "dump", NULL},
    {"string", "rep", short_repetition},
    {"string", "find", short_search},
    {"string", "match", short_search},
    {"string", "gmatch", short_search},
    {"string", "gsub", short_search},
    {"table", "move", short_move},
    {"table", "insert", plain_table},
    {"table", "remove", plain_table},
    {"table", "concat", plain_table},
    {"table", "sort", plain_table},
    {"table", "unpack", plain_table},
};

static void replace_functions(lua_State *L) {
  for (size_t i = 0; i < sizeof functions / sizeof *functions; i++) {
    lua_getglobal(L, functions[i].module);
    lua_getfield(L, -1, functions[i].name);
    if (functions[i].instead)
      lua_pushcclosure(L, functions[i].instead, 1);
    else
      lua_pop(L, 1), lua_pushnil(L);
    lua_setfield(L, -2, functions[i].name);
    lua_pop(L, 1);
  }
}

static int panic(lua_State *L) {
  const char *text = lua_tostring(L, -1);
  CHECK(false, "an error of Lua that nobody catches: %s", text ? text : "");
  return 0;
}

lua_State *limits_open(Error *error) {
  static const luaL_Reg libraries[] = {{"_G", luaopen_base},
                                       {"table", luaopen_table},
                                       {"string", luaopen_string},
                                       {"math", luaopen_math}};
  Limits *limits = calloc(1, sizeof *limits);
  lua_State *L = limits ? lua_newstate(allocate, limits) : NULL;
  if (!L) {
    free(limits);
    fail(error, "no memory for Lua");
    return NULL;
  }
  limits->state = L;
  limits->start = processor_seconds();
  lua_atpanic(L, panic);
  lua_sethook(L, look, LUA_MASKCOUNT, STRIDE);
  for (size_t i = 0; i < sizeof libraries / sizeof *libraries; i++) {
    luaL_requiref(L, libraries[i].name, libraries[i].func, 1);
    lua_pop(L, 1);
  }
  replace_functions(L);
  lua_pushliteral(L, "");
  lua_getmetatable(L, -1);
  lua_pushboolean(L, 0); /* what getmetatable shows of it */
  lua_setfield(L, -2, "__metatable");
  lua_pop(L, 2);
  return L;
}

void limits_close(lua_State *L) {
  Limits *limits = limits_of(L);
  lua_close(L);
  free(limits);
}
