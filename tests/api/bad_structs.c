/*
 * Argument structs of every size, each flush against an unreadable page.
 */
#include "bad_structs.h"

#include "assert_status.h"
#include "guard.h"

enum { LARGEST_TAIL = 64 };

/* The struct cut or extended with zeros to struct_size, which it starts with, then changed at one byte. */
static int32_t run_copy(const void *good, size_t known_bytes, uint64_t struct_size, int64_t changed_byte,
                        struct_user run, void *user) {
    const size_t bytes = struct_size < sizeof struct_size ? sizeof struct_size : (size_t)struct_size;
    guard_block block;
    guard_create(&block, bytes, 8, GUARD_AFTER); /* up to 7 sentinels follow */
    memset(block.data, 0, bytes);
    memcpy(block.data, good, bytes < known_bytes ? bytes : known_bytes);
    memcpy(block.data, &struct_size, sizeof struct_size);
    if (changed_byte >= 0) {
        block.data[changed_byte] = 1;
    }
    const int32_t status = run(user, block.data);
    guard_destroy(&block);
    return status;
}

void assert_struct_size_is_obeyed(const void *good, size_t first_bytes, size_t known_bytes, struct_user run,
                                  void *user) {
    for (uint64_t size = 0; size < first_bytes; size++) {
        assert_fails(run_copy(good, known_bytes, size, -1, run, user), SOFTATTN_ERROR_STRUCT_SIZE,
                     "struct_size");
    }
    for (uint64_t size = first_bytes; size <= known_bytes + LARGEST_TAIL; size++) {
        assert_ok(run_copy(good, known_bytes, size, -1, run, user));
        for (uint64_t byte = known_bytes; byte < size; byte++) {
            assert_fails(run_copy(good, known_bytes, size, (int64_t)byte, run, user),
                         SOFTATTN_ERROR_STRUCT_SIZE, "struct_size");
        }
    }
    /* a size that was never set must not send the search for a non-zero tail through all memory */
    static const uint64_t absurd[] = {UINT64_MAX, (uint64_t)1 << 40, 0x100000};
    for (size_t i = 0; i < sizeof absurd / sizeof *absurd; i++) {
        _Alignas(8) unsigned char copy[1024] = {0};
        assert_true(known_bytes <= sizeof copy);
        memcpy(copy, good, known_bytes);
        memcpy(copy, &absurd[i], sizeof absurd[i]);
        assert_fails(run(user, copy), SOFTATTN_ERROR_STRUCT_SIZE, "struct_size");
    }
}
