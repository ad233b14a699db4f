#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""mediaproxyd --check-plugin fails every faulty plugin of tests/plugins with a sentence that names its
fault, and passes those that are right. Arguments: mediaproxyd, tests/plugins and its folder faulty, as
built."""
import concurrent.futures
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import unittest

PROGRAM = os.path.abspath(sys.argv.pop(1))
REFUSED = pathlib.Path(sys.argv.pop(1)).resolve()
FAULTY = pathlib.Path(sys.argv.pop(1)).resolve()
FILES = {file.stem: file for folder in (REFUSED, FAULTY) for file in folder.glob("*_*.so")}

# The sentences, by file name without .so.
FAULTS = {
    # What the daemon itself would refuse.
    "accounting_wrong_major": "is made for plugin ABI 2.0, this daemon has 1.0",
    "accounting_no_symbol": "has no symbol mediaproxy_plugin",
    "accounting_not_elf": "invalid ELF header",
    "accounting_short_struct": "its mediaproxy_plugin is too short: 40 bytes",
    "accounting_wrong_name": "calls itself other, not wrong_name",
    "accounting_incomplete": "its mediaproxy_plugin is incomplete",
    "accounting_null_interface": "does not offer mp.accounting/1",
    "accounting_short_vtable": "its mp.accounting/1 is too short: 24 bytes",
    "accounting_missing_function": "its mp.accounting/1 lacks the function write",
    "accounting_crashes_while_loaded": "crashed in dlopen with SIGSEGV",
    # The constant.
    "accounting_exports": "exports more than mediaproxy_plugin: sqlite3_open",
    "accounting_bad_key": 'the setting key "a key" is not made of letters, digits, _ and -',
    "accounting_key_twice": "the setting key colour is there twice",
    "accounting_reserved_key": "the setting key plugin is the daemon's",
    "accounting_no_description": "its description is not one line of text",
    "accounting_offers_everything": 'get_interface("mp.accounting/2") is not NULL',
    "accounting_compares_the_beginning": 'get_interface("mp.accounting/10") is not NULL',
    # Exceptions.
    "accounting_throws_in_interface": "get_interface threw an exception",
    "accounting_throws_in_create": "create threw a C++ exception: thrown in create",
    "accounting_throws_later": "destroy threw an exception",
    # create
    "accounting_failing_create": "create refused with MP_E_DENIED: the moon is in the wrong phase",
    "accounting_refuses": "create refused with MP_E_INVALID: path: there must be one",
    "accounting_odd_status": "create returned 42, which is no mp_status",
    "accounting_invents_a_status": "create returned 42, which is no mp_status",
    "accounting_crashes_without_settings": "crashed in create with SIGSEGV",
    "accounting_cuts_a_value": "crashed in create with SIGABRT while create got "
                               'check_plugin_knows_no_such_key = "yyyy',
    "accounting_one_instance": "crashed in create with SIGABRT",
    "accounting_reads_old_settings": "crashed in open with SIGSEGV: "
                                     "it used the settings of create later on",
    # How a failing call explains itself.
    "accounting_says_nothing": "returned MP_E_INVALID and wrote no sentence into its mp_error",
    "accounting_no_zero_byte": "left the sentence in its mp_error without a zero byte at its end",
    "accounting_not_utf8": "returned MP_E_INVALID with a sentence that is not UTF-8",
    "accounting_newline": "returned MP_E_INVALID with a newline in its sentence",
    "accounting_long_sentence": "it went past the end of the mp_error of create",
    # mp_host
    "accounting_logs_newline": "logged a line with a newline in it: ready\\x0a",
    "accounting_logs_odd_level": "logged a line of level 7, which there is not",
    "accounting_logs_to_a_copy": "called log with an mp_host that is not the one that create() got",
    "accounting_logs_after_destroy": "it used the mp_host later on",
    "accounting_watches_elsewhere": "called watch_fd from another thread than the core thread",
    # open
    "accounting_does_not_open": "open failed with MP_E_AGAIN: the database is away",
    "accounting_opens_once": "open failed with MP_E_FAILED: it is open already",
    "accounting_ends_the_process": "the plugin ended the process with status 3",
    # Records of every shape.
    "accounting_ascii_only": "so that the daemon would never write it: not ASCII",
    "accounting_short_texts": "data too long for column from_uri",
    "accounting_overflows": "crashed in write with SIGSEGV while a record with texts of 10 kB",
    "accounting_few_streams": "too many streams",
    "accounting_crashes_without_streams":
        "crashed in write with SIGSEGV while a record without streams was written",
    "accounting_must_know": "no time of the answer",
    "accounting_small_counters": "out of range",
    "accounting_must_know_reason": "unknown end_reason",
    "accounting_small_batches": "the batch is too large",
    "accounting_exact_size": "made for another version",
    "accounting_reads_behind": "it went past the end of the records of write",
    "accounting_takes_an_array": "it went past the end of the records of write",
    "accounting_no_duplicates": "UNIQUE constraint failed",
    "accounting_one_thread": "called by another thread",
    # The memory of a write.
    "accounting_keeps_records": "it used the records of write later on: arguments are lent for the call",
    "accounting_writes_into_record": "where it may only read, into the records of write",
    "accounting_writes_behind_done": "it went past the end of the done of write",
    "accounting_writes_before_done": "wrote in front of the done of write",
    # What it says of a write.
    "accounting_counts_too_far": "write says that 2 of 1 records are done",
    "accounting_counts_too_little": "write returned MP_OK with 0 of 1 records done",
    "accounting_done_but_failed": "write returned MP_E_AGAIN with all of 1 records done",
    "accounting_never_ready": "write says MP_E_AGAIN without end: a lock is held",
    # cancel
    "accounting_fails_after_cancel": "returned MP_E_FAILED after cancel, where only MP_E_AGAIN keeps",
    "accounting_crashes_when_cancelled": "crashed in write with SIGSEGV while cancel was called",
    "accounting_hangs_after_cancel": "write has not returned within 2 s while cancel was called",
    "accounting_cancel_hangs": "cancel has not returned within 2 s",
    # Calls that do not return.
    "accounting_hangs": "write has not returned within 2 s while a record of a usual call",
    "accounting_destroy_hangs": "destroy has not returned within 2 s",
    "accounting_frees_twice": "crashed in destroy with SIGABRT",
    # What destroy leaves.
    "accounting_leaks_descriptor": "open (/dev/null) after 3 times create and destroy",
    "accounting_leaks_thread": "left 3 of its threads running",
    "accounting_changes_locale": "changed the locale of the process from",
    "accounting_changes_signal": "changed what the process does on SIGPIPE",
    "accounting_changes_folder": "changed the working folder of the process to /",
    "accounting_changes_umask": "changed the umask of the process from",
    "accounting_changes_environment": "changed the environment of the process",
    "accounting_closes_what_is_not_its_own": "closed descriptor 0, which is not its own",
    # Forwarding.
    "forwarding_fails": "create refused with MP_E_FAILED: no idea",
    "forwarding_needs_a_flow_to_adopt": "crashed in adopt with SIGSEGV",
    "forwarding_adopts_anything": "adopt took over a flow that no predecessor had installed",
    "forwarding_forgets_each": "install did not write each[1] of 50",
    "forwarding_odd_each": "install set each[0] to 7, which is no mp_status",
    "forwarding_writes_past_each": "it went past the end of the each of install",
    "forwarding_never_answers": "read was not answered by a last piece within 2 s",
    "forwarding_answers_flows_only": "read was not answered by a last piece within 2 s",
    "forwarding_answers_another": "answered request 2 of read, where 1 was asked last",
    "forwarding_answers_twice": "went on answering a read whose last piece it had marked",
    "forwarding_cannot_replace": "replace failed with MP_E_UNSUPPORTED: this cannot be done",
    "forwarding_replaces_another": "replace set until_now to that of another flow",
    "forwarding_replaces_anything": "replace of a flow that is not installed returned MP_OK",
    "forwarding_keeps_flows": "answered a read with a flow that was removed",
    "forwarding_mixes_finals_up": "remove set finals[0] to that of another flow",
    "forwarding_crashes_on_unknown":
        "crashed in remove with SIGABRT while a flow was removed that is not installed",
    "forwarding_closes_sockets": "closed a socket of a flow, which is the host's",
    "forwarding_shares_its_flows": "lost the flow of another instance with its own",
    "forwarding_drops_packets": "a packet of an installed flow was not forwarded as it was",
    "forwarding_drops_strangers": "a packet of a stranger was not handed back by the event stray",
    "forwarding_passes_strangers": "forwarded a packet of a stranger",
    "forwarding_mixes_sides_up": "handed a packet of a stranger back with another flow, side",
    "forwarding_forgets_headers":
        "read says 3 packets and 39 bytes, where there were 3 and 123, IP and UDP headers included",
    "forwarding_counts_anew": "finals of remove says 3 packets and 123 bytes, where there were 6",
    "forwarding_sends_from_elsewhere": "was not sent from the flow's own socket",
}
# Those that conform, with a line that is in the report all the same.
RIGHT = {
    "accounting_good": "left out  cancel makes calls return: it has no cancel, which is optional",
    "accounting_right": "ok        cancel makes calls return",
    # Cuts every batch short, in many places: what is left comes again.
    "accounting_busy_at_times": "ok        write takes a batch of 100",
    "accounting_newer_minor": "is made for plugin ABI 1.7, later than this daemon's 1.0",
    "accounting_prints": "wrote to standard output or standard error, which is the daemon's, instead "
                         "of calling log: ready",
    "forwarding_right": "ok        a flow is installed, read, replaced and removed",
    "forwarding_right_reader": "ok        packets of strangers are handed back",
    "forwarding_may_not": "create refused with MP_E_DENIED: needs CAP_NET_ADMIN",
}
# A call of these does not return, or what is awaited does not come: it is not waited for as usual.
WAITED_FOR = {"accounting_hangs_after_cancel", "accounting_cancel_hangs", "accounting_hangs",
              "accounting_destroy_hangs", "accounting_leaks_thread", "accounting_leaks_descriptor",
              "forwarding_never_answers", "forwarding_answers_flows_only", "forwarding_drops_packets",
              "forwarding_drops_strangers"}


def check(plugin, *words, **options):
    done = subprocess.run([PROGRAM, f"--check-plugin={plugin}", *words], capture_output=True,
                          text=True, stdin=subprocess.DEVNULL, timeout=300, check=False, **options)
    return done.returncode, done.stdout


def check_one(name):
    words = ["path=/dev/null"] if name.startswith("accounting_") else []
    if name.startswith(("accounting_good", "accounting_newer_minor", "accounting_throws",
                        "accounting_failing_create", "accounting_odd_status")):
        words = []
    if name in WAITED_FOR:
        words.append("--patience=2")
    return name, *check(FILES[name], *words)


def check_all(names):
    with concurrent.futures.ThreadPoolExecutor(max_workers=os.cpu_count()) as pool:
        yield from pool.map(check_one, names)


class CheckPlugin(unittest.TestCase):
    def test_each_fault_is_named(self):
        for name, status, report in check_all(FAULTS):
            with self.subTest(name):
                faults = [line for line in report.splitlines() if line.startswith("fault ")]
                self.assertTrue(any(FAULTS[name] in line for line in faults), report)
                self.assertRegex(report.splitlines()[-1],
                                 rf"/{name}\.so: does not conform: \d+ of \d+ checks? failed")
                self.assertEqual(status, 1)

    def test_what_is_right_conforms(self):
        for name, status, report in check_all(RIGHT):
            with self.subTest(name):
                self.assertIn(RIGHT[name], report)
                self.assertNotRegex(report, "(?m)^fault")
                self.assertRegex(report.splitlines()[-1],
                                 rf"/{name}\.so: conforms to plugin ABI 1\.0: \d+ checks")
                self.assertEqual(status, 0)

    def test_no_faulty_plugin_is_forgotten(self):
        self.assertEqual(FILES.keys() - {"unheard_of"}, FAULTS.keys() | RIGHT.keys())

    def test_a_plugin_may_be_named_relative_to_the_working_folder(self):
        status, report = check("accounting_right.so", "path=/dev/null", cwd=FAULTY)
        self.assertEqual(status, 0, report)

    def test_a_setting_that_the_plugin_does_not_know(self):
        status, report = check(FAULTY / "accounting_right.so", "color=red")
        self.assertEqual(status, 1)
        self.assertIn("right.color: unknown setting, did you mean colour?", report)

    def test_a_file_that_the_daemon_would_never_look_for(self):
        with tempfile.TemporaryDirectory() as folder:
            other = pathlib.Path(folder) / "mine.so"
            shutil.copy(FAULTY / "accounting_right.so", other)
            status, report = check(other)
        self.assertEqual(status, 1)
        self.assertIn("only from files that are called accounting_NAME.so or forwarding_NAME.so", report)

    def test_a_file_that_is_not_there(self):
        status, report = check(FAULTY / "accounting_absent.so")
        self.assertEqual(status, 1)
        self.assertIn("accounting_absent.so: no such file", report)

    def test_nothing_is_left_in_the_temporary_folder(self):
        with tempfile.TemporaryDirectory() as folder:
            check(FAULTY / "accounting_right.so", env=os.environ | {"TMPDIR": folder})
            self.assertEqual(os.listdir(folder), [])


if __name__ == "__main__":
    unittest.main(verbosity=2)
