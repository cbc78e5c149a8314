/* The cluster as one process sees it: which task it is, what the queue says of others, how much
 * time is left. Slurm is asked by its own commands, which may be absent (in a container) or without
 * an answer (the controller is away): then that is not known, and nothing is concluded from it. */
#ifndef CLI_SLURM_SITE_H
#define CLI_SLURM_SITE_H

#include <jansson.h>
#include <stdbool.h>

#include "base/error.h"
#include "src/cli/claims.h"

typedef struct SlurmSite {
  const char *folder;      /* of the sweep */
  char worker[CLAIM_NAME]; /* "123_4.0": array, task, and how often it was started again; by hand
                              "hand-HOST-PID.0"; "": none, who only looks */
  json_t *queue;           /* {"123_4": "RUNNING"}; NULL: not known */
  double asked;            /* seconds_now() of then; 0: not yet */
} SlurmSite;

/* Who this process is, from the environment that Slurm gives a task. */
void slurm_site(SlurmSite *site, const char *folder, bool works);
void slurm_site_free(SlurmSite *site);

/* Claims.lives, user a SlurmSite. A worker is gone when it was started again, when it is not in the
 * queue as running, or, where the queue is not known, when it has not touched shards/WORKER/alive
 * for half an hour by the clock of the disk. */
bool slurm_lives(void *user, const char *worker);
/* Touches it; the shard's folder is there. */
void slurm_alive(const SlurmSite *site);

/* The queue's word for a task such as "123_4"; "": not there; NULL: not known. */
const char *slurm_state(SlurmSite *site, const char *task);
/* Of the tasks of this array so many are in the queue; -1: not known. */
int slurm_queued(SlurmSite *site, const char *array);
/* Seconds until the task's time limit; infinite where there is none or it is not known. */
double slurm_time_left(const SlurmSite *site);
/* The task of a worker: "123_4". */
void slurm_task(const char *worker, char task[CLAIM_NAME]);

/* Runs a command of Slurm's; its output, malloced, or NULL with what it said. */
char *slurm_command(const char *const argv[], Error *error);

#endif
