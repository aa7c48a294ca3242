/*
 * Prints what was measured as it comes.
 */
#include "report.h"

#include "table.h"
#include "textbook.h"

#include <softattn/softattn.h>

#include <inttypes.h>
#include <string.h>
#include <time.h>

/* ---- JSON -------------------------------------------------------------------------------------------- */

static void json_fields(struct bench_json *json, const struct bench_fields *fields) {
    bench_json_begin_object(json, NULL);
    for (int i = 0; i < fields->count; i++) {
        const struct bench_field *field = &fields->items[i];
        switch (field->kind) {
        case BENCH_FIELD_TEXT: bench_json_text(json, field->name, field->text); break;
        case BENCH_FIELD_INTEGER: bench_json_integer(json, field->name, field->integer); break;
        case BENCH_FIELD_REAL: bench_json_real(json, field->name, field->real); break;
        case BENCH_FIELD_MISSING: bench_json_null(json, field->name); break;
        }
    }
    bench_json_end_object(json);
}

static void json_machine(struct bench_json *json, const struct bench_machine *machine) {
    bench_json_begin_object(json, "machine");
    bench_json_text(json, "cpu", machine->cpu);
    bench_json_integer(json, "cpus", machine->cpus);
    bench_json_integer(json, "l1_bytes", machine->l1_bytes);
    bench_json_integer(json, "l2_bytes", machine->l2_bytes);
    bench_json_integer(json, "l3_bytes", machine->l3_bytes);
    bench_json_integer(json, "memory_bytes", machine->memory_bytes);
    bench_json_text(json, "huge_pages", machine->huge_pages);
    bench_json_begin_array(json, "isas");
    for (int32_t i = 0; i < softattn_isa_count(); i++) {
        bench_json_text(json, NULL, softattn_isa_name(i));
    }
    bench_json_end_array(json);
    bench_json_end_object(json);
}

static void json_date(struct bench_json *json) {
    char text[32] = "";
    const time_t now = time(NULL);
    struct tm utc;
    if (gmtime_r(&now, &utc) != NULL) {
        strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &utc);
    }
    bench_json_text(json, "date", text);
}

static void json_begin(struct bench_json *json, const struct bench_machine *machine, int argc, char **argv) {
    bench_json_begin_object(json, NULL);
    bench_json_text(json, "program", "softattn-bench");
    bench_json_text(json, "library_version", softattn_version_string());
    bench_json_text(json, "library_blas", softattn_blas_name());
    bench_json_text(json, "textbook_gemm", bench_textbook_gemm_name());
    json_date(json);
    bench_json_begin_array(json, "command");
    for (int i = 0; i < argc; i++) {
        bench_json_text(json, NULL, argv[i]);
    }
    bench_json_end_array(json);
    json_machine(json, machine);
}

static void json_end(struct bench_json *json, const struct bench_noise *noise, const char *const *warnings,
                     int warnings_count) {
    bench_json_begin_object(json, "noise");
    bench_json_real(json, "stolen_share", noise->stolen_share);
    bench_json_real(json, "others_share", noise->others_share);
    bench_json_real(json, "load_before", noise->load_before);
    bench_json_real(json, "load_after", noise->load_after);
    bench_json_begin_array(json, "warnings");
    for (int i = 0; i < warnings_count; i++) {
        bench_json_text(json, NULL, warnings[i]);
    }
    bench_json_end_array(json);
    bench_json_end_object(json);
    bench_json_end_object(json);
}

/* ---- CSV --------------------------------------------------------------------------------------------- */

static void csv_text(FILE *file, const char *text) {
    fputc('"', file);
    for (; *text != '\0'; text++) {
        if (*text == '"') {
            fputc('"', file);
        }
        fputc(*text, file);
    }
    fputc('"', file);
}

