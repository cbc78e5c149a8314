#include "engine/safetensors.h"
#include "base/whole_file.h"

#include <errno.h>
#include <jansson.h>
#include <string.h>
#include <xxhash.h>

struct Safetensors {
  char *path;
  FILE *file;
  json_t *header; /* owns the names */
  uint64_t base;  /* of the data, from the start of the file */
  uint64_t bytes; /* of the data */
  int count;
  StoredTensor *tensor;
};

/* The format's own limit. */
static const uint64_t MOST_HEADER = 100000000;

/* ---- types ----------------------------------------------------------------------------------- */

static float of_bits(uint32_t bits) {
  float value;
  memcpy(&value, &bits, sizeof value);
  return value;
}

static double of_f64(const void *at) {
  double value;
  memcpy(&value, at, sizeof value);
  return value;
}

static double of_f32(const void *at) {
  float value;
  memcpy(&value, at, sizeof value);
  return value;
}

static double of_bf16(const void *at) {
  uint16_t half;
  memcpy(&half, at, sizeof half);
  return of_bits((uint32_t)half << 16);
}

static double of_f16(const void *at) {
  uint16_t half;
  memcpy(&half, at, sizeof half);
  uint32_t sign = (uint32_t)(half & 0x8000) << 16, exponent = half >> 10 & 31, rest = half & 0x3ff;
  if (exponent == 31) return of_bits(sign | 0x7f800000u | rest << 13); /* infinite, or no number */
  if (exponent) return of_bits(sign | (exponent + 112) << 23 | rest << 13);
  return (sign ? -0x1p-24 : 0x1p-24) * (double)rest;
}

typedef struct Type {
  const char *name;
  uint64_t bytes;
  double (*number)(const void *at); /* NULL: not read */
} Type;

static const Type types[] = {
    {"F64", 8, of_f64}, {"F32", 4, of_f32}, {"F16", 2, of_f16},   {"BF16", 2, of_bf16},
    {"I64", 8, NULL},   {"I32", 4, NULL},   {"I16", 2, NULL},     {"I8", 1, NULL},
    {"U64", 8, NULL},   {"U32", 4, NULL},   {"U16", 2, NULL},     {"U8", 1, NULL},
    {"BOOL", 1, NULL},  {"C64", 8, NULL},   {"F8_E4M3", 1, NULL}, {"F8_E5M2", 1, NULL},
    {NULL, 0, NULL},
};

/* The row without a name: unknown. */
static const Type *type_find(const char *name) {
  const Type *type = types;
  while (type->name && strcmp(type->name, name)) type++;
  return type;
}

/* ---- the header ------------------------------------------------------------------------------ */

static bool read_text(Safetensors *f, uint64_t size, char **text, uint64_t *length, Error *error) {
  unsigned long long whole = size;
  if (fread(length, sizeof *length, 1, f->file) != 1)
    return fail(error, "%s: no safetensors file: it has %llu bytes, 8 tell the header's length",
                f->path, whole);
  unsigned long long told = *length;
  if (memcmp(length, "PK\3\4", 4) == 0)
    return fail(error,
                "%s: a zip, as torch.save writes (.pth, .pt); its pickle is not read: convert it "
                "with safetensors.torch.save_file (docs/weights.md)",
                f->path);
  if (*length > MOST_HEADER)
    return fail(error,
                "%s: no safetensors file: its first 8 bytes speak of a header of %llu bytes, at "
                "most %llu are allowed",
                f->path, told, (unsigned long long)MOST_HEADER);
  if (*length > size - 8)
    return fail(error, "%s: cut short: its header has %llu bytes, the file %llu", f->path, told,
                whole);
  *text = malloc(*length + 1);
  if (!*text) return fail(error, "%s: no memory for a header of %llu bytes", f->path, told);
  if (*length && fread(*text, *length, 1, f->file) != 1)
    return fail(error, "%s: cannot read: %s", f->path, strerror(errno));
  return true;
}

static bool read_header(Safetensors *f, Error *error) {
  char *text = NULL;
  uint64_t length = 0;
  json_error_t reason;
  fseek(f->file, 0, SEEK_END);
  uint64_t size = (uint64_t)ftell(f->file);
  rewind(f->file);
  bool good = read_text(f, size, &text, &length, error);
  if (good) {
    f->header = json_loadb(text, length, JSON_REJECT_DUPLICATES, &reason);
    f->base = 8 + length;
    f->bytes = size - f->base;
    if (!json_is_object(f->header))
      good = fail(error, "%s: the header of this safetensors file is no JSON object: %s", f->path,
                  f->header ? "it is something else" : reason.text);
  }
  free(text);
  return good;
}

