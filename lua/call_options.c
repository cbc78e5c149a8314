#include "lua/call_options.h"
#include "base/nearest.h"

#include <lauxlib.h>
#include <math.h>
#include <string.h>

static void check_range(lua_State *L, const Option *o, double value) {
  if (!isfinite(value)) luaL_error(L, "option %s = %f is no finite number", o->name, value);
  if (o->max > o->min && (value < o->min || value > o->max))
    luaL_error(L, "option %s = %f is outside %f .. %f (%s)", o->name, value, o->min, o->max,
               o->doc);
}

static void read_ints(lua_State *L, const Option *o, Ints *ints, int index, int deep) {
  if (lua_istable(L, index)) {
    if (deep > MAX_INTS) luaL_error(L, "option %s: lists in lists without end", o->name);
    luaL_checkstack(L, 4, NULL);
    lua_Integer count = luaL_len(L, index);
    for (lua_Integer i = 1; i <= count; i++) {
      lua_geti(L, index, i);
      read_ints(L, o, ints, lua_gettop(L), deep + 1);
      lua_pop(L, 1);
    }
    return;
  }
  if (!lua_isinteger(L, index))
    luaL_error(L, "option %s: expected a list of whole numbers, found %s", o->name,
               luaL_typename(L, index));
  if (ints->count == MAX_INTS) luaL_error(L, "option %s: more than %d numbers", o->name, MAX_INTS);
  check_range(L, o, (double)lua_tointeger(L, index));
  ints->v[ints->count++] = (int)lua_tointeger(L, index);
}

static int read_choice(lua_State *L, const Option *o, const char *text) {
  const char *choice = o->choices;
  for (int i = 0; choice && text; i++) {
    size_t size = strcspn(choice, "|");
    if (strlen(text) == size && strncmp(choice, text, size) == 0) return i;
    choice = choice[size] ? choice + size + 1 : NULL;
  }
  return luaL_error(L, "option %s: expected %s, found '%s'", o->name, o->choices,
                    text ? text : "(not a text)");
}

/* The option's value is on top of the stack. */
static void read_option(lua_State *L, const Option *o, void *options) {
  char *field = (char *)options + o->offset;
  int top = lua_gettop(L);
  if (o->type == OPTION_INTS) {
    Ints *ints = (Ints *)(void *)field;
    ints->count = 0;
    read_ints(L, o, ints, top, 0);
  } else if (o->type == OPTION_CHOICE) {
    *(int *)(void *)field = read_choice(L, o, lua_tostring(L, top));
  } else if (o->type == OPTION_BOOL) {
    if (!lua_isboolean(L, top))
      luaL_error(L, "option %s: expected true or false, found %s", o->name, luaL_typename(L, top));
    *(int *)(void *)field = lua_toboolean(L, top);
  } else if (o->type == OPTION_INT) {
    if (!lua_isinteger(L, top))
      luaL_error(L, "option %s: expected a whole number, found %s", o->name, luaL_typename(L, top));
    check_range(L, o, (double)lua_tointeger(L, top));
    *(int *)(void *)field = (int)lua_tointeger(L, top);
  } else {
    if (lua_type(L, top) != LUA_TNUMBER)
      luaL_error(L, "option %s: expected a number, found %s", o->name, luaL_typename(L, top));
    check_range(L, o, lua_tonumber(L, top));
    *(double *)(void *)field = lua_tonumber(L, top);
  }
}

static const Option *find_option(lua_State *L, const Option *table, const char *key,
                                 const char *block) {
  const char *names[64];
  int count = 0;
  for (const Option *o = table; o && o->name; o++) {
    if (strcmp(o->name, key) == 0) return o;
    names[count++] = o->name;
  }
  Hint hint = nearest_hint(key, names, count, NULL);
  luaL_error(L, "%s has no option '%s'%s", block, key, hint.text);
  return NULL;
}

void call_options(lua_State *L, const Option *table, void *options, const char *block) {
  options_defaults(table, options);
  for (lua_pushnil(L); lua_next(L, 1); lua_pop(L, 1)) {
    if (lua_type(L, -2) != LUA_TSTRING) continue;
    const char *key = lua_tostring(L, -2);
    if (strcmp(key, "name") == 0 || strcmp(key, "share") == 0 || strcmp(key, "frozen") == 0 ||
        strcmp(key, "group") == 0)
      continue;
    read_option(L, find_option(L, table, key, block), options);
  }
}
