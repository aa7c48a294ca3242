"""Every mode of softattn-bench runs on a small problem and prints JSON and CSV with the promised fields, and
wrong command lines end with status 2.

usage: every_mode_gives_valid_output.py <softattn-bench>
"""
import csv
import io
import json
import math
import re
import subprocess
import sys

bench = sys.argv[1]

MATRIX_MODES = ("softmax", "softmax-backward", "cross-entropy", "sampling", "diagnose")
SMALL_SOFTMAX = ["softmax", "--rows", "7", "--cols", "130"]
SMALL_ATTENTION = ["attention", "--heads", "4", "--kv-heads", "2", "--seq-q", "9", "--seq-kv", "33",
                   "--dim", "16"]


def run(*arguments, status=0):
    """The standard output of a trial run that must end with this status."""
    done = subprocess.run([bench, *arguments, "--min-time", "0"], capture_output=True, text=True, check=False)
    assert done.returncode == status, f"status {done.returncode} of {arguments}: {done.stderr}"
    return done


def run_json(*arguments):
    report = json.loads(run(*arguments, "--json").stdout)
    assert report["program"] == "softattn-bench"
    assert report["command"][1:] == [*arguments, "--json", "--min-time", "0"], report["command"]
    assert report["machine"]["cpus"] >= 1 and "generic" in report["machine"]["isas"]
    assert 0 <= report["noise"]["stolen_share"] <= 1
    return report


def check_positive(record, *names):
    for name in names:
        assert math.isfinite(record[name]) and record[name] > 0, f"{name} of {record}"


def check_result(result):
    assert result["error"] is None, result
    check_positive(result, "threads", "seconds", "seconds_min", "samples", "calls_per_sample", "bytes",
                   "gigabytes_per_second", "multiply_add_gflops", "traffic_gigabytes_per_second", "share")
    assert result["seconds_min"] <= result["seconds"] and result["spread"] >= 0
    assert result["binding"] in ("multiply-add", result["traffic"])
    assert result["type"] in ("f32", "f64", "f16", "bf16")
    if result["operation"] in ("attention", "linear-attention"):
        check_positive(result, "batch", "heads", "kv_heads", "seq_q", "seq_kv", "dim", "dim_v", "flops",
                       "gflops")
        assert result["rows"] is None and result["causal"] in ("none", "top-left", "bottom-right")
    else:
        check_positive(result, "rows", "cols", "nanoseconds_per_element", "peak_flops_per_element")
        assert result["operation"] in MATRIX_MODES and result["batch"] is None


def check_ceilings(ceilings, isas):
    arithmetic = [c for c in ceilings if c["name"] == "multiply-add"]
    assert {(c["type"], c["threads"]) for c in arithmetic} == {("f32", 1), ("f64", 1), ("f32", 2), ("f64", 2)}
    names = {c["isa"] for c in arithmetic}
    assert "generic" in names and names <= set(isas) and len(arithmetic) == 4 * len(names), names
    traffic = {(c["level"], c["name"]) for c in ceilings if c["name"] != "multiply-add"}
    for level in ("L1", "L2", "DRAM"):
        assert {(level, "read"), (level, "copy"), (level, "add")} <= traffic, traffic
    assert {("DRAM", "nontemporal-copy"), ("DRAM", "nontemporal-add")} <= traffic
    for ceiling in ceilings:
        check_positive(ceiling, "gflops" if ceiling["name"] == "multiply-add" else "gigabytes_per_second")


def check_csv(*arguments):
    """Every line has a value for every name in the first one."""
    rows = list(csv.DictReader(io.StringIO(run(*arguments, "--csv").stdout), strict=True))
    assert rows, arguments
    for row in rows:
        assert None not in row and None not in row.values(), row
    return rows


def ceilings_name_every_level_and_instruction_set():
    report = run_json("ceilings", "--threads", "1,2")
    check_ceilings(report["ceilings"], report["machine"]["isas"])
    assert "results" not in report
    assert len(check_csv("ceilings", "--threads", "1,2")) == len(report["ceilings"])


