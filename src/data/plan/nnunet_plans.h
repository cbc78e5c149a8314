/* A plans file that nnU-Net v2 wrote (nnUNetPlans.json, nnUNetResEncUNetLPlans.json, ...), in place
 * of planning: a configuration of it as a plan of ours. Files of before nnU-Net 2.4, which name no
 * architecture, are read, too. */
#ifndef DATA_NNUNET_PLANS_H
#define DATA_NNUNET_PLANS_H

#include "src/data/plan/planner.h"

typedef struct NnunetPlans {
  Planner planner;         /* its name is nnU-Net's; of its figures only `residual` is set */
  char name[64];           /* behind planner.name */
  char words[128];         /* behind planner.words */
  Fingerprint fingerprint; /* what plan.json takes from it; without spacings and shapes */
  Planned planned;         /* the configuration alone */
} NnunetPlans;

/* configuration: its name in the file; NULL: 3d_fullres, where there is none 2d. The fingerprint is
 * freed by fingerprint_free. Errors: no such file or configuration; a network that is not built
 * here (another class, norm or number of convolutions), other channels than the data set's,
 * intensities that are scaled otherwise than the channels' names say. */
bool nnunet_plans_read(NnunetPlans *plans, const char *path, const char *configuration,
                       const Dataset *dataset, Error *error);

#endif
