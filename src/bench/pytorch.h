/* `harness bench --against pytorch`: ours and an equivalent PyTorch program on the same shapes with
 * as many threads, in turn: A B A B. */
#ifndef BENCH_PYTORCH_H
#define BENCH_PYTORCH_H

#include "base/error.h"
#include "src/bench/bench.h"
#include "src/bench/op_bench.h"
#include "src/bench/row.h"
#include "src/bench/step.h"

#include <jansson.h>
#include <stdio.h>
#include <sys/types.h>

/* ---- the peer -------------------------------------------------------------------------------- */

/* A process that answers one JSON request a line with one JSON object a line: tests/peer/serve.py,
 * or this program timing its own first step. */

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

/* ---- a comparison ---------------------------------------------------------------------------- */

/* The two sides of a comparison, ready to be timed in turn. */

typedef struct PeerCase {
  const char *name; /* "step:unet-32", "deform_attention, 4672 queries", "dice" */
  const StepCase *step;
  OpId op;
  const OpCase *c; /* with op */
  const char *dtype;
  bool first; /* time from the process's start to the end of its first step */
} PeerCase;

/* Our side of a case: what to call, and what is known of it. */
typedef struct HarnessSide {
  Work work;
  BenchRow row;
  json_t *request; /* what the peer is asked to set up */
  OpBench op;
  Step step;
  struct DiceMaps *maps;
  bool lacks; /* it could not be made because what it needs is not here */
} HarnessSide;

/* On failure the row holds the case's names. */
bool side_make(HarnessSide *side, const PeerCase *c, const Session *session, Error *error);
void side_free(HarnessSide *side); /* not the row's samples: session_add frees those */

/* ---- all of them ----------------------------------------------------------------------------- */

/* As bench_run. */
int against_run(const BenchOptions *options, Error *error);
/* The child of a first-step measurement: builds the case, makes one step, prints {"rss"}. */
int first_step_main(const BenchOptions *options, const char *name, Error *error);

#endif
