#include "lua/sandbox.h"
#include "base/nearest.h"
#include "engine/optimizer.h"
#include "engine/rate_schedule.h"
#include "lua/limits.h"
#include "modules/module.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <lauxlib.h>
#include <stdlib.h>
#include <string.h>

enum { SOURCE_MOST = 128 << 10 };

static bool readable(const char *path) {
  FILE *file = fopen(path, "r");
  if (file) fclose(file);
  return file != NULL;
}

/* Whose files they are decides where `require` looks: HOME's own, or a file elsewhere with what
 * lies beside it. The upvalues of `require`: home, and of a file elsewhere its folder ("/a/b/"),
 * and that folder as messages show it. */
enum { UP_HOME = 1, UP_FOLDER, UP_SHOWN };

static bool starts(const char *text, const char *prefix) {
  return strncmp(text, prefix, strlen(prefix)) == 0;
}

static bool of_home(const char *module) {
  return starts(module, "harness.") || starts(module, "paper.") || starts(module, "experiments.");
}

/* What a file elsewhere may have of HOME: nothing that is handed the way to files. */
static bool is_lent(const char *module) {
  return starts(module, "harness.parts.") || starts(module, "harness.models.") ||
         strcmp(module, "harness.structures") == 0 || strcmp(module, "harness.variation") == 0 ||
         !starts(module, "harness.");
}

/* Names of files and folders with dots between them: nothing that leads out of the folder. */
static bool is_module_name(const char *module) {
  bool name = false;
  for (const char *at = module; *at; at++) {
    bool letter = isalnum((unsigned char)*at) || *at == '_' || *at == '-';
    if (!letter && !(*at == '.' && name)) return false;
    name = letter;
  }
  return name;
}

static bool run_file(lua_State *L, const char *path, const char *shown, const char *name,
                     const char *folder, Error *error);

/* Leaves the module's value on the stack. key: of the registry's table of those that are loaded. */
static int run_module(lua_State *L, const char *key, const char *path, const char *shown,
                      const char *name, const char *folder) {
  lua_getfield(L, LUA_REGISTRYINDEX, "loaded");
  lua_pushboolean(L, 0); /* while it is on its way */
  lua_setfield(L, -2, key);
  Error error = {0};
  if (!run_file(L, path, shown, name, folder, &error)) {
    lua_pushnil(L);
    lua_setfield(L, -2, key);
    lua_pushstring(L, error.text);
    return lua_error(L);
  }
  lua_pushvalue(L, -1);
  lua_setfield(L, -3, key);
  return 1;
}

/* A module that is there: its value on the stack. */
static bool is_loaded(lua_State *L, const char *key, const char *module) {
  lua_getfield(L, LUA_REGISTRYINDEX, "loaded");
  int type = lua_getfield(L, -1, key);
  if (type == LUA_TBOOLEAN && !lua_toboolean(L, -1))
    luaL_error(L, "module '%s' requires itself, directly or by others", module);
  if (type != LUA_TNIL) return true;
  lua_pop(L, 2);
  return false;
}

/* require "harness.experiment" -> HOME/lua/harness/experiment.lua; "paper.maskmed" ->
 * HOME/paper/maskmed.lua, "experiments.seg_heads" -> HOME/experiments/seg_heads.lua; in a file
 * elsewhere "parts.head" -> FOLDER/parts/head.lua. */
static int require(lua_State *L) {
  const char *module = luaL_checkstring(L, 1);
  const char *home = lua_tostring(L, lua_upvalueindex(UP_HOME));
  const char *folder = lua_tostring(L, lua_upvalueindex(UP_FOLDER));
  if (folder && !is_lent(module))
    return luaL_error(
        L,
        "module '%s' is the program's own; a file of yours may have those of "
        "harness.parts, harness.models, harness.structures, harness.variation, paper and "
        "experiments",
        module);
  if (of_home(module)) folder = NULL;
  const char *key = folder ? lua_pushfstring(L, "%s%s", folder, module) : module;
  if (is_loaded(L, key, module)) return 1;
  const char *file = luaL_gsub(L, module, ".", "/");
  bool top = !starts(module, "harness.") && of_home(module);
  const char *name = lua_pushfstring(L, "%s%s.lua", folder || top ? "" : "lua/", file);
  const char *path = lua_pushfstring(L, "%s%s%s", folder ? folder : home, folder ? "" : "/", name);
  const char *shown = name;
  if (folder) shown = lua_pushfstring(L, "%s%s", lua_tostring(L, lua_upvalueindex(UP_SHOWN)), name);
  if (!is_module_name(module))
    return luaL_error(L, "no module '%s': a name of files and folders with dots between them",
                      module);
  if (!readable(path)) return luaL_error(L, "no module '%s' (looked for %s)", module, shown);
  return run_module(L, key, path, shown, name, folder);
}

