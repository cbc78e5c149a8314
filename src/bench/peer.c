#define _GNU_SOURCE /* pipe2 */
#include "src/bench/peer.h"
#include "kernels/cpu/processor.h"

#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

/* As many threads as we use and no other instructions, said before its libraries start. */
static void set_limits(int threads) {
  char text[16];
  snprintf(text, sizeof text, "%d", threads);
  setenv("OMP_NUM_THREADS", text, 1);
  setenv("MKL_NUM_THREADS", text, 1);
  processor_limit_peers();
}

bool peer_spawn(Peer *peer, const char *const argv[], int threads, Error *error) {
  int to[2], from[2];
  *peer = (Peer){0};
  if (pipe2(to, O_CLOEXEC)) return fail(error, "no pipe for %s", argv[0]);
  if (pipe2(from, O_CLOEXEC)) return fail(error, "no pipe for %s", argv[0]);
  set_limits(threads);
  signal(SIGPIPE, SIG_IGN); /* a peer that died is an answer that does not come */
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_adddup2(&actions, to[0], 0);
  posix_spawn_file_actions_adddup2(&actions, from[1], 1);
  int failed = posix_spawn(&peer->pid, argv[0], &actions, NULL, (char *const *)argv, environ);
  posix_spawn_file_actions_destroy(&actions);
  close(to[0]);
  close(from[1]);
  peer->to = fdopen(to[1], "w");
  peer->from = fdopen(from[0], "r");
  if (!failed) return true;
  peer->pid = 0;
  peer_stop(peer);
  return fail(error, "%s: cannot be started: %s", argv[0], strerror(failed));
}

const char *peer_python(void) {
  const char *python = getenv("HARNESS_PYTHON");
  return python && python[0] ? python : "/usr/bin/python3";
}

bool peer_start(Peer *peer, const char *python, const char *home, int threads, Error *error) {
  char script[4200];
  snprintf(script, sizeof script, "%.4000s/tests/peer/serve.py", home);
  const char *const argv[] = {python, "-B", "-W", "ignore", script, NULL};
  if (!peer_spawn(peer, argv, threads, error)) return false;
  Error inner = {""};
  json_t *ready = peer_listen(peer, &inner);
  if (!ready) {
    peer_stop(peer);
    return fail(
        error,
        "%s %s did not get ready (its own message stands above); is PyTorch installed (apt "
        "install python3-torch python3-scipy)? --python or HARNESS_PYTHON names another Python",
        python, script);
  }
  snprintf(peer->version, sizeof peer->version, "torch %s",
           json_string_value(json_object_get(ready, "version")));
  peer->python = python;
  peer->rss = json_number_value(json_object_get(ready, "rss"));
  json_decref(ready);
  return true;
}

json_t *peer_listen(Peer *peer, Error *error) {
  json_error_t reason;
  char *line = NULL;
  size_t room = 0;
  ssize_t length = getline(&line, &room, peer->from);
  json_t *answer = length > 0 ? json_loads(line, 0, &reason) : NULL;
  free(line);
  const char *refusal = json_string_value(json_object_get(answer, "error"));
  peer->lacks = json_is_true(json_object_get(answer, "lacks"));
  peer->ended = length <= 0;
  if (answer && !refusal) return answer;
  fail(error, "the peer %s%s",
       answer       ? "says: "
       : length > 0 ? "spoke no JSON"
                    : "ended",
       refusal ? refusal : "");
  json_decref(answer);
  return NULL;
}

json_t *peer_ask(Peer *peer, json_t *request, Error *error) {
  bool good = json_dumpf(request, peer->to, JSON_COMPACT) == 0 && fputc('\n', peer->to) != EOF &&
              fflush(peer->to) == 0;
  json_decref(request);
  if (good) return peer_listen(peer, error);
  peer->ended = true;
  fail(error, "the peer ended");
  return NULL;
}

void peer_stop(Peer *peer) {
  if (peer->to) fclose(peer->to);
  if (peer->from) fclose(peer->from);
  if (peer->pid) waitpid(peer->pid, NULL, 0);
  *peer = (Peer){0};
}
