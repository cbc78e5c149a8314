#include "base/memory.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

enum { GROUP_PATH = 4096 };

/* ---- files of numbers ------------------------------------------------------------------------ */

/* The number behind the first line that begins with `key` and a blank, or a colon; with key "" the
 * file's first. Negative: it is not there, or no number ("max"). */
static long long number_in(const char *path, const char *key) {
  char line[256];
  long long found = -1;
  FILE *file = fopen(path, "r");
  if (!file) return -1;
  size_t length = strlen(key);
  while (found < 0 && fgets(line, sizeof line, file)) {
    bool here = !length || (!strncmp(line, key, length) && strchr(" :", line[length]));
    if (here && sscanf(line + length + (length && line[length] == ':'), "%lld", &found) != 1) break;
  }
  fclose(file);
  return found;
}

/* ---- control groups -------------------------------------------------------------------------- */

/* A version's files. inactive: of `stat`, pages of files that can be had back. */
typedef struct Version {
  const char *controller, *root, *limit, *usage, *inactive, *kills;
} Version;

static const Version versions[] = {
    {"", "/sys/fs/cgroup", "memory.max", "memory.current", "inactive_file", "memory.events"},
    {"memory", "/sys/fs/cgroup/memory", "memory.limit_in_bytes", "memory.usage_in_bytes",
     "total_inactive_file", "memory.oom_control"},
};

/* The group of this process, as a path below the root; false: it is in none. */
static bool group_of(const Version *version, char path[GROUP_PATH]) {
  char line[GROUP_PATH], *controllers, *group;
  FILE *file = fopen("/proc/self/cgroup", "r");
  bool found = false;
  while (file && !found && fgets(line, sizeof line, file)) {
    line[strcspn(line, "\n")] = 0;
    controllers = strchr(line, ':');
    group = controllers ? strchr(controllers + 1, ':') : NULL;
    if (!group) continue;
    *group++ = 0;
    found = !strcmp(controllers + 1, version->controller);
    if (found) snprintf(path, GROUP_PATH, "%s", strcmp(group, "/") ? group : "");
  }
  if (file) fclose(file);
  return found;
}

static long long group_number(const Version *version, const char *group, const char *name,
                              const char *key) {
  char path[2 * GROUP_PATH];
  snprintf(path, sizeof path, "%s%s/%s", version->root, group, name);
  return number_in(path, key);
}

/* From the process' group to the outermost: a group within a container is called by the host's
 * names, and what cannot be found by them lies further out. */
static bool outwards(char group[GROUP_PATH]) {
  char *slash = strrchr(group, '/');
  if (slash) *slash = 0;
  return slash != NULL;
}

typedef struct Room {
  size_t limit, available;
} Room;

static void narrow(const Version *version, const char *group, Room *room) {
  long long limit = group_number(version, group, version->limit, "");
  long long used = group_number(version, group, version->usage, "");
  long long back = group_number(version, group, "memory.stat", version->inactive);
  if (limit < 0) return;
  if (back > 0 && back <= used) used -= back;
  long long left = used < 0 ? limit : limit > used ? limit - used : 0;
  if ((size_t)limit < room->limit) room->limit = (size_t)limit;
  if ((size_t)left < room->available) room->available = (size_t)left;
}

static Room groups_room(void) {
  Room room = {SIZE_MAX, SIZE_MAX};
  for (size_t v = 0; v < sizeof versions / sizeof *versions; v++) {
    char group[GROUP_PATH];
    if (!group_of(&versions[v], group)) continue;
    do narrow(&versions[v], group, &room);
    while (outwards(group));
  }
  return room;
}

/* ---- this process ---------------------------------------------------------------------------- */

static size_t least(size_t a, size_t b) {
  return a < b ? a : b;
}

/* What `ulimit -v` leaves. */
static size_t own_room(void) {
  struct rlimit limit;
  long long pages = number_in("/proc/self/statm", "");
  if (getrlimit(RLIMIT_AS, &limit) || limit.rlim_cur == RLIM_INFINITY || pages < 0) return SIZE_MAX;
  size_t used = (size_t)pages * (size_t)sysconf(_SC_PAGESIZE);
  return limit.rlim_cur > used ? (size_t)limit.rlim_cur - used : 0;
}

size_t memory_limit(void) {
  size_t machine = (size_t)sysconf(_SC_PHYS_PAGES) * (size_t)sysconf(_SC_PAGESIZE);
  return least(machine, groups_room().limit);
}

size_t memory_available(void) {
  long long kib = number_in("/proc/meminfo", "MemAvailable");
  size_t machine = kib > 0 ? (size_t)kib << 10 : SIZE_MAX;
  return least(machine, least(groups_room().available, own_room()));
}

long long memory_kills(void) {
  for (size_t v = 0; v < sizeof versions / sizeof *versions; v++) {
    char group[GROUP_PATH];
    if (!group_of(&versions[v], group)) continue;
    long long kills = group_number(&versions[v], group, versions[v].kills, "oom_kill");
    if (kills >= 0) return kills;
  }
  return number_in("/proc/vmstat", "oom_kill");
}
