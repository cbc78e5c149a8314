/* Numbers from and to files of other programs: safetensors by a map of names
 * (lua/harness/weights.lua), and by layout. Ours are channels last: of a convolution's weight (out,
 * D, H, W, in), of a transposed one's (in, D, H, W, out); theirs are (out, in, D, H, W) and (in,
 * out, D, H, W), without D where it is 1 and their network is flat: one that is written is where
 * patch and all kernels are of one slice. A linear layer's (out, in) may stand there as a
 * convolution of one voxel, (out, in, 1, 1, 1). */
#ifndef TRAIN_WEIGHTS_FILE_H
#define TRAIN_WEIGHTS_FILE_H

#include "base/file_hash.h"
#include "engine/params.h"

#include <jansson.h>

/* Fills allocated parameters from the configuration's weights=, or from the trial that it starts
 * from ("pretrained": its hash; its weights lie beside the configuration's checkpoint); nothing
 * without one. Strictly: all that is missing, left over or of another shape is told in one error;
 * of a start only what is frozen may not be missing, and a checkpoint that is there must have
 * started from the same. Says on standard error what was read, and what of the file was not
 * wanted. */
bool weights_file_load(Params *params, const json_t *config, Error *error);

/* The hash of the file of what it starts from, kept with its checkpoint as "start"; "": of none. */
bool weights_start(const json_t *config, char content[FILE_HASH_BYTES], Error *error);

/* Writes the numbers under all names that they have by a map, "own" or "pytorch" or a file, with
 * the layout that goes with it. metadata: as in safetensors_write. */
bool weights_file_write(const Params *params, const json_t *config, const char *map,
                        const char *const *metadata, const char *path, Error *error);

#endif
