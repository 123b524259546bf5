"""The tables' arithmetic, and what guards a run. Run `python3 -m unittest discover -s benches/peers/tests`; needs no packages."""

import sys
import tempfile
import unittest
from dataclasses import replace
from pathlib import Path
from unittest import mock

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import machine
import table
from cases import CASES
from entries import OURS, entries
from process import last_words
from table import Result, Skipped

OWN = Result(case="a", network="luma-s x2", trained=True, size="640x360", precision="f32", contender="srupscale f32",
             setting="", ms=10.0, peak_mib=20.0, difference=0.001, about="cpu")


def peer(contender: str, ms: float, precision: str = "f32", setting: str = "") -> Result:
    return replace(OWN, contender=contender, ms=ms, precision=precision, setting=setting, about=contender)


def cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip("|").split("|")]


class Tables(unittest.TestCase):
    def test_only_the_fastest_setting_stands_for_a_contender(self):
        slow, fast = peer("openvino f32", 30, setting="latency"), peer("openvino f32", 20, setting="throughput")
        elsewhere = replace(slow, case="b")
        self.assertEqual(table.best_settings([OWN, slow, fast, elsewhere]), [OWN, fast, elsewhere])
        self.assertEqual(table.best_settings([fast, slow]), [fast])

    def test_ratios_are_to_ours_of_the_same_class_and_case(self):
        results = [OWN, peer("ncnn f32", 25), peer("ncnn bf16", 5, "bf16"), replace(peer("ncnn f32", 40), case="b")]
        ratios = [cells(line)[5] for line in list(table.detail(results))[2:]]
        self.assertEqual(ratios, ["1.00", "2.50", "", ""])

    def test_frames_with_chroma_are_no_baseline_and_no_peer(self):
        video = peer("srupscale I420 f32", 4)
        self.assertIsNone(table.baseline([video], "a", "f32"))
        self.assertIsNone(table.best_peer([OWN, video], "a", "f32"))

    def test_the_summary_names_the_best_peer_of_each_class(self):
        results = [OWN, peer("torch eager f32", 40), peer("openvino f32", 15), peer("openvino int8", 8, "int8")]
        rows = [cells(line) for line in list(table.summary(results))[2:]]
        self.assertEqual(rows, [
            ["luma-s x2", "640x360", "f32", "10.00", "openvino f32", "15.00", "1.50"],
            ["luma-s x2", "640x360", "int8", "", "openvino int8", "8.00", ""],
        ])
        results.append(replace(OWN, precision="int8", contender="srupscale int8", ms=5.0))
        rows = [cells(line) for line in list(table.summary(results))[2:]]
        self.assertEqual(rows[1], ["luma-s x2", "640x360", "int8", "5.00", "openvino int8", "8.00", "1.60"])

    def test_random_weights_are_said(self):
        self.assertIn("random weights", table.named(replace(OWN, trained=False)))
        self.assertNotIn("random", table.named(OWN))

    def test_every_table_has_as_many_cells_in_each_line(self):
        for lines in (table.detail([OWN]), table.summary([OWN])):
            self.assertEqual(len({line.count("|") for line in lines}), 1)

    def test_who_is_left_out_is_named_once_for_each_reason(self):
        skipped = [Skipped("a", "ncnn f32", "no Sort"), Skipped("b", "ncnn f32", "no Sort"), Skipped("b", "x", "dead")]
        text = table.markdown([OWN], skipped, "head")
        self.assertIn("- ncnn f32 (a, b): no Sort\n", text)
        self.assertIn("- x (b): dead\n", text)
        self.assertTrue(text.startswith("head\n"))


class Guards(unittest.TestCase):
    def test_an_instruction_set_needs_the_lesser_ones(self):
        self.assertEqual(machine.missing("avx2", {"avx2", "fma"}), [])
        self.assertIn("avx512f", machine.missing("avx512vnni", {"avx2", "fma", "avx512_vnni"}))
        self.assertEqual(machine.missing("avxvnni", {"avx2", "fma", "avx_vnni"}), [])

    def test_all_are_held_to_the_same_instruction_set(self):
        for isa in machine.ISAS:
            env = machine.environment(2, isa, Path("cache"))
            wide = "AVX512" in env["ONEDNN_MAX_CPU_ISA"]
            self.assertEqual(env["SRUP_CPU"].startswith(("avx512", "amx")), wide)
            self.assertEqual(env["ATEN_CPU_CAPABILITY"], "avx512" if wide else "avx2")
            vnni = "VNNI" in env["ONEDNN_MAX_CPU_ISA"] or "AMX" in env["ONEDNN_MAX_CPU_ISA"]
            self.assertEqual(env["SRUP_CPU"].endswith(("vnni", "amx")), vnni)
            self.assertEqual(env["DNNL_MAX_CPU_ISA"], env["ONEDNN_MAX_CPU_ISA"])
        with mock.patch.dict("os.environ", clear=True):
            self.assertNotIn("SRUP_CPU", machine.environment(2, None, Path("cache")))

    def test_every_class_has_ours_and_peers(self):
        for luma in (True, False):
            for precision in table.CLASSES:
                who = {entry.runtime for entry in entries(luma) if entry.precision == precision}
                self.assertIn(OURS, who)
                self.assertGreater(len(who), 1)

    def test_names_are_unique(self):
        for names in ([c.name for c in CASES], [e.name for e in entries(True)], [e.name for e in entries(False)]):
            self.assertEqual(len(names), len(set(names)))

    def test_a_reason_is_the_error_line_or_the_last_one_or_the_signal(self):
        with tempfile.TemporaryDirectory() as folder:
            log = Path(folder) / "log"
            log.write_text("loading\nerror: no such thing\ngoodbye\n\n")
            self.assertEqual(last_words(log, 1), "no such thing")
            log.write_text("loading\nFatal\n")
            self.assertEqual(last_words(log, 1), "Fatal")
            self.assertEqual(last_words(log, -11), "it was ended by SIGSEGV")
            log.write_text("")
            self.assertEqual(last_words(log, 1), "it ended without a word")


if __name__ == "__main__":
    unittest.main()
