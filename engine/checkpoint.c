/* Checkpoints in the safetensors format: 8 bytes of header length, a JSON header, raw data. */
#include "engine/params.h"

#include <errno.h>
#include <jansson.h>
#include <string.h>
#include <unistd.h>

enum { NAME_BYTES = 600 };

/* A checkpoint holds what is trained and the buffers, then one after another the optimiser's
 * states. */
static int passes(const Params *params, bool states) {
  return 1 + (states ? params->states : 0);
}

/* The tensor of a parameter in a pass and its name there; NULL: it has none. */
static void *stored(const Params *params, const Param *param, int pass, char name[NAME_BYTES]) {
  ParamKind kind = param->as.kind;
  snprintf(name, NAME_BYTES, "%s%s%s", param->name, pass ? "." : "",
           pass ? params->state_name[pass - 1] : "");
  if (pass == 0) return kind == PARAM_FROZEN ? NULL : params_weight(params, param);
  void *block = params->host[BLOCK_STATE + pass - 1];
  return kind == PARAM_TRAINED ? params_at(params, block, param) : NULL;
}

static void describe(json_t *header, const Param *param, const char *name, size_t *offset) {
  json_t *shape = json_array();
  for (int i = 0; i < param->shape.rank; i++)
    json_array_append_new(shape, json_integer(param->shape.dim[i]));
  size_t bytes = tensor_bytes(&param->shape);
  json_object_set_new(
      header, name,
      json_pack("{s:s, s:o, s:[I, I]}", "dtype", param->shape.type == F64 ? "F64" : "F32", "shape",
                shape, "data_offsets", (json_int_t)*offset, (json_int_t)(*offset + bytes)));
  *offset += bytes;
}

/* The format's metadata are texts. */
static json_t *metadata_json(const Params *params, bool states, const char *const *metadata) {
  json_t *pairs = json_object();
  for (int i = 0; metadata && metadata[i]; i += 2)
    json_object_set_new(pairs, metadata[i], json_string(metadata[i + 1]));
  if (states)
    json_object_set_new(pairs, "updates", json_sprintf("%lld", (long long)params->updates));
  return pairs;
}

static char *header_text(const Params *params, bool states, const char *const *metadata) {
  json_t *header = json_object(), *pairs = metadata_json(params, states, metadata);
  if (json_object_size(pairs)) json_object_set(header, "__metadata__", pairs);
  json_decref(pairs);
  size_t offset = 0;
  char name[NAME_BYTES];
  for (int pass = 0; pass < passes(params, states); pass++)
    for (int i = 0; i < params->count; i++)
      if (stored(params, params->list[i], pass, name))
        describe(header, params->list[i], name, &offset);
  char *text = json_dumps(header, JSON_COMPACT);
  json_decref(header);
  CHECK(text, "no memory for a checkpoint's header");
  return text;
}

static bool write_all(FILE *file, const Params *params, bool states, const char *text) {
  char name[NAME_BYTES];
  uint64_t length = strlen(text);
  bool good = fwrite(&length, sizeof length, 1, file) == 1 && fwrite(text, length, 1, file) == 1;
  for (int pass = 0; pass < passes(params, states); pass++)
    for (int i = 0; good && i < params->count; i++) {
      const Param *param = params->list[i];
      const void *data = stored(params, param, pass, name);
      if (data) good = fwrite(data, tensor_bytes(&param->shape), 1, file) == 1;
    }
  return good && fflush(file) == 0 && fsync(fileno(file)) == 0;
}

bool params_save(const Params *params, bool states, const char *const *metadata, const char *path,
                 Error *error) {
  char temporary[4096];
  params_fetch(params);
  snprintf(temporary, sizeof temporary, "%s.part", path);
  FILE *file = fopen(temporary, "wb");
  if (!file) return fail(error, "%s: cannot write the checkpoint: %s", path, strerror(errno));
  char *text = header_text(params, states, metadata);
  bool good = write_all(file, params, states, text);
  int reason = errno;
  free(text);
  if (fclose(file) != 0 && good) good = false;
  if (good && rename(temporary, path) == 0) return true;
  if (good) reason = errno;
  unlink(temporary);
  return fail(error, "%s: cannot write the checkpoint: %s", path, strerror(reason));
}

/* Opens, reads the header; the file stands at the first byte of data. */
static json_t *read_header(const char *path, FILE **file, Error *error) {
  *file = fopen(path, "rb");
  if (!*file) {
    fail(error, "%s: cannot read the checkpoint: %s", path, strerror(errno));
    return NULL;
  }
  uint64_t length = 0;
  json_t *header = NULL;
  fseek(*file, 0, SEEK_END);
  uint64_t size = (uint64_t)ftell(*file);
  rewind(*file);
  if (fread(&length, sizeof length, 1, *file) == 1 && length + 8 <= size) {
    char *text = malloc(length + 1);
    if (text && fread(text, length, 1, *file) == 1) header = json_loadb(text, length, 0, NULL);
    free(text);
  }
  if (!header) {
    fail(error, "%s: not a complete safetensors file (%llu bytes)", path, (unsigned long long)size);
    fclose(*file);
    *file = NULL;
  }
  return header;
}

static bool read_one(FILE *file, long base, json_t *entry, const Param *param, void *into,
                     const char *path, const char *name, Error *error) {
  json_t *offsets = json_object_get(entry, "data_offsets");
  json_int_t first = json_integer_value(json_array_get(offsets, 0));
  json_int_t last = json_integer_value(json_array_get(offsets, 1));
  if (!entry) return fail(error, "%s: has no tensor %s", path, name);
  size_t bytes = tensor_bytes(&param->shape);
  json_t *shape = json_object_get(entry, "shape");
  bool fits = (size_t)(last - first) == bytes && (int)json_array_size(shape) == param->shape.rank;
  for (int i = 0; fits && i < param->shape.rank; i++)
    fits = json_integer_value(json_array_get(shape, (size_t)i)) == param->shape.dim[i];
  if (!fits)
    return fail(error, "%s: tensor %s does not have the model's shape %s", path, name,
                tensor_shape_text(&param->shape));
  if (fseek(file, base + (long)first, SEEK_SET) != 0 || fread(into, bytes, 1, file) != 1)
    return fail(error, "%s: ends inside tensor %s", path, name);
  return true;
}

static const char *metadata_text(const json_t *header, const char *key) {
  return json_string_value(json_object_get(json_object_get(header, "__metadata__"), key));
}

bool params_load(Params *params, bool states, const char *path, Error *error) {
  FILE *file;
  json_t *header = read_header(path, &file, error);
  if (!header) return false;
  long base = ftell(file);
  bool good = true;
  for (int pass = 0; pass < passes(params, states); pass++)
    for (int i = 0; good && i < params->count; i++) {
      const Param *param = params->list[i];
      char name[NAME_BYTES];
      void *data = stored(params, param, pass, name);
      if (data)
        good = read_one(file, base, json_object_get(header, name), param, data, path, name, error);
    }
  const char *updates = metadata_text(header, "updates");
  if (states) params->updates = updates ? strtoll(updates, NULL, 10) : 0;
  json_decref(header);
  fclose(file);
  params_send(params);
  return good;
}

bool checkpoint_metadata(const char *path, const char *key, char *value, size_t bytes) {
  FILE *file;
  Error error = {0};
  json_t *header = read_header(path, &file, &error);
  if (!header) return false;
  const char *text = metadata_text(header, key);
  if (text) snprintf(value, bytes, "%s", text);
  json_decref(header);
  fclose(file);
  return text != NULL;
}