def size_of(extra):
    """The bytes of an element, by the options."""
    return 8 if "f64" in extra else 2 if "f16" in extra or "bf16" in extra else 4


def softmax_results_are_complete():
    for extra in ([], ["--in-place"], ["--type", "f64", "--threads", "2"], ["--type", "f16"],
                  ["--type", "bf16", "--in-place"], ["--engine", "textbook"]):
        results = run_json(*SMALL_SOFTMAX, *extra)["results"]
        assert len(results) == 1
        check_result(results[0])
        size = size_of(extra)
        assert results[0]["bytes"] == 2 * size * 7 * 130
        assert results[0]["in_place"] == ("--in-place" in extra)
    assert check_csv(*SMALL_SOFTMAX)[0]["cols"] == "130"


def gradient_results_are_complete():
    for mode in ("softmax-backward", "cross-entropy"):
        for extra in ([], ["--in-place"], ["--type", "f64", "--threads", "2"], ["--type", "f16", "--in-place"],
                      ["--type", "bf16"]):
            results = run_json(mode, *SMALL_SOFTMAX[1:], *extra)["results"]
            assert len(results) == 1
            check_result(results[0])
            size = size_of(extra)
            row = 3 * size * 130 if mode == "softmax-backward" else 2 * size * 130 + 8 + max(size, 4)
            assert results[0]["operation"] == mode and results[0]["in_place"] == ("--in-place" in extra)
            assert results[0]["bytes"] == 7 * row
        assert f"{mode} 7x130 f32" in run(mode, *SMALL_SOFTMAX[1:]).stdout


def output_results_are_complete():
    for extra in ([], ["--temperature", "0"], ["--top-k", "3", "--top-p", "0.5", "--type", "f64", "--threads", "2"]):
        results = run_json("sampling", *SMALL_SOFTMAX[1:], *extra)["results"]
        assert len(results) == 1
        check_result(results[0])
        assert results[0]["bytes"] == 7 * 130 * (8 if "f64" in extra else 4) and results[0]["traffic"] == "read"
        assert results[0]["min_p"] == 0
        assert results[0]["top_k"] == (3 if "--top-k" in extra else 0) and results[0]["in_place"] is None
    filters = ["--temperature", "0.7", "--top-k", "3", "--top-p", "0.5", "--min-p", "0.125"]
    assert "sampling 7x130 T 0.7 top-k 3 top-p 0.5 min-p 0.125 f32" in run(
        "sampling", *SMALL_SOFTMAX[1:], *filters).stdout
    assert run_json("sampling", *SMALL_SOFTMAX[1:], *filters)["results"][0]["min_p"] == 0.125
    assert check_csv("sampling", *SMALL_SOFTMAX[1:], *filters)[0]["min_p"] == "0.125"
    result = run_json("diagnose", *SMALL_SOFTMAX[1:])["results"][0]
    check_result(result)
    assert result["bytes"] == 7 * 130 * 4 and result["top_k"] is None


def attention_results_are_complete():
    pairs = {"none": 9 * 33, "top-left": sum(range(1, 10)), "bottom-right": sum(range(25, 34))}
    for causal, visible in pairs.items():
        results = run_json(*SMALL_ATTENTION, "--causal", causal)["results"]
        assert len(results) == 1
        check_result(results[0])
        assert results[0]["flops"] == 4 * 16 * visible * 4 and results[0]["kv_heads"] == 2
        assert (results[0]["window_left"], results[0]["window_right"]) == (-1, -1)
    check_result(run_json(*SMALL_ATTENTION, "--type", "f64", "--dim-v", "3")["results"][0])
    assert check_csv(*SMALL_ATTENTION)[0]["seq_kv"] == "33"


