/* What a result was made with: captured once a run and stored beside each attempt. */
#ifndef MACHINE_ENVIRONMENT_H
#define MACHINE_ENVIRONMENT_H

#include <jansson.h>
#include <stdbool.h>

/* Runs argv[0] from PATH with its errors silenced and returns at most limit bytes of its standard
 * output (malloced), or NULL when it could not be started or ended with another code than 0. */
char *environment_command(const char *const argv[], size_t limit);
/* The same in a folder, with its errors among its output whatever its end; code: of its end (128
 * and more: a signal), -1: it could not be started. */
char *environment_command_in(const char *folder, const char *const argv[], size_t limit, int *code);

/* {version, binary_hash, commit, dirty, diff, compiler, flags, libraries, cpu, cores,
 * memory_bytes, host, kernel, isa}; isa as processor_isa says; commit, dirty and diff are what
 * built.h knows. With a GPU as `device` ("cuda:1"; NULL or
 * "cpu": none) also {gpu, gpu_driver, gpu_capability, gpu_bytes, gpu_libraries}, and
 * {deterministic} where that is asked of the kernels. The caller decrefs. */
json_t *environment_capture(const char *device, bool deterministic);

/* {"libname": "version", ...} of the libraries loaded into this process that we chose ourselves. */
json_t *environment_libraries(void);
/* A hash of this program's file: which build made a result. */
void environment_binary(char hex[17]);
/* The processors this process may use: by its affinity mask and its control group's quota. */
int environment_cores(void);
long long environment_memory(void); /* bytes of the machine, or of its control group if less */
void environment_cpu(char *name, int bytes); /* the processor's model name */

#endif
