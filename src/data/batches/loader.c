#include "src/data/batches/loader.h"
#include "base/clock.h"

#include <pthread.h>
#include <signal.h>
#include <string.h>

typedef struct Slot {
  float *image;
  int32_t *label;
  bool ready; /* holds the batch of the step it is kept for */
} Slot;

struct Loader {
  const Sampler *sampler;
  SamplerSize size;
  int workers; /* running */
  int slots;   /* step s lives in slot s % slots */
  Slot *slot;
  float **scratch; /* of each worker, the first also without workers */
  pthread_t *thread;
  pthread_mutex_t mutex; /* guards what follows and Slot.ready */
  pthread_cond_t work;   /* a slot is free, or stop */
  pthread_cond_t done;   /* a slot is ready */
  uint64_t made, taken;  /* next step to be made, to be taken */
  uint64_t past;
  int joined; /* workers that know their number */
  bool stop;
};

static void *work(void *user) {
  Loader *l = user;
  pthread_mutex_lock(&l->mutex);
  float *scratch = l->scratch[l->joined++];
  for (;;) {
    while (!l->stop && (l->made >= l->past || l->made >= l->taken + (uint64_t)l->slots))
      pthread_cond_wait(&l->work, &l->mutex);
    if (l->stop) break;
    uint64_t step = l->made++;
    Slot *slot = &l->slot[step % (uint64_t)l->slots];
    pthread_mutex_unlock(&l->mutex);
    sampler_batch(l->sampler, step, scratch, slot->image, slot->label);
    pthread_mutex_lock(&l->mutex);
    slot->ready = true;
    pthread_cond_signal(&l->done);
  }
  pthread_mutex_unlock(&l->mutex);
  return NULL;
}

static bool allocate(Loader *l, int workers) {
  int scratches = workers ? workers : 1;
  l->slots = workers ? workers + 1 : 0;
  l->slot = calloc((size_t)l->slots + 1, sizeof *l->slot);
  l->scratch = calloc((size_t)scratches + 1, sizeof *l->scratch);
  l->thread = calloc((size_t)workers + 1, sizeof *l->thread);
  bool good = l->slot && l->scratch && l->thread;
  for (int i = 0; good && i < l->slots; i++) {
    l->slot[i].image = malloc(l->size.image * sizeof(float));
    l->slot[i].label = malloc(l->size.label * sizeof(int32_t));
    good = l->slot[i].image && l->slot[i].label;
  }
  for (int i = 0; good && l->size.scratch && i < scratches; i++)
    good = (l->scratch[i] = malloc(l->size.scratch * sizeof(float))) != NULL;
  return good;
}

/* Signals are for the thread that trains. */
static bool start(Loader *l, int workers, Error *error) {
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  int reason = 0;
  while (l->workers < workers && !reason) {
    reason = pthread_create(&l->thread[l->workers], NULL, work, l);
    l->workers += !reason;
  }
  pthread_sigmask(SIG_SETMASK, &before, NULL);
  return !reason || fail(error, "cannot start loader thread %d of %d: %s", l->workers + 1, workers,
                         strerror(reason));
}

bool loader_make(Loader **out, const Sampler *sampler, int workers, uint64_t first, uint64_t past,
                 Error *error) {
  *out = NULL;
  if (workers < 0 || workers > WORKERS_MAX)
    return fail(error, "workers = %d: expected 0 to %d", workers, WORKERS_MAX);
  Loader *l = calloc(1, sizeof *l);
  if (!l) return fail(error, "no memory for a loader");
  *l = (Loader){.sampler = sampler,
                .size = sampler_size(sampler),
                .made = first,
                .taken = first,
                .past = past};
  pthread_mutex_init(&l->mutex, NULL);
  pthread_cond_init(&l->work, NULL);
  pthread_cond_init(&l->done, NULL);
  bool good = allocate(l, workers) ||
              fail(error, "no memory for the batches of %d loader workers", workers);
  if (good && start(l, workers, error)) {
    *out = l;
    return true;
  }
  loader_free(l);
  return false;
}

void loader_free(Loader *l) {
  if (!l) return;
  pthread_mutex_lock(&l->mutex);
  l->stop = true;
  pthread_cond_broadcast(&l->work);
  pthread_mutex_unlock(&l->mutex);
  for (int i = 0; i < l->workers; i++) pthread_join(l->thread[i], NULL);
  for (int i = 0; l->slot && i < l->slots; i++) {
    free(l->slot[i].image);
    free(l->slot[i].label);
  }
  for (int i = 0; l->scratch && l->scratch[i]; i++) free(l->scratch[i]);
  free(l->slot);
  free(l->scratch);
  free(l->thread);
  pthread_cond_destroy(&l->work);
  pthread_cond_destroy(&l->done);
  pthread_mutex_destroy(&l->mutex);
  free(l);
}

double loader_next(Loader *l, float *image, int32_t *label) {
  double start = seconds_now();
  CHECK(l->taken < l->past, "batch of step %llu asked, the loader ends at %llu",
        (unsigned long long)l->taken, (unsigned long long)l->past);
  if (!l->workers) {
    sampler_batch(l->sampler, l->taken++, l->scratch[0], image, label);
    return seconds_now() - start;
  }
  Slot *slot = &l->slot[l->taken % (uint64_t)l->slots];
  pthread_mutex_lock(&l->mutex);
  while (!slot->ready) pthread_cond_wait(&l->done, &l->mutex);
  pthread_mutex_unlock(&l->mutex);
  double waited = seconds_now() - start;
  memcpy(image, slot->image, l->size.image * sizeof *image);
  memcpy(label, slot->label, l->size.label * sizeof *label);
  pthread_mutex_lock(&l->mutex);
  slot->ready = false;
  l->taken++;
  pthread_cond_signal(&l->work);
  pthread_mutex_unlock(&l->mutex);
  return waited;
}
