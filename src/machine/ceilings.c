#include "src/machine/ceilings.h"
#include "base/clock.h"
#include "base/error.h"
#include "engine/host_memory.h"
#include "kernels/mode.h"
#include "src/machine/fma_peak.h"

#include <math.h>
#include <omp.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

/* ---- ceilings -------------------------------------------------------------------------------- */

/* The sum of what each thread reaches at its best: a thread that the system takes away for a while
 * says nothing about the arithmetic. */
static double fma_rate(int threads, double seconds) {
  static const volatile float one_zero[2] = {1, 0};
  double sum = 0;
#pragma omp parallel num_threads(threads) reduction(+ : sum)
  {
    double least = INFINITY, flops = 0, start = seconds_now();
    volatile float sink;
    do {
      double from = seconds_now();
      flops = fma_peak(one_zero, &sink);
      least = fmin(least, seconds_now() - from);
    } while (seconds_now() - start < seconds);
    sum += flops / least / 1e9;
  }
  return sum;
}

/* memcpy writes past the cache at this size, so what counts is what is read and written. */
static double copy_rate(int threads, double seconds, const Flush *flush) {
  char *from = (char *)flush->memory, *to = host_alloc(flush->bytes);
  CHECK(to, "no memory for a copy of %zu bytes", flush->bytes);
  memset(to, 0, flush->bytes);
  double best = 0, start = seconds_now();
  size_t part = flush->bytes / (size_t)threads;
  do {
    double begin = seconds_now();
#pragma omp parallel num_threads(threads)
    {
      size_t at = part * (size_t)omp_get_thread_num();
      memcpy(to + at, from + at, part);
    }
    best = fmax(best, 2.0 * (double)(part * (size_t)threads) / (seconds_now() - begin) / 1e9);
  } while (seconds_now() - start < seconds);
  free(to);
  return best;
}

/* ---- state ----------------------------------------------------------------------------------- */

static double read_mhz(void) {
  FILE *file = fopen("/proc/cpuinfo", "r");
  char line[256];
  double sum = 0, mhz;
  int count = 0;
  while (file && fgets(line, sizeof line, file))
    if (sscanf(line, "cpu MHz : %lf", &mhz) == 1) sum += mhz, count++;
  if (file) fclose(file);
  return count ? sum / count : 0;
}

/* CPU seconds that all processes together have used since boot. */
static double read_busy(void) {
  FILE *file = fopen("/proc/stat", "r");
  double user = 0, nice = 0, system = 0;
  int got = file ? fscanf(file, "cpu %lf %lf %lf", &user, &nice, &system) : 0;
  if (file) fclose(file);
  return got == 3 ? (user + nice + system) / (double)sysconf(_SC_CLK_TCK) : 0;
}

static double read_own(void) {
  double sum = 0;
  for (int who = 0; who < 2; who++) {
    struct rusage usage;
    getrusage(who ? RUSAGE_CHILDREN : RUSAGE_SELF, &usage);
    sum += (double)usage.ru_utime.tv_sec + 1e-6 * (double)usage.ru_utime.tv_usec;
    sum += (double)usage.ru_stime.tv_sec + 1e-6 * (double)usage.ru_stime.tv_usec;
  }
  return sum;
}

static double read_load(void) {
  double load = 0;
  return getloadavg(&load, 1) == 1 ? load : 0;
}

/* The best of some: the thread may be taken away meanwhile. */
static double chain_mhz(void) {
  enum { TURNS = 8, ADDITIONS = 1 << 15 };
  static volatile uint64_t odd = 3;
  double least = INFINITY;
  uint64_t sum = 1, step = odd;
  for (int turn = 0; turn < TURNS; turn++) {
    double start = seconds_now();
    for (int i = 0; i < ADDITIONS; i++) {
      sum += step;
      __asm__ volatile("" : "+r"(sum)); /* each waits for the one before */
    }
    least = fmin(least, seconds_now() - start);
  }
  odd = sum | 1;
  return ADDITIONS / least / 1e6;
}

double machine_clock(const Machine *machine, bool *slowed) {
  *slowed = false;
  if (!machine->device) return chain_mhz();
  DeviceClocks clocks;
  machine->device->clocks(&clocks);
  *slowed = clocks.slowed;
  return clocks.mhz;
}