/* hint(word, {names}): what a message about an unknown word ends with. */
static int hint(lua_State *L) {
  const char *names[256];
  int count = 0;
  luaL_checktype(L, 2, LUA_TTABLE);
  lua_Unsigned length = lua_rawlen(L, 2);
  for (lua_Unsigned i = 1; i <= length && count < 256; i++) {
    if (lua_rawgeti(L, 2, (lua_Integer)i) == LUA_TSTRING) /* stays alive in the table */
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

/* The names of the Lua files in a folder of HOME, in order. */
static void push_names(lua_State *L, const char *home, const char *where) {
  struct dirent **entries;
  const char *folder = lua_pushfstring(L, "%s/%s", home, where);
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
    if (o->type == OPTION_INTS)
      set_number(L, "most", MAX_INTS);
    else
      set_number(L, "default", o->fallback);
  }
}

/* Into the table on top: the options of a block, or of a choice that alone reads them
 * ("optimizer", "adamw"). */
static void add_options(lua_State *L, const char *name, const Option *options, const char *choice) {
  lua_newtable(L);
  for (const Option *o = options; o && o->name; o++) {
    push_option(L, o);
    if (choice) {
      lua_newtable(L);
      lua_pushstring(L, name);
      lua_setfield(L, -2, choice);
      lua_setfield(L, -2, "with");
    }
    lua_setfield(L, -2, o->name);
  }
  lua_setfield(L, -2, name);
}

/* require "harness.blocks": blocks.fsad_bridge.points is the row of that option, of every block,
 * optimiser and schedule. */
static void push_blocks(lua_State *L) {
  lua_newtable(L);
  for (int i = 0; i < MODULE_COUNT; i++)
    add_options(L, module_table[i]->name, module_table[i]->options, NULL);
  for (int i = 0; i < OPTIMIZERS; i++)
    add_options(L, optimizer_table[i].name, optimizer_table[i].options, "optimizer");
  for (int i = 0; i < SCHEDULES; i++)
    add_options(L, rate_schedule_table[i].name, rate_schedule_table[i].options, "schedule");
}

/* Onto the list of names on top, and the text of what they are below it. */
static void add_choice(lua_State *L, const char *name, const char *doc) {
  lua_Integer count = luaL_len(L, -1);
  lua_pushstring(L, name);
  lua_seti(L, -2, count + 1);
  lua_pushfstring(L, "%s%s%s: %s", lua_tostring(L, -2), count ? "; " : "", name, doc);
  lua_replace(L, -3);
}

/* The table of names and doc into field `key` of the table below. */
static void set_choices(lua_State *L, const char *key) {
  lua_newtable(L);
  lua_insert(L, -3);
  lua_setfield(L, -3, "names");
  lua_setfield(L, -2, "doc");
  lua_setfield(L, -2, key);
}

/* require "harness.choices": of the options that choose from C's tables their names and what they
 * are. */
static void push_choice_lists(lua_State *L) {
  lua_newtable(L);
  lua_pushliteral(L, "");
  lua_newtable(L);
  for (int i = 0; i < OPTIMIZERS; i++)
    add_choice(L, optimizer_table[i].name, optimizer_table[i].doc);
  set_choices(L, "optimizer");
  lua_pushliteral(L, "");
  lua_newtable(L);
  for (int i = 0; i < SCHEDULES; i++)
    add_choice(L, rate_schedule_table[i].name, rate_schedule_table[i].doc);
  set_choices(L, "schedule");
}

static void push_require(lua_State *L, const char *folder, const char *shown) {
  lua_getfield(L, LUA_REGISTRYINDEX, "home");
  lua_pushstring(L, folder);
  lua_pushstring(L, shown);
  lua_pushcclosure(L, require, 3);
}

lua_State *sandbox_open(const char *home, Error *error) {
  lua_State *L = limits_open(error);
  if (!L) return NULL;
  lua_newtable(L);
  lua_pushcfunction(L, hint);
  lua_setfield(L, -2, "harness.hint");
  push_names(L, home, "lua/harness/models");
  lua_setfield(L, -2, "harness.models");
  push_names(L, home, "paper");
  lua_setfield(L, -2, "harness.paper_names");
  push_blocks(L);
  lua_setfield(L, -2, "harness.blocks");
  push_choice_lists(L);
  lua_setfield(L, -2, "harness.choices");
  lua_setfield(L, LUA_REGISTRYINDEX, "loaded");
  lua_newtable(L);
  lua_setfield(L, LUA_REGISTRYINDEX, "sources");
  lua_pushstring(L, home);
  lua_setfield(L, LUA_REGISTRYINDEX, "home");
  push_require(L, NULL, NULL);
  lua_setglobal(L, "require");
  return L;
}

void sandbox_close(lua_State *L) {
  limits_close(L);
}

static bool report(lua_State *L, Error *error) {
  const char *text = lua_tostring(L, -1);
  fail(error, "%s", text ? text : "an error that is not a text");
  lua_pop(L, 1);
  return false;
}

bool sandbox_call(lua_State *L, int arguments, Error *error) {
  return limits_call(L, arguments) == LUA_OK || report(L, error);
}

/* The file's text on the stack. */
static bool push_text(lua_State *L, const char *path, const char *shown, Error *error) {
  FILE *file = fopen(path, "r");
  if (!file) return fail(error, "%s: cannot be read: %s", shown, strerror(errno));
  luaL_Buffer buffer;
  luaL_buffinit(L, &buffer);
  size_t all = 0, got = LUAL_BUFFERSIZE;
  while (got == LUAL_BUFFERSIZE && all <= SOURCE_MOST) {
    got = fread(luaL_prepbuffer(&buffer), 1, LUAL_BUFFERSIZE, file);
    luaL_addsize(&buffer, got);
    all += got;
  }
  fclose(file);
  luaL_pushresult(&buffer);
  bool zero = strlen(lua_tostring(L, -1)) < all;
  if (!zero && all <= SOURCE_MOST) return true;
  lua_pop(L, 1);
  if (zero) return fail(error, "%s: holds a zero byte: this is no Lua source", shown);
  return fail(error, "%s: over %d KiB: no Lua source is so long", shown, SOURCE_MOST >> 10);
}

/* The text is on top of the stack, and stays there. */
static void remember_source(lua_State *L, const char *name) {
  lua_getfield(L, LUA_REGISTRYINDEX, "sources");
  lua_createtable(L, 0, 2);
  lua_pushstring(L, name);
  lua_setfield(L, -2, "file");
  lua_pushvalue(L, -3);
  lua_setfield(L, -2, "text");
  lua_seti(L, -2, luaL_len(L, -2) + 1);
  lua_pop(L, 1);
}

/* A table with what is in the one on top, in its place. */
static void copy_table(lua_State *L) {
  lua_newtable(L);
  for (lua_pushnil(L); lua_next(L, -3);) {
    lua_pushvalue(L, -2);
    lua_insert(L, -2);
    lua_rawset(L, -4);
  }
  lua_remove(L, -2);
}

/* The globals of a file elsewhere, with a `require` of its own: copies, so that what it writes
 * there is no other file's. */
static void push_globals(lua_State *L, const char *folder, const char *shown) {
  static const char *const libraries[] = {"string", "table", "math"};
  const char *slash = strrchr(shown, '/');
  lua_pushglobaltable(L);
  copy_table(L);
  for (int i = 0; i < 3; i++) {
    lua_getfield(L, -1, libraries[i]);
    copy_table(L);
    lua_setfield(L, -2, libraries[i]);
  }
  lua_pushvalue(L, -1);
  lua_setfield(L, -2, "_G");
  push_require(L, folder, lua_pushlstring(L, shown, slash ? (size_t)(slash - shown) + 1 : 0));
  lua_setfield(L, -3, "require");
  lua_pop(L, 1);
}

/* Runs the file; its one result stays on the stack. shown: what messages call it. name: what it is
 * called among the sources. folder: NULL for HOME's own. */
static bool run_file(lua_State *L, const char *path, const char *shown, const char *name,
                     const char *folder, Error *error) {
  if (!push_text(L, path, shown, error)) return false;
  remember_source(L, name);
  size_t length;
  const char *source = lua_tolstring(L, -1, &length);
  if (length >= 3 && !memcmp(source, "\xef\xbb\xbf", 3)) source += 3, length -= 3;
  const char *chunk = lua_pushfstring(L, "@%s", shown);
  if (luaL_loadbufferx(L, source, length, chunk, "t") != LUA_OK) {
    report(L, error);
    lua_pop(L, 2);
    return false;
  }
  lua_replace(L, -3);
  lua_pop(L, 1);
  if (folder) {
    push_globals(L, folder, shown);
    lua_setupvalue(L, -2, 1);
  }
  return sandbox_call(L, 0, error);
}

bool sandbox_run(lua_State *L, const char *path, const char *shown, Error *error) {
  const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;
  int top = lua_gettop(L);
  const char *folder =
      slash ? lua_pushlstring(L, path, (size_t)(name - path)) : lua_pushstring(L, "./");
  bool good = run_file(L, path, shown, name, folder, error);
  lua_remove(L, top + 1);
  return good;
}

/* load(path, shown) */
static int load(lua_State *L) {
  const char *path = luaL_checkstring(L, 1);
  Error error = {0};
  if (sandbox_run(L, path, luaL_optstring(L, 2, path), &error)) return 1;
  lua_pushstring(L, error.text);
  return lua_error(L);
}

void sandbox_push_load(lua_State *L) {
  lua_pushcfunction(L, load);
}

bool sandbox_require(lua_State *L, const char *module, Error *error) {
  lua_getglobal(L, "require");
  lua_pushstring(L, module);
  return sandbox_call(L, 1, error);
}

int sandbox_files(lua_State *L) {
  lua_getfield(L, LUA_REGISTRYINDEX, "sources");
  int count = (int)luaL_len(L, -1);
  lua_pop(L, 1);
  return count;
}

void sandbox_file(lua_State *L, int i, const char **name, const char **text) {
  lua_getfield(L, LUA_REGISTRYINDEX, "sources");
  lua_geti(L, -1, i + 1);
  lua_getfield(L, -1, "file");
  lua_getfield(L, -2, "text");
  *name = lua_tostring(L, -2); /* both stay alive in the table */
  *text = lua_tostring(L, -1);
  lua_pop(L, 4);
}
