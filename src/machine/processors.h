/* Which processors this process may use, and claims on them: of all trials and benches on a machine
 * that are bound to processors, no two are bound to the same one. */
#ifndef MACHINE_PROCESSORS_H
#define MACHINE_PROCESSORS_H

#include <stdbool.h>

enum { PROCESSORS_MAX = 1024 };

/* Who shares claims: "harness", or HARNESS_CLAIMS, which gives tests a scope of their own. */
const char *processors_scope(void);

/* Those of the affinity mask, first one of each core, then their hyperthreads; returns how many. */
int processors_list(int list[PROCESSORS_MAX]);

/* Whole processors' time that the control group below root ("/sys/fs/cgroup") may use, at least 1;
 * 0: no limit. */
int processors_quota(const char *root);

/* The mask's number, or the quota if less: how many threads are worth while. */
int processors_usable(void);

/* Binds the calling thread, and all that it starts from now on, to `wanted` processors of the list
 * that no process of this scope has claimed. false: there are not as many free, nothing changed.
 * The claim is a socket's name and ends with the last process that holds it; it survives exec.
 * Calls nothing that may not be called between fork and exec. */
bool processors_claim(const char *scope, const int *list, int count, int wanted);

#endif
