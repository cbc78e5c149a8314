/* A prepared case on disk, to be mapped, not read: one file CASE.vol, a page of header, then
 *
 *   image     half precision (D,H,W,C), little-endian
 *   label     bytes (D,H,W)
 *   position  of each structure: all voxels, or of more than 10,000 so many, or 1 % if that is
 *             more; flat indices into (D,H,W), ascending
 *
 * each beginning at a multiple of 64 bytes. Half precision keeps 11 bits: 0.05 % of a normalised
 * intensity, far below its noise. The header names what the file was made from (stamp and hash of
 * the case's files) and how (preprocessing_key), and holds a hash of itself and of the rest. */
#ifndef DATA_CACHE_H
#define DATA_CACHE_H

#include "src/data/prepare/preprocess.h"

/* How many of a class's voxels are kept: nnU-Net's class_locations. */
uint32_t cache_positions(uint32_t voxels);

/* What a cached case must have been made from, and how. */
typedef struct CacheKey {
  uint64_t preprocessing; /* of preprocessing_key */
  uint64_t stamp;         /* names, sizes and times of the case's files */
  const Case *item;       /* whose files are hashed where the stamp differs (a copied data set);
                             NULL: none, the stamp decides */
} CacheKey;

typedef struct Cached {
  Frame frame;
  int channels, labels;      /* labels: structures with background */
  const _Float16 *image;     /* (D,H,W,C), mapped */
  const uint8_t *label;      /* (D,H,W), mapped */
  const uint32_t **position; /* (labels) of counts, mapped; [0]: see labelling_centres */
  const uint32_t *count;     /* (labels) */
  void *map;
  size_t bytes;
} Cached;

/* Looks at the case's files without reading them. The case stays the caller's. */
bool cache_key(const Case *item, uint64_t preprocessing, CacheKey *key, Error *error);

/* Writes the file whole or not at all. */
bool cached_write(const char *path, const CacheKey *key, const Labelling *labelling,
                  const Volume *prepared, const Frame *frame, Error *error);
/* Maps the file. Errors: missing, no such file, truncated, made from other files or by another plan
 * (key; NULL: any), damaged. verify: hash every byte, not only the header. */
bool cached_open(Cached *cached, const char *path, const CacheKey *key, bool verify, Error *error);
void cached_close(Cached *cached);
/* The case in single precision, as if it had been prepared just now. `name` stays the caller's. */
bool cached_volume(const Cached *cached, const char *name, Volume *volume, Error *error);

#endif