def linear_attention_results_are_complete():
    small = ["linear-attention", *SMALL_ATTENTION[1:]]
    counted = {"none": 4 * 9 + 2 * 33, "top-left": 4 * 9 + 2 * 9, "bottom-right": 4 * 9 + 2 * 33}
    for causal, rows in counted.items():
        for extra in ([], ["--type", "f64", "--threads", "2"]):
            result = run_json(*small, "--dim-v", "5", "--causal", causal, *extra)["results"][0]
            check_result(result)
            assert result["flops"] == 2 * 16 * 5 * rows, result
            assert result["bytes"] == (8 if extra else 4) * (16 + 5) * rows, result
            assert (result["operation"], result["engine"], result["causal"]) == ("linear-attention", "library", causal)
            assert result["window_left"] is None and result["layout"] is None and result["normalizer"] is None
    assert check_csv(*small)[0]["seq_kv"] == "33"
    assert "linear-attention b1 h4/2 9x33 d16 top-left f32" in run(*small, "--causal", "top-left").stdout


def biases_are_named_and_run():
    for bias in ("none", "keys", "matrix", "heads"):
        for engine in ("fused", "blas"):
            result = run_json(*SMALL_ATTENTION, "--bias", bias, "--engine", engine)["results"][0]
            check_result(result)
            assert result["bias"] == bias and result["flops"] == 4 * 16 * 9 * 33 * 4, result
    assert "9x33 d16 bias heads f32" in run(*SMALL_ATTENTION, "--bias", "heads").stdout


def attention_options_are_named_and_run():
    for option, field, value, name in (("--softcap 20", "softcap", 20, "softcap 20"), ("--alibi", "alibi", 1, "alibi"),
                                       ("--dropout 0.25", "dropout", 0.25, "dropout 0.25"),
                                       ("--layout bshd", "layout", "bshd", "bshd"),
                                       ("--keep-mask causal", "keep_mask", "causal", "keep-mask causal")):
        for extra in (["--engine", "fused"], ["--engine", "blas", "--type", "f64"]):
            result = run_json(*SMALL_ATTENTION, *option.split(), *extra)["results"][0]
            check_result(result)
            visible = sum(range(1, 10)) if field == "keep_mask" else 9 * 33
            assert result[field] == value and result["flops"] == 4 * 16 * visible * 4, result
        assert f"9x33 d16 {name} f32" in run(*SMALL_ATTENTION, *option.split()).stdout
        assert check_csv(*SMALL_ATTENTION, *option.split())[0][field] == str(value)
    plain = run_json(*SMALL_ATTENTION)["results"][0]
    assert [plain[field] for field in ("softcap", "alibi", "dropout", "layout", "keep_mask", "bias")] == [
        0, 0, 0, "bhsd", "none", "none"], plain
    softmax = run_json(*SMALL_SOFTMAX)["results"][0]
    assert softmax["layout"] is None and softmax["dropout"] is None and softmax["alibi"] is None, softmax
    everything = ("--causal bottom-right --window 30,3 --keep-mask causal --bias heads --softcap 20 --alibi "
                  "--dropout 0.5 --layout bshd --dim-v 8 --threads 2")
    result = run_json(*SMALL_ATTENTION, *everything.split())["results"][0]
    check_result(result)
    assert result["flops"] == 2 * (16 + 8) * sum(min(i, 6) + 1 for i in range(9)) * 4, result
    assert ("attention b1 h4/2 9x33 d16/8 bottom-right window 30,3 keep-mask causal bias heads softcap 20 alibi "
            "dropout 0.5 bshd f32") in run(*SMALL_ATTENTION, *everything.split()).stdout


def the_textbook_is_for_plain_problems():
    for option in ("--normalizer relu", "--bias keys", "--keep-mask causal", "--softcap 20", "--alibi", "--dropout 0.1",
                   "--layout bshd"):
        name = option.split()[0]
        for engines in ("textbook", "auto,textbook"):
            done = run(*SMALL_ATTENTION, *option.split(), "--engine", engines, status=2)
            assert done.stderr == f"softattn-bench: the textbook is for plain problems; it has no {name}\n", done.stderr
    plain = "--layout bhsd --keep-mask none --softcap 0 --dropout 0 --engine textbook"
    check_result(run_json(*SMALL_ATTENTION, *plain.split())["results"][0])