static void csv_fields(FILE *file, const struct bench_fields *fields, int with_header) {
    for (int i = 0; with_header && i < fields->count; i++) {
        fprintf(file, "%s%s", i > 0 ? "," : "", fields->items[i].name);
    }
    if (with_header) {
        fputc('\n', file);
    }
    for (int i = 0; i < fields->count; i++) {
        const struct bench_field *field = &fields->items[i];
        if (i > 0) {
            fputc(',', file);
        }
        if (field->kind == BENCH_FIELD_TEXT) {
            csv_text(file, field->text);
        } else if (field->kind == BENCH_FIELD_INTEGER) {
            fprintf(file, "%" PRId64, field->integer);
        } else if (field->kind == BENCH_FIELD_REAL) {
            fprintf(file, "%.6g", field->real);
        }
    }
    fputc('\n', file);
}

/* ---- Table ------------------------------------------------------------------------------------------- */

static void table_begin(FILE *file, const struct bench_machine *machine) {
    fprintf(file, "softattn-bench: library %s, BLAS engine on %s, textbook on %s\n",
            softattn_version_string(), softattn_blas_name(), bench_textbook_gemm_name());
    fprintf(file, "%s, %d CPUs; caches %" PRId64 " KiB, %" PRId64 " KiB, %" PRId64 " KiB; instruction sets",
            machine->cpu[0] != '\0' ? machine->cpu : "unnamed processor", machine->cpus,
            machine->l1_bytes / 1024, machine->l2_bytes / 1024, machine->l3_bytes / 1024);
    for (int32_t i = 0; i < softattn_isa_count(); i++) {
        fprintf(file, " %s", softattn_isa_name(i));
    }
    fputc('\n', file);
}

/* ---- The report -------------------------------------------------------------------------------------- */

void bench_report_begin(struct bench_report *report, enum bench_format format, FILE *file,
                        const struct bench_machine *machine, int argc, char **argv) {
    memset(report, 0, sizeof *report);
    report->format = format;
    report->file = file;
    report->json.file = file;
    if (format == BENCH_JSON) {
        json_begin(&report->json, machine, argc, argv);
    } else if (format == BENCH_TABLE) {
        table_begin(file, machine);
    }
}

static void end_section(struct bench_report *report) {
    if (report->section != NULL && report->format == BENCH_JSON) {
        bench_json_end_array(&report->json);
    }
}

void bench_report_section(struct bench_report *report, const char *section) {
    end_section(report);
    report->section = section;
    report->lines = 0;
    if (report->format == BENCH_JSON) {
        bench_json_begin_array(&report->json, section);
    }
}

static void report_fields(struct bench_report *report, const struct bench_fields *fields) {
    if (report->format == BENCH_JSON) {
        json_fields(&report->json, fields);
    } else {
        csv_fields(report->file, fields, report->lines == 0);
    }
}

void bench_report_ceiling(struct bench_report *report, const struct bench_ceiling_record *record) {
    if (report->format == BENCH_TABLE) {
        if (report->lines == 0) {
            bench_table_ceilings_header(report->file);
        }
        bench_table_ceiling(report->file, record);
    } else {
        struct bench_fields fields;
        bench_ceiling_fields(record, &fields);
        report_fields(report, &fields);
    }
    report->lines++;
    fflush(report->file);
}

void bench_report_result(struct bench_report *report, const struct bench_result *result) {
    if (report->format == BENCH_TABLE) {
        if (report->lines == 0) {
            bench_table_results_header(report->file);
        }
        bench_table_result(report->file, result);
    } else {
        struct bench_fields fields;
        bench_result_fields(result, &fields);
        report_fields(report, &fields);
    }
    report->lines++;
    fflush(report->file);
}

void bench_report_end(struct bench_report *report, const struct bench_noise *noise,
                      const char *const *warnings, int warnings_count) {
    end_section(report);
    if (report->format == BENCH_JSON) {
        json_end(&report->json, noise, warnings, warnings_count);
    }
    fflush(report->file);
}
