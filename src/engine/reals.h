/* Single elements of a problem's type (float for 4 bytes, double for 8), for code that is not worth a kernel. */
#ifndef SOFTATTN_ENGINE_REALS_H
#define SOFTATTN_ENGINE_REALS_H

#include <stdint.h>
#include <string.h>

#define SOFTATTN_LOG2_E 1.44269504088896340735992468100189214

static inline void softattn_put_real(char *array, int64_t index, double value, int64_t real_bytes) {
    if (real_bytes == 4) {
        const float narrow = (float)value;
        memcpy(array + index * 4, &narrow, sizeof narrow);
    } else {
        memcpy(array + index * 8, &value, sizeof value);
    }
}

/* `count` reals, at distances in bytes. */
static inline void softattn_copy_reals(int64_t count, int64_t real_bytes, const char *from, int64_t from_step,
                                       char *to, int64_t to_step) {
    for (int64_t i = 0; real_bytes == 4 && i < count; i++) {
        memcpy(to + i * to_step, from + i * from_step, 4);
    }
    for (int64_t i = 0; real_bytes == 8 && i < count; i++) {
        memcpy(to + i * to_step, from + i * from_step, 8);
    }
}

static inline double softattn_get_real(const char *array, int64_t index, int64_t real_bytes) {
    float narrow;
    double value;
    if (real_bytes == 4) {
        memcpy(&narrow, array + index * 4, sizeof narrow);
        return narrow;
    }
    memcpy(&value, array + index * 8, sizeof value);
    return value;
}

#endif