def calls_are_made_without_a_clock():
    for line in (SMALL_SOFTMAX, ("cross-entropy", *SMALL_SOFTMAX[1:]), SMALL_ATTENTION,
                 ("linear-attention", *SMALL_ATTENTION[1:])):
        done = run(*line, "--calls", "3")
        assert done.stdout == "" and done.stderr == "", done


def normalizers_are_named_and_run():
    for name in ("softmax", "none", "relu", "relu-squared", "sigmoid", "softmax-plus-one", "sparsemax", "entmax"):
        for line in (SMALL_SOFTMAX, ("softmax-backward", *SMALL_SOFTMAX[1:]), SMALL_ATTENTION):
            result = run_json(*line, "--normalizer", name)["results"][0]
            check_result(result)
            assert result["normalizer"] == name, result
    assert "7x130 sparsemax f32" in run(*SMALL_SOFTMAX, "--normalizer", "sparsemax").stdout
    assert "9x33 d16 relu f32" in run(*SMALL_ATTENTION, "--normalizer", "relu").stdout


def softmax_options_are_named_and_run():
    backward = ("softmax-backward", *SMALL_SOFTMAX[1:])
    for option in ("--scale 0.125", "--scale 0", "--log", "--side-by-side"):
        for line in (SMALL_SOFTMAX, backward):
            check_result(run_json(*line, *option.split())["results"][0])
    for causal in ("none", "top-left", "bottom-right"):
        result = run_json(*SMALL_SOFTMAX, "--causal", causal)["results"][0]
        check_result(result)
        assert (result["causal"], result["scale"], result["log"]) == (causal, 1, 0), result
    everything = "--scale 0.125 --causal top-left --log --normalizer softmax-plus-one"
    assert ("softmax 7x130 scale 0.125 top-left log softmax-plus-one f32"
            in run(*SMALL_SOFTMAX, *everything.split()).stdout)
    assert run_json(*backward, "--side-by-side")["results"][0]["side_by_side"] == 1
    assert "softmax 7x130 side-by-side f32" in run(*SMALL_SOFTMAX, "--side-by-side").stdout
    for option in ("--scale 2", "--causal top-left", "--log", "--side-by-side"):
        done = run(*SMALL_SOFTMAX, *option.split(), "--engine", "textbook", status=2)
        assert done.stderr.endswith(f"it has no {option.split()[0]}\n"), done.stderr


def visible_pairs(seq_q, seq_kv, causal, left, right):
    """Pairs of a query and a key it sees, by the definition of the masks."""
    offset = seq_kv - seq_q if causal == "bottom-right" else 0
    return sum((causal == "none" or j <= i + offset) and (left < 0 or j >= i + offset - left) and
               (right < 0 or j <= i + offset + right) for i in range(seq_q) for j in range(seq_kv))


def windows_count_only_what_they_show():
    for causal in ("none", "top-left", "bottom-right"):
        for left, right in ((4, 2), (3, 0), (-1, 5), (2, -1), (0, 0), (-1, -1)):
            masks = ["--causal", causal, "--window", f"{left},{right}"]
            result = run_json(*SMALL_ATTENTION, *masks)["results"][0]
            check_result(result)
            assert (result["window_left"], result["window_right"]) == (left, right), result
            assert result["flops"] == 4 * 16 * visible_pairs(9, 33, causal, left, right) * 4, result
    engines = [*SMALL_ATTENTION, "--window", "4,2", "--engine", "fused,blas,textbook"]
    rows = check_csv(*engines)
    assert [(row["engine"], row["window_left"], row["window_right"]) for row in rows] == [
        ("fused", "4", "2"), ("blas", "4", "2"), ("textbook", "4", "2")], rows
    assert "9x33 d16 window 4,2 f32" in run(*engines).stdout


def lists_measure_every_combination():
    isas = run_json(*SMALL_SOFTMAX)["machine"]["isas"]
    ways = ["--isa", ",".join(isas), "--threads", "1,2", "--engine", "blas,textbook"]
    results = run_json(*SMALL_ATTENTION, *ways)["results"]
    seen = {(result["isa"], result["threads"], result["engine"]) for result in results}
    assert seen == {(isa, threads, engine)
                    for isa in isas for threads in (1, 2) for engine in ("blas", "textbook")}
    assert len(results) == len(seen)
    for result in results:
        check_result(result)


