/* Where a graph runs. A backend is a table of kernels and a way to hold memory; one with a device
 * has memory and a queue apart from the host's. */
#ifndef ENGINE_BACKEND_H
#define ENGINE_BACKEND_H

#include "kernels/cuda/choice.h"
#include "kernels/op.h"

/* What nothing on the device exceeds, measured now: bytes read and written, float FMA, BF16 matrix
 * products (0: not measured). */
typedef struct DeviceRates {
  double copy_gbps, fma_gflops, matrix_gflops;
} DeviceRates;

typedef struct DeviceClocks {
  int mhz;     /* 0: not to be read */
  bool slowed; /* by power, heat or hardware at this moment */
} DeviceClocks;

/* A device with a queue of work. A call that fails ends the process, which is one trial, with its
 * place and reason. */
typedef struct Device {
  void *(*queue)(void); /* Call.stream */
  /* In the queue's order; copy_in has taken what it copies when it returns, copy_out waits. */
  void (*copy_in)(void *to, const void *from, size_t bytes);
  void (*copy_out)(void *to, const void *from, size_t bytes);
  void (*zero)(void *to, size_t bytes);
  void (*wait)(void);                 /* until the queue is empty */
  void *(*host_alloc)(size_t bytes);  /* memory of the host that the device reaches by itself */
  void (*host_release)(void *memory); /* NULL is fine */
  const struct StepOps *step;         /* the training step: engine/stepper.h */
  /* Measuring: what `run` puts into the queue, recorded once; replay gives the device's seconds of
   * all repeats together. flush overwrites more than the device's caches. */
  void *(*record)(void (*run)(void *user), void *user);
  double (*replay)(void *recorded, int repeats);
  void (*forget)(void *recorded);
  void (*flush)(void);
  /* Moments of the queue, by number: `count` of them are made ready; mark enters one, also into a
   * step that is being captured; between: seconds from one to another of the last run, which has
   * ended. */
  void (*marks)(int count);
  void (*mark)(int number);
  double (*between)(int first, int last);
  void (*rates)(DeviceRates *rates);
  void (*clocks)(DeviceClocks *clocks);
  /* What backend_planned would want to know of it, JSON; empty where cuDNN cannot tell. */
  void (*properties)(char *text, size_t bytes);
  const struct PatchOps *patches; /* kernels/volumes/volume_ops.h */
  const struct SlabOps *slabs;
} Device;

typedef struct Backend {
  const char *name;             /* "cpu", "portable", "reference", "cuda" */
  DType real;                   /* of every real tensor */
  const Kernel *const *kernels; /* by OpId */
  void *(*alloc)(size_t bytes); /* aligned to 64 bytes at least; NULL when there is none */
  void (*release)(void *memory);
  size_t (*available)(void); /* bytes that an allocation may still take */
  const Device *device;      /* NULL: the memory is the host's */
} Backend;

extern const Backend backend_cpu;              /* the fast float kernels */
extern const Backend backend_portable;         /* the reference loops in float */
extern const Backend backend_reference;        /* the reference loops in double: the oracle */
const Backend *backend_find(const char *name); /* of the host; NULL when there is none */

/* "cpu", "cuda" or "cuda:1", ready to run: on a device of that number, from then on this process's
 * only one. NULL with the reason: no such name, a build without CUDA, no such GPU. */
const Backend *backend_open(const char *name, Error *error);
/* Whether backend_open would find the device, without opening it. */
bool backend_check(const char *name, Error *error);

typedef struct DeviceInfo {
  char name[256];      /* "NVIDIA H200" */
  char libraries[192]; /* "CUDA runtime 13.0, cuDNN 9.13.0, cuBLASLt 13.0.2" */
  char release[80];    /* of the driver, "580.65.06"; empty: not to be read */
  int count, major, minor, processors;
  int dnn;                   /* cuDNN's version, 91900; 0: none was found */
  int driver;                /* the newest CUDA that it can run: 13000 */
  size_t bytes, cache_bytes; /* memory; level 2 */
} DeviceInfo;

/* The GPU of this number and what stands under it; false with the reason. Holds no memory of the
 * GPU's. `libraries` is filled in every CUDA build that finds them, empty otherwise. */
bool backend_gpu(int index, DeviceInfo *info, Error *error);
/* What is known to be wrong with this version of cuDNN; NULL: nothing. */
const char *backend_dnn_warning(int version);
/* The GPU that a device's name means; false: the CPU, or no name of a device. */
bool backend_names_gpu(const char *name, int *index);

/* A GPU that is not here, of the name of a file of HOME/kernels/cuda/devices: plans can be made and
 * bound, not run: plan_run only counts (kernels/cuda/absent_gpu.h). cuDNN's engines and workspaces
 * are its own; cuBLASLt's, which wants a GPU to be asked, the most that it may take. From then on
 * this process plans; NULL with the reason: no such name, a build without CUDA, cuDNN older than
 * 9.11. */
const Backend *backend_planned(const char *home, const char *name, Error *error);
/* The engines of cuDNN that the plans of this process use; none in a build without CUDA. */
void backend_engines(void (*visit)(const ConvolutionChoice *choice, void *user), void *user);
/* The algorithms of cuBLASLt that its products use. */
void backend_products(void (*visit)(const ProductChoice *choice, void *user), void *user);

/* memcpy where the memory is the host's. */
void backend_write(const Backend *backend, void *to, const void *from, size_t bytes);
void backend_read(const Backend *backend, void *to, const void *from, size_t bytes);

#endif
