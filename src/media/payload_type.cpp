// SPDX-License-Identifier: GPL-2.0-or-later
#include "media/payload_type.hpp"

#include <algorithm>
#include <iterator>

namespace mediaproxy::media
{

namespace
{

struct StaticType {
    std::uint8_t type;
    const char* name;
};

// RFC 3551 section 6, spelled as in the records of MediaProxy.
constexpr StaticType static_types[] = {
    {0, "G711u"}, {1, "1016"},  {2, "G721"},  {3, "GSM"},   {4, "G723"},  {5, "DVI4"},
    {6, "DVI4"},  {7, "LPC"},   {8, "G711a"}, {9, "G722"},  {10, "L16"},  {11, "L16"},
    {14, "MPA"},  {15, "G728"}, {18, "G729"}, {25, "CelB"}, {26, "JPEG"}, {28, "nv"},
    {31, "H261"}, {32, "MPV"},  {33, "MP2T"}, {34, "H263"},
};

} // namespace

std::string payload_name(std::uint8_t type)
{
    const auto known = std::find_if(std::begin(static_types), std::end(static_types),
                                    [&](const StaticType& row) { return row.type == type; });
    if (known != std::end(static_types))
        return known->name;
    return (type > 95 ? "Dynamic(" : "Unknown(") + std::to_string(type) + ")";
}

} // namespace mediaproxy::media