def the_grid_has_every_family():
    report = run_json("grid", "--quick", "--threads", "1,2")
    check_ceilings(report["ceilings"], report["machine"]["isas"])
    for result in report["results"]:
        check_result(result)
    families = {result["family"] for result in report["results"]}
    assert families >= {*MATRIX_MODES, "prefill", "causal", "window", "grouped-heads", "batches", "decode", "tiny",
                        "prefill-f64"}
    assert len(report["results"]) == 2 * len(families)
    windows = {(result["causal"], result["window_left"], result["window_right"])
               for result in report["results"] if result["family"] == "window"}
    assert windows == {("top-left", 255, 0)}, windows
    only = check_csv("grid", "--quick", "--family", "tiny")
    assert [row["family"] for row in only] == ["tiny"]


def tables_are_for_people():
    for arguments in (["ceilings"], SMALL_SOFTMAX, SMALL_ATTENTION):
        done = run(*arguments)
        assert "softattn-bench: library" in done.stdout and "\r" not in done.stdout + done.stderr
    assert "softmax 7x130 f32" in run(*SMALL_SOFTMAX).stdout
    assert "attention b1 h4/2 9x33 d16 f32" in run(*SMALL_ATTENTION).stdout
    assert re.search(r"multiply-add .* GFLOP/s +[0-9.]+ %$", run("ceilings").stdout, re.M)
    assert re.search(r" GB/s +[0-9.]+ ns, [0-9]+ FLOP +[0-9.]+ % of ", run(*SMALL_SOFTMAX).stdout)


def help_explains_the_table():
    help_lines = subprocess.run([bench, "--help"], capture_output=True, text=True, check=True).stdout.splitlines()
    explained = help_lines[help_lines.index("columns of the table:") + 1:]
    for column in ("median", "spread", "rate", "per element", "share", "(doubtful)"):
        assert any(line.startswith(f"  {column}  ") for line in explained), column


def wrong_command_lines_end_with_status_2():
    for line in ("", "melt", "softmax twice", "softmax --batch 2", "ceilings --rows 2", "softmax --rows 0",
                 "softmax --rows many", "softmax --rows 3x", "softmax --rows", "softmax --type f8", "attention --type f16",
                 "softmax --type bf16 --engine textbook", "diagnose --type bf16", "sampling --type f16",
                 "softmax --engine blas", "cross-entropy --engine textbook", "softmax-backward --heads 2",
                 "sampling --in-place", "sampling --top-p 1.5", "sampling --min-p 2", "softmax --min-p 0.1",
                 "attention --dropout 1.5", "attention --dropout", "attention --softcap -1", "attention --softcap inf",
                 "attention --alibi=1", "attention --layout sbhd", "attention --keep-mask window",
                 "softmax --dropout 0.1",
                 "grid --layout bshd", "linear-attention --window 4,2", "linear-attention --engine fused",
                 "linear-attention --dropout 0.1", "linear-attention --normalizer relu", "linear-attention --type f16",
                 "attention --seq-q 10000000 --seq-kv 10000000 --dim 1 --keep-mask causal", "sampling --top-k -1",
                 "diagnose --top-k 2",
                 "softmax --rows 1000000000 --cols 1000000000",
                 "attention --isa abacus", "attention --causal left", "attention --window 4",
                 "attention --window 4,-2", "attention --window 4,2,1", "attention --window ,2",
                 "grid --window 4,2", "attention --bias", "attention --bias rows", "softmax --bias keys",
                 "attention --bias keys --engine textbook", "softmax --calls 0", "grid --calls 3",
                 "softmax --normalizer", "softmax --normalizer softmin", "cross-entropy --normalizer relu",
                 "softmax --normalizer relu --engine textbook", "softmax-backward --causal top-left",
                 "cross-entropy --log", "softmax --scale -1", "softmax --scale",
                 "attention --seq-q 10000000 --seq-kv 10000000 --dim 1 --bias heads",
                 "attention --heads 3 --kv-heads 2",
                 "grid --threads 1,,2", "grid --threads 5000", "grid --what"):
        arguments = line.split()
        done = run(*arguments, status=2)
        assert done.stdout == "" and len(done.stderr.splitlines()) == 1, (arguments, done.stdout, done.stderr)


