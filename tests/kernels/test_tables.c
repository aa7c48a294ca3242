/* Every table keeps to the limits that the engines size their scratch by, and describes itself rightly. */
#include "expect.h"
#include "tables.h"

#include <string.h>

static void keeps_to_limits(const struct softattn_kernels *tested, const struct softattn_kernels *generic,
                            random_source *random) {
    const int32_t lanes = tested->lanes();
    (void)random;
    EXPECT(lanes >= 1 && lanes <= SOFTATTN_MAX_LANES && (lanes & (lanes - 1)) == 0, "%s: %d lanes",
           tested->isa, (int)lanes);
    EXPECT(tested->query_vectors >= 1 && tested->query_vectors <= SOFTATTN_MAX_TILE_VECTORS,
           "%s: %d vectors of queries", tested->isa, (int)tested->query_vectors);
    EXPECT(tested->query_vectors * lanes <= SOFTATTN_MAX_QUERY_BLOCK, "%s: %d vectors of %d lanes",
           tested->isa, (int)tested->query_vectors, (int)lanes);
    EXPECT(tested->decode_rows >= 1 && tested->decode_rows <= SOFTATTN_MAX_DECODE_ROWS, "%s: %d decode rows",
           tested->isa, (int)tested->decode_rows);
    EXPECT(tested->decode_heads_together >= 1 && tested->decode_heads_together <= SOFTATTN_MAX_DECODE_HEADS,
           "%s: %d heads together", tested->isa, (int)tested->decode_heads_together);
    EXPECT((tested->decode_heads != NULL) == (tested->decode_heads_together > 1), "%s: %d heads together",
           tested->isa, (int)tested->decode_heads_together);
    EXPECT(tested->real_bytes == generic->real_bytes, "%s: reals of %d bytes", tested->isa,
           (int)tested->real_bytes);
    const struct softattn_isa *found = softattn_isa_find(tested->isa);
    EXPECT(found && (tested->real_bytes == sizeof(float) ? found->f32 : found->f64) == tested,
           "%s of reals of %d bytes is found by its name", tested->isa, (int)tested->real_bytes);
}

int main(void) {
    EXPECT(softattn_isa_find("no such instruction set") == NULL, "an unknown name");
    EXPECT(softattn_isa_at(softattn_isas_usable()) == NULL, "an index beyond the last");
    EXPECT(strcmp(softattn_isa_at(softattn_isas_usable() - 1)->name, "generic") == 0, "generic comes last");
    return check_tables("test_tables", keeps_to_limits);
}
