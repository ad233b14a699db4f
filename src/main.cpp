// SPDX-License-Identifier: GPL-2.0-or-later
#include <cstdio>
#include <exception>

#include "app/run.hpp"

int main(int argc, char** argv)
{
    using namespace mediaproxy;
    try {
        const auto line =
            app::parse_command_line({argv + 1, argc > 0 ? static_cast<std::size_t>(argc - 1) : 0});
        if (line)
            return app::run(*line);
        std::fprintf(stderr, "mediaproxyd: %s\n", line.error().message.c_str());
        return 2;
    } catch (const std::exception& escaped) {
        std::fprintf(stderr, "mediaproxyd: %s\n", escaped.what());
        return 1;
    }
}
