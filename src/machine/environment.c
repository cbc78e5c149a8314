#define _GNU_SOURCE /* pipe2, dl_iterate_phdr */
#include "src/machine/environment.h"
#include "base/memory.h"
#include "engine/backend.h"
#include "kernels/cpu/processor.h"
#include "src/data/sets/json_text.h"
#include "src/machine/built.h"
#include "src/machine/processors.h"

#include <dlfcn.h>
#include <fcntl.h>
#include <gnu/libc-version.h>
#include <limits.h>
#include <link.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <unistd.h>
#include <xxhash.h>

extern char **environ;

static char *read_all(int file, size_t limit) {
  size_t used = 0, capacity = 4096;
  char *text = malloc(capacity);
  while (text) {
    if (used + 1 >= capacity) text = realloc(text, capacity *= 2);
    ssize_t got = text ? read(file, text + used, capacity - used - 1) : 0;
    if (got <= 0) break;
    used += (size_t)got; /* beyond the limit: read on so that the program can end, keep no more */
    if (used > limit) used = limit;
  }
  if (text) text[used] = 0;
  return text;
}

/* Starts argv[0] from PATH in the folder (NULL: here) with its output, and where `errors` its
 * errors, in the pipe. Returns whether it was started. */
static bool start(const char *folder, const char *const argv[], bool errors, const int ends[2],
                  pid_t *pid) {
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  if (folder) posix_spawn_file_actions_addchdir_np(&actions, folder);
  posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
  posix_spawn_file_actions_adddup2(&actions, ends[1], 1);
  if (errors)
    posix_spawn_file_actions_adddup2(&actions, ends[1], 2);
  else
    posix_spawn_file_actions_addopen(&actions, 2, "/dev/null", O_WRONLY, 0);
  int failed = posix_spawnp(pid, argv[0], &actions, NULL, (char *const *)argv, environ);
  posix_spawn_file_actions_destroy(&actions);
  return !failed;
}

static char *command(const char *folder, const char *const argv[], bool errors, size_t limit,
                     int *code) {
  int ends[2], status = 0;
  pid_t pid;
  *code = -1;
  if (pipe2(ends, O_CLOEXEC)) return NULL;
  bool started = start(folder, argv, errors, ends, &pid);
  close(ends[1]);
  char *text = started ? read_all(ends[0], limit) : NULL;
  close(ends[0]);
  if (started && waitpid(pid, &status, 0) == pid)
    *code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  return text;
}

char *environment_command(const char *const argv[], size_t limit) {
  int code;
  char *text = command(NULL, argv, false, limit, &code);
  if (code == 0) return text;
  free(text);
  return NULL;
}

char *environment_command_in(const char *folder, const char *const argv[], size_t limit,
                             int *code) {
  return command(folder, argv, true, limit, code);
}

/* The difference may hold a file that is no UTF-8. */
static void add_built(json_t *environment) {
  json_object_set_new(environment, "version", json_string(built.version));
  json_object_set_new(environment, "compiler", json_string(built.compiler));
  json_object_set_new(environment, "flags", json_string(built.flags));
  if (!built.commit[0]) return;
  json_object_set_new(environment, "commit", json_string(built.commit));
  json_object_set_new(environment, "dirty", json_integer(built.diff[0] != 0));
  if (built.diff[0]) json_object_set_new(environment, "diff", json_name(built.diff));
}

void environment_binary(char hex[17]) {
  strcpy(hex, "unknown");
  FILE *file = fopen("/proc/self/exe", "rb");
  XXH3_state_t *state = XXH3_createState();
  if (file && state) {
    static _Thread_local char block[1 << 16];
    size_t got;
    XXH3_64bits_reset(state);
    while ((got = fread(block, 1, sizeof block, file)) > 0) XXH3_64bits_update(state, block, got);
    snprintf(hex, 17, "%016llx", (unsigned long long)XXH3_64bits_digest(state));
  }
  if (file) fclose(file);
  XXH3_freeState(state);
}

/* The file name carries the version: libdnnl.so.2.6. */
static int add_library(struct dl_phdr_info *information, size_t size, void *user) {
  static const char *const chosen[] = {
      "liblua5.4", "libnifti2", "libdnnl", "libopenblas", "libjansson", "libxxhash", "libz",
      "libzstd",   "libpng16",  "libjpeg", "libgomp",     "libc",       "libcudart", "libcudnn"};
  (void)size;
  char real[PATH_MAX];
  if (!information->dlpi_name[0] || !realpath(information->dlpi_name, real)) return 0;
  const char *name = strrchr(real, '/') + 1;
  const char *end = strstr(name, ".so");
  for (size_t i = 0; end && i < sizeof chosen / sizeof chosen[0]; i++) {
    if ((size_t)(end - name) != strlen(chosen[i]) || strncmp(name, chosen[i], strlen(chosen[i])))
      continue;
    const char *version = end[3] == '.' ? end + 4 : "?";
    json_object_set_new(user, chosen[i], json_string(version));
  }
  return 0;
}

