#include "src/train/weights_file.h"
#include "base/file_hash.h"
#include "engine/safetensors.h"
#include "lua/bind.h"
#include "src/train/config.h"

#include <math.h>
#include <stdarg.h>
#include <string.h>
#include <unistd.h>

/* ---- layouts --------------------------------------------------------------------------------- */

/* A parameter that has one name here and there is as we have it there, too. */
static bool is_own(const Param *param, const char *theirs) {
  return strcmp(param->name, theirs) == 0;
}

static bool is_convolution(const Param *param, const char *theirs) {
  return param->shape.rank == 5 && !is_own(param, theirs);
}

/* What the tensor's shape is there. */
static Tensor shape_there(const Param *param, const char *theirs) {
  const Tensor *own = &param->shape;
  const int64_t *d = own->dim;
  if (!is_convolution(param, theirs)) return tensor_make(own->type, own->rank, d);
  return tensor_make(own->type, 5, (int64_t[]){d[0], d[4], d[1], d[2], d[3]});
}

/* Of several of ours that stand one behind another in one tensor there, along its first axis, as
 * many numbers each: which this is, from 0. */
typedef struct Part {
  int at, of;
} Part;

static Part part_of(const json_t *list) {
  if (!list) return (Part){0, 1};
  return (Part){(int)json_integer_value(json_array_get(list, 0)) - 1,
                (int)json_integer_value(json_array_get(list, 1))};
}

static Tensor whole_there(const Param *param, const char *theirs, Part part) {
  Tensor shape = shape_there(param, theirs);
  shape.dim[0] *= part.of;
  return shape;
}

/* A flat network's convolution has no D, and a convolution of one voxel may be our linear layer. */
static bool fits(const Param *param, const StoredTensor *found, Part part) {
  Tensor shape = whole_there(param, found->name, part);
  int first = 0, rank = found->rank;
  bool own = is_own(param, found->name), flat = !own && shape.rank == 5 && rank == 4;
  if (flat && shape.dim[2] != 1) return false;
  while (!own && shape.rank == 2 && rank > 2 && found->dim[rank - 1] == 1) rank--;
  if (rank != shape.rank - flat) return false;
  for (int i = 0; i < rank; i++, first++) {
    if (flat && i == 2) first++;
    if (found->dim[i] != shape.dim[first]) return false;
  }
  return true;
}

/* (outer, rows, columns) to (outer, columns, rows). */
static void transpose(const Tensor *shape, bool back, const char *from, char *to) {
  size_t bytes = shape->type == F64 ? sizeof(double) : sizeof(float);
  int64_t voxels = shape->dim[1] * shape->dim[2] * shape->dim[3], channels = shape->dim[4];
  int64_t rows = back ? channels : voxels, columns = back ? voxels : channels;
  for (int64_t o = 0; o < shape->dim[0]; o++)
    for (int64_t r = 0; r < rows; r++)
      for (int64_t c = 0; c < columns; c++)
        memcpy(to + (size_t)((o * columns + c) * rows + r) * bytes,
               from + (size_t)((o * rows + r) * columns + c) * bytes, bytes);
}

/* ---- what does not fit ----------------------------------------------------------------------- */

typedef enum Misfit { MISSING, UNUSED, MISSHAPEN, MISFITS } Misfit;

/* All of them go to standard error, line by line; the sentence has the first of each kind. */
typedef struct Report {
  int count[MISFITS];
  char first[MISFITS][256];
} Report;

