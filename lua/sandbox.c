#include "lua/sandbox.h"
#include "base/nearest.h"
#include "base/utf8.h"
#include "modules/module.h"

#include <dirent.h>
#include <lauxlib.h>
#include <lualib.h>
#include <stdlib.h>
#include <string.h>

static bool readable(const char *path) {
  FILE *file = fopen(path, "r");
  if (file) fclose(file);
  return file != NULL;
}

/* require "harness.experiment" -> HOME/lua/harness/experiment.lua; "paper.maskmed" ->
 * HOME/paper/maskmed.lua, "experiments.seg_heads" -> HOME/experiments/seg_heads.lua. */
static int require(lua_State *L) {
  const char *module = luaL_checkstring(L, 1);
  lua_getfield(L, LUA_REGISTRYINDEX, "loaded");
  if (lua_getfield(L, -1, module) != LUA_TNIL) return 1;
  lua_pop(L, 1);
  const char *home = lua_tostring(L, lua_upvalueindex(1));
  const char *file = luaL_gsub(L, module, ".", "/");
  bool top = strncmp(module, "paper.", 6) == 0 || strncmp(module, "experiments.", 12) == 0;
  const char *folder = top ? "" : "lua/";
  const char *name = lua_pushfstring(L, "%s%s.lua", folder, file);
  const char *path = lua_pushfstring(L, "%s/%s", home, name);
  if (strstr(module, "..") || !readable(path))
    return luaL_error(L, "no module '%s' (looked for %s)", module, name);
  Error error = {0};
  if (!sandbox_run(L, path, name, &error)) {
    lua_pushstring(L, error.text);
    return lua_error(L);
  }
  lua_getfield(L, LUA_REGISTRYINDEX, "loaded");
  lua_pushvalue(L, -2);
  lua_setfield(L, -2, module);
  lua_pop(L, 1);
  return 1;
}

/* hint(word, {names}): what a message about an unknown word ends with. */
static int hint(lua_State *L) {
  const char *names[256];
  int count = 0;
  lua_Integer length = luaL_len(L, 2);
  for (lua_Integer i = 1; i <= length && count < 256; i++) {
    lua_geti(L, 2, i); /* stays alive in the table */
    names[count++] = lua_tostring(L, -1);
    lua_pop(L, 1);
  }
  lua_pushstring(L, nearest_hint(luaL_checkstring(L, 1), names, count, NULL).text);
  return 1;
}

static int is_source(const struct dirent *entry) {
  const char *end = strrchr(entry->d_name, '.');
  return end && end != entry->d_name && strcmp(end, ".lua") == 0;
}

/* require "harness.models": the names of the files in HOME/lua/harness/models, in order. */
static void push_models(lua_State *L, const char *home) {
  struct dirent **entries;
  const char *folder = lua_pushfstring(L, "%s/lua/harness/models", home);
  int count = scandir(folder, &entries, is_source, alphasort);
  lua_newtable(L);
  for (int i = 0; i < count; i++) {
    lua_pushlstring(L, entries[i]->d_name, strlen(entries[i]->d_name) - strlen(".lua"));
    lua_seti(L, -2, i + 1);
    free(entries[i]);
  }
  if (count >= 0) free(entries);
  lua_remove(L, -2);
}

/* "tiled|naive" as a list. */
static void push_choices(lua_State *L, const char *choices) {
  lua_newtable(L);
  for (int i = 1; *choices; i++) {
    size_t length = strcspn(choices, "|");
    lua_pushlstring(L, choices, length);
    lua_seti(L, -2, i);
    choices += length + (choices[length] == '|');
  }
}

/* A whole number stays one in a configuration, whatever its option's type. */
static void set_number(lua_State *L, const char *key, double value) {
  if (value == (double)(lua_Integer)value)
    lua_pushinteger(L, (lua_Integer)value);
  else
    lua_pushnumber(L, value);
  lua_setfield(L, -2, key);
}

/* A row as lua/harness/options.lua has them; a list has no default. */
static void push_option(lua_State *L, const Option *o) {
  static const char *const types[] = {[OPTION_INT] = "int",
                                      [OPTION_FLOAT] = "number",
                                      [OPTION_BOOL] = "bool",
                                      [OPTION_CHOICE] = "choice",
                                      [OPTION_INTS] = "list"};
  lua_newtable(L);
  lua_pushstring(L, types[o->type]);
  lua_setfield(L, -2, "type");
  lua_pushstring(L, o->doc);
  lua_setfield(L, -2, "doc");
  if (o->type == OPTION_CHOICE) {
    push_choices(L, o->choices);
    lua_geti(L, -1, (lua_Integer)o->fallback + 1);
    lua_setfield(L, -3, "default");
    lua_setfield(L, -2, "choices");
  } else if (o->type == OPTION_BOOL) {
    lua_pushboolean(L, o->fallback != 0);
    lua_setfield(L, -2, "default");
  } else {
    set_number(L, "min", o->min);
    set_number(L, "max", o->max);
    if (o->type != OPTION_INTS) set_number(L, "default", o->fallback);
  }
}

/* require "harness.blocks": blocks.fsad_bridge.points is the row of that option, of every block. */
static void push_blocks(lua_State *L) {
  lua_newtable(L);
  for (int i = 0; i < MODULE_COUNT; i++) {
    lua_newtable(L);
    for (const Option *o = module_table[i]->options; o && o->name; o++) {
      push_option(L, o);
      lua_setfield(L, -2, o->name);
    }
    lua_setfield(L, -2, module_table[i]->name);
  }
}

