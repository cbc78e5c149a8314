/* A process that answers one JSON request a line with one JSON object a line: tests/peer/serve.py,
 * or this program timing its own first step. */
#ifndef BENCH_PEER_H
#define BENCH_PEER_H

#include "base/error.h"

#include <jansson.h>
#include <stdio.h>
#include <sys/types.h>

typedef struct Peer {
  pid_t pid;          /* 0: not running */
  const char *python; /* what runs it */
  FILE *to, *from;
  char version[64]; /* of the library it speaks for */
  double rss;       /* peak bytes once that was loaded */
  bool ended;       /* instead of answering */
  bool lacks;       /* the last refusal was for want of something: it cannot do that here */
} Peer;

/* HARNESS_PYTHON, by default /usr/bin/python3. */
const char *peer_python(void);
/* Starts `python` on home/tests/peer/serve.py and waits until it is ready. On false the error says
 * what is missing. */
bool peer_start(Peer *peer, const char *python, const char *home, int threads, Error *error);
/* Any program: argv[0] is its path. Nothing is awaited. */
bool peer_spawn(Peer *peer, const char *const argv[], int threads, Error *error);
/* Takes the request's reference; the answer is the caller's; NULL with the peer's own reason. */
json_t *peer_ask(Peer *peer, json_t *request, Error *error);
json_t *peer_listen(Peer *peer, Error *error);
void peer_stop(Peer *peer);

#endif