static void add(Report *report, Misfit kind, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

static void add(Report *report, Misfit kind, const char *format, ...) {
  static const char *const words[] = {"missing", "left over", "another shape"};
  enum { SHOWN = 3 };
  char line[400], *list = report->first[kind];
  size_t used = strlen(list);
  va_list values;
  va_start(values, format);
  vsnprintf(line, sizeof line, format, values);
  va_end(values);
  fprintf(stderr, "weights: %-13s  %s\n", words[kind], line);
  if (report->count[kind]++ < SHOWN)
    snprintf(list + used, sizeof report->first[0] - used, "%s%.120s", used ? ", " : "", line);
}

static void add_list(Report *report, Misfit kind, const json_t *names) {
  for (size_t i = 0; i < json_array_size(names); i++)
    add(report, kind, "%s", json_string_value(json_array_get(names, i)));
}

static bool told(const Report *report, const char *path, Error *error) {
  static const char *const words[] = {"missing", "left over", "of another shape"};
  char text[900] = "";
  int total = 0;
  for (int k = 0; k < MISFITS; k++) {
    size_t used = strlen(text);
    total += report->count[k];
    if (report->count[k])
      snprintf(text + used, sizeof text - used, "%s%d tensor%s %s: %s%s", used ? "; " : "",
               report->count[k], report->count[k] == 1 ? " is" : "s are", words[k],
               report->first[k], report->count[k] > 3 ? ", ..." : "");
  }
  return !total || fail(error, "%.80s does not fit the model: %s", path, text);
}

/* ---- reading --------------------------------------------------------------------------------- */

typedef struct Reading {
  const char *path;
  const char *start; /* the trial that this one starts from: what is not frozen may be drawn */
  Safetensors *file;
  Params *params;
  json_t *match; /* weights_match's */
} Reading;

static json_t *names_of(const Params *params) {
  json_t *names = json_array();
  for (int i = 0; i < params->count; i++)
    json_array_append_new(names, json_string(params->list[i]->name));
  return names;
}

static json_t *names_in(const Safetensors *file) {
  json_t *names = json_array();
  for (int i = 0; i < safetensors_count(file); i++)
    json_array_append_new(names, json_string(safetensors_tensor(file, i)->name));
  return names;
}

static const Param *param_named(const Params *params, const char *name) {
  for (int i = 0; i < params->count; i++)
    if (!strcmp(params->list[i]->name, name)) return params->list[i];
  CHECK(false, "no parameter %s", name);
  return NULL;
}

static const char *text_at(const json_t *list, size_t i) {
  return json_string_value(json_array_get(list, i));
}

static Part part_at(const Reading *r, size_t pair) {
  char key[32];
  snprintf(key, sizeof key, "%zu", pair);
  return part_of(json_object_get(json_object_get(r->match, "parts"), key));
}

/* What the file lacks and has to be in it. */
static void add_missing(const Reading *r, Report *report) {
  const json_t *names = json_object_get(r->match, "missing");
  for (size_t i = 0; i < json_array_size(names); i++)
    if (!r->start || param_named(r->params, text_at(names, i))->as.kind == PARAM_FROZEN)
      add(report, MISSING, "%s", text_at(names, i));
}

static bool check(const Reading *r, Error *error) {
  Report report = {.count = {0}};
  const json_t *pairs = json_object_get(r->match, "pairs");
  add_missing(r, &report);
  add_list(&report, UNUSED, json_object_get(r->match, "unused"));
  for (size_t p = 0; p < json_array_size(pairs); p++) {
    const json_t *pair = json_array_get(pairs, p);
    const Param *param = param_named(r->params, text_at(pair, 0));
    for (size_t i = 1; i < json_array_size(pair); i++) {
      const StoredTensor *found = safetensors_find(r->file, text_at(pair, i));
      Tensor wanted = whole_there(param, found->name, part_at(r, p));
      if (!fits(param, found, part_at(r, p)))
        add(&report, MISSHAPEN, "%s is %s, expected %s", found->name, stored_shape_text(found),
            tensor_shape_text(&wanted));
    }
  }
  char start[64];
  snprintf(start, sizeof start, "what trial %.8s has", r->start ? r->start : "");
  return told(&report, r->start ? start : r->path, error);
}

/* Nothing can be trained from a NaN, and a number beyond float's range has become an infinity. */
static bool is_finite(const Tensor *shape, const void *numbers) {
  const double *wide = numbers;
  const float *narrow = numbers;
  bool good = true;
  for (int64_t i = 0; good && i < tensor_count(shape); i++)
    good = isfinite(shape->type == F64 ? wide[i] : (double)narrow[i]);
  return good;
}

/* One tensor, from the first of its names; the others must hold the same. */
static bool read_pair(const Reading *r, const json_t *pair, Part part, Error *error) {
  const Param *param = param_named(r->params, text_at(pair, 0));
  size_t own = tensor_bytes(&param->shape), bytes = own * (size_t)part.of;
  char *first = malloc(bytes), *other = malloc(bytes);
  CHECK(first && other, "no memory for parameter %s", param->name);
  bool good = true;
  for (size_t i = 1; good && i < json_array_size(pair); i++) {
    const StoredTensor *found = safetensors_find(r->file, text_at(pair, i));
    good = safetensors_read(r->file, found, r->params->real, i > 1 ? other : first, error);
    if (good && i == 1 && !is_finite(&param->shape, first + own * (size_t)part.at))
      good = fail(error, "%s: %s holds a number that is not finite", r->path, found->name);
    if (good && i > 1 && memcmp(first, other, bytes))
      good = fail(error, "%s: %s and %s are one tensor of the model, and differ", r->path,
                  text_at(pair, 1), found->name);
  }
  void *into = params_weight(r->params, param);
  const char *from = first + own * (size_t)part.at;
  if (good && is_convolution(param, text_at(pair, 1)))
    transpose(&param->shape, true, from, into);
  else if (good)
    memcpy(into, from, own);
  free(first);
  free(other);
  return good;
}

static bool read_all(const Reading *r, Error *error) {
  const json_t *pairs = json_object_get(r->match, "pairs");
  int64_t numbers = 0;
  for (size_t p = 0; p < json_array_size(pairs); p++) {
    const json_t *pair = json_array_get(pairs, p);
    if (!read_pair(r, pair, part_at(r, p), error)) return false;
    numbers += tensor_count(&param_named(r->params, text_at(pair, 0))->shape);
  }
  const json_t *aside = json_object_get(r->match, "aside"),
               *note = json_object_get(r->match, "note");
  fprintf(stderr, "weights: %zu tensors, %lld numbers from %s\n", json_array_size(pairs),
          (long long)numbers, r->path);
  for (size_t i = 0; i < json_array_size(aside); i++)
    if (!checkpoint_is_state(text_at(aside, i)))
      fprintf(stderr, "weights: not wanted     %s\n", text_at(aside, i));
  if (note) fprintf(stderr, "weights: note: %s\n", json_string_value(note));
  return true;
}

/* The file is the one that the trial is known by. */
static bool same_content(const char *path, const char *expected, Error *error) {
  char found[FILE_HASH_BYTES];
  if (access(path, F_OK))
    return fail(error,
                "%s: the trial starts from this file, and it is gone; where it has moved, `harness "
                "run` with weights= its new place tells the trial",
                path);
  return file_hash(path, found, error) &&
         (!strcmp(found, expected) ||
          fail(error, "%s: not the weights of this trial: the content is %.8s, expected %.8s", path,
               found, expected));
}

static bool same_files(const json_t *config, Error *error) {
  const char *map = json_string_value(json_object_get(config, "weights_map_path"));
  return same_content(config_text(config, "weights_path"), config_text(config, "weights"), error) &&
         (!map || same_content(map, config_text(config, "weights_map"), error));
}

static bool load(Reading r, const json_t *config, Error *error) {
  Params *params = r.params;
  r.file = safetensors_open(r.path, error);
  if (!r.file) return false;
  json_t *ours = names_of(params), *theirs = names_in(r.file);
  r.match = weights_match(config_text(config, "home"), config, ours, theirs, error);
  bool good = r.match && check(&r, error) && read_all(&r, error);
  if (good) params_changed(params);
  json_decref(ours);
  json_decref(theirs);
  json_decref(r.match);
  safetensors_close(r.file);
  return good;
}

/* ---- what it starts from --------------------------------------------------------------------- */

enum { START_PATH = 4400 };

/* The weights of the trial that this one starts from, beside its own; false: from none. */
static bool start_path(const json_t *config, char path[START_PATH]) {
  const char *hash = json_string_value(json_object_get(config, "pretrained"));
  const char *own = json_string_value(json_object_get(config, "checkpoint"));
  const char *slash = own ? strrchr(own, '/') : NULL;
  if (hash)
    snprintf(path, START_PATH, "%.*s%.32s.safetensors", slash ? (int)(slash - own) + 1 : 0,
             own ? own : "", hash);
  return hash != NULL;
}

bool weights_start(const json_t *config, char content[FILE_HASH_BYTES], Error *error) {
  char path[START_PATH];
  content[0] = 0;
  if (!start_path(config, path)) return true;
  if (access(path, R_OK))
    return fail(error,
                "%s: the trial starts from these weights, and they are gone; `harness run` of its "
                "experiment trains them again",
                path);
  return file_hash(path, content, error);
}

/* What a checkpoint was trained on top of must be what is there. */
static bool same_start(const json_t *config, const char *content, Error *error) {
  const char *own = json_string_value(json_object_get(config, "checkpoint"));
  char kept[FILE_HASH_BYTES];
  if (!own || access(own, R_OK) || !checkpoint_metadata(own, "start", kept, sizeof kept) ||
      !strcmp(kept, content))
    return true;
  return fail(error,
              "%s: the weights that it started from, of trial %.8s, were trained again since, and "
              "are others: %.8s, expected %.8s; `harness run` with --retry trains it again",
              own, config_text(config, "pretrained"), content, kept);
}

bool weights_file_load(Params *params, const json_t *config, Error *error) {
  char path[START_PATH], content[FILE_HASH_BYTES];
  if (start_path(config, path))
    return weights_start(config, content, error) && same_start(config, content, error) &&
           load((Reading){.path = path,
                          .start = config_text(config, "pretrained"),
                          .params = params},
                config, error);
  if (!json_object_get(config, "weights")) return true;
  return same_files(config, error) &&
         load((Reading){.path = config_text(config, "weights_path"), .params = params}, config,
              error);
}

/* ---- writing --------------------------------------------------------------------------------- */

/* Of images of one slice, with no kernel of more, theirs is a network in 2D. */
static bool is_flat(const Params *params, const json_t *config) {
  bool flat = json_integer_value(json_array_get(json_object_get(config, "patch"), 0)) == 1;
  for (int p = 0; p < params->count; p++) {
    const Tensor *shape = &params->list[p]->shape;
    flat &= shape->rank < 5 || shape->dim[1] == 1;
  }
  return flat;
}

/* Dimensions and numbers as they are there, in the arena. */
static TensorToStore to_store(const Params *params, const Param *param, const char *theirs,
                              bool convolution, bool flat, Arena *arena) {
  Tensor shape = shape_there(param, theirs);
  const char *own = params_weight(params, param);
  int rank = shape.rank;
  int64_t *dim = arena_alloc(arena, 8 * sizeof *dim);
  for (int i = 0; i < 5; i++) dim[i] = i < rank ? shape.dim[i] : 1;
  if (convolution) rank = flat ? 4 : 5;
  if (!is_convolution(param, theirs)) return (TensorToStore){theirs, params->real, rank, dim, own};
  if (flat) dim[2] = dim[3], dim[3] = dim[4], rank = 4;
  char *turned = arena_alloc(arena, tensor_bytes(&param->shape));
  transpose(&param->shape, false, own, turned);
  return (TensorToStore){theirs, params->real, rank, dim, turned};
}

static size_t count_names(const json_t *rows) {
  size_t count = 0;
  for (size_t i = 0; i < json_array_size(rows); i++)
    count += json_array_size(json_object_get(json_array_get(rows, i), "names"));
  return count;
}

/* Puts a part into the tensor of this name in the list, whose numbers are the arena's, or makes it
 * there. */
static int list_part(TensorToStore own, Part part, Arena *arena, TensorToStore *list, int count) {
  int64_t numbers = 1, *dim = arena_alloc(arena, 5 * sizeof *dim);
  int found = 0;
  for (int i = 0; i < own.rank; i++) numbers *= dim[i] = own.dim[i];
  size_t bytes = (size_t)numbers * dtype_bytes(own.type);
  while (found < count && strcmp(list[found].name, own.name) != 0) found++;
  if (found == count) {
    dim[0] *= part.of;
    list[count++] = (TensorToStore){own.name, own.type, own.rank, dim,
                                    arena_alloc(arena, bytes * (size_t)part.of)};
  }
  memcpy((char *)(uintptr_t)list[found].data + bytes * (size_t)part.at, own.data, bytes);
  return count;
}

/* Each tensor is made once; its other names share the numbers. */
static int list_tensors(const Params *params, const json_t *rows, bool flat, Arena *arena,
                        TensorToStore *list) {
  int count = 0;
  for (int p = 0; p < params->count; p++) {
    const json_t *row = json_array_get(rows, (size_t)p), *names = json_object_get(row, "names");
    bool convolution = json_is_true(json_object_get(row, "convolution"));
    bool planar = flat || json_is_true(json_object_get(row, "flat"));
    TensorToStore tensor =
        to_store(params, params->list[p], text_at(names, 0), convolution, planar, arena);
    Part part = part_of(json_object_get(row, "part"));
    for (size_t i = 0; i < json_array_size(names); i++) {
      tensor.name = text_at(names, i);
      if (part.of > 1)
        count = list_part(tensor, part, arena, list, count);
      else
        list[count++] = tensor;
    }
  }
  return count;
}

bool weights_file_write(const Params *params, const json_t *config, const char *map,
                        const char *const *metadata, const char *path, Error *error) {
  Arena arena = {0};
  json_t *ours = names_of(params);
  json_t *rows = weights_names(config_text(config, "home"), config, map, ours, error);
  json_decref(ours);
  if (!rows) return false;
  params_fetch(params);
  TensorToStore *list = arena_alloc(&arena, (count_names(rows) + 1) * sizeof *list);
  int count = list_tensors(params, rows, is_flat(params, config), &arena, list);
  bool good = safetensors_write(path, NULL, count, list, metadata, error);
  arena_free(&arena);
  json_decref(rows);
  return good;
}
