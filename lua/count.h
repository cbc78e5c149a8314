/* m.parameters { option = value }: how many parameters the trial's model has with these options in
 * place of its own. A model asks where one part is to cost what another does; the other model is
 * built, by its own code, and thrown away. */
#ifndef LUA_COUNT_H
#define LUA_COUNT_H

#include "lua/bind.h"

#include <lua.h>

/* What the other model is built of. */
typedef struct Counting {
  const char *home;
  const json_t *config; /* the trial's; its key "counted" holds the options in a model that is
                           counted (harness/model.lua), which counts no third */
  const ModelShape *shape;
  DType real;
} Counting;

/* With a Counting (light userdata) as its first upvalue. A Lua error where the options cannot be
 * set or the model cannot be built. */
int count_parameters(lua_State *L);

#endif
