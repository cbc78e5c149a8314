/* A fault at the n-th system call that writes, for the tests: loaded into a program by LD_PRELOAD,
 * it fails that call, or ends the process before it.
 *
 *   FAULT_STATE   the file that counts, shared by a program and those that it starts; without it
 *                 nothing is counted. tests/fault.bash reads it
 *   FAULT_AT      the number of the call, from 1; 0: calls are counted, none fails
 *   FAULT_DO      ENOSPC, EDQUOT, EIO, EROFS, EBUSY: the error that it returns; short: half is
 *                 written, all that is later finds no space; kill: the process ends before the
 *                 call; cut: all processes that count in the same file end, as by a power cut;
 *                 stop: the process stands still (SIGSTOP) before the call until somebody lets it
 *                 go on (SIGCONT)
 *   FAULT_STAYS   1: every later call fails, too, as on a disk that stays full
 *   FAULT_FILES   fragments of paths, between colons: calls on other files do not count; absent:
 *                 files of any path (never pipes, memory or devices)
 *   FAULT_CALLS   which calls count, by commas: write, sync, truncate, open (that may make a
 *                 file), rename, link, unlink, mkdir; absent: all, unlink only where it ends
 *                 processes, for it needs no space
 *   FAULT_IN      a word of the command line, such as run or trial: other processes do not count
 *   FAULT_STATFS  what statfs says of every folder, hexadecimal, as 6969 for NFS; needs no other
 *
 * Streams of stdio that write are ours (fopencookie), since libc writes its own past this. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/vfs.h>
#include <unistd.h>

enum { PROCESSES = 768, STREAMS = 64, PATH_BYTES = 4400 };

typedef struct State {
  atomic_int count, struck; /* calls; of these: failed */
  atomic_int processes;
  char what[500]; /* the first that failed */
  int process[PROCESSES];
} State;

typedef enum Verdict { PASSES, FAILS, HALVES } Verdict;

static State *state;
static int at, code; /* code 0: the process ends */
static bool stays, shortens, cuts, stops;
static const char *files, *calls;

