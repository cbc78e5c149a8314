#define _GNU_SOURCE
#include "src/data/nifti/nifti_name.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

bool is_folder(const char *path) {
  struct stat about;
  return stat(path, &about) == 0 && S_ISDIR(about.st_mode);
}

const char *nifti_base(const char *path) {
  const char *slash = strrchr(path, '/');
  return slash ? slash + 1 : path;
}

size_t nifti_stem(const char *name) {
  static const char *const endings[] = {".nii.gz", ".nii"};
  size_t length = strlen(name);
  for (int i = 0; i < 2; i++) {
    size_t end = strlen(endings[i]);
    if (length > end && !strcmp(name + length - end, endings[i])) return length - end;
  }
  return 0;
}

static int nifti_file(const struct dirent *entry) {
  return entry->d_name[0] != '.' && nifti_stem(entry->d_name);
}

int nifti_list(const char *folder, struct dirent ***entry, Error *error) {
  int count = scandir(folder, entry, nifti_file, alphasort);
  if (count < 0) fail(error, "%s: cannot list the folder: %s", folder, strerror(errno));
  return count;
}

void nifti_list_free(struct dirent **entry, int count) {
  for (int i = 0; i < count; i++) free(entry[i]);
  if (count >= 0) free(entry);
}
