/* From a configuration to a graph: every op and module of the tables is a Lua function
 *     m.fsad_bridge { stages, hidden = 48, name = "bridge" }
 * positional values are inputs (lists are flattened), named ones are options, checked against the
 * Option table at the Lua line. */
#include "lua/bind.h"
#include "lua/call_options.h"
#include "lua/count.h"
#include "lua/groups.h"
#include "lua/sandbox.h"
#include "lua/scopes.h"
#include "lua/unknown.h"
#include "modules/module.h"

#include <lauxlib.h>
#include <string.h>

static const char VALUE[] = "harness.value";
enum { VALUES_MOST = 1 << 16, LISTS_DEEP = 16 };

typedef struct Builder {
  Graph *graph;
  int batch;
  Counting counting;
} Builder;

static Builder *builder_of(lua_State *L) {
  return lua_touserdata(L, lua_upvalueindex(1));
}

static void push_value(lua_State *L, Value *value) {
  Value **box = lua_newuserdatauv(L, sizeof *box, 0);
  *box = value;
  luaL_setmetatable(L, VALUE);
}

static int value_text(lua_State *L) {
  Value **box = luaL_checkudata(L, 1, VALUE);
  lua_pushfstring(L, "%s %s", (*box)->name, tensor_shape_text(&(*box)->tensor));
  return 1;
}

static void push_sizes(lua_State *L, int count, const int64_t *dim) {
  lua_createtable(L, count, 0);
  for (int a = 0; a < count; a++) {
    lua_pushinteger(L, dim[a]);
    lua_seti(L, -2, a + 1);
  }
}

/* value.grid: {D, H, W}; value.channels; value.shape: all its sizes. */
static int value_index(lua_State *L) {
  const Tensor *tensor = &(*(Value **)luaL_checkudata(L, 1, VALUE))->tensor;
  const char *key = luaL_checkstring(L, 2);
  if (strcmp(key, "channels") == 0)
    lua_pushinteger(L, tensor_last(tensor));
  else if (strcmp(key, "grid") == 0 && tensor->rank == 5)
    push_sizes(L, 3, tensor->dim + 1);
  else if (strcmp(key, "shape") == 0)
    push_sizes(L, tensor->rank, tensor->dim);
  else
    return luaL_error(L, "a value has grid, channels and shape, not '%s'", key);
  return 1;
}

/* ---- calls ----------------------------------------------------------------------------------- */

static bool is_false(lua_State *L, int index) {
  return lua_isboolean(L, index) && !lua_toboolean(L, index);
}

/* absent: of an op, for a false: an optional input that is left out. */
static void read_inputs(lua_State *L, int index, int deep, Values *in, Value *absent) {
  lua_Integer count = luaL_len(L, index);
  if (deep > LISTS_DEEP) luaL_error(L, "inputs: lists in lists more than %d deep", LISTS_DEEP);
  luaL_checkstack(L, 4, NULL);
  for (lua_Integer i = 1; i <= count; i++) {
    lua_geti(L, index, i);
    if (lua_istable(L, -1)) {
      read_inputs(L, lua_gettop(L), deep + 1, in, absent);
    } else if (luaL_testudata(L, -1, VALUE) || (absent && is_false(L, -1))) {
      if (in->count == MAX_VALUES) luaL_error(L, "more than %d inputs", MAX_VALUES);
      in->v[in->count++] = is_false(L, -1) ? absent : *(Value **)lua_touserdata(L, -1);
    } else {
      luaL_error(L, "input %d: expected a value of the graph, found %s", (int)i,
                 luaL_typename(L, -1));
    }
    lua_pop(L, 1);
  }
}

static int push_outputs(lua_State *L, const Graph *graph, const Values *out, bool list) {
  if (graph->error.text[0]) {
    lua_pushstring(L, graph->error.text);
    return lua_error(L);
  }
  if (list) lua_createtable(L, out->count, 0);
  for (int i = 0; i < out->count; i++) {
    push_value(L, out->v[i]);
    if (list) lua_seti(L, -2, i + 1);
  }
  return list ? 1 : out->count;
}

