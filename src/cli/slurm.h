/* A sweep on a Slurm cluster: an array job whose tasks pull trials from a plan on the shared disk.
 * docs/slurm.md says what for whom; a sweep's folder, results/slurm/NAME-HASH, holds
 *
 *   plan.json          what is to run, longest first; newer where it was submitted again
 *   job.sh             what a task runs
 *   arrays/ID          the arrays that were submitted
 *   claims/ done/      who runs what (claims.h); a unit is "HASH.TURN": trials that share
 *                      a training, by the first one's hash, and how often it was asked for
 *                      before
 *   shards/WORKER/     what a worker made: a database of its own, checkpoints, logs, alive
 *   log/               what tasks print
 *   machine.ARRAY      the kind of machine that it began on */
#ifndef CLI_SLURM_H
#define CLI_SLURM_H

#include "src/cli/run.h"
#include "src/cli/slurm_site.h"
#include "src/store/merge.h"

enum { SLURM_ARGUMENTS = 64, SLURM_REQUEUE = 76 };

typedef struct Slurm {
  Run run; /* first: Run.hand_out gets it */
  const char *partition, *gres, *time, *setup, *container;
  const char *sbatch[SLURM_ARGUMENTS];
  int arguments, most; /* most: tasks; 0: as many as there are trials */
} Slurm;

/* Run.hand_out: joins what the round's sweep has come to, submits what is missing. */
bool slurm_hand_out(Run *run, Round *round, bool *interrupted, Error *error);
/* Run.dry: what would run, and how it would be submitted. */
int slurm_dry(Run *run, Error *error);

/* ---- the job (slurm_job.c) ------------------------------------------------------------------- */

/* How many tasks so many units of work are given. */
int slurm_tasks(const Slurm *slurm, int units);
/* Writes the script and submits the array, whose number it gives. */
bool slurm_submit(const Slurm *slurm, const char *folder, int tasks, int threads, char array[32],
                  Error *error);
/* What that would be: the command and the script. */
void slurm_job_print(const Slurm *slurm, const char *folder, int tasks, int threads, FILE *out);

/* ---- the work (slurm_work.c, slurm_join.c) --------------------------------------------------- */

/* A task's whole work; an exit code. folder: of the sweep. */
int slurm_work(const Common *common, const char *folder, Error *error);

/* The plan of a sweep, a new reference. */
json_t *slurm_plan(const char *folder, Error *error);

/* Joins the sweep's shards into the store. Those that cannot be are told and left. */
bool slurm_join(Store *store, SlurmSite *site, MergeCount *sum, Error *error);

/* ---- looking (slurm_status.c) ---------------------------------------------------------------- */

/* The names of sweeps that begin with `word` (NULL: all), as an array; none: an error. */
json_t *slurm_sweeps(const char *root, const char *word, Error *error);
/* The folder of sweeps of a database: to be freed. */
char *slurm_root(const char *db);
int slurm_status(const char *root, const json_t *sweeps, bool json, Error *error);
int slurm_cancel(const char *root, const json_t *sweeps, bool quiet, Error *error);
/* Visible names in a folder, sorted; an empty array where there is none. A new reference. */
json_t *slurm_names(const char *folder);
/* How many tasks of all arrays of the sweep are in the queue; -1: not known. */
int slurm_open_tasks(SlurmSite *site);

#endif
