/* From an experiment file to its cells. The rules live in lua/harness/experiment.lua; here are the
 * files and the way back. */
#include "base/file_hash.h"
#include "base/home.h"
#include "base/utf8.h"
#include "lua/bind.h"
#include "lua/sandbox.h"

#include <lauxlib.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* The source, so that messages about a key can name its line. Empty when unreadable. */
static void push_source(lua_State *L, const char *path) {
  luaL_Buffer buffer;
  luaL_buffinit(L, &buffer);
  FILE *file = fopen(path, "r");
  for (int c; file && (c = fgetc(file)) != EOF;) luaL_addchar(&buffer, (char)c);
  if (file) fclose(file);
  luaL_pushresult(&buffer);
}

/* read_plan(dir): the table of the data set's plan.json, nil without one. */
static int read_plan(lua_State *L) {
  const PlanReader *reader = lua_touserdata(L, lua_upvalueindex(1));
  Error error = {""};
  json_t *plan = NULL;
  if (*reader &&
      !(*reader)(luaL_checkstring(L, 1), lua_tostring(L, lua_upvalueindex(2)), &plan, &error))
    return luaL_error(L, "%s", error.text);
  if (!plan) return 0;
  sandbox_push_json(L, plan);
  json_decref(plan);
  return 1;
}

/* folder_name(dir): what "." or "a/.." is called; nil where there is no such folder. */
static int folder_name(lua_State *L) {
  char *path = realpath(luaL_checkstring(L, 1), NULL);
  const char *slash = path ? strrchr(path, '/') : NULL;
  bool named = slash && slash[1];
  if (named) lua_pushstring(L, slash + 1);
  free(path);
  return named ? 1 : 0;
}

/* whole_path(path): without links and dots; nil where there is no such file. */
static int whole_path(lua_State *L) {
  char *path = realpath(luaL_checkstring(L, 1), NULL);
  lua_pushstring(L, path);
  free(path);
  return 1;
}

/* file_content(path): its whole path and what it is known by, the hash of its bytes. */
static int file_content(lua_State *L) {
  const char *given = luaL_checkstring(L, 1);
  char hash[FILE_HASH_BYTES];
  Error error = {""};
  if (!file_hash(given, hash, &error)) return luaL_error(L, "%s", error.text);
  whole_path(L);
  lua_pushstring(L, hash);
  return 2;
}

static void push_machine(lua_State *L, const char *home, PlanReader *reader) {
  char results[HOME_BYTES];
  home_results(home, results);
  lua_newtable(L);
  lua_pushstring(L, results);
  lua_setfield(L, -2, "results");
  lua_pushlightuserdata(L, reader);
  lua_pushstring(L, home);
  lua_pushcclosure(L, read_plan, 2);
  lua_setfield(L, -2, "read_plan");
  lua_pushcfunction(L, folder_name);
  lua_setfield(L, -2, "folder_name");
  lua_pushcfunction(L, whole_path);
  lua_setfield(L, -2, "whole_path");
  lua_pushcfunction(L, file_content);
  lua_setfield(L, -2, "file_content");
  sandbox_push_load(L);
  lua_setfield(L, -2, "load");
}

/* resolve(experiment, overrides, file, source, machine) */
static bool call_resolve(lua_State *L, const char *home, const char *path, int count,
                         char **overrides, PlanReader *reader, Error *error) {
  if (!sandbox_require(L, "harness.experiment", error)) return false;
  if (!sandbox_run(L, path, path, error)) return false;
  if (!lua_istable(L, -1))
    return fail(error, "%s: an experiment file returns one table, found %s", path,
                luaL_typename(L, -1));
  lua_createtable(L, count, 0);
  for (int i = 0; i < count; i++) {
    lua_pushstring(L, overrides[i]);
    lua_seti(L, -2, i + 1);
  }
  lua_pushstring(L, path);
  push_source(L, path);
  push_machine(L, home, reader);
  return sandbox_call(L, 5, error);
}

bool experiment_read(const char *home, const char *file, int count, char **overrides,
                     PlanReader reader, json_t **document, Error *error) {
  lua_State *L = utf8_check(home, error) ? sandbox_open(home, error) : NULL;
  if (!L) return false;
  bool good = call_resolve(L, home, file, count, overrides, &reader, error);
  if (good) {
    *document = sandbox_to_json(L, -1, error);
    good = !error->text[0];
    if (!good) json_decref(*document);
  }
  sandbox_close(L);
  return good;
}

bool experiment_takes(const char *home, const json_t *plan, const char *where, Error *error) {
  lua_State *L = sandbox_open(home, error);
  if (!L) return false;
  bool good = sandbox_require(L, "harness.plan_file", error);
  if (good) {
    sandbox_push_json(L, plan);
    lua_pushstring(L, where);
    good = sandbox_call(L, 2, error);
  }
  sandbox_close(L);
  return good;
}

/* Leaves a function of harness/listing.lua on the stack. */
static bool push_listing(lua_State *L, const char *function, Error *error) {
  if (!sandbox_require(L, "harness.listing", error)) return false;
  lua_getfield(L, -1, function);
  return true;
}

json_t *experiment_options(const char *home, const char *model, Error *error) {
  lua_State *L = sandbox_open(home, error);
  if (!L) return NULL;
  json_t *options = NULL;
  if (push_listing(L, "options", error)) {
    lua_pushstring(L, model);
    sandbox_push_load(L);
    if (sandbox_call(L, 2, error)) options = sandbox_to_json(L, -1, error);
  }
  sandbox_close(L);
  return options;
}

json_t *models_listed(const char *home, const char *path, Error *error) {
  lua_State *L = sandbox_open(home, error);
  if (!L) return NULL;
  json_t *models = NULL;
  if (push_listing(L, path ? "one" : "all", error)) {
    sandbox_push_load(L);
    lua_pushstring(L, path);
    if (sandbox_call(L, 2, error)) models = sandbox_to_json(L, -1, error);
  }
  sandbox_close(L);
  return models;
}

const json_t *experiment_config(const json_t *document, const char *key) {
  const json_t *cell, *rows = json_object_get(document, "rows");
  size_t i;
  json_array_foreach(json_object_get(document, "cells"), i, cell) {
    json_int_t position = json_integer_value(json_object_get(cell, "row"));
    const json_t *row = json_array_get(rows, (size_t)position);
    const char *found = json_string_value(json_object_get(row, "key"));
    if (found && !strcmp(found, key)) return json_object_get(cell, "config");
  }
  return NULL;
}