static void remember_line(lua_State *L, Graph *graph) {
  if (graph->value_count > VALUES_MOST)
    luaL_error(L, "the model has more than %d values: does it ever end?", VALUES_MOST);
  luaL_where(L, 1);
  const char *where = lua_tostring(L, -1);
  size_t length = strlen(where);
  while (length && strchr(": ", where[length - 1])) length--;
  graph->where = arena_text(&graph->arena, "%.*s", (int)length, where);
  lua_pop(L, 1);
}

static int call_module(lua_State *L) {
  Graph *graph = builder_of(L)->graph;
  const Module *module = lua_touserdata(L, lua_upvalueindex(2));
  luaL_checktype(L, 1, LUA_TTABLE);
  lua_settop(L, 1);
  remember_line(L, graph);
  void *options = arena_alloc(&graph->arena, module->options_bytes);
  call_options(L, module->options, options, module->name);
  Values in = {0}, out;
  read_inputs(L, 1, 0, &in, NULL);
  bool before = graph->freezes;
  graph->freezes = call_says(L, "frozen");
  graph->overrides = groups_of_call(L, graph->params);
  Scope scope = scope_claim(L, module->name);
  int had = graph->params->count;
  module_build(graph, module, scope.name, options, &in, &out);
  scope_check(L, &scope, graph->params, had);
  graph->freezes = before;
  graph->overrides = -1;
  return push_outputs(L, graph, &out, module->list);
}

static int call_op(lua_State *L) {
  Graph *graph = builder_of(L)->graph;
  OpId id = (OpId)lua_tointeger(L, lua_upvalueindex(2));
  const Op *op = op_table[id];
  luaL_checktype(L, 1, LUA_TTABLE);
  lua_settop(L, 1);
  remember_line(L, graph);
  void *options = arena_alloc(&graph->arena, op->options_bytes + 1);
  call_options(L, op->options, options, op->name);
  Values in = {0}, out = {0};
  read_inputs(L, 1, 0, &in, op->optional ? graph_absent(graph) : NULL);
  Value *first = graph_op(graph, id, options, in.count, in.v);
  for (int i = 0; first && i < op->n_out; i++) out.v[out.count++] = graph_out(first, i);
  return push_outputs(L, graph, &out, false);
}

/* m.input { name = "scale1", grid = {D, H, W}, channels = C }: a feature map that comes from
 * outside, whose gradient is wanted; without channels: labels. */
static int call_input(lua_State *L) {
  const Builder *builder = builder_of(L);
  luaL_checktype(L, 1, LUA_TTABLE);
  lua_getfield(L, 1, "name");
  const char *name = luaL_checkstring(L, -1);
  lua_getfield(L, 1, "channels");
  int64_t dim[5] = {builder->batch}, channels = luaL_optinteger(L, -1, 0);
  lua_getfield(L, 1, "grid");
  luaL_checktype(L, -1, LUA_TTABLE);
  for (int a = 0; a < 3; a++) {
    lua_geti(L, -1, a + 1);
    dim[1 + a] = luaL_checkinteger(L, -1);
    lua_pop(L, 1);
  }
  dim[4] = channels;
  for (int i = 0; i < (channels ? 5 : 4); i++)
    if (dim[i] < 1) return luaL_error(L, "input %s: sizes are at least 1", name);
  Graph *graph = builder->graph;
  remember_line(L, graph);
  Value *value = channels ? graph_input(graph, name, graph->real, 5, dim)
                          : graph_input(graph, name, I32, 4, dim);
  if (!value) return luaL_error(L, "%s", graph->error.text);
  value->differentiable = channels > 0;
  push_value(L, value);
  return 1;
}

typedef struct NumbersOptions {
  Ints shape;
  int init, role;
  double value;
} NumbersOptions;

