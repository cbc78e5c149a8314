#define _GNU_SOURCE /* O_DIRECTORY */
#include "base/whole_file.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

bool whole_begin(WholeFile *w, const char *path, Error *error) {
  w->used = 0;
  w->reason = 0;
  w->file = -1;
  if (strlen(path) >= WHOLE_PATH)
    return fail(error, "%s: cannot write: the name is too long", path);
  strcpy(w->path, path);
  snprintf(w->part, sizeof w->part, "%s.part", path);
  w->file = open(w->part, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
  return w->file >= 0 || fail(error, "%s: cannot write: %s", path, strerror(errno));
}

static void put(WholeFile *w, const char *data, size_t bytes) {
  while (bytes && !w->reason) {
    ssize_t got = write(w->file, data, bytes);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) w->reason = got < 0 ? errno : ENOSPC;
    if (got <= 0) return;
    data += got;
    bytes -= (size_t)got;
  }
}

static void flush(WholeFile *w) {
  put(w, w->buffer, w->used);
  w->used = 0;
}

void whole_write(WholeFile *w, const void *data, size_t bytes) {
  if (w->used + bytes > WHOLE_BUFFER) flush(w);
  if (bytes > WHOLE_BUFFER) {
    put(w, data, bytes);
    return;
  }
  if (bytes) memcpy(w->buffer + w->used, data, bytes);
  w->used += bytes;
}

/* Closes and removes it, and says why. */
static bool give_up(WholeFile *w, int reason, Error *error) {
  whole_drop(w);
  return fail(error, "%s: cannot write: %s", w->path, strerror(reason));
}

bool whole_sync(WholeFile *w, Error *error) {
  flush(w);
  if (!w->reason && fsync(w->file)) w->reason = errno;
  /* It is read again from the disk, as far as that can be had. */
  if (!w->reason) posix_fadvise(w->file, 0, 0, POSIX_FADV_DONTNEED);
  int file = w->file;
  w->file = -1;
  if (close(file) && !w->reason) w->reason = errno;
  return !w->reason || give_up(w, w->reason, error);
}

/* A file system that cannot say so (EINVAL) has nothing to wait for. */
static bool sync_path(const char *path, int flags) {
  int file = open(path, flags | O_CLOEXEC);
  if (file < 0) return false;
  bool good = fsync(file) == 0 || errno == EINVAL;
  int reason = errno;
  close(file);
  errno = reason;
  return good;
}

/* A rename is for good when the folder is on the disk. */
static bool sync_folder(const char *path) {
  char folder[WHOLE_PATH];
  const char *slash = strrchr(path, '/');
  snprintf(folder, sizeof folder, "%.*s", slash ? (int)(slash - path) + 1 : 1, slash ? path : ".");
  return sync_path(folder, O_RDONLY | O_DIRECTORY) || errno == EACCES;
}

/* By a second name where the file system has such, so that the first is never without a file. */
static bool keep(const char *path, const char *previous) {
  if (access(path, F_OK)) return true;
  unlink(previous);
  return link(path, previous) == 0 || rename(path, previous) == 0;
}

bool whole_end(WholeFile *w, const char *previous, Error *error) {
  if ((previous && !keep(w->path, previous)) || rename(w->part, w->path))
    return give_up(w, errno, error);
  return sync_folder(w->path) || give_up(w, errno, error);
}

void whole_drop(WholeFile *w) {
  if (w->file >= 0) close(w->file);
  w->file = -1;
  unlink(w->part);
}

bool whole_text(const char *path, const char *text, Error *error) {
  WholeFile whole;
  if (!whole_begin(&whole, path, error)) return false;
  whole_write(&whole, text, strlen(text));
  return whole_sync(&whole, error) && whole_end(&whole, NULL, error);
}

bool whole_rename(const char *from, const char *to, Error *error) {
  if (rename(from, to) == 0 && sync_folder(to)) return true;
  int reason = errno;
  fail(error, "%s: cannot be renamed to %s: %s", from, to, strerror(reason));
  errno = reason;
  return false;
}

bool whole_place(const char *written, const char *path, Error *error) {
  if (sync_path(written, O_RDONLY) && rename(written, path) == 0 && sync_folder(path)) return true;
  int reason = errno;
  unlink(written);
  return fail(error, "%s: not written: %s", path, strerror(reason));
}