lua_State *sandbox_open(const char *home, Error *error) {
  lua_State *L = luaL_newstate();
  if (!L) {
    fail(error, "no memory for Lua");
    return NULL;
  }
  static const luaL_Reg libraries[] = {{"_G", luaopen_base},
                                       {"table", luaopen_table},
                                       {"string", luaopen_string},
                                       {"math", luaopen_math}};
  for (size_t i = 0; i < sizeof libraries / sizeof *libraries; i++) {
    luaL_requiref(L, libraries[i].name, libraries[i].func, 1);
    lua_pop(L, 1);
  }
  static const char *const closed[] = {"dofile", "loadfile", "load", "collectgarbage"};
  for (size_t i = 0; i < sizeof closed / sizeof *closed; i++) {
    lua_pushnil(L);
    lua_setglobal(L, closed[i]);
  }
  lua_getglobal(L, "math");
  lua_pushnil(L);
  lua_setfield(L, -2, "random");
  lua_pop(L, 1);
  lua_newtable(L);
  lua_pushcfunction(L, hint);
  lua_setfield(L, -2, "harness.hint");
  push_models(L, home);
  lua_setfield(L, -2, "harness.models");
  push_blocks(L);
  lua_setfield(L, -2, "harness.blocks");
  lua_setfield(L, LUA_REGISTRYINDEX, "loaded");
  lua_pushstring(L, home);
  lua_pushcclosure(L, require, 1);
  lua_setglobal(L, "require");
  return L;
}

static bool report(lua_State *L, Error *error) {
  const char *text = lua_tostring(L, -1);
  fail(error, "%s", text ? text : "an error that is not a text");
  lua_pop(L, 1);
  return false;
}

bool sandbox_call(lua_State *L, int arguments, Error *error) {
  return lua_pcall(L, arguments, 1, 0) == LUA_OK || report(L, error);
}

bool sandbox_run(lua_State *L, const char *path, const char *name, Error *error) {
  FILE *file = fopen(path, "r");
  if (!file) return fail(error, "%s: cannot be read; give the path of a Lua experiment file", name);
  luaL_Buffer buffer;
  luaL_buffinit(L, &buffer);
  for (;;) {
    char *block = luaL_prepbuffer(&buffer);
    size_t got = fread(block, 1, LUAL_BUFFERSIZE, file);
    luaL_addsize(&buffer, got);
    if (got < LUAL_BUFFERSIZE) break;
  }
  fclose(file);
  luaL_pushresult(&buffer);
  size_t length;
  const char *source = lua_tolstring(L, -1, &length);
  if (length >= 3 && !memcmp(source, "\xef\xbb\xbf", 3)) source += 3, length -= 3;
  const char *chunk = lua_pushfstring(L, "@%s", name);
  bool good = luaL_loadbufferx(L, source, length, chunk, "t") == LUA_OK;
  if (!good) return report(L, error);
  lua_replace(L, -3);
  lua_pop(L, 1);
  return sandbox_call(L, 0, error);
}

void sandbox_push_json(lua_State *L, const json_t *value) {
  luaL_checkstack(L, 8, "JSON nested too deeply");
  if (json_is_object(value)) {
    const char *key;
    json_t *item;
    lua_newtable(L);
    json_object_foreach((json_t *)(uintptr_t)value, key, item) {
      sandbox_push_json(L, item);
      lua_setfield(L, -2, key);
    }
  } else if (json_is_array(value)) {
    size_t index;
    json_t *item;
    lua_newtable(L);
    json_array_foreach(value, index, item) {
      sandbox_push_json(L, item);
      lua_seti(L, -2, (lua_Integer)index + 1);
    }
  } else if (json_is_string(value))
    lua_pushstring(L, json_string_value(value));
  else if (json_is_integer(value))
    lua_pushinteger(L, json_integer_value(value));
  else if (json_is_real(value))
    lua_pushnumber(L, json_real_value(value));
  else if (json_is_boolean(value))
    lua_pushboolean(L, json_is_true(value));
  else
    lua_pushnil(L);
}

static json_t *table_to_json(lua_State *L, int index, Error *error) {
  lua_Integer count = luaL_len(L, index);
  if (count > 0) {
    json_t *array = json_array();
    for (lua_Integer i = 1; i <= count; i++) {
      lua_geti(L, index, i);
      json_array_append_new(array, sandbox_to_json(L, -1, error));
      lua_pop(L, 1);
    }
    return array;
  }
  json_t *object = json_object();
  for (lua_pushnil(L); lua_next(L, index); lua_pop(L, 1)) {
    json_t *item = sandbox_to_json(L, -1, error);
    if (lua_type(L, -2) == LUA_TSTRING && item)
      json_object_set_new(object, lua_tostring(L, -2), item);
    else
      json_decref(item);
  }
  return object;
}

json_t *sandbox_to_json(lua_State *L, int index, Error *error) {
  index = lua_absindex(L, index);
  luaL_checkstack(L, 8, "table nested too deeply");
  switch (lua_type(L, index)) {
  case LUA_TTABLE:
    return table_to_json(L, index, error);
  case LUA_TSTRING:
    return utf8_check(lua_tostring(L, index), error) ? json_string(lua_tostring(L, index))
                                                     : json_null();
  case LUA_TBOOLEAN:
    return json_boolean(lua_toboolean(L, index));
  case LUA_TNUMBER:
    return lua_isinteger(L, index) ? json_integer(lua_tointeger(L, index))
                                   : json_real(lua_tonumber(L, index));
  case LUA_TNIL:
    return json_null();
  default:
    return NULL;
  }
}
