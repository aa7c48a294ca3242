/* Files that the program writes, see output_file.h. */
#include "output_file.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "report.h"

FILE *output_open(const char *path) {
    FILE *file = fopen(path, "wb");
    if (file == NULL) {
        report(path, "%s", strerror(errno));
    }
    return file;
}

bool output_close(FILE *file, const char *path) {
    struct stat status;
    const bool written = fflush(file) == 0 && !ferror(file);
    const int reason = errno;
    const bool regular = fstat(fileno(file), &status) == 0 && S_ISREG(status.st_mode);
    if (fclose(file) == 0 && written) {
        return true;
    }
    if (regular) { /* never remove a device such as /dev/full */
        unlink(path);
    }
    return report(path, "%s", strerror(written ? errno : reason));
}