static bool take_shape(StoredTensor *t, const json_t *shape, uint64_t *count) {
  t->rank = (int)json_array_size(shape);
  *count = 1;
  if (!json_is_array(shape) || json_array_size(shape) > STORED_RANK) return false;
  for (int i = 0; i < t->rank; i++) {
    const json_t *dim = json_array_get(shape, (size_t)i);
    t->dim[i] = json_integer_value(dim);
    if (!json_is_integer(dim) || t->dim[i] < 0 ||
        __builtin_mul_overflow(*count, (uint64_t)t->dim[i], count))
      return false;
  }
  return true;
}

static bool take_offsets(StoredTensor *t, const json_t *offsets) {
  const json_t *first = json_array_get(offsets, 0), *end = json_array_get(offsets, 1);
  json_int_t from = json_integer_value(first), to = json_integer_value(end);
  if (json_array_size(offsets) != 2 || !json_is_integer(first) || !json_is_integer(end) ||
      from < 0 || to < from)
    return false;
  t->first = (uint64_t)from;
  t->bytes = (uint64_t)(to - from);
  return true;
}

static bool take_tensor(const Safetensors *f, const char *name, const json_t *entry,
                        StoredTensor *t, Error *error) {
  const char *type = json_string_value(json_object_get(entry, "dtype"));
  uint64_t count, bytes;
  t->name = name;
  t->type = type ? type_find(type)->name : NULL;
  if (!t->type)
    return fail(error, "%s: tensor %s: dtype %s%.40s", f->path, name,
                type ? "is unknown: " : "is missing", type ? type : "");
  if (!take_shape(t, json_object_get(entry, "shape"), &count))
    return fail(error, "%s: tensor %s: shape is no list of at most %d sizes", f->path, name,
                STORED_RANK);
  if (!take_offsets(t, json_object_get(entry, "data_offsets")))
    return fail(error, "%s: tensor %s: data_offsets are not where its bytes begin and end", f->path,
                name);
  if (__builtin_mul_overflow(count, type_find(type)->bytes, &bytes) || bytes != t->bytes)
    return fail(error, "%s: tensor %s: data_offsets leave %llu bytes for %s in %s", f->path, name,
                (unsigned long long)t->bytes, stored_shape_text(t), t->type);
  return true;
}

static int by_place(const void *a, const void *b) {
  const StoredTensor *p = a, *q = b;
  if (p->first != q->first) return p->first < q->first ? -1 : 1;
  return p->bytes < q->bytes ? -1 : p->bytes > q->bytes;
}

static int by_name(const void *a, const void *b) {
  return strcmp(((const StoredTensor *)a)->name, ((const StoredTensor *)b)->name);
}

/* Every byte of data is one tensor's. */
static bool check_places(Safetensors *f, Error *error) {
  uint64_t end = 0;
  qsort(f->tensor, (size_t)f->count, sizeof *f->tensor, by_place);
  for (int i = 0; i < f->count; i++) {
    const StoredTensor *t = &f->tensor[i];
    if (t->first < end)
      return fail(error, "%s: tensors %s and %s lie on one another", f->path, t[-1].name, t->name);
    if (t->first > end)
      return fail(error, "%s: %llu bytes before tensor %s are no tensor's", f->path,
                  (unsigned long long)(t->first - end), t->name);
    end += t->bytes;
    if (end > f->bytes)
      return fail(error, "%s: cut short: tensor %s ends at byte %llu of the data, there are %llu",
                  f->path, t->name, (unsigned long long)end, (unsigned long long)f->bytes);
  }
  if (end < f->bytes)
    return fail(error, "%s: %llu bytes after the last tensor are no tensor's", f->path,
                (unsigned long long)(f->bytes - end));
  return true;
}

static bool take_tensors(Safetensors *f, Error *error) {
  const char *name;
  json_t *entry;
  f->tensor = calloc(json_object_size(f->header) + 1, sizeof *f->tensor);
  if (!f->tensor) return fail(error, "%s: no memory for its tensors' names", f->path);
  json_object_foreach(f->header, name, entry) {
    if (!strcmp(name, "__metadata__")) continue;
    if (!take_tensor(f, name, entry, &f->tensor[f->count++], error)) return false;
  }
  if (!check_places(f, error)) return false;
  qsort(f->tensor, (size_t)f->count, sizeof *f->tensor, by_name);
  return true;
}

Safetensors *safetensors_open(const char *path, Error *error) {
  Safetensors *f = calloc(1, sizeof *f);
  CHECK(f, "no memory for a file");
  f->path = strdup(path);
  f->file = fopen(path, "rb");
  if (f->file && read_header(f, error) && take_tensors(f, error)) return f;
  if (!f->file) fail(error, "%s: cannot read: %s", path, strerror(errno));
  safetensors_close(f);
  return NULL;
}

