#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Holds the tree to the rules of CONTRIBUTING.md: pure rooms, one direction, SPDX, file sizes."""
import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
LONGEST = 600  # lines

# Which rooms a room may include, itself aside.
ROOMS = {
    "base": set(),
    "net": {"base"},
    "media": {"base", "net"},
    "protocol": {"base", "net"},
    "session": {"base", "net", "media", "protocol"},
    "tls": {"base", "net"},
    "store": {"base"},
    "plugin": {"base", "net"},
    "accounting": {"base", "net", "protocol", "plugin", "store"},
    "conformance": {"base", "protocol", "plugin", "accounting"},
    "relay": {"base", "net", "media", "protocol", "session", "tls", "plugin", "store"},
    "dispatcher": {"base", "net", "protocol", "tls", "accounting", "store", "plugin"},
    "config": {"base", "net", "tls", "relay", "dispatcher", "plugin", "store"},
    "app": {"base", "net", "protocol", "tls", "store", "plugin", "accounting", "conformance", "relay",
            "dispatcher", "config"},
}
PURE = ("net", "media", "protocol", "session")
IMPURE = re.compile(
    r"#include <(asio|openssl|sys/|unistd|fcntl|time\.h|ctime|sqlite|ares)|"
    r"\b(read_clocks|BootClock::now|system_clock::now|steady_clock::now|log::(info|warning|error|debug))\b")
CODE = (".cpp", ".hpp", ".h", ".c", ".py", ".sh", ".build", ".map")


def tracked():
    for folder in ("src", "include", "plugins", "tests", "tls", "packaging"):
        for path in sorted((ROOT / folder).rglob("*")):
            if path.is_file() and "__pycache__" not in path.parts:
                yield path.relative_to(ROOT)


def problems_of(path):
    if path.suffix not in CODE:
        return
    text = (ROOT / path).read_text(encoding="utf-8")
    lines = text.count("\n")
    if lines > LONGEST:
        yield f"{lines} lines; {LONGEST} are the most"
    if "SPDX-License-Identifier:" not in text[:400] and path.suffix != ".map":
        yield "no SPDX line"
    if path.parts[0] == "plugins" and re.search(r'#include "\.\./\.\./src|#include "(base|net|session)/', text):
        yield "a plugin sees include/ only"
    if path.parts[0] != "src" or len(path.parts) < 3:
        return
    room = path.parts[1]
    for included in re.findall(r'#include "(\w+)/', text):
        if included in ROOMS and included != room and room in ROOMS and included not in ROOMS[room]:
            yield f"{room} may not include {included}"
    if room in PURE and (found := IMPURE.search(text)):
        yield f"{room} is pure, but has {found[0]}"


def main():
    count, bad = 0, 0
    for path in tracked():
        count += 1
        for problem in problems_of(path):
            print(f"{path}: {problem}")
            bad += 1
    print(f"{count} files, {bad} problems")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
