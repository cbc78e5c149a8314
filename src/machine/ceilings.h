/* What the machine can do and how quiet it was: ceilings measured in the same run as the rows. */
#ifndef MACHINE_CEILINGS_H
#define MACHINE_CEILINGS_H

#include "src/machine/timing.h"

#include <jansson.h>

typedef struct Machine {
  const Device *device; /* NULL: the CPU; else rates, clocks and `slowed` are the device's */
  int threads;
  double copy_gbps;             /* read plus written, all threads, beyond the cache */
  double fma_gflops;            /* float, all threads */
  double fma_end_gflops;        /* again at the end: throttling and neighbours show here */
  double mhz, mhz_end;          /* mean over processors; 0: not to be read */
  double load, load_end;        /* one-minute load average */
  double others;                /* share of the machine's CPU time that others used meanwhile */
  double busy_start, own_start; /* CPU seconds at the start */
  double time_start;
  int processors;
  double matrix_gflops; /* BF16 matrix products; 0: not measured */
  bool slowed;          /* by power, heat or hardware at the start or the end */
} Machine;

/* Measures the ceilings with `threads` threads, `seconds` for each. */
Machine machine_begin(int threads, double seconds, const Flush *flush);
Machine machine_begin_on(const Device *device, int threads);
void machine_end(Machine *machine, double seconds);
/* The clock at this moment in MHz: the device's, or of this thread's processor by a chain of
 * additions of one cycle each, which also tells where /proc/cpuinfo has but one number. *slowed: a
 * device says that power, heat or hardware slows it. */
double machine_clock(const Machine *machine, bool *slowed);
/* What makes the times doubtful ("the machine is busy: ..."), or an empty text. */
void machine_warning(const Machine *machine, char *text, size_t bytes);
json_t *machine_json(const Machine *machine); /* {"threads", "copy_gbps", ...} */
/* With the ceiling of arithmetic on operands of this type, where a GPU's was measured: BF16 goes to
 * its matrix units, TF32 at half their rate. */
Machine machine_for(const Machine *machine, const char *dtype);
/* The least time in microseconds for this work, and which ceiling binds. */
double machine_least_us(const Machine *machine, double flops, double bytes, const char **bound);

#endif