void safetensors_close(Safetensors *f) {
  if (!f) return;
  if (f->file) fclose(f->file);
  json_decref(f->header);
  free(f->tensor);
  free(f->path);
  free(f);
}

/* ---- looking in it --------------------------------------------------------------------------- */

int safetensors_count(const Safetensors *f) {
  return f->count;
}

const StoredTensor *safetensors_tensor(const Safetensors *f, int i) {
  return &f->tensor[i];
}

const StoredTensor *safetensors_find(const Safetensors *f, const char *name) {
  StoredTensor key = {.name = name};
  return bsearch(&key, f->tensor, (size_t)f->count, sizeof key, by_name);
}

const char *safetensors_metadata(const Safetensors *f, const char *key) {
  return json_string_value(json_object_get(json_object_get(f->header, "__metadata__"), key));
}

int64_t stored_count(const StoredTensor *t) {
  int64_t count = 1;
  for (int i = 0; i < t->rank; i++) count *= t->dim[i];
  return count;
}

const char *stored_shape_text(const StoredTensor *t) {
  static char text[4][32 * STORED_RANK];
  static int turn;
  char *out = text[turn++ % 4];
  int used = snprintf(out, sizeof text[0], "(");
  for (int i = 0; i < t->rank; i++)
    used += snprintf(out + used, sizeof text[0] - (size_t)used, "%s%lld", i ? ", " : "",
                     (long long)t->dim[i]);
  snprintf(out + used, sizeof text[0] - (size_t)used, ")");
  return out;
}

bool safetensors_read(const Safetensors *f, const StoredTensor *t, DType type, void *into,
                      Error *error) {
  const Type *stored = type_find(t->type);
  if (!stored->number)
    return fail(error, "%s: tensor %s is of type %s; F64, F32, F16 and BF16 are read", f->path,
                t->name, t->type);
  if (t->bytes == 0) return true;
  bool same = !strcmp(t->type, type == F64 ? "F64" : "F32");
  unsigned char *bytes = same ? into : malloc(t->bytes);
  if (!bytes) return fail(error, "%s: no memory for tensor %s", f->path, t->name);
  bool good = fseek(f->file, (long)(f->base + t->first), SEEK_SET) == 0 &&
              fread(bytes, t->bytes, 1, f->file) == 1;
  if (!good) fail(error, "%s: cannot read tensor %s: %s", f->path, t->name, strerror(errno));
  for (uint64_t i = 0; good && !same && i < t->bytes / stored->bytes; i++) {
    double value = stored->number(bytes + i * stored->bytes);
    if (type == F64)
      ((double *)into)[i] = value;
    else
      ((float *)into)[i] = (float)value;
  }
  if (!same) free(bytes);
  return good;
}

/* ---- the checksum ---------------------------------------------------------------------------- */

/* XXH3 of every byte of the file, with zeros in place of its own digits: two entries of the
 * metadata, so that damage to the name of one does not pass for a file that has none. */
static const char CHECKED[] = "checked", ALGORITHM[] = "xxh3";
static const char CHECKSUM[] = "checksum", BEFORE_DIGITS[] = "\"checksum\":\"";
enum { DIGITS = 16 };

/* Of a header; NULL: it has none. */
static char *digits_in(char *header) {
  char *found = strstr(header, BEFORE_DIGITS);
  if (!found) return NULL;
  found += strlen(BEFORE_DIGITS);
  for (int i = 0; i < DIGITS; i++)
    if (!strchr("0123456789abcdef", found[i]) || !found[i]) return NULL;
  return found[DIGITS] == '"' ? found : NULL;
}

static void hash_rest(FILE *file, XXH3_state_t *state) {
  static char block[1 << 16];
  size_t got;
  while ((got = fread(block, 1, sizeof block, file)) > 0) XXH3_64bits_update(state, block, got);
}

/* Of a file whose header is sound, where it says one. */
static bool sum_holds(const Safetensors *f, Error *error) {
  const char *algorithm = safetensors_metadata(f, CHECKED);
  if (!algorithm && !safetensors_metadata(f, CHECKSUM)) return true; /* written by others */
  size_t length = (size_t)f->base;
  char *header = calloc(1, length + 1), *digits, told[DIGITS + 1] = "", found[DIGITS + 1];
  XXH3_state_t *state = XXH3_createState();
  CHECK(header && state, "no memory to read a file");
  rewind(f->file);
  bool read = fread(header, length, 1, f->file) == 1;
  digits = read ? digits_in(header + 8) : NULL;
  if (digits) memcpy(told, digits, DIGITS), memset(digits, '0', DIGITS);
  XXH3_64bits_reset(state);
  XXH3_64bits_update(state, header, length);
  hash_rest(f->file, state);
  snprintf(found, sizeof found, "%016llx", (unsigned long long)XXH3_64bits_digest(state));
  bool good = digits && algorithm && !strcmp(algorithm, ALGORITHM) && !strcmp(found, told);
  XXH3_freeState(state);
  free(header);
  return good || fail(error,
                      "%s: corrupt: its bytes are not those that were written (their checksum is "
                      "%s, expected %s)",
                      f->path, found, told[0] ? told : "one that can be read");
}

