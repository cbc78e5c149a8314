/* Kernels that are wrong on purpose. */
#ifndef TESTS_EMULATOR_FAULTS_H
#define TESTS_EMULATOR_FAULTS_H

typedef struct EmulatorFault {
  const char *name;
  const char *message; /* what the emulator says; NULL: a right kernel, it says nothing */
  void (*run)(void);
} EmulatorFault;

extern
#ifdef __cplusplus
    "C"
#endif
    const EmulatorFault emulator_faults[]; /* ended by a NULL name */

#endif
