/* The lock of the one sweep that runs into a database: a file beside it, with who holds it. */
#include "src/store/database.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

enum {
  LOCK_TRIES = 20,
  LOCK_WAIT_US = 50000,
  SWEEP_WAITS = 12000, /* of LOCK_WAIT_US: ten minutes */
  WAITS_UNTOLD = 40
};

static void lock_path(const char *path, char text[4200]) {
  snprintf(text, 4200, "%s.lock", path);
}

typedef struct Holder {
  int pid;
  char host[256]; /* "": of a program that did not say it */
} Holder;

static Holder read_holder(int file) {
  char text[300] = "";
  Holder holder = {0};
  ssize_t got = pread(file, text, sizeof text - 1, 0);
  if (got > 0) sscanf(text, "%d %255s", &holder.pid, holder.host);
  return holder;
}

int store_lock_holder(const char *path) {
  char name[4200];
  lock_path(path, name);
  int file = open(name, O_RDONLY | O_CLOEXEC);
  if (file < 0) return 0;
  bool held = flock(file, LOCK_SH | LOCK_NB) != 0;
  int pid = held ? read_holder(file).pid : 0;
  close(file);
  return pid;
}

static bool mark_stale(Store *store, int *stale, Error *error) {
  int64_t count;
  bool good =
      database_integer(store, error, 0, &count,
                       "SELECT count(*) FROM attempts WHERE status = 'running'", "") &&
      database_exec(store,
                    "UPDATE trials SET status = CASE WHEN id IN (SELECT trial_id FROM v_attempt)"
                    " THEN 'done' ELSE 'interrupted' END WHERE status = 'running';"
                    "UPDATE attempts SET status = 'interrupted', ended_at = " NOW ","
                    " message = '" STORE_CUT_OFF "' WHERE status = 'running'",
                    error);
  *stale = (int)count;
  return good;
}

/* A process that was just killed holds its lock until it is gone, so a moment is granted. */
static bool take_lock(int file) {
  for (int i = 0; i < LOCK_TRIES; i++) {
    if (flock(file, LOCK_EX | LOCK_NB) == 0) return true;
    if (errno != EWOULDBLOCK && errno != EINTR) return false;
    usleep(LOCK_WAIT_US);
  }
  errno = EWOULDBLOCK;
  return false;
}

static void host_name(char host[256]) {
  if (gethostname(host, 256)) strcpy(host, "?");
  host[255] = 0;
}

static bool tell_holder(const Store *store, const Holder *holder, Error *error) {
  char here[256];
  host_name(here);
  if (!holder->host[0] || !strcmp(holder->host, here))
    return fail(error,
                "%s: process %d is running trials into this database; wait for it, stop it "
                "(kill %d), or name another with --db FILE",
                store->path, holder->pid, holder->pid);
  return fail(
      error,
      "%s: process %d of machine %s is running trials into this database; wait for it, stop "
      "it there, or give this machine a database of its own with --db FILE: `harness "
      "merge` joins them",
      store->path, holder->pid, holder->host);
}

static bool write_holder(int file, const char *name, Error *error) {
  char text[300], host[256];
  host_name(host);
  int length = snprintf(text, sizeof text, "%d %s\n", (int)getpid(), host);
  return (!ftruncate(file, 0) && pwrite(file, text, (size_t)length, 0) == length) ||
         fail(error, "%s: cannot write the lock file: %s", name, strerror(errno));
}

/* A sweep of days does not end because another program holds the database for a while: it says so,
 * waits, and gives up where it is asked to stop. */
static int wait_for_others(void *user, int waits) {
  sigset_t pending;
  bool asked = !sigpending(&pending) &&
               (sigismember(&pending, SIGINT) == 1 || sigismember(&pending, SIGTERM) == 1);
  if (asked || waits >= SWEEP_WAITS) return 0;
  if (waits == WAITS_UNTOLD)
    fprintf(stderr, "harness: another program holds %s; waiting for it\n", (const char *)user);
  usleep(LOCK_WAIT_US);
  return 1;
}

bool store_lock(Store *store, int *stale, Error *error) {
  char name[4200];
  lock_path(store->path, name);
  int file = open(name, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
  if (file < 0) return fail(error, "%s: cannot open the lock file: %s", name, strerror(errno));
  if (!take_lock(file)) {
    int reason = errno;
    Holder holder = read_holder(file);
    close(file);
    return reason == EWOULDBLOCK
               ? tell_holder(store, &holder, error)
               : fail(error, "%s: cannot lock: %s; name a database on another disk with --db FILE",
                      name, strerror(reason));
  }
  store->lock = file;
  sqlite3_busy_handler(store->db, wait_for_others, store->path);
  if (!write_holder(file, name, error) || !store_check(store, error)) return false;
  bool good = database_begin(store, error);
  return good && database_end(store, mark_stale(store, stale, error), error);
}