bool safetensors_verify(const char *path, Error *error) {
  Safetensors *f = safetensors_open(path, error);
  bool good = f && sum_holds(f, error);
  safetensors_close(f);
  return good;
}

/* ---- writing --------------------------------------------------------------------------------- */

static size_t bytes_of(const TensorToStore *t) {
  size_t bytes = t->type == F64 ? sizeof(double) : sizeof(float);
  for (int i = 0; i < t->rank; i++) bytes *= (size_t)t->dim[i];
  return bytes;
}

static json_t *describe(const TensorToStore *t, size_t *offset) {
  json_t *shape = json_array();
  for (int i = 0; i < t->rank; i++) json_array_append_new(shape, json_integer(t->dim[i]));
  size_t first = *offset;
  *offset += bytes_of(t);
  return json_pack("{s:s, s:o, s:[I, I]}", "dtype", t->type == F64 ? "F64" : "F32", "shape", shape,
                   "data_offsets", (json_int_t)first, (json_int_t)*offset);
}

/* The format's metadata are texts. They stand behind the tensors. */
static char *header_text(int count, const TensorToStore *tensors, const char *const *metadata) {
  json_t *header = json_object(), *pairs = json_object();
  size_t offset = 0;
  for (int i = 0; metadata && metadata[i]; i += 2)
    json_object_set_new(pairs, metadata[i], json_string(metadata[i + 1]));
  if (json_object_size(pairs)) {
    json_object_set_new(pairs, CHECKED, json_string(ALGORITHM));
    json_object_set_new(pairs, CHECKSUM, json_string("0000000000000000"));
  }
  for (int i = 0; i < count; i++)
    json_object_set_new(header, tensors[i].name, describe(&tensors[i], &offset));
  if (json_object_size(pairs)) json_object_set(header, "__metadata__", pairs);
  json_decref(pairs);
  char *text = json_dumps(header, JSON_COMPACT);
  json_decref(header);
  CHECK(text, "no memory for a header");
  return text;
}

/* Puts the checksum where zeros stand. */
static void sign(char *text, int count, const TensorToStore *tensors) {
  uint64_t length = strlen(text);
  char *digits = digits_in(text), found[DIGITS + 1];
  if (!digits) return;
  XXH3_state_t *state = XXH3_createState();
  CHECK(state, "no memory for a header");
  XXH3_64bits_reset(state);
  XXH3_64bits_update(state, &length, sizeof length);
  XXH3_64bits_update(state, text, length);
  for (int i = 0; i < count; i++)
    if (bytes_of(&tensors[i])) XXH3_64bits_update(state, tensors[i].data, bytes_of(&tensors[i]));
  snprintf(found, sizeof found, "%016llx", (unsigned long long)XXH3_64bits_digest(state));
  memcpy(digits, found, DIGITS);
  XXH3_freeState(state);
}

static void write_all(WholeFile *file, int count, const TensorToStore *tensors, const char *text) {
  uint64_t length = strlen(text);
  whole_write(file, &length, sizeof length);
  whole_write(file, text, length);
  for (int i = 0; i < count; i++) whole_write(file, tensors[i].data, bytes_of(&tensors[i]));
}

/* What the disk gives back. */
static bool written(WholeFile *file, Error *error) {
  Error reason = {""};
  if (safetensors_verify(file->part, &reason)) return true;
  whole_drop(file);
  return fail(error, "%s: cannot write: what was written reads back otherwise: %s", file->path,
              reason.text);
}

bool safetensors_write(const char *path, const char *previous, int count,
                       const TensorToStore *tensors, const char *const *metadata, Error *error) {
  WholeFile *file = malloc(sizeof *file);
  CHECK(file, "no memory to write a file");
  bool good = whole_begin(file, path, error);
  if (good) {
    char *text = header_text(count, tensors, metadata);
    sign(text, count, tensors);
    write_all(file, count, tensors, text);
    free(text);
    good = whole_sync(file, error) && written(file, error) && whole_end(file, previous, error);
  }
  free(file);
  return good;
}
