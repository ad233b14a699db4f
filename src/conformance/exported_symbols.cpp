// SPDX-License-Identifier: GPL-2.0-or-later
#include "conformance/exported_symbols.hpp"

#include <algorithm>
#include <array>
#include <cstring>
#include <fstream>
#include <iterator>
#include <link.h>
#include <optional>
#include <string_view>

namespace mediaproxy::conformance
{

namespace
{

constexpr std::array<std::string_view, 6> of_the_linker{"_init", "_fini",       "_edata",
                                                        "_end",  "__bss_start", "_start"};

/// The T at `offset`; nothing when the file ends before.
template <class T>
std::optional<T> read_at(std::string_view file, std::size_t offset)
{
    if (offset > file.size() || sizeof(T) > file.size() - offset)
        return std::nullopt;
    T value;
    std::memcpy(&value, file.data() + offset, sizeof value);
    return value;
}

std::string_view part(std::string_view file, const ElfW(Shdr) & section)
{
    if (section.sh_offset > file.size() || section.sh_size > file.size() - section.sh_offset)
        return {};
    return file.substr(section.sh_offset, section.sh_size);
}

std::optional<ElfW(Shdr)> section_at(std::string_view file, const ElfW(Ehdr) & header,
                                     std::size_t index)
{
    return read_at<ElfW(Shdr)>(file, header.e_shoff + index * header.e_shentsize);
}

void collect(std::string_view symbols, std::string_view names, std::vector<ExportedSymbol>& found)
{
    for (std::size_t at = 0; at + sizeof(ElfW(Sym)) <= symbols.size(); at += sizeof(ElfW(Sym))) {
        const auto symbol = *read_at<ElfW(Sym)>(symbols, at);
        const unsigned binding = symbol.st_info >> 4U;
        const unsigned visibility = symbol.st_other & 3U;
        if (symbol.st_shndx == SHN_UNDEF || symbol.st_shndx == SHN_ABS || binding == STB_LOCAL ||
            visibility == STV_HIDDEN || visibility == STV_INTERNAL ||
            symbol.st_name >= names.size())
            continue;
        const std::string_view name = names.substr(symbol.st_name);
        const std::string_view bare = name.substr(0, name.find('\0'));
        if (std::find(of_the_linker.begin(), of_the_linker.end(), bare) == of_the_linker.end())
            found.push_back({std::string(bare), binding == STB_WEAK});
    }
}

} // namespace

Result<std::vector<ExportedSymbol>> list_exported_symbols(const std::string& file)
{
    std::ifstream stream(file, std::ios::binary);
    const std::string bytes(std::istreambuf_iterator<char>(stream), {});
    const auto header = read_at<ElfW(Ehdr)>(bytes, 0);
    if (!header || std::memcmp(header->e_ident, ELFMAG, SELFMAG) != 0)
        return invalid(file + ": not a shared object of this machine");
    for (std::size_t i = 0; i < header->e_shnum; ++i) {
        const auto section = section_at(bytes, *header, i);
        if (!section || section->sh_type != SHT_DYNSYM)
            continue;
        const auto strings = section_at(bytes, *header, section->sh_link);
        std::vector<ExportedSymbol> found;
        if (strings)
            collect(part(bytes, *section), part(bytes, *strings), found);
        return found;
    }
    return Error{Error::Code::not_found, file + ": has no table of sections to read them from"};
}

} // namespace mediaproxy::conformance
