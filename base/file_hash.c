#include "base/file_hash.h"

#include <errno.h>
#include <string.h>
#include <xxhash.h>

static bool add_all(XXH3_state_t *state, FILE *file) {
  static const size_t most = 1 << 20;
  char *block = malloc(most);
  size_t got;
  CHECK(block, "no memory to read a file");
  while ((got = fread(block, 1, most, file)) > 0) XXH3_128bits_update(state, block, got);
  free(block);
  return !ferror(file); /* of a folder: the first read fails */
}

bool file_hash(const char *path, char hex[FILE_HASH_BYTES], Error *error) {
  FILE *file = fopen(path, "rb");
  XXH3_state_t *state = XXH3_createState();
  CHECK(state, "no memory to read a file");
  XXH3_128bits_reset(state);
  bool good = file && add_all(state, file);
  if (!good) fail(error, "%s: cannot read: %s", path, strerror(errno));
  XXH128_canonical_t digest;
  XXH128_canonicalFromHash(&digest, XXH3_128bits_digest(state));
  for (int i = 0; i < 16; i++) snprintf(hex + 2 * i, 3, "%02x", digest.digest[i]);
  XXH3_freeState(state);
  if (file) fclose(file);
  return good;
}