/* Choices in the order of InitKind and of ParamRole. */
static const Option numbers_options[] = {
    {"shape", OPTION_INTS, offsetof(NumbersOptions, shape), 0, 1, 1 << 20, NULL, "1",
     "one to five sizes"},
    {"init", OPTION_CHOICE, offsetof(NumbersOptions, init), INIT_ZERO, 0, 0,
     "zero|constant|normal|uniform", NULL, "what the numbers are at first"},
    {"value", OPTION_FLOAT, offsetof(NumbersOptions, value), 1, 0, 0, NULL, NULL,
     "the constant, the normal's standard deviation, the uniform's bound"},
    {"role", OPTION_CHOICE, offsetof(NumbersOptions, role), ROLE_EMBEDDING, 0, 0,
     "weight|bias|norm|embedding", NULL, "of a parameter: what it is to weight decay"},
    {0}};

static NumbersOptions read_numbers(lua_State *L, Graph *graph, const char *what,
                                   int64_t dim[MAX_RANK]) {
  NumbersOptions o;
  luaL_checktype(L, 1, LUA_TTABLE);
  lua_settop(L, 1);
  remember_line(L, graph);
  call_options(L, numbers_options, &o, what);
  if (o.shape.count < 1 || o.shape.count > MAX_RANK)
    luaL_error(L, "%s: shape has one to %d sizes, found %d", what, MAX_RANK, o.shape.count);
  for (int i = 0; i < o.shape.count; i++) dim[i] = o.shape.v[i];
  return o;
}

/* m.buffer { name = "G", shape = { 2, 128 }, init = "normal", value = 1 }: numbers that are drawn
 * once, of the trial's seed and the name, saved with the weights and not trained. */
static int call_buffer(lua_State *L) {
  Graph *graph = builder_of(L)->graph;
  int64_t dim[MAX_RANK];
  NumbersOptions o = read_numbers(L, graph, "buffer", dim);
  Init init = {.kind = (InitKind)o.init, .a = o.value};
  Values out = {.count = 1};
  out.v[0] = graph_buffer(graph, scope_claim(L, "buffer").name, o.shape.count, dim, init);
  return push_outputs(L, graph, &out, false);
}

/* m.parameter { name = "token", shape = { 1, 64 }, init = "normal" }: the same, trained, unless
 * frozen = true. In the Transformer's group, if none is named. */
static int call_parameter(lua_State *L) {
  Graph *graph = builder_of(L)->graph;
  int64_t dim[MAX_RANK];
  NumbersOptions o = read_numbers(L, graph, "parameter", dim);
  Init init = {.kind = (InitKind)o.init, .a = o.value};
  bool before = graph->freezes;
  Values out = {.count = 1};
  graph->freezes = call_says(L, "frozen");
  graph->overrides = groups_of_call(L, graph->params);
  out.v[0] = graph_param_of(graph, (ParamRole)o.role, scope_claim(L, "parameter").name,
                            o.shape.count, dim, GROUP_TRANSFORMER, init);
  graph->freezes = before;
  graph->overrides = -1;
  return push_outputs(L, graph, &out, false);
}

/* m.block(function() ... end): what is built in the call is a block (graph_block). Returns what the
 * function does. */
static int call_block(lua_State *L) {
  Graph *graph = builder_of(L)->graph;
  luaL_checktype(L, 1, LUA_TFUNCTION);
  lua_settop(L, 1);
  if (graph->scopes > MAX_SCOPES / 2)
    return luaL_error(L, "m.block: blocks in blocks more than %d deep", MAX_SCOPES / 2);
  graph_push(graph, "%s", "");
  graph_block(graph);
  lua_call(L, 0, LUA_MULTRET);
  graph_pop(graph);
  return lua_gettop(L);
}

/* ---- the builder `m` ------------------------------------------------------------------------- */

