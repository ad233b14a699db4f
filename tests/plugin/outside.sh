#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
# The sample plugin builds outside the tree with what `meson install` installs, and loads.
# Arguments: source folder, build folder, test_plugin.
set -eu
source=$1 build=$2 test_plugin=$3
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

(cd "$build" && meson install --no-rebuild --tags devel --destdir "$work/root") > "$work/log" 2>&1 ||
    { cat "$work/log"; exit 1; }
pkgconfig=$(dirname "$(find "$work/root" -name mediaproxyd.pc)")
cp -r "$source/plugins/example_jsonl" "$work/sample"
PKG_CONFIG_PATH=$pkgconfig PKG_CONFIG_SYSROOT_DIR=$work/root make -C "$work/sample"
OUTSIDE_PLUGIN_DIR=$work/sample "$test_plugin" 'a plugin built outside the tree writes records'