json_t *environment_libraries(void) {
  json_t *libraries = json_object();
  dl_iterate_phdr(add_library, libraries);
  const char *(*sqlite)(void) = (const char *(*)(void))dlsym(RTLD_DEFAULT, "sqlite3_libversion");
  if (sqlite) json_object_set_new(libraries, "libsqlite3", json_string(sqlite()));
  json_object_set_new(libraries, "libjansson", json_string(jansson_version_str()));
  json_object_set_new(libraries, "libc", json_string(gnu_get_libc_version()));
  const char *lua = dlsym(RTLD_DEFAULT, "lua_ident"); /* "$LuaVersion: Lua 5.4.4  Copyright ..." */
  const char *number = lua ? strstr(lua, "Lua 5") : NULL;
  if (number)
    json_object_set_new(libraries, "liblua5.4", json_stringn(number + 4, strcspn(number + 4, " ")));
  /* dnnl_version_t begins with major, minor and patch as int in every release. */
  const int *(*dnnl)(void) = (const int *(*)(void))dlsym(RTLD_DEFAULT, "dnnl_version");
  char text[40];
  if (dnnl) {
    snprintf(text, sizeof text, "%d.%d.%d", dnnl()[0], dnnl()[1], dnnl()[2]);
    json_object_set_new(libraries, "libdnnl", json_string(text));
  }
  return libraries;
}

int environment_cores(void) {
  return processors_usable();
}

long long environment_memory(void) {
  return (long long)memory_limit();
}

void environment_cpu(char *name, int bytes) {
  snprintf(name, (size_t)bytes, "unknown");
  FILE *file = fopen("/proc/cpuinfo", "r");
  char line[512];
  while (file && fgets(line, sizeof line, file)) {
    const char *colon = strchr(line, ':');
    if (strncmp(line, "model name", 10) || !colon) continue;
    line[strcspn(line, "\n")] = 0;
    snprintf(name, (size_t)bytes, "%s", colon + 2);
    break;
  }
  if (file) fclose(file);
}

static void add_gpu(json_t *environment, const char *device) {
  DeviceInfo info;
  Error none = {""};
  int index;
  char driver[128], capability[16];
  if (!backend_names_gpu(device, &index) || !backend_gpu(index, &info, &none)) return;
  snprintf(driver, sizeof driver, "%s, CUDA %d.%d", info.release[0] ? info.release : "unknown",
           info.driver / 1000, info.driver % 1000 / 10);
  snprintf(capability, sizeof capability, "%d.%d", info.major, info.minor);
  json_t *gpu = json_pack("{s:s, s:s, s:s, s:I, s:s}", "gpu", info.name, "gpu_driver", driver,
                          "gpu_capability", capability, "gpu_bytes", (json_int_t)info.bytes,
                          "gpu_libraries", info.libraries);
  json_object_update(environment, gpu);
  json_decref(gpu);
}

json_t *environment_capture(const char *device, bool deterministic) {
  struct utsname system;
  uname(&system);
  char cpu[256], kernel[160], binary[17], isa[64];
  environment_cpu(cpu, sizeof cpu);
  processor_isa(isa, sizeof isa);
  snprintf(kernel, sizeof kernel, "%s %s", system.sysname, system.release);
  json_t *libraries = environment_libraries();
  char *text = json_dumps(libraries, JSON_SORT_KEYS | JSON_COMPACT);
  json_t *environment =
      json_pack("{s:s,s:s,s:i,s:I,s:s,s:s,s:s}", "libraries", text, "cpu", cpu, "cores",
                environment_cores(), "memory_bytes", (json_int_t)environment_memory(), "host",
                system.nodename, "kernel", kernel, "isa", isa);
  free(text);
  json_decref(libraries);
  environment_binary(binary);
  json_object_set_new(environment, "binary_hash", json_string(binary));
  add_built(environment);
  if (device) add_gpu(environment, device);
  if (deterministic) json_object_set_new(environment, "deterministic", json_integer(1));
  return environment;
}
