#define _GNU_SOURCE /* copy_file_range */
#include "src/cli/place_file.h"
#include "base/whole_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/types.h>
#include <unistd.h>

static bool copy(const char *from, const char *to) {
  int in = open(from, O_RDONLY | O_CLOEXEC);
  int out = in < 0 ? -1 : open(to, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
  ssize_t got = out < 0 ? -1 : 1;
  while (got > 0) got = copy_file_range(in, NULL, out, NULL, 1 << 30, 0);
  if (got == 0 && fsync(out)) got = -1;
  int reason = errno;
  if (in >= 0) close(in);
  if (out >= 0 && close(out) && got == 0) got = -1, reason = errno;
  errno = reason;
  return got == 0;
}

bool place_file(const char *from, const char *to) {
  char partial[4600];
  snprintf(partial, sizeof partial, "%.4500s.part-%d", to, (int)getpid());
  unlink(partial);
  Error why = {""}; /* errno says it */
  bool good = (!link(from, partial) || copy(from, partial)) && whole_rename(partial, to, &why);
  int reason = errno;
  unlink(partial); /* also there when both names were the same file already */
  errno = reason;
  return good;
}
