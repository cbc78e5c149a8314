#define _GNU_SOURCE /* sched_getaffinity */
#include "src/machine/processors.h"

#include <sched.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

/* ---- what there is --------------------------------------------------------------------------- */

/* The first processor of the core that this one belongs to. */
static int core_of(int processor) {
  char path[96];
  int first = processor;
  snprintf(path, sizeof path, "/sys/devices/system/cpu/cpu%d/topology/thread_siblings_list",
           processor);
  FILE *file = fopen(path, "r");
  if (!file) return processor;
  if (fscanf(file, "%d", &first) != 1) first = processor;
  fclose(file);
  return first;
}

int processors_list(int list[PROCESSORS_MAX]) {
  cpu_set_t allowed;
  int count = 0;
  if (sched_getaffinity(0, sizeof allowed, &allowed)) return 0;
  for (int twin = 0; twin < 2; twin++)
    for (int i = 0; i < CPU_SETSIZE && count < PROCESSORS_MAX; i++) {
      if (!CPU_ISSET(i, &allowed)) continue;
      int core = core_of(i);
      bool second = core != i && core >= 0 && core < CPU_SETSIZE && CPU_ISSET(core, &allowed);
      if (second == (bool)twin) list[count++] = i;
    }
  return count;
}

/* The first whole number of a file; false: there is none ("max"). */
static bool read_number(const char *root, const char *name, long long *number) {
  char path[4200];
  snprintf(path, sizeof path, "%.4000s/%s", root, name);
  FILE *file = fopen(path, "r");
  bool good = file && fscanf(file, "%lld", number) == 1;
  if (file) fclose(file);
  return good;
}

/* Version 2: cpu.max holds "quota period" in microseconds; version 1: a file each, quota -1:
 * none. */
int processors_quota(const char *root) {
  char path[4200];
  long long quota = 0, period = 0;
  snprintf(path, sizeof path, "%.4000s/cpu.max", root);
  FILE *file = fopen(path, "r");
  bool limited = file && fscanf(file, "%lld %lld", &quota, &period) == 2;
  if (file) fclose(file);
  if (!file)
    limited = read_number(root, "cpu/cpu.cfs_quota_us", &quota) &&
              read_number(root, "cpu/cpu.cfs_period_us", &period);
  if (!limited || quota <= 0 || period <= 0) return 0;
  return quota < period ? 1 : (int)(quota / period);
}

int processors_usable(void) {
  int list[PROCESSORS_MAX], count = processors_list(list),
                            quota = processors_quota("/sys/fs/cgroup");
  if (count < 1) return 1;
  return quota && quota < count ? quota : count;
}

/* ---- claims ---------------------------------------------------------------------------------- */

const char *processors_scope(void) {
  const char *scope = getenv("HARNESS_CLAIMS");
  return scope && scope[0] ? scope : "harness";
}

/* After a common start: number in decimal, without the library's formatting. */
static socklen_t claim_name(struct sockaddr_un *name, const char *scope, int processor) {
  size_t used = 1; /* the first byte is 0: a name that is no file */
  char digits[12];
  int count = 0;
  *name = (struct sockaddr_un){.sun_family = AF_UNIX};
  for (; *scope && used < 80; scope++) name->sun_path[used++] = *scope;
  name->sun_path[used++] = '-';
  do digits[count++] = (char)('0' + processor % 10);
  while (processor /= 10);
  while (count) name->sun_path[used++] = digits[--count];
  return (socklen_t)(offsetof(struct sockaddr_un, sun_path) + used);
}

/* A socket that holds the claim, or -1. */
static int claim_one(const char *scope, int processor) {
  struct sockaddr_un name;
  socklen_t length = claim_name(&name, scope, processor);
  int claim = socket(AF_UNIX, SOCK_DGRAM, 0);
  if (claim < 0 || bind(claim, (struct sockaddr *)&name, length) == 0) return claim;
  close(claim);
  return -1;
}

bool processors_claim(const char *scope, const int *list, int count, int wanted) {
  int claim[PROCESSORS_MAX], held = 0;
  cpu_set_t mine;
  CPU_ZERO(&mine);
  for (int i = 0; i < count && held < wanted; i++) {
    claim[held] = claim_one(scope, list[i]);
    if (claim[held] < 0) continue;
    CPU_SET(list[i], &mine);
    held++;
  }
  if (wanted > 0 && held == wanted && !sched_setaffinity(0, sizeof mine, &mine)) return true;
  while (held) close(claim[--held]);
  return false;
}
