/* Files of named tensors in the safetensors format: 8 bytes of a header's length, the header in
 * JSON, then the tensors' bytes one after another, little-endian. Nothing is taken on trust: a file
 * is opened only if its header is sound, names no tensor twice, and accounts for every byte of
 * data. */
#ifndef ENGINE_SAFETENSORS_H
#define ENGINE_SAFETENSORS_H

#include "kernels/op.h"

enum { STORED_RANK = 8 };

typedef struct StoredTensor {
  const char *name;
  const char *type; /* "F32", as the format calls it */
  int rank;
  int64_t dim[STORED_RANK];
  uint64_t first, bytes; /* from the first byte of data */
} StoredTensor;

typedef struct Safetensors Safetensors;

/* NULL with an error that begins with the path. */
Safetensors *safetensors_open(const char *path, Error *error);
void safetensors_close(Safetensors *file); /* NULL: nothing */
/* The tensors in the order of their names. */
int safetensors_count(const Safetensors *file);
const StoredTensor *safetensors_tensor(const Safetensors *file, int i);
const StoredTensor *safetensors_find(const Safetensors *file, const char *name); /* NULL: none */
/* Of a key of the header's metadata; NULL: absent. */
const char *safetensors_metadata(const Safetensors *file, const char *key);
int64_t stored_count(const StoredTensor *tensor);
const char *stored_shape_text(const StoredTensor *tensor); /* "(2, 3)"; four are valid at a time */
/* The tensor's numbers as F32 or F64, from F64, F32, F16 or BF16; another type is an error. */
bool safetensors_read(const Safetensors *file, const StoredTensor *tensor, DType type, void *into,
                      Error *error);

/* A tensor to be written, F32 or F64. */
typedef struct TensorToStore {
  const char *name;
  DType type;
  int rank;
  const int64_t *dim;
  const void *data;
} TensorToStore;

/* metadata: key, value, ..., NULL; may be NULL; with any, a checksum of the whole file stands
 * beside them. The file is there whole or not at all, and only when it reads back as it was
 * written. previous: the name by which what was there is kept until the next time; NULL: none. */
bool safetensors_write(const char *path, const char *previous, int count,
                       const TensorToStore *tensors, const char *const *metadata, Error *error);
/* Whether it is sound and, where it has a checksum, every byte is what was written. */
bool safetensors_verify(const char *path, Error *error);

#endif
