// SPDX-License-Identifier: GPL-2.0-or-later
// The one translation unit that compiles Asio itself (ASIO_SEPARATE_COMPILATION).
#include <asio/impl/src.hpp>
