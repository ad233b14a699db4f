# SPDX-License-Identifier: GPL-2.0-or-later
"""What happens to records, told once for every database server that they can go into.

A test module mixes `DatabaseCases` (or, for tests of its own, `DatabaseStage`) into a TestCase
whose `database` is the lab's server: see lab/postgres.py for what such a one can do.
"""
import json
import threading

from . import runs
from .cluster import both_settings, ports_of
from .daemon import Daemon, merged, until
from .unhurt import ANSWER, OFFER

PATIENCE = 60  # seconds; retries come after 1, 2, 4, 8 s


class DatabaseStage:
    """`plugin` is the back end's name, `back_end()` its settings for the database."""

    database = None
    plugin = None

    def back_end(self):
        raise NotImplementedError

    def await_first_row(self, daemon):
        """Waits until something is written."""
        until(self.database.rows, PATIENCE, lambda: f"nothing is written: {daemon.tail()}")

    def setUp(self):
        self.folder = runs.folder(self._testMethodName)
        self.database.reset()

    def daemon(self, **changes):
        """A daemon in both roles whose records go into the database; not started."""
        settings = merged(
            both_settings(),
            {
                "dispatcher": {"accounting": [self.plugin]},
                "accounting": {"sqlite": None, self.plugin: merged(self.back_end(), changes)},
            },
        )
        daemon = Daemon("daemon", self.folder, settings)
        self.addCleanup(daemon.kill)
        return daemon

    def connect(self, daemon):
        proxy = daemon.connect()
        self.addCleanup(proxy.close)
        return proxy

    def call(self, proxy, call_id, from_tag="A", to_tag="B"):
        ports_of(proxy.update(call_id, OFFER, from_tag=from_tag))
        answer = proxy.update(call_id, ANSWER, kind="reply", from_tag=from_tag, to_tag=to_tag)
        ports_of(answer)
        self.assertEqual(proxy.remove(call_id, from_tag, to_tag), "removed")

    def await_rows(self, daemon, count, **choice):
        """The rows, once there are so many; they must not become more."""
        until(
            lambda: len(self.database.rows(**choice)) >= count,
            PATIENCE,
            lambda: f"{len(self.database.rows(**choice))} rows of {count}: {daemon.tail()}",
        )
        daemon.stop()
        rows = self.database.rows(**choice)
        self.assertEqual(len(rows), count)
        return rows

    def await_log(self, daemon, *words):
        return until(
            lambda: daemon.logged(*words),
            PATIENCE,
            lambda: f"no word of {words}: {daemon.tail()}",
        )

    def check_each_once(self, daemon, names):
        rows = self.await_rows(daemon, len(names))
        self.assertEqual(sorted(row[0] for row in rows), sorted(names))