def wrong_command_lines_are_told_what_there_is():
    for line, message in (
            ("melt", "there is no mode melt; there are ceilings, softmax, softmax-backward, cross-entropy, sampling, "
                     "diagnose, attention, linear-attention and grid"),
            ("attention --type f16", "attention has no type f16; it has f32 and f64"),
            ("softmax --type f8", "--type is f8; it must be f32, f64, f16 or bf16"),
            ("softmax --engine blas", "softmax has no engine blas; it has auto and textbook"),
            ("diagnose --engine textbook", "diagnose has no engine textbook; it has auto"),
            ("softmax --engine slow", "--engine is slow; it must be auto, fused, blas or textbook"),
            ("softmax --type bf16 --engine textbook", "the textbook has no type bf16; it has f32 and f64"),
            ("softmax --normalizer softmin", "--normalizer is softmin; it must be softmax, none, relu, relu-squared, "
                                             "sigmoid, softmax-plus-one, sparsemax or entmax"),
            ("attention --bias rows", "--bias is rows; it must be none, keys, matrix or heads"),
            ("grid --family softmax-b --engine fused,textbook",
             "nothing of --family softmax-b is left: softmax-backward has no engine textbook; it has auto"),
            ("attention --causal left", "--causal is left; it must be none, top-left or bottom-right")):
        assert run(*line.split(), status=2).stderr == f"softattn-bench: {message}\n", line


def the_grid_leaves_out_what_an_engine_has_not():
    results = run_json("grid", "--quick", "--family", "softmax", "--engine", "auto,textbook")["results"]
    solved = {(result["family"], result["engine"]) for result in results}
    families = ("softmax", "softmax-options", "softmax-f64", "softmax-16-bit", "softmax-backward",
                "softmax-backward-16-bit")
    assert solved == {*((family, "library") for family in families), ("softmax", "textbook"),
                      ("softmax-f64", "textbook")}, solved
    for result in results:
        check_result(result)


def a_family_that_is_none_is_told_the_families():
    message = run("grid", "--family", "softmin", status=2).stderr
    assert "--family is softmin, which is in no family's name; there are softmax, " in message, message
    families = message.strip().split("there are ")[1].replace(" and ", ", ").split(", ")
    assert {"softmax-16-bit", "sampling", "decode", "prefill-f64"} <= set(families), families
    assert {result["family"] for result in run_json("grid", "--quick")["results"]} == set(families)
    shown = subprocess.run([bench, "--help"], capture_output=True, text=True, check=True).stdout
    listed = shown.split("  families: ")[1].split("\n\n")[0].split()
    assert listed == families, listed


def help_names_every_mode():
    done = subprocess.run([bench, "--help"], capture_output=True, text=True, check=True)
    for word in ("ceilings", *MATRIX_MODES, "attention", "linear-attention", "grid", "--window LEFT,RIGHT", "--json",
                 "examples:"):
        assert word in done.stdout, word
    assert done.stderr == ""


for test in (ceilings_name_every_level_and_instruction_set, softmax_results_are_complete,
             gradient_results_are_complete, output_results_are_complete, attention_results_are_complete,
             linear_attention_results_are_complete,
             windows_count_only_what_they_show,
             attention_options_are_named_and_run, the_textbook_is_for_plain_problems,
             biases_are_named_and_run, normalizers_are_named_and_run, softmax_options_are_named_and_run,
             calls_are_made_without_a_clock,
             lists_measure_every_combination, the_grid_has_every_family, tables_are_for_people,
             help_explains_the_table,
             the_grid_leaves_out_what_an_engine_has_not, wrong_command_lines_end_with_status_2,
             wrong_command_lines_are_told_what_there_is, a_family_that_is_none_is_told_the_families,
             help_names_every_mode):
    print(test.__name__, flush=True)
    test()
