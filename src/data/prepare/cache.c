#define XXH_STATIC_LINKING_ONLY /* the size of a state */
#include "src/data/prepare/cache.h"

#include "base/rng.h"
#include "base/whole_file.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>

enum { HEADER_BYTES = 8192, ALIGNMENT = 64, PATH_BYTES = 4096 };
/* The last letter counts the format's versions. */
static const char magic[8] = "HRNSVOL4";

/* The first page of the file; what is not used is 0. `hash` is over the header with hash 0. */
typedef struct Header {
  char magic[8];
  uint64_t hash;
  uint64_t preprocessing, stamp;
  uint64_t source[2];  /* xxh3-128 of names and bytes of the case's files */
  uint64_t payload[2]; /* xxh3-128 of everything behind the header */
  uint64_t bytes;      /* of the file */
  uint64_t image, label, position;
  int32_t channels, labels;
  Frame frame;
  uint32_t count[DATASET_LABELS_MAX];
} Header;
_Static_assert(sizeof(Header) <= HEADER_BYTES, "the header fits its pages");

static uint64_t header_hash(const Header *header) {
  Header copy;
  memcpy(&copy, header, sizeof copy); /* with what lies between the fields */
  copy.hash = 0;
  return XXH3_64bits(&copy, sizeof copy);
}