static void push_builder(lua_State *L, Builder *builder) {
  luaL_newmetatable(L, VALUE);
  lua_pushcfunction(L, value_text);
  lua_setfield(L, -2, "__tostring");
  lua_pushcfunction(L, value_index);
  lua_setfield(L, -2, "__index");
  lua_pushboolean(L, 0); /* what getmetatable shows of it */
  lua_setfield(L, -2, "__metatable");
  lua_pop(L, 1);
  scopes_begin(L);
  lua_newtable(L);
  static const luaL_Reg own[] = {{"input", call_input},
                                 {"buffer", call_buffer},
                                 {"parameter", call_parameter},
                                 {"block", call_block},
                                 {NULL, NULL}};
  lua_pushlightuserdata(L, builder);
  luaL_setfuncs(L, own, 1);
  lua_pushlightuserdata(L, builder->graph->params);
  lua_pushcclosure(L, groups_declare, 1);
  lua_setfield(L, -2, "group");
  lua_pushlightuserdata(L, &builder->counting);
  lua_pushcclosure(L, count_parameters, 1);
  lua_setfield(L, -2, "parameters");
  for (int i = 0; i < MODULE_COUNT; i++) {
    lua_pushlightuserdata(L, builder);
    lua_pushlightuserdata(L, (void *)(uintptr_t)module_table[i]);
    lua_pushcclosure(L, call_module, 2);
    lua_setfield(L, -2, module_table[i]->name);
  }
  lua_newtable(L);
  for (int i = 0; i < OP_COUNT; i++) {
    lua_pushlightuserdata(L, builder);
    lua_pushinteger(L, i);
    lua_pushcclosure(L, call_op, 2);
    lua_setfield(L, -2, op_table[i]->name);
  }
  unknown_refuse(L, "m.op.", NULL);
  lua_setfield(L, -2, "op");
  unknown_refuse(L, "m.", "labels");
}

/* What the model's build returned is a user's: nobody would catch an error of its metamethods. */
static int field_of(lua_State *L, const char *key) {
  lua_pushstring(L, key);
  return lua_rawget(L, -2);
}

static Value *take(lua_State *L, const char *key) {
  field_of(L, key);
  Value **box = luaL_testudata(L, -1, VALUE);
  lua_pop(L, 1);
  return box ? *box : NULL;
}

static int by_name(const void *a, const void *b) {
  return strcmp(((const Extra *)a)->name, ((const Extra *)b)->name);
}

static bool take_extras(lua_State *L, Graph *graph, Model *model, Error *error) {
  if (field_of(L, "extra") != LUA_TTABLE) {
    lua_pop(L, 1);
    return true;
  }
  for (lua_pushnil(L); lua_next(L, -2); lua_pop(L, 1)) {
    Value **box = luaL_testudata(L, -1, VALUE);
    if (!box || lua_type(L, -2) != LUA_TSTRING || model->extras == MAX_EXTRAS)
      return fail(error, "the model's extra is a table of at most %d named values", MAX_EXTRAS);
    const char *name = arena_text(&graph->arena, "%s", lua_tostring(L, -2));
    model->extra[model->extras++] = (Extra){name, *box};
  }
  lua_pop(L, 1);
  qsort(model->extra, (size_t)model->extras, sizeof *model->extra, by_name);
  return true;
}

/* Those from `first` on: what came before is the house's. */
static bool take_files(lua_State *L, int first, Graph *graph, Model *model, Error *error) {
  int count = sandbox_files(L);
  if (count - first > MAX_FILES)
    return fail(error, "the model comes from %d Lua files; at most %d", count - first, MAX_FILES);
  for (int i = first; i < count; i++) {
    const char *name, *text;
    sandbox_file(L, i, &name, &text);
    model->file[model->files++] =
        (ModelFile){arena_text(&graph->arena, "%s", name), arena_text(&graph->arena, "%s", text)};
  }
  return true;
}

/* Their readers rely on it, so a model of one's own cannot return anything else. partial: what can
 * be planned and timed alone. */
static bool check_shapes(const Model *model, bool partial, const char *name,
                         const ModelShape *shape, Error *error) {
  if (shape->training)
    return tensor_count(&model->loss->tensor) == 1 ||
           fail(error, "model %s: its loss is %s, expected one number", name,
                tensor_shape_text(&model->loss->tensor));
  if (partial) return true;
  const Tensor *map = &model->map->tensor, *image = &model->image->tensor;
  bool good = map->rank == 5 && map->dim[4] == shape->classes;
  for (int i = 0; i < 4; i++) good = good && map->dim[i] == image->dim[i];
  if (good) return true;
  return fail(error,
              "model %s: its map is %s, expected a value for each of %d classes on the image's "
              "grid, %d x %d x %d",
              name, tensor_shape_text(map), shape->classes, shape->patch[0], shape->patch[1],
              shape->patch[2]);
}

