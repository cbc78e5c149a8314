/* What only the driver's management library knows, which is loaded if it is there: clocks, reasons
 * of throttling, the driver's release. */
#include "engine/cuda_queue.h"

#include <dlfcn.h>

extern "C" {
#include "engine/backend.h"
}

/* NVML's numbers: the SM clock; the reasons for throttling that are no idleness or setting. */
enum { NVML_SM = 1 };
static constexpr unsigned long long NVML_SLOWED = 0x4ull | 0x8ull | 0x20ull | 0x40ull | 0x80ull;

typedef int (*NvmlStart)(void);
typedef int (*NvmlRelease)(char *text, unsigned bytes);
typedef int (*NvmlHandle)(const char *bus, void **device);
typedef int (*NvmlClock)(void *device, int type, unsigned *mhz);
typedef int (*NvmlReasons)(void *device, unsigned long long *reasons);

/* Started once; NULL: it is not there. */
static void *library() {
  static void *loaded;
  static bool looked;
  if (looked) return loaded;
  looked = true;
  void *found = dlopen("libnvidia-ml.so.1", RTLD_NOW | RTLD_LOCAL);
  NvmlStart start = found ? reinterpret_cast<NvmlStart>(dlsym(found, "nvmlInit_v2")) : NULL;
  if (start && start() == 0) loaded = found;
  return loaded;
}

static void *function(const char *name) {
  return library() ? dlsym(library(), name) : NULL;
}

void nvml_release(char *text, unsigned bytes) {
  NvmlRelease release = reinterpret_cast<NvmlRelease>(function("nvmlSystemGetDriverVersion"));
  if (!release || release(text, bytes) != 0) text[0] = 0;
}

/* The open GPU as NVML knows it: CUDA_VISIBLE_DEVICES changes CUDA's numbers, not the bus. */
static void *open_device() {
  char bus[32];
  int device = 0;
  void *handle = NULL;
  NvmlHandle find = reinterpret_cast<NvmlHandle>(function("nvmlDeviceGetHandleByPciBusId_v2"));
  CUDA_TRY(cudaGetDevice(&device));
  CUDA_TRY(cudaDeviceGetPCIBusId(bus, sizeof bus, device));
  return find && find(bus, &handle) == 0 ? handle : NULL;
}

void cuda_clocks(DeviceClocks *clocks) {
  static void *device;
  *clocks = DeviceClocks();
  if (!device) device = open_device();
  if (!device) return;
  NvmlClock clock = reinterpret_cast<NvmlClock>(function("nvmlDeviceGetClockInfo"));
  NvmlReasons reasons =
      reinterpret_cast<NvmlReasons>(function("nvmlDeviceGetCurrentClocksThrottleReasons"));
  unsigned mhz = 0;
  unsigned long long bits = 0;
  if (clock && clock(device, NVML_SM, &mhz) == 0) clocks->mhz = (int)mhz;
  if (reasons && reasons(device, &bits) == 0) clocks->slowed = (bits & NVML_SLOWED) != 0;
}