/* The next definition of a function that is ours, too: libc's. */
#define NEXT(function)                                                                             \
  static __typeof__(function) *next;                                                               \
  if (!next) next = (__typeof__(function) *)dlsym(RTLD_NEXT, #function)

static const char *setting(const char *name) {
  const char *text = getenv(name);
  return text && text[0] ? text : NULL;
}

/* Whether a word stands in a list. */
static bool lists(const char *list, const char *word, char between) {
  size_t length = strlen(word);
  for (const char *p = list; p; p = strchr(p, between), p = p ? p + 1 : NULL)
    if (!strncmp(p, word, length) && (p[length] == between || !p[length])) return true;
  return false;
}

static bool is_named(const char *word) {
  char line[4096] = "";
  FILE *file = fopen("/proc/self/cmdline", "r");
  size_t bytes = file ? fread(line, 1, sizeof line - 1, file) : 0;
  if (file) fclose(file);
  for (size_t i = 0; i < bytes; i += strlen(line + i) + 1)
    if (!strcmp(line + i, word)) return true;
  return false;
}

static void read_error(const char *word) {
  static const struct {
    const char *name;
    int code;
  } errors[] = {{"ENOSPC", ENOSPC}, {"EDQUOT", EDQUOT}, {"EIO", EIO},
                {"EROFS", EROFS},   {"EBUSY", EBUSY},   {"short", ENOSPC}};
  for (size_t i = 0; i < sizeof errors / sizeof errors[0]; i++)
    if (!strcmp(word, errors[i].name)) code = errors[i].code;
  shortens = !strcmp(word, "short");
  cuts = !strcmp(word, "cut");
  stops = !strcmp(word, "stop");
}

__attribute__((constructor)) static void begin(void) {
  const char *path = setting("FAULT_STATE"), *in = setting("FAULT_IN"), *n = setting("FAULT_AT");
  if (!path || (in && !is_named(in))) return;
  at = n ? atoi(n) : 0;
  read_error(setting("FAULT_DO") ? setting("FAULT_DO") : "");
  stays = setting("FAULT_STAYS") || shortens;
  files = setting("FAULT_FILES");
  calls = setting("FAULT_CALLS");
  int file = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
  if (file < 0 || ftruncate(file, sizeof(State))) abort();
  void *place = mmap(NULL, sizeof(State), PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
  close(file);
  if (place == MAP_FAILED) abort();
  state = place;
  int i = atomic_fetch_add(&state->processes, 1);
  if (i < PROCESSES) state->process[i] = (int)getpid();
}

static bool concerns(const char *path) {
  static const char *const none[] = {"/dev/", "/proc/", "/memfd:"};
  for (int i = 0; i < 3; i++)
    if (!strncmp(path, none[i], strlen(none[i]))) return false;
  if (!files) return true;
  char list[1024], *rest = list;
  snprintf(list, sizeof list, "%s", files);
  for (const char *word; (word = strsep(&rest, ":"));)
    if (word[0] && strstr(path, word)) return true;
  return false;
}

static void end_processes(void) {
  int own = (int)getpid(), count = atomic_load(&state->processes);
  for (int i = 0; cuts && i < count && i < PROCESSES; i++)
    if (state->process[i] != own && state->process[i] > 0) kill(state->process[i], SIGKILL);
  kill(own, SIGKILL);
}

static Verdict judge(const char *call, const char *path) {
  bool counts = calls ? lists(calls, call, ',') : code == 0 || strcmp(call, "unlink") != 0;
  if (!state || !counts || !concerns(path)) return PASSES;
  int number = atomic_fetch_add(&state->count, 1) + 1;
  if (at == 0 || number < at || (number > at && !stays)) return PASSES;
  if (number == at) snprintf(state->what, sizeof state->what, "%s %.480s", call, path);
  atomic_fetch_add(&state->struck, 1);
  if (stops) {
    raise(SIGSTOP);
    return PASSES;
  }
  if (code == 0) end_processes();
  errno = code;
  return shortens && number == at ? HALVES : FAILS;
}

static Verdict judge_file(const char *call, int file) {
  char link[40], path[PATH_BYTES] = "";
  if (!state) return PASSES;
  snprintf(link, sizeof link, "/proc/self/fd/%d", file);
  ssize_t length = readlink(link, path, sizeof path - 1);
  if (length <= 0 || path[0] != '/') return PASSES;
  path[length] = 0;
  return judge(call, path);
}

/* Half of what was asked for, where that is a part of it. */
static size_t part(Verdict verdict, size_t bytes) {
  return verdict == HALVES && bytes > 1 ? bytes / 2 : bytes;
}

/* ---- what writes ----------------------------------------------------------------------------- */

ssize_t write(int file, const void *data, size_t bytes) {
  NEXT(write);
  Verdict verdict = judge_file("write", file);
  return verdict == FAILS ? -1 : next(file, data, part(verdict, bytes));
}

ssize_t pwrite(int file, const void *data, size_t bytes, off_t place) {
  NEXT(pwrite);
  Verdict verdict = judge_file("write", file);
  return verdict == FAILS ? -1 : next(file, data, part(verdict, bytes), place);
}

ssize_t pwrite64(int file, const void *data, size_t bytes, off64_t place) {
  NEXT(pwrite64);
  Verdict verdict = judge_file("write", file);
  return verdict == FAILS ? -1 : next(file, data, part(verdict, bytes), place);
}

ssize_t writev(int file, const struct iovec *parts, int count) {
  NEXT(writev);
  return judge_file("write", file) == PASSES ? next(file, parts, count) : -1;
}

ssize_t copy_file_range(int from, off64_t *from_at, int to, off64_t *to_at, size_t bytes,
                        unsigned flags) {
  NEXT(copy_file_range);
  Verdict verdict = judge_file("write", to);
  return verdict == FAILS ? -1 : next(from, from_at, to, to_at, part(verdict, bytes), flags);
}

int fsync(int file) {
  NEXT(fsync);
  return judge_file("sync", file) == PASSES ? next(file) : -1;
}

int fdatasync(int file) {
  NEXT(fdatasync);
  return judge_file("sync", file) == PASSES ? next(file) : -1;
}

int ftruncate(int file, off_t bytes) {
  NEXT(ftruncate);
  return judge_file("truncate", file) == PASSES ? next(file, bytes) : -1;
}

int ftruncate64(int file, off64_t bytes) {
  NEXT(ftruncate64);
  return judge_file("truncate", file) == PASSES ? next(file, bytes) : -1;
}

int fallocate(int file, int mode, off_t from, off_t bytes) {
  NEXT(fallocate);
  return judge_file("truncate", file) == PASSES ? next(file, mode, from, bytes) : -1;
}

/* They return the error and leave errno alone. */
int posix_fallocate(int file, off_t from, off_t bytes) {
  NEXT(posix_fallocate);
  return judge_file("truncate", file) == PASSES ? next(file, from, bytes) : code;
}

int posix_fallocate64(int file, off64_t from, off64_t bytes) {
  NEXT(posix_fallocate64);
  return judge_file("truncate", file) == PASSES ? next(file, from, bytes) : code;
}

/* ---- what names ------------------------------------------------------------------------------ */

static Verdict judge_open(const char *path, int flags) {
  return flags & (O_CREAT | O_TRUNC) || (code == EROFS && (flags & O_ACCMODE) != O_RDONLY)
             ? judge("open", path)
             : PASSES;
}

#define MODE_OF(flags)                                                                             \
  mode_t mode = 0;                                                                                 \
  va_list rest;                                                                                    \
  va_start(rest, flags);                                                                           \
  if ((flags)&O_CREAT) mode = va_arg(rest, mode_t);                                                \
  va_end(rest)

int open(const char *path, int flags, ...) {
  NEXT(open);
  MODE_OF(flags);
  return judge_open(path, flags) == PASSES ? next(path, flags, mode) : -1;
}

int open64(const char *path, int flags, ...) {
  NEXT(open64);
  MODE_OF(flags);
  return judge_open(path, flags) == PASSES ? next(path, flags, mode) : -1;
}

int openat(int folder, const char *path, int flags, ...) {
  NEXT(openat);
  MODE_OF(flags);
  return judge_open(path, flags) == PASSES ? next(folder, path, flags, mode) : -1;
}

int mkdir(const char *path, mode_t mode) {
  NEXT(mkdir);
  return judge("mkdir", path) == PASSES ? next(path, mode) : -1;
}

int rename(const char *from, const char *to) {
  NEXT(rename);
  return judge("rename", to) == PASSES ? next(from, to) : -1;
}

int link(const char *from, const char *to) {
  NEXT(link);
  return judge("link", to) == PASSES ? next(from, to) : -1;
}

int unlink(const char *path) {
  NEXT(unlink);
  return judge("unlink", path) == PASSES ? next(path) : -1;
}

int statfs(const char *path, struct statfs *information) {
  NEXT(statfs);
  int result = next(path, information);
  const char *kind = setting("FAULT_STATFS");
  if (result == 0 && kind) information->f_type = strtol(kind, NULL, 16);
  return result;
}

/* ---- streams --------------------------------------------------------------------------------- */

static struct Stream {
  FILE *stream;
  int file;
} streams[STREAMS];

static ssize_t stream_read(void *user, char *data, size_t bytes) {
  return read(((struct Stream *)user)->file, data, bytes);
}

static ssize_t stream_write(void *user, const char *data, size_t bytes) {
  size_t done = 0;
  while (done < bytes) {
    ssize_t got = write(((struct Stream *)user)->file, data + done, bytes - done);
    if (got <= 0) break;
    done += (size_t)got;
  }
  return (ssize_t)done;
}

static int stream_seek(void *user, off64_t *place, int from) {
  off64_t found = lseek64(((struct Stream *)user)->file, *place, from);
  if (found < 0) return -1;
  *place = found;
  return 0;
}

static int stream_close(void *user) {
  struct Stream *own = user;
  int file = own->file;
  own->stream = NULL;
  return close(file);
}

static FILE *open_stream(const char *path, const char *mode) {
  bool both = strchr(mode, '+') != NULL;
  int flags = (both ? O_RDWR : O_WRONLY) | (strchr(mode, 'e') ? O_CLOEXEC : 0);
  if (mode[0] == 'w') flags |= O_CREAT | O_TRUNC;
  if (mode[0] == 'a') flags |= O_CREAT | O_APPEND;
  struct Stream *own = streams;
  while (own < streams + STREAMS && own->stream) own++;
  if (own == streams + STREAMS) abort();
  own->file = open(path, flags, 0666);
  if (own->file < 0) return NULL;
  own->stream = fopencookie(
      own, mode, (cookie_io_functions_t){stream_read, stream_write, stream_seek, stream_close});
  return own->stream;
}

FILE *fopen(const char *path, const char *mode) {
  NEXT(fopen);
  return state && strpbrk(mode, "wa+") ? open_stream(path, mode) : next(path, mode);
}

FILE *fopen64(const char *path, const char *mode) {
  NEXT(fopen64);
  return state && strpbrk(mode, "wa+") ? open_stream(path, mode) : next(path, mode);
}

int fileno(FILE *stream) {
  NEXT(fileno);
  for (int i = 0; i < STREAMS; i++)
    if (streams[i].stream == stream) return streams[i].file;
  return next(stream);
}
