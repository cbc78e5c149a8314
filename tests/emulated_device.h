/* A backend of the host's memory that has a device all the same: its work on volumes is done by the
 * CUDA kernels in the emulator. For what runs on a device beside a graph. */
#ifndef TESTS_EMULATED_DEVICE_H
#define TESTS_EMULATED_DEVICE_H

#include "engine/backend.h"

extern const Backend emulated_device;

#endif