static uint64_t aligned(uint64_t at) {
  return (at + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
}

/* ---- what a case is made from ---------------------------------------------------------------- */

static bool file_hash(XXH3_state_t *state, const char *path, Error *error) {
  static _Thread_local char chunk[1 << 16];
  FILE *file = fopen(path, "rb");
  if (!file) return fail(error, "%s: cannot open: %s", path, strerror(errno));
  const char *slash = strrchr(path, '/');
  const char *name = slash ? slash + 1 : path;
  XXH3_128bits_update(state, name, strlen(name) + 1);
  for (size_t got; (got = fread(chunk, 1, sizeof chunk, file));)
    XXH3_128bits_update(state, chunk, got);
  bool fine = !ferror(file);
  fclose(file);
  return fine || fail(error, "%s: cannot read: %s", path, strerror(errno));
}

static bool source_hash(const Case *item, uint64_t hash[2], Error *error) {
  XXH3_state_t state;
  XXH3_INITSTATE(&state);
  XXH3_128bits_reset(&state);
  for (int i = 0; i < item->images; i++)
    if (!file_hash(&state, item->image[i], error)) return false;
  if (!file_hash(&state, item->label, error)) return false;
  XXH128_hash_t digest = XXH3_128bits_digest(&state);
  hash[0] = digest.low64, hash[1] = digest.high64;
  return true;
}

static bool file_stamp(XXH3_state_t *state, const char *path, Error *error) {
  struct stat status;
  if (stat(path, &status)) return fail(error, "%s: cannot open: %s", path, strerror(errno));
  const char *slash = strrchr(path, '/');
  const char *name = slash ? slash + 1 : path;
  const int64_t what[] = {status.st_size, status.st_mtim.tv_sec, status.st_mtim.tv_nsec};
  XXH3_64bits_update(state, name, strlen(name) + 1);
  XXH3_64bits_update(state, what, sizeof what);
  return true;
}

bool cache_key(const Case *item, uint64_t preprocessing, CacheKey *key, Error *error) {
  XXH3_state_t state;
  XXH3_INITSTATE(&state);
  XXH3_64bits_reset(&state);
  for (int i = 0; i < item->images; i++)
    if (!file_stamp(&state, item->image[i], error)) return false;
  if (!file_stamp(&state, item->label, error)) return false;
  *key = (CacheKey){preprocessing, XXH3_64bits_digest(&state), item};
  return true;
}

/* ---- writing --------------------------------------------------------------------------------- */

uint32_t cache_positions(uint32_t voxels) {
  enum { ENOUGH = 10000 };
  uint32_t share = voxels / 100 + (voxels % 100 != 0);
  return voxels < ENOUGH ? voxels : share > ENOUGH ? share : ENOUGH;
}

/* The structures that a value of the label map belongs to. */
typedef struct Holders {
  int count;
  uint8_t of[REGIONS_MAX + 1];
} Holders;

static Holders holders_of(const Labelling *labelling, int value) {
  Holders holders = {0};
  for (int label = 0; label < labelling_structures(labelling); label++)
    if (labelling_centres(labelling, label, value)) holders.of[holders.count++] = (uint8_t)label;
  return holders;
}

/* Every voxel of a structure is kept with equal chance (Knuth's selection sampling), order stays.
 * count (structures); returns the positions of one after the other, to be freed. */
static uint32_t *positions_pick(const LabelMap *map, const Labelling *labelling, uint32_t *count) {
  uint32_t left[DATASET_LABELS_MAX] = {0}, first[DATASET_LABELS_MAX + 1] = {0};
  size_t voxels = grid_voxels(&map->grid);
  int labels = labelling_structures(labelling);
  Holders holders[LABEL_VALUES];
  for (int value = 0; value < LABEL_VALUES; value++) holders[value] = holders_of(labelling, value);
  for (size_t i = 0; i < voxels; i++)
    for (int k = 0; k < holders[map->data[i]].count; k++) left[holders[map->data[i]].of[k]]++;
  for (int label = 0; label < labels; label++)
    first[label + 1] = first[label] + cache_positions(left[label]);
  uint32_t *position = malloc(first[labels] * sizeof *position + 1);
  CHECK(position, "out of memory for %u voxel positions", first[labels]);
  Rng rng = rng_make(1234, RNG_BATCH, UINT64_MAX);
  for (size_t i = 0; i < voxels; i++)
    for (int k = 0; k < holders[map->data[i]].count; k++) {
      int label = holders[map->data[i]].of[k];
      uint32_t missing = first[label + 1] - first[label] - count[label];
      if (!missing) continue;
      if (missing == left[label] || rng_below(&rng, left[label]) < missing)
        position[first[label] + count[label]++] = (uint32_t)i;
      left[label]--;
    }
  return position;
}

/* The whole file in memory. */
static char *file_build(const CacheKey *key, const uint64_t source[2], const Labelling *labelling,
                        const Volume *prepared, const Frame *frame, uint64_t *bytes, Error *error) {
  int labels = labelling_structures(labelling);
  size_t voxels = grid_voxels(&prepared->image.grid);
  size_t values = voxels * (size_t)prepared->image.channels;
  Header header;
  memset(&header, 0, sizeof header);
  memcpy(header.magic, magic, sizeof magic);
  header.preprocessing = key->preprocessing, header.stamp = key->stamp;
  header.source[0] = source[0], header.source[1] = source[1];
  header.frame = *frame;
  header.channels = prepared->image.channels, header.labels = labels;
  uint32_t *position = positions_pick(&prepared->label, labelling, header.count);
  uint64_t positions = 0;
  for (int label = 0; label < labels; label++) positions += header.count[label];
  header.image = HEADER_BYTES;
  header.label = aligned(header.image + values * sizeof(_Float16));
  header.position = aligned(header.label + voxels);
  *bytes = header.bytes = header.position + positions * sizeof(uint32_t);
  char *file = calloc(1, header.bytes);
  if (file) {
    _Float16 *image = (_Float16 *)(void *)(file + header.image);
    for (size_t i = 0; i < values; i++) {
      float value = prepared->image.data[i];
      image[i] = (_Float16)(value > 65504 ? 65504 : value < -65504 ? -65504 : value);
    }
    memcpy(file + header.label, prepared->label.data, voxels);
    memcpy(file + header.position, position, positions * sizeof *position);
    XXH128_hash_t digest = XXH3_128bits(file + HEADER_BYTES, header.bytes - HEADER_BYTES);
    header.payload[0] = digest.low64, header.payload[1] = digest.high64;
    header.hash = header_hash(&header);
    memcpy(file, &header, sizeof header);
  } else
    fail(error, "out of memory: %llu bytes for a cached case", (unsigned long long)header.bytes);
  free(position);
  return file;
}

static bool bytes_write(const char *path, const char *data, uint64_t bytes, Error *error) {
  char temporary[PATH_BYTES];
  if (snprintf(temporary, sizeof temporary, "%s.tmp-%ld", path, (long)getpid()) >= PATH_BYTES)
    return fail(error, "%s: path too long", path);
  FILE *file = fopen(temporary, "wb");
  if (!file) return fail(error, "%s: cannot write: %s", path, strerror(errno));
  bool fine = fwrite(data, 1, bytes, file) == bytes;
  int why = errno;
  if (fclose(file) != 0 && fine) fine = false, why = errno;
  if (fine) return whole_place(temporary, path, error);
  unlink(temporary);
  return fail(error, "%s: not written: %s", path, strerror(why));
}

bool cached_write(const char *path, const CacheKey *key, const Labelling *labelling,
                  const Volume *prepared, const Frame *frame, Error *error) {
  if (grid_voxels(&prepared->image.grid) > UINT32_MAX)
    return fail(error, "%s: more than 2^32 voxels", path);
  uint64_t bytes, source[2] = {0};
  if (key->item && !source_hash(key->item, source, error)) return false;
  char *file = file_build(key, source, labelling, prepared, frame, &bytes, error);
  bool good = file && bytes_write(path, file, bytes, error);
  free(file);
  return good;
}

/* ---- reading --------------------------------------------------------------------------------- */

static bool file_map(Cached *cached, const char *path, Error *error) {
  int file = open(path, O_RDONLY | O_CLOEXEC);
  if (file < 0) return fail(error, "%s: cannot open: %s", path, strerror(errno));
  struct stat status;
  bool good = fstat(file, &status) == 0 && status.st_size >= HEADER_BYTES;
  if (!good) fail(error, "%s: truncated or no cached case", path);
  if (good) {
    cached->bytes = (size_t)status.st_size;
    cached->map = mmap(NULL, cached->bytes, PROT_READ, MAP_SHARED, file, 0);
    good = cached->map != MAP_FAILED || fail(error, "%s: cannot map: %s", path, strerror(errno));
    if (!good) cached->map = NULL;
  }
  close(file);
  return good;
}

static bool header_check(const Header *header, size_t bytes, const CacheKey *key, const char *path,
                         Error *error) {
  if (memcmp(header->magic, magic, sizeof magic - 1))
    return fail(error, "%s: no cached case of this program", path);
  if (memcmp(header->magic, magic, sizeof magic))
    return fail(error, "%s: made by another version of this program", path);
  if (header->hash != header_hash(header) || header->bytes != bytes)
    return fail(error, "%s: damaged or truncated (%zu bytes)", path, bytes);
  if (!key) return true;
  if (header->preprocessing != key->preprocessing)
    return fail(error, "%s: made by another plan, or with other labels in dataset.json", path);
  uint64_t source[2];
  if (header->stamp == key->stamp) return true;
  if (key->item && !source_hash(key->item, source, error)) return false;
  if (!key->item || memcmp(header->source, source, sizeof source))
    return fail(error, "%s: the case's files have changed since it was made", path);
  return true;
}

bool cached_open(Cached *cached, const char *path, const CacheKey *key, bool verify, Error *error) {
  *cached = (Cached){0};
  if (!file_map(cached, path, error)) return false;
  const Header *header = cached->map;
  bool good = header_check(header, cached->bytes, key, path, error);
  if (good && verify) {
    const char *behind = (const char *)cached->map + HEADER_BYTES;
    XXH128_hash_t digest = XXH3_128bits(behind, cached->bytes - HEADER_BYTES);
    good = (digest.low64 == header->payload[0] && digest.high64 == header->payload[1]) ||
           fail(error, "%s: damaged: its bytes are not those that were written", path);
  }
  if (!good) {
    cached_close(cached);
    return false;
  }
  const char *base = cached->map;
  cached->frame = header->frame;
  cached->channels = header->channels, cached->labels = header->labels;
  cached->image = (const _Float16 *)(const void *)(base + header->image);
  cached->label = (const uint8_t *)base + header->label;
  cached->count = header->count;
  cached->position = calloc((size_t)header->labels, sizeof *cached->position);
  CHECK(cached->position, "out of memory");
  const uint32_t *position = (const uint32_t *)(const void *)(base + header->position);
  for (int label = 0; label < header->labels; label++) {
    cached->position[label] = position;
    position += header->count[label];
  }
  return true;
}

void cached_close(Cached *cached) {
  if (cached->map) munmap(cached->map, cached->bytes);
  free(cached->position);
  *cached = (Cached){0};
}

bool cached_volume(const Cached *cached, const char *name, Volume *volume, Error *error) {
  *volume = (Volume){.name = name};
  Grid grid = grid_make(cached->frame.dim, cached->frame.mm);
  if (!image_alloc(&volume->image, &grid, cached->channels, error)) return false;
  if (!label_alloc(&volume->label, &grid, error)) {
    image_free(&volume->image);
    return false;
  }
  size_t voxels = grid_voxels(&grid), values = voxels * (size_t)cached->channels;
  for (size_t i = 0; i < values; i++) volume->image.data[i] = (float)cached->image[i];
  memcpy(volume->label.data, cached->label, voxels);
  return true;
}