static bool run_model(lua_State *L, Builder *builder, const json_t *config, const ModelShape *shape,
                      Model *model, Error *error) {
  if (!sandbox_require(L, "harness.model", error)) return false;
  int house = sandbox_files(L);
  lua_getfield(L, -1, "build");
  push_builder(L, builder);
  push_value(L, model->image);
  lua_setfield(L, -2, "image");
  if (shape->training) {
    push_value(L, model->labels);
    lua_setfield(L, -2, "labels");
  }
  sandbox_push_json(L, config);
  lua_pushinteger(L, shape->classes);
  lua_setfield(L, -2, "classes");
  lua_pushboolean(L, shape->regions);
  lua_setfield(L, -2, "regions");
  sandbox_push_load(L);
  if (!sandbox_call(L, 3, error)) return false;
  const char *name = json_string_value(json_object_get(config, "model"));
  if (!lua_istable(L, -1))
    return fail(error, "model %s: its build returned a %s, expected { %s = ... }", name,
                luaL_typename(L, -1), shape->training ? "loss" : "map");
  model->loss = take(L, "loss");
  model->map = take(L, "map");
  static const char *const parts[] = {"class", "bce", "dice"};
  for (int i = 0; i < 3; i++) model->part[i] = take(L, parts[i]);
  if (!take_extras(L, builder->graph, model, error) ||
      !take_files(L, house, builder->graph, model, error))
    return false;
  if (shape->training ? !model->loss : !model->map)
    return fail(error, "model %s: its build returned no %s: %s", name,
                shape->training ? "loss" : "map",
                shape->training ? "while training (m.labels is there) it returns { loss = ... }"
                                : "in inference (no m.labels) it returns { map = ... }");
  field_of(L, "partial");
  return check_shapes(model, lua_toboolean(L, -1), name, shape, error);
}

bool model_build(const char *home, const json_t *config, const ModelShape *shape, Graph *graph,
                 Model *model, Error *error) {
  *model = (Model){0};
  const char *dtype = json_string_value(json_object_get(config, "dtype"));
  if (dtype && strcmp(dtype, "bf16") == 0) graph->storage = BF16;
  graph->recompute = json_is_true(json_object_get(config, "recompute"));
  const char *freeze = json_string_value(json_object_get(config, "freeze"));
  if (freeze && strcmp(freeze, "none") != 0)
    graph->freeze = arena_text(&graph->arena, "%s", freeze);
  graph->thaws = json_integer_value(json_object_get(config, "freeze_steps")) > 0;
  int64_t dim[5] = {shape->batch, shape->patch[0], shape->patch[1], shape->patch[2],
                    shape->channels};
  graph->training = shape->training;
  model->image = graph_input(graph, "image", graph->real, 5, dim);
  if (shape->training) model->labels = graph_input(graph, "labels", I32, 4, dim);
  if (model->image) model->image->loaded = true;
  if (model->labels) model->labels->loaded = true;
  if (graph->error.text[0]) return fail(error, "%s", graph->error.text);
  lua_State *L = sandbox_open(home, error);
  if (!L) return false;
  Builder builder = {graph, shape->batch, {home, config, shape, graph->real}};
  bool good = run_model(L, &builder, config, shape, model, error);
  sandbox_close(L);
  if (good && shape->training) good = freeze_check(graph->params, graph->freeze, error);
  graph->where = "";
  Value *outputs[] = {model->loss, model->map, model->part[0], model->part[1], model->part[2]};
  for (size_t i = 0; i < sizeof outputs / sizeof *outputs; i++)
    if (outputs[i]) outputs[i]->keep = true;
  for (int i = 0; !shape->training && i < model->extras; i++) model->extra[i].value->keep = true;
  return good;
}
