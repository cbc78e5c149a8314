#define _GNU_SOURCE /* pipe2 */
#include "src/bench/pytorch.h"
#include "base/clock.h"
#include "base/nearest.h"
#include "kernels/cpu/processor.h"

#include <fcntl.h>
#include <limits.h>
#include <math.h>
#include <omp.h>
#include <signal.h>
#include <spawn.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

/* ---- the peer -------------------------------------------------------------------------------- */

extern char **environ;

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

/* As many threads as we use and no other instructions, said before its libraries start. */
static void set_limits(int threads) {
  char text[16];
  snprintf(text, sizeof text, "%d", threads);
  setenv("OMP_NUM_THREADS", text, 1);
  setenv("MKL_NUM_THREADS", text, 1);
  processor_limit_peers();
}

static void peer_stop(Peer *peer) {
  if (peer->to) fclose(peer->to);
  if (peer->from) fclose(peer->from);
  if (peer->pid) waitpid(peer->pid, NULL, 0);
  *peer = (Peer){0};
}

/* Any program: argv[0] is its path. Nothing is awaited. */
static bool peer_spawn(Peer *peer, const char *const argv[], int threads, Error *error) {
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

/* HARNESS_PYTHON, by default /usr/bin/python3. */
static const char *peer_python(void) {
  const char *python = getenv("HARNESS_PYTHON");
  return python && python[0] ? python : "/usr/bin/python3";
}

static json_t *peer_listen(Peer *peer, Error *error) {
  json_error_t reason;
  char *line = NULL;
  size_t capacity = 0;
  ssize_t length = getline(&line, &capacity, peer->from);
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

/* Starts `python` on home/tests/peer/serve.py and waits until it is ready. On false the error says
 * what is missing. */
static bool peer_start(Peer *peer, const char *python, const char *home, int threads,
                       Error *error) {
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

/* Takes the request's reference; the answer is the caller's; NULL with the peer's own reason. */
static json_t *peer_ask(Peer *peer, json_t *request, Error *error) {
  bool good = json_dumpf(request, peer->to, JSON_COMPACT) == 0 && fputc('\n', peer->to) != EOF &&
              fflush(peer->to) == 0;
  json_decref(request);
  if (good) return peer_listen(peer, error);
  peer->ended = true;
  fail(error, "the peer ended");
  return NULL;
}

enum { LEAST_PAIRS = 5, MOST_PAIRS = 100, FIRST_PAIRS = 3, PEER_CASES_MAX = 48, WIDTH = 47 };
static const double TURN_SECONDS = .02; /* of one turn at least; what is shorter is repeated */
static const double LIMIT_FACTOR = 10;  /* a comparison may take so many measurements' time */

/* ---- the cases ------------------------------------------------------------------------------- */

#define QUERIES(T, SAMPLES)                                                                        \
  {3, {1, T, 3 * (SAMPLES)}, FILL_GRID, 2}, {                                                      \
    3, {                                                                                           \
      1, T, SAMPLES                                                                                \
    }                                                                                              \
  }
#define CUBE(S, E)                                                                                 \
  {                                                                                                \
    5, {                                                                                           \
      1, S, S, S, E                                                                                \
    }                                                                                              \
  }

static const OpCase deform_small = {
    .name = "4672 x 4 levels x 4 x 64",
    .options = "heads=8 points=4 query_grids=16,16,16,8,8,8,4,4,4",
    .n_in = 6,
    .in = {QUERIES(4672, 128), CUBE(32, 64), CUBE(16, 64), CUBE(8, 64), CUBE(4, 64)}};
static const OpCase deform_large = {
    .name = "37440 x 5 levels x 4 x 128",
    .options = "heads=8 points=4 query_grids=32,32,32,16,16,16,8,8,8,4,4,4",
    .n_in = 7,
    .in = {QUERIES(37440, 160), CUBE(64, 128), CUBE(32, 128), CUBE(16, 128), CUBE(8, 128),
           CUBE(4, 128)}};

/* The bridge's attention at the paper's plan: patch 64x192x160, batch 2, all six scales sampled by
 * the tokens of the lowest four. */
#define LEVEL(D, H, W)                                                                             \
  {                                                                                                \
    5, {                                                                                           \
      2, D, H, W, 192                                                                              \
    }                                                                                              \
  }
static const OpCase deform_paper = {
    .name = "2 x 70200 x 6 levels x 4 x 192",
    .options = "heads=6 points=4 query_grids=32,48,40,16,24,20,8,12,10,4,6,5",
    .n_in = 8,
    .in = {{3, {2, 70200, 3 * 144}, FILL_GRID, 2},
           {3, {2, 70200, 144}},
           LEVEL(64, 192, 160),
           LEVEL(64, 96, 80),
           LEVEL(32, 48, 40),
           LEVEL(16, 24, 20),
           LEVEL(8, 12, 10),
           LEVEL(4, 6, 5)}};

/* The attention of SAM's image encoder; over all tokens of a size that the reference can do, at
 * 64 x 64 it stands in the block (block.h). */
static const OpCase grid_cases[] = {
    {.name = "SAM ViT-B at 1024, windows of 14",
     .options = "heads=12 window=14",
     .n_in = 4,
     .in = {{5, {1, 1, 64, 64, 2304}}, {2, {27, 64}}, {2, {27, 64}}, {1, {2304}}}},
    {.name = "SAM ViT-B at 512, global",
     .options = "heads=12",
     .n_in = 3,
     .in = {{5, {1, 1, 32, 32, 2304}}, {2, {127, 64}}, {2, {127, 64}}}}};

static const OpCase *match_case(const char *name) {
  const OpCase *c = op_cases[OP_match];
  while (c->name && strcmp(c->name, name) != 0) c++;
  CHECK(c->name, "op match has no case '%s'", name);
  return c;
}

static int every(const Backend *backend, PeerCase *all, char names[][64]) {
  static const PeerCase paper[] = {{.name = "deform_attention, 2 x 70200 queries",
                                    .op = OP_deform_attention,
                                    .c = &deform_paper,
                                    .dtype = "f32"},
                                   {.name = "deform_attention, 2 x 70200 queries, bf16",
                                    .op = OP_deform_attention,
                                    .c = &deform_paper,
                                    .dtype = "bf16"}};
  bool gpu = backend->device != NULL;
  const char *type = gpu ? "bf16" : "f32";
  int count = 0;
  for (const StepCase *s = step_cases; s->name; s++)
    for (int first = 0; step_on(s, backend) && first < (gpu ? 1 : 2); first++) {
      snprintf(names[count], 64, "%sstep:%s", first ? "first-" : "", s->name);
      all[count] =
          (PeerCase){.name = names[count], .step = s, .dtype = step_dtype(s), .first = first};
      count++;
    }
  all[count++] = (PeerCase){.name = "deform_attention, 4672 queries",
                            .op = OP_deform_attention,
                            .c = &deform_small,
                            .dtype = "f32"};
  all[count++] = (PeerCase){.name = "deform_attention, 37440 queries",
                            .op = OP_deform_attention,
                            .c = &deform_large,
                            .dtype = "f32"};
  all[count++] = (PeerCase){
      .name = "match", .op = OP_match, .c = match_case("quick, 16 queries"), .dtype = "f32"};
  for (size_t i = 0; i < sizeof grid_cases / sizeof *grid_cases; i++, count++) {
    snprintf(names[count], 64, "grid_attention, %s", grid_cases[i].name);
    all[count] = (PeerCase){
        .name = names[count], .op = OP_grid_attention, .c = &grid_cases[i], .dtype = type};
  }
  for (const BlockCase *b = block_cases; b->name; b++)
    all[count++] = (PeerCase){.name = b->name, .block = b, .dtype = type};
  if (!gpu) all[count++] = (PeerCase){.name = "dice", .dtype = "u8"};
  for (int i = 0; gpu && i < 2; i++) all[count++] = paper[i];
  return count;
}

/* ---- in turn --------------------------------------------------------------------------------- */

static double side_turn(const Work *work, int repeats) {
  if (work->recorded) return 1e6 * work->device->replay(work->recorded, repeats) / repeats;
  double start = seconds_now();
  for (int i = 0; i < repeats; i++) work->run(work->user);
  return 1e6 * (seconds_now() - start) / repeats;
}

/* `bytes`: the most that the peer's GPU memory held, where it computes there. */
static double peer_turn(Peer *peer, int repeats, double *bytes, Error *error) {
  json_t *answer =
      peer_ask(peer, json_pack("{s:s, s:i}", "do", "measure", "repeats", repeats), error);
  double us = answer ? json_number_value(json_object_get(answer, "us")) : NAN;
  const json_t *peak = json_object_get(answer, "peak");
  if (json_is_number(peak)) *bytes = json_number_value(peak);
  json_decref(answer);
  return us;
}

static int repeats_for(double us) {
  return us >= 1e6 * TURN_SECONDS ? 1 : (int)ceil(1e6 * TURN_SECONDS / fmax(us, .01));
}

static double noise_of(const Samples *samples) {
  Summary summary = samples_summary(samples->value, samples->count);
  return summary_noise(&summary);
}

/* Ratio of medians; the interval is the middle 80 % of the pairs' own ratios. */
static void conclude(BenchRow *row) {
  const Samples *side = &row->hot, *theirs = &row->baseline_hot;
  Samples ratio = {0};
  for (int i = 0; i < theirs->count; i++) samples_add(&ratio, theirs->value[i] / side->value[i]);
  row->speedup.low = samples_quantile(&ratio, .1);
  row->speedup.high = samples_quantile(&ratio, .9);
  row->speedup.value = samples_quantile(theirs, .5) / samples_quantile(side, .5);
  samples_free(&ratio);
}

static bool in_turn(Session *session, HarnessSide *side, Peer *peer, Error *error) {
  const TimingLimits *limits = &session->options->limits;
  BenchRow *row = &side->row;
  timing_warm(&side->work, limits);
  int repeats = repeats_for(side_turn(&side->work, 1));
  int their_repeats = repeats_for(peer_turn(peer, 1, &row->baseline_bytes, error));
  double start = seconds_now();
  for (int pair = 0; pair < (limits->samples ? limits->samples : MOST_PAIRS); pair++) {
    double past = (seconds_now() - start) / (LIMIT_FACTOR * limits->seconds);
    row->hot.met =
        noise_of(&row->hot) <= limits->noise && noise_of(&row->baseline_hot) <= limits->noise;
    if (!limits->samples && pair >= LEAST_PAIRS && (past > 1 || row->hot.met)) break;
    if (!limits->samples && pair >= FIRST_PAIRS && past > 10) break;
    if (pair && session_interrupted()) break;
    samples_add(&row->hot, side_turn(&side->work, repeats));
    usleep(10000); /* our threads stop spinning before the other's start, and the other way round */
    double us = peer_turn(peer, their_repeats, &row->baseline_bytes, error);
    if (!(us > 0)) return false;
    samples_add(&row->baseline_hot, us);
    usleep(10000);
  }
  session_clock(session, row);
  conclude(row);
  return true;
}

static json_t *setup_request(const HarnessSide *side, const char *what) {
  json_t *request = json_deep_copy(side->request);
  json_object_set_new(request, "do", json_string(what));
  return request;
}

/* The same model has as many parameters; another one would make the ratio worthless. */
static bool same_model(const HarnessSide *side, const json_t *answer, Error *error) {
  const json_t *count = json_object_get(answer, "parameters");
  if (!side->step.params || !json_is_integer(count)) return true;
  long long theirs = json_integer_value(count), own = params_total(side->step.params);
  return theirs == own ||
         fail(error, "ours has %lld parameters, the peer's model %lld", own, theirs);
}

static bool compare(Session *session, const PeerCase *c, HarnessSide *side, Peer *peer,
                    Error *error) {
  json_t *answer = peer_ask(peer, setup_request(side, "setup"), error);
  if (!answer) return false;
  snprintf(side->row.baseline, sizeof side->row.baseline, "%.20s %s %.48s", peer->version, c->dtype,
           json_string_value(json_object_get(answer, "setting")));
  bool good = same_model(side, answer, error) &&
              (row_wrong(&side->row) || in_turn(session, side, peer, error));
  json_decref(answer);
  return good;
}

/* ---- first steps ----------------------------------------------------------------------------- */

/* From the start of the process to the answer after one step, and the process's peak memory. */
static bool side_first_step(const Session *session, const StepCase *step, double *us, double *bytes,
                            Error *error) {
  char self[PATH_MAX], threads[16];
  ssize_t length = readlink("/proc/self/exe", self, sizeof self - 1);
  self[length > 0 ? length : 0] = 0;
  snprintf(threads, sizeof threads, "%d", session->options->threads);
  const char *const argv[] = {self,    "bench", "--first-step", step->name, "--threads",
                              threads, NULL};
  Peer child;
  double start = seconds_now();
  if (!peer_spawn(&child, argv, session->options->threads, error)) return false;
  json_t *answer = peer_listen(&child, error);
  *us = 1e6 * (seconds_now() - start);
  *bytes = json_number_value(json_object_get(answer, "rss"));
  bool good = answer != NULL;
  json_decref(answer);
  peer_stop(&child);
  return good;
}

static bool peer_first_step(const Session *session, HarnessSide *side, Peer *peer, double *us,
                            double *bytes, Error *error) {
  Peer child;
  double start = seconds_now();
  const BenchOptions *o = session->options;
  if (!peer_start(&child, peer->python, o->home, o->threads, error)) return false;
  json_t *answer = peer_ask(&child, setup_request(side, "first"), error);
  peer->lacks = child.lacks;
  *us = 1e6 * (seconds_now() - start);
  *bytes = json_number_value(json_object_get(answer, "rss")) - child.rss;
  snprintf(side->row.baseline, sizeof side->row.baseline, "%.40s, import included", child.version);
  bool good = answer != NULL;
  json_decref(answer);
  peer_stop(&child);
  return good;
}

/* Memory: ours is the peak of the whole process, theirs what comes on top of the import. */
static bool compare_first_step(const Session *session, const PeerCase *c, HarnessSide *side,
                               Peer *peer, Error *error) {
  BenchRow *row = &side->row;
  for (int pair = 0; pair < FIRST_PAIRS; pair++) {
    double us = NAN, theirs = NAN;
    if (!side_first_step(session, c->step, &us, &row->peak_bytes, error) ||
        !peer_first_step(session, side, peer, &theirs, &row->baseline_bytes, error))
      return false;
    samples_add(&row->hot, us);
    samples_add(&row->baseline_hot, theirs);
  }
  row->least_us = row->flops = row->bytes = NAN;
  row->bound = "";
  conclude(row);
  return true;
}

/* ru_maxrss would include what the parent held when it started us. */
static long long peak_bytes(void) {
  FILE *file = fopen("/proc/self/status", "r");
  char line[128];
  long long kib = 0;
  while (file && fgets(line, sizeof line, file))
    if (sscanf(line, "VmHWM: %lld", &kib) == 1) break;
  if (file) fclose(file);
  return 1024 * kib;
}

int first_step_main(const BenchOptions *options, const char *name, Error *error) {
  const StepCase *c = step_cases;
  while (c->name && strcmp(c->name, name) != 0) c++;
  if (!c->name) return fail(error, "no step \"%s\"", name) ? 0 : 2;
  Step step;
  omp_set_num_threads(options->threads);
  if (!step_make(&step, c, options->home, options->threads, error)) return 3;
  step_run(&step);
  printf("{\"rss\": %lld}\n", peak_bytes());
  fflush(stdout);
  step_free(&step);
  return 0;
}

/* ---- the run --------------------------------------------------------------------------------- */

static bool fits(const BenchOptions *options, const char *name) {
  for (int f = 0; f < options->filters; f++) {
    const char *filter = options->filter[f];
    bool start =
        !strncmp(filter, "step", 4); /* a filter step:unet-32 does not mean first-step:unet-32 */
    if (start ? !strncmp(name, filter, strlen(filter)) : strstr(name, filter) != NULL) return true;
  }
  return options->filters == 0;
}

static int choose(const BenchOptions *options, PeerCase *all, char names[][64], Error *error) {
  const char *known[PEER_CASES_MAX];
  int total = every(options->backend, all, names), count = 0;
  for (int i = 0; i < total; i++) known[i] = all[i].name;
  for (int i = 0; i < total; i++)
    if (fits(options, all[i].name)) all[count++] = all[i];
  if (count) return count;
  fail(error, "no comparison fits \"%s\"%s", options->filter[0],
       nearest_hint(options->filter[0], known, total,
                    "`harness bench --against pytorch --list` names them all")
           .text);
  return 0;
}

/* A case that ours or the peer cannot do becomes a row that says so; what comes after it is
 * measured. False: the peer ended and cannot be started again. */
static bool run_case(Session *session, const PeerCase *c, Peer *peer, Error *error) {
  HarnessSide side;
  Error why = {""};
  bool made = side_make(&side, c, session, &why);
  snprintf(side.row.baseline, sizeof side.row.baseline, "%s", peer->version);
  peer->lacks = false;
  bool good = made && (c->first ? compare_first_step(session, c, &side, peer, &why)
                                : compare(session, c, &side, peer, &why));
  if (!good) row_give_up(&side.row, made ? peer->lacks : side.lacks, &why);
  session_add(session, &side.row);
  if (made) side_free(&side);
  if (!peer->ended) return true;
  const char *python = peer->python;
  peer_stop(peer);
  return peer_start(peer, python, session->options->home, session->options->threads, error);
}

static void peers_stop(Peer peer[MAX_PEERS]) {
  for (int k = 0; k < MAX_PEERS; k++) peer_stop(&peer[k]);
}

int against_run(const BenchOptions *options, Error *error) {
  PeerCase cases[PEER_CASES_MAX];
  char names[PEER_CASES_MAX][64];
  int count = choose(options, cases, names, error);
  if (!count) return 2;
  for (int i = 0; options->list && i < count; i++) puts(cases[i].name);
  if (options->list) return 0;
  Peer peer[MAX_PEERS] = {0};
  int peers = options->pythons ? options->pythons : 1;
  bool good = true;
  for (int k = 0; good && k < peers; k++)
    good = peer_start(&peer[k], options->pythons ? options->python[k] : peer_python(),
                      options->home, options->threads, error);
  if (!good) return peers_stop(peer), 3;
  Session session = session_begin(options, WIDTH);
  for (int i = 0; good && i < count && !session_interrupted(); i++) {
    size_t first = json_array_size(session.rows);
    for (int k = 0; good && k < peers && !session_interrupted(); k++)
      good = run_case(&session, &cases[i], &peer[k], error);
    session_better_peer(&session, first);
  }
  peers_stop(peer);
  int wrong = session.wrong;
  good = session_end(&session, error) && good;
  if (!good) return 3;
  return session_interrupted() ? 75 : session_verdict(wrong, error);
}
