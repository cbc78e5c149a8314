/* JSON into Lua and back. What comes back may be of a user's file: no metamethod of it runs here,
 * where nobody would catch its error, and it may hold itself. */
#include "base/utf8.h"
#include "lua/sandbox.h"

#include <lauxlib.h>

enum { DEEP = 64 /* tables in tables */ };

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

static json_t *value_to_json(lua_State *L, int index, int deep, Error *error);

static json_t *list_to_json(lua_State *L, int index, int deep, Error *error) {
  json_t *array = json_array();
  lua_Unsigned count = lua_rawlen(L, index);
  for (lua_Unsigned i = 1; i <= count && !error->text[0]; i++) {
    lua_rawgeti(L, index, (lua_Integer)i);
    json_array_append_new(array, value_to_json(L, lua_gettop(L), deep, error));
    lua_pop(L, 1);
  }
  return array;
}

static json_t *table_to_json(lua_State *L, int index, int deep, Error *error) {
  if (lua_rawlen(L, index) > 0) return list_to_json(L, index, deep, error);
  json_t *object = json_object();
  for (lua_pushnil(L); lua_next(L, index); lua_pop(L, 1)) {
    const char *key = lua_type(L, -2) == LUA_TSTRING ? lua_tostring(L, -2) : NULL;
    json_t *item = value_to_json(L, lua_gettop(L), deep, error);
    if (key && item && utf8_check(key, error))
      json_object_set_new(object, key, item);
    else
      json_decref(item);
  }
  return object;
}

static json_t *value_to_json(lua_State *L, int index, int deep, Error *error) {
  switch (lua_type(L, index)) {
  case LUA_TTABLE:
    if (deep < DEEP && lua_checkstack(L, 8)) return table_to_json(L, index, deep + 1, error);
    fail(error, "a table that holds itself, or tables in tables more than %d deep", DEEP);
    return json_null();
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

json_t *sandbox_to_json(lua_State *L, int index, Error *error) {
  return value_to_json(L, lua_absindex(L, index), 0, error);
}
