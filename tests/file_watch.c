/* To be preloaded: writes into the file WATCH_LOG what a program and its children open, make, move
 * and remove, and whom they would speak to. A line each: PROGRAM r|w|n PATH. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

typedef int Open(const char *path, int flags, ...);
typedef FILE *OpenFile(const char *path, const char *mode);
typedef int OfPath(const char *path);
typedef int OfTwo(const char *from, const char *to);

static void *real(const char *name) {
  void *found = dlsym(RTLD_NEXT, name);
  if (!found) abort();
  return found;
}

static void note(char what, const char *path) {
  static int log = -1;
  char line[2 * PATH_MAX + 64], folder[PATH_MAX] = "";
  int kept = errno;
  const char *name = getenv("WATCH_LOG");
  if (log < 0 && name)
    log = ((Open *)real("open"))(name, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0666);
  if (path[0] != '/' && what != 'n' && getcwd(folder, sizeof folder - 1)) strcat(folder, "/");
  int length = snprintf(line, sizeof line, "%s %c %s%s\n", program_invocation_short_name, what,
                        folder, path);
  if (log >= 0 && write(log, line, (size_t)length) != length) abort();
  errno = kept;
}

static char kind_of(int flags) {
  return (flags & O_ACCMODE) != O_RDONLY || flags & O_CREAT ? 'w' : 'r';
}

#define OPEN(name)                                                                                 \
  int name(const char *path, int flags, ...) {                                                     \
    va_list values;                                                                                \
    va_start(values, flags);                                                                       \
    mode_t mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(values, mode_t) : 0;                      \
    va_end(values);                                                                                \
    note(kind_of(flags), path);                                                                    \
    return ((Open *)real(#name))(path, flags, mode);                                               \
  }
OPEN(open)
OPEN(open64)

#define OPEN_AT(name)                                                                              \
  int name(int folder, const char *path, int flags, ...) {                                         \
    va_list values;                                                                                \
    va_start(values, flags);                                                                       \
    mode_t mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(values, mode_t) : 0;                      \
    va_end(values);                                                                                \
    note(kind_of(flags), path);                                                                    \
    return ((int (*)(int, const char *, int, ...))real(#name))(folder, path, flags, mode);         \
  }
OPEN_AT(openat)
OPEN_AT(openat64)

#define OPEN_FILE(name)                                                                            \
  FILE *name(const char *path, const char *mode) {                                                 \
    note(strpbrk(mode, "wa+") ? 'w' : 'r', path);                                                  \
    return ((OpenFile *)real(#name))(path, mode);                                                  \
  }
OPEN_FILE(fopen)
OPEN_FILE(fopen64)

#define OF_PATH(name)                                                                              \
  int name(const char *path) {                                                                     \
    note('w', path);                                                                               \
    return ((OfPath *)real(#name))(path);                                                          \
  }
OF_PATH(unlink)
OF_PATH(rmdir)
OF_PATH(remove)

#define OF_TWO(name)                                                                               \
  int name(const char *from, const char *to) {                                                     \
    note('w', to);                                                                                 \
    return ((OfTwo *)real(#name))(from, to);                                                       \
  }
OF_TWO(rename)
OF_TWO(link)
OF_TWO(symlink)

int mkdir(const char *path, mode_t mode) {
  int result = ((int (*)(const char *, mode_t))real("mkdir"))(path, mode);
  if (result == 0) note('w', path);
  return result;
}

int socket(int domain, int type, int protocol) {
  if (domain != AF_UNIX) note('n', "socket");
  return ((int (*)(int, int, int))real("socket"))(domain, type, protocol);
}

int connect(int to, const struct sockaddr *address, socklen_t bytes) {
  note('n', "connect");
  return ((int (*)(int, const struct sockaddr *, socklen_t))real("connect"))(to, address, bytes);
}