class RecordCases(DatabaseStage):
    """What the table holds when nothing is wrong with the database."""

    def test_records_say_field_by_field_what_the_calls_did(self):
        daemon = self.daemon()
        daemon.settings = merged(
            daemon.settings,
            {
                "dispatcher": {"accounting": [self.plugin, "sqlite"]},
                "accounting": {"sqlite": {"path": str(self.folder / "beside.sqlite")}},
            },
        )
        proxy = self.connect(daemon.start())
        names = [f"call-{number}@example.com" for number in range(20)]
        for name in names:
            self.call(proxy, name, from_tag=f"from-{name}", to_tag=f"to-{name}")
        beside = until(
            lambda: len(daemon.rows()) == 20 and daemon.rows(), PATIENCE, "SQLite lacks some"
        )
        rows = self.await_rows(daemon, 20, columns="call_id, from_tag, to_tag, info, record_id")
        self.assertEqual([row[0] for row in rows], names)
        for (call_id, from_tag, to_tag, info, record_id), same in zip(rows, beside):
            info = json.loads(info)
            self.assertEqual((call_id, from_tag, to_tag, info), same)
            self.assertEqual((from_tag, to_tag), (f"from-{call_id}", f"to-{call_id}"))
            said = {"call_id": call_id, "from_tag": from_tag, "to_tag": to_tag}
            said.update(from_uri="alice@example.com", to_uri="bob@example.net", timed_out=False)
            said.update(caller_ua="Phone", callee_ua="Phone", record_id=record_id, username=None)
            self.assertEqual({key: info[key] for key in said}, said)
            (stream,) = info["streams"]
            self.assertEqual((stream["media_type"], stream["status"]), ("audio", "closed"))
        self.assertEqual(len({row[4] for row in rows}), 20)

    def test_hundreds_of_calls_at_once_come_each_once(self):
        daemon = self.daemon().start()
        names = [f"call-{number}" for number in range(400)]

        def some(first):
            proxy = self.connect(daemon)
            for name in names[first::4]:
                self.call(proxy, name)

        threads = [threading.Thread(target=some, args=(first,)) for first in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.check_each_once(daemon, names)

    def test_every_letter_comes_through(self):
        odd = "caf\u00e9-\u4e16\u754c-\U0001f4de-'\"\\;--%s$1?"
        daemon = self.daemon().start()
        self.call(self.connect(daemon), odd, from_tag="\u00fc'x", to_tag='\u00df"y')
        ((call_id, from_tag, to_tag, info),) = self.await_rows(daemon, 1)
        self.assertEqual((call_id, from_tag, to_tag), (odd, "\u00fc'x", '\u00df"y'))
        self.assertEqual(json.loads(info)["call_id"], odd)

    def test_text_longer_than_its_column_is_cut_there_and_whole_in_the_json(self):
        call_id, from_tag, to_tag = "\u00e9" * 300, "f" * 100, "t" * 2000
        daemon = self.daemon().start()
        self.call(self.connect(daemon), call_id, from_tag, to_tag)
        self.await_log(daemon, "cut")
        ((short_id, short_from, short_to, info),) = self.await_rows(daemon, 1)
        self.assertTrue(short_id and call_id.startswith(short_id), short_id)
        self.assertEqual((short_from, short_to), ("f" * 64, "t" * 64))
        info = json.loads(info)
        self.assertEqual(info["call_id"], call_id)
        self.assertEqual((info["from_tag"], info["to_tag"]), (from_tag, to_tag))

    def test_bytes_that_are_no_text_harm_nobody(self):
        daemon = self.daemon().start()
        proxy = self.connect(daemon)
        proxy.ask_raw(
            b"update\r\ntype: request\r\ncall_id: \xff\xfe\x00\xc3(\r\nfrom_tag: A\r\n"
            b"media: " + OFFER.encode() + b"\r\n\r\n"
        )
        again = self.connect(daemon)
        self.call(again, "after")
        self.check_each_once(daemon, ["after"])

    def test_table_and_columns_have_the_names_of_the_settings(self):
        daemon = self.daemon(
            sessions_table="Bills",
            callid_column="callid",
            fromtag_column="order",
            totag_column="ToTag",
            info_column="json",
        ).start()
        self.call(self.connect(daemon), "call")
        rows = self.await_rows(
            daemon,
            1,
            columns=self.database.names("callid", "order", "ToTag"),
            table=self.database.names("Bills"),
        )
        self.assertEqual(rows, [("call", "A", "B")])

    def test_two_of_a_kind_write_into_two_tables(self):
        daemon = self.daemon()
        tables = {
            name: merged(self.back_end(), {"plugin": self.plugin, "sessions_table": name})
            for name in ("first", "second")
        }
        daemon.settings = merged(
            daemon.settings,
            {
                "dispatcher": {"accounting": list(tables)},
                "accounting": {self.plugin: None, **tables},
            },
        )
        daemon.start()
        self.call(self.connect(daemon), "call")
        until(lambda: self.database.rows(table="first"), PATIENCE, daemon.tail)
        rows = self.await_rows(daemon, 1, table="second")
        self.assertEqual(self.database.rows(table="first"), rows)

    # Tables that MediaProxy made.

    def test_a_table_of_mediaproxy_is_used_as_it_is(self):
        self.database.make_mediaproxy_table()
        daemon = self.daemon().start()
        self.call(self.connect(daemon), "call")
        ((*names, info),) = self.await_rows(daemon, 1)
        self.assertEqual(names, ["call", "A", "B"])
        self.assertTrue(json.loads(info)["record_id"])

    def test_a_row_that_is_there_already_is_left_and_ours_gets_a_number(self):
        self.database.make_mediaproxy_table()
        self.database.execute(
            "INSERT INTO media_sessions (call_id, from_tag, to_tag, info) "
            "VALUES ('call', 'A', 'B', '{}')"
        )
        daemon = self.daemon().start()
        proxy = self.connect(daemon)
        for call_id in ("call", "call", "other", "other"):
            self.call(proxy, call_id)
        rows = self.await_rows(daemon, 5)
        self.assertEqual(
            [(row[0], row[2]) for row in rows],
            [("call", "B"), ("call", "B#2"), ("call", "B#3"), ("other", "B"), ("other", "B#2")],
        )
        self.assertEqual(rows[0][3], "{}")
        for row in rows[1:]:
            self.assertEqual(json.loads(row[3])["to_tag"], "B")
        self.assertEqual(len(daemon.logged("with a number behind")), 1)


class TroubleCases(DatabaseStage):
    """A database that does not do what it should; no record is lost or doubled by it."""

    def test_a_server_that_is_down_at_start(self):
        self.database.stop()
        daemon = self.daemon().start()
        proxy = self.connect(daemon)
        names = [f"call-{number}" for number in range(5)]
        for name in names:
            self.call(proxy, name)
        self.await_log(daemon, "records wait")
        self.assertLess(proxy.slowest, 0.5)
        self.database.start()
        self.check_each_once(daemon, names)

    def test_a_server_that_dies_in_the_middle_of_writing(self):
        daemon = self.daemon().start()
        proxy = self.connect(daemon)
        names = [f"call-{number}" for number in range(300)]
        for name in names[:100]:
            self.call(proxy, name)
        self.await_first_row(daemon)
        crashing = threading.Thread(target=self.database.crash)
        crashing.start()
        for name in names[100:]:
            self.call(proxy, name)
        crashing.join()
        self.assertLess(proxy.slowest, 0.5)
        self.call(proxy, "last")
        self.await_log(daemon, "records wait")
        self.database.start()
        self.check_each_once(daemon, [*names, "last"])

    def test_a_connection_that_the_server_closes(self):
        daemon = self.daemon().start()
        proxy = self.connect(daemon)
        self.call(proxy, "before")
        self.await_first_row(daemon)
        self.database.disconnect()
        self.call(proxy, "after")
        self.check_each_once(daemon, ["before", "after"])

    def test_a_database_that_may_only_be_read(self):
        daemon = self.daemon().start()
        proxy = self.connect(daemon)
        self.call(proxy, "before")
        self.await_first_row(daemon)
        self.database.set_read_only(True)
        self.call(proxy, "meanwhile")
        self.await_log(daemon, "records wait")
        self.database.set_read_only(False)
        self.check_each_once(daemon, ["before", "meanwhile"])

    def test_a_wrong_password_is_named_and_records_wait_for_the_right_one(self):
        daemon = self.daemon(password="wrong").start()
        self.call(self.connect(daemon), "call")
        (line, *_) = self.await_log(daemon, self.plugin, "records wait")
        self.assertIn("mediaproxy", line)
        self.assertNotIn("wrong", line.split(self.plugin, 1)[1])
        self.database.set_password("wrong")
        self.check_each_once(daemon, ["call"])

    def test_a_table_without_our_columns_is_named_with_the_definition_that_we_expect(self):
        self.database.execute("CREATE TABLE media_sessions (id INTEGER, other INTEGER)")
        daemon = self.daemon().start()
        self.call(self.connect(daemon), "call")
        self.await_log(daemon, "media_sessions", "create table")
        self.await_log(daemon, "records wait")
        self.database.execute("DROP TABLE media_sessions")
        self.check_each_once(daemon, ["call"])

    def test_a_record_that_a_trigger_refuses_is_named_and_the_others_are_written(self):
        daemon = self.daemon().start()
        proxy = self.connect(daemon)
        self.call(proxy, "first")
        self.await_first_row(daemon)
        self.database.refuse_calls("bad", "no such call")
        for call_id in ("second", "bad", "third"):
            self.call(proxy, call_id)
        self.await_log(daemon, "no such call", "is refused")
        self.check_each_once(daemon, ["first", "second", "third"])

    def test_a_to_tag_that_must_not_be_null_is_the_fault_of_the_record_without_one(self):
        """And no reason for the others to wait."""
        daemon = self.daemon().start()
        proxy = self.connect(daemon)
        self.call(proxy, "first")
        self.await_first_row(daemon)
        self.database.require_to_tag()
        self.call(proxy, "bad", to_tag="")
        self.call(proxy, "second")
        self.await_log(daemon, "null", "is refused")
        self.check_each_once(daemon, ["first", "second"])

    def test_a_table_that_is_dropped_is_made_again(self):
        daemon = self.daemon().start()
        proxy = self.connect(daemon)
        self.call(proxy, "before")
        self.await_first_row(daemon)
        self.database.execute("DROP TABLE media_sessions")
        self.call(proxy, "after")
        self.check_each_once(daemon, ["after"])

    def test_a_table_that_may_not_be_made_is_left_to_a_person(self):
        self.database.allow_creation(False)
        daemon = self.daemon().start()
        self.call(self.connect(daemon), "call")
        (line,) = self.await_log(daemon, "create table")
        self.await_log(daemon, "records wait")
        self.database.run_definition(line[line.index("CREATE TABLE") :])
        self.check_each_once(daemon, ["call"])
        self.assertEqual(len(daemon.logged("create table")), 1)

    def test_statements_that_take_ten_seconds_delay_neither_calls_nor_the_end(self):
        daemon = self.daemon().start()
        proxy = self.connect(daemon)
        self.call(proxy, "before")
        self.await_first_row(daemon)
        with self.database.locked():
            for number in range(20):
                self.call(proxy, f"call-{number}")
            until(self.database.waiting, PATIENCE, lambda: f"nothing is slow: {daemon.tail()}")
            self.assertLess(proxy.slowest, 0.5)
            daemon.stop()
        daemon.start()
        self.check_each_once(daemon, ["before", *(f"call-{number}" for number in range(20))])

    def test_statements_slower_than_the_timeout_are_given_up_and_tried_again(self):
        daemon = self.daemon(statement_timeout=1).start()
        proxy = self.connect(daemon)
        self.call(proxy, "before")
        self.await_first_row(daemon)
        with self.database.locked():
            self.call(proxy, "call")
            self.await_log(daemon, "records wait")
        self.check_each_once(daemon, ["before", "call"])


class LatinCases(DatabaseStage):
    """A MariaDB whose character set is latin1: what its own limits make of a record."""

    def test_letters_that_an_old_table_has_not(self):
        """latin1 has no place for them: question marks in the columns, all of it in the JSON."""
        self.database.make_mediaproxy_table()
        self.check_odd_letters()

    def check_odd_letters(self):
        odd = "call-\u4e16\U0001f4de"
        daemon = self.daemon().start()
        proxy = self.connect(daemon)
        self.call(proxy, odd)
        self.call(proxy, "caf\u00e9")
        first, second = self.await_rows(daemon, 2)
        self.assertEqual((first[0], second[0]), ("call-??", "caf\u00e9"))
        self.assertEqual([record["call_id"] for record in self.database.records()],
                         [odd, "caf\u00e9"])
        self.assertEqual(len(daemon.logged("takes no such characters")), 1)

    def test_a_server_that_would_rather_warn_than_refuse(self):
        """As many an old one's configuration says; we want to know what does not fit."""
        before = self.database.execute("SELECT @@GLOBAL.sql_mode").strip()
        self.database.execute("SET GLOBAL sql_mode = ''")
        self.addCleanup(self.database.execute, f"SET GLOBAL sql_mode = '{before}'")
        # A record is looked for by its id: that the INSERT does not fit is the first to be known.
        self.database.make_mediaproxy_table()
        self.database.execute("ALTER TABLE media_sessions ADD record_id VARCHAR(64) UNIQUE")
        self.check_odd_letters()

    def test_columns_smaller_than_ours(self):
        for collation in ("latin1_swedish_ci", "utf8mb4_bin"):
            with self.subTest(collation):
                self.database.reset()
                self.fill_small_columns(collation)

    def fill_small_columns(self, collation):
        self.database.execute(
            "CREATE TABLE media_sessions (id INT PRIMARY KEY AUTO_INCREMENT, call_id VARCHAR(10) "
            "NOT NULL, from_tag VARCHAR(5) NOT NULL, to_tag VARCHAR(5), info MEDIUMTEXT, "
            f"UNIQUE (call_id, from_tag, to_tag)) COLLATE {collation}"
        )
        daemon = self.daemon().start()
        proxy = self.connect(daemon)
        for number in range(2):
            self.call(proxy, f"0123456789-{number}", "from-tag", "to-tag")
        rows = self.await_rows(daemon, 2, columns="call_id, from_tag, to_tag")
        self.assertEqual(rows, [("0123456789", "from-", "to-ta"), ("0123456789", "from-", "to-#2")])


class DatabaseCases(RecordCases, TroubleCases):
    """All of them."""