Machine machine_begin(int threads, double seconds, const Flush *flush) {
  Machine machine = {.threads = threads, .load = read_load(), .mhz = read_mhz()};
  machine.processors = (int)sysconf(_SC_NPROCESSORS_ONLN);
  machine.busy_start = read_busy();
  machine.own_start = read_own();
  machine.time_start = seconds_now();
  machine.fma_gflops = machine.fma_end_gflops = fma_rate(threads, seconds);
  machine.copy_gbps = copy_rate(threads, seconds, flush);
  return machine;
}

Machine machine_begin_on(const Device *device, int threads) {
  Machine machine = {.device = device, .threads = threads, .load = read_load()};
  DeviceRates rates;
  DeviceClocks clocks;
  machine.processors = (int)sysconf(_SC_NPROCESSORS_ONLN);
  machine.busy_start = read_busy();
  machine.own_start = read_own();
  machine.time_start = seconds_now();
  device->rates(&rates);
  device->clocks(&clocks);
  machine.copy_gbps = rates.copy_gbps;
  machine.fma_gflops = machine.fma_end_gflops = rates.fma_gflops;
  machine.matrix_gflops = rates.matrix_gflops;
  machine.mhz = clocks.mhz;
  machine.slowed = clocks.slowed;
  return machine;
}

static void device_end(Machine *machine) {
  DeviceRates rates;
  DeviceClocks clocks;
  machine->device->rates(&rates);
  machine->device->clocks(&clocks);
  machine->fma_end_gflops = rates.fma_gflops;
  machine->mhz_end = clocks.mhz;
  machine->slowed = machine->slowed || clocks.slowed;
}

void machine_end(Machine *machine, double seconds) {
  if (machine->device) {
    device_end(machine);
    return;
  }
  machine->fma_end_gflops = fma_rate(machine->threads, seconds);
  machine->mhz_end = read_mhz();
  machine->load_end = read_load();
  double wall = seconds_now() - machine->time_start;
  double foreign = read_busy() - machine->busy_start - (read_own() - machine->own_start);
  machine->others = fmax(0, foreign) / (wall * machine->processors);
}

void machine_warning(const Machine *m, char *text, size_t bytes) {
  size_t used = 0;
  text[0] = 0;
  if (m->slowed)
    used += (size_t)snprintf(text, bytes, "the GPU was slowed by power, heat or hardware; ");
  if (!m->device && (m->load > 0.3 * m->processors || m->others > 0.05))
    used += (size_t)snprintf(text + used, bytes - used,
                             "the machine is busy: load %.1f before the run, others used %.0f %% "
                             "of its CPU time during it; ",
                             m->load, 100 * m->others);
  double drift = m->fma_end_gflops / m->fma_gflops - 1;
  if (fabs(drift) > .05 && used < bytes)
    snprintf(text + used, bytes - used, "the FMA rate moved by %+.0f %% within the run; ",
             100 * drift);
  size_t length = strlen(text);
  if (length) text[length - 2] = 0;
}

json_t *machine_json(const Machine *m) {
  return json_pack("{s:i, s:i, s:f, s:f, s:f, s:f, s:f, s:f, s:f, s:f, s:f, s:b, s:b, s:s}",
                   "threads", m->threads, "processors", m->processors, "copy_gbps", m->copy_gbps,
                   "fma_gflops", m->fma_gflops, "fma_end_gflops", m->fma_end_gflops, "mhz", m->mhz,
                   "mhz_end", m->mhz_end, "load", m->load, "load_end", m->load_end, "others",
                   m->others, "matrix_gflops", m->matrix_gflops, "slowed", m->slowed,
                   "deterministic", kernel_mode.deterministic, "tf32", tf32_name(kernel_mode.tf32));
}

Machine machine_for(const Machine *m, const char *dtype) {
  Machine machine = *m;
  double share = !strcmp(dtype, "bf16") ? 1 : !strcmp(dtype, "tf32") ? .5 : 0;
  if (share * m->matrix_gflops > 0) machine.fma_gflops = share * m->matrix_gflops;
  return machine;
}

double machine_least_us(const Machine *m, double flops, double bytes, const char **bound) {
  double arithmetic = flops / m->fma_gflops / 1e3, memory = bytes / m->copy_gbps / 1e3;
  *bound = arithmetic > memory ? "compute" : "memory";
  return fmax(arithmetic, memory);
}
