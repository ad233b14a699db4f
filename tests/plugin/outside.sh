#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
# The sample plugin, and the one in the guide as the guide says, build outside the tree with what
# `meson install` installs, load, and conform. Arguments: source folder, build folder, test_plugin,
# mediaproxyd.
set -eu
source=$1 build=$2 test_plugin=$(readlink -f "$3") mediaproxyd=$(readlink -f "$4") # Meson gives them relative
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# What stands between the marks of that name in the guide, as a reader sees it.
extract() {
    sed -n "/^\.\\\\\" begin $1\$/,/^\.\\\\\" end\$/p" "$source/man/mediaproxyd-plugin.7" |
        sed -e '/^\./d' -e 's/\\e/\\/g'
}

(cd "$build" && meson install --no-rebuild --tags devel --destdir "$work/root") > "$work/log" 2>&1 ||
    { cat "$work/log"; exit 1; }
PKG_CONFIG_PATH=$(dirname "$(find "$work/root" -name mediaproxyd.pc)")
PKG_CONFIG_SYSROOT_DIR=$work/root
export PKG_CONFIG_PATH PKG_CONFIG_SYSROOT_DIR

cp -r "$source/plugins/example_jsonl" "$work/sample"
make -C "$work/sample"
OUTSIDE_PLUGIN_DIR=$work/sample "$test_plugin" 'a plugin built outside the tree writes records'
"$mediaproxyd" --check-plugin "$work/sample/accounting_jsonl.so" "path=$work/sample.jsonl"

mkdir "$work/guide"
cd "$work/guide"
extract mine.c > mine.c
extract build.sh > build.sh
grep -q mediaproxy_plugin mine.c
# The program of this build, warnings as errors, and a file of this test's own.
sed -e "s,/tmp/,$work/," -e "s,^mediaproxyd,$mediaproxyd," -e 's,-Wextra,-Wextra -Werror,' build.sh |
    sh -eu | tee report
grep -q 'accounting_mine.so: conforms to plugin ABI' report
! grep -E '^(fault|warning)' report
