// SPDX-License-Identifier: GPL-2.0-or-later
#include "conformance/examination.hpp"

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fmt/format.h>
#include <iterator>

#include <mediaproxy/plugin.h>

#include "base/text.hpp"
#include "conformance/checks.hpp"
#include "conformance/trial.hpp"

namespace mediaproxy::conformance
{

namespace
{

constexpr std::size_t most_findings = 3; ///< to print of one check

using Print = std::function<void(std::string_view)>;

/// A folder that ends with this object.
class TemporaryFolder
{
public:
    TemporaryFolder()
    {
        std::string name =
            (std::filesystem::temp_directory_path() / "check-plugin-XXXXXX").string();
        if (::mkdtemp(name.data()) != nullptr)
            path_ = name;
    }
    ~TemporaryFolder()
    {
        std::error_code ignored;
        if (!path_.empty())
            std::filesystem::remove_all(path_, ignored);
    }
    TemporaryFolder(const TemporaryFolder&) = delete;
    TemporaryFolder& operator=(const TemporaryFolder&) = delete;
    const std::string& path() const noexcept { return path_; }

private:
    std::string path_;
};

struct Totals {
    std::size_t made = 0, failed = 0, warned = 0, left_out = 0;
};

/// Kind and name, as the daemon takes them from the file's name.
Result<Subject> make_subject(const Request& request, const std::string& state_dir)
{
    const std::filesystem::path file = std::filesystem::absolute(request.file);
    const std::string stem = file.stem().string();
    for (const plugin::Kind kind : {plugin::Kind::accounting, plugin::Kind::forwarding}) {
        const std::string prefix = fmt::format("{}_", to_string(kind));
        if (!stem.starts_with(prefix) || file.extension() != ".so")
            continue;
        Subject subject;
        subject.file = file.string();
        subject.dir = file.parent_path().string();
        subject.kind = kind;
        subject.name = stem.substr(prefix.size());
        subject.settings = request.settings;
        subject.state_dir = state_dir;
        subject.run = fmt::format(
            "check-{:x}", std::chrono::system_clock::now().time_since_epoch().count() / 1000);
        subject.version = request.version;
        subject.patience = request.patience;
        return subject;
    }
    return invalid(fmt::format("{}: the daemon takes plugins only from files that are called "
                               "accounting_NAME.so or forwarding_NAME.so",
                               request.file));
}

std::string_view to_text(Grade grade)
{
    switch (grade) {
    case Grade::fault:
        return "fault";
    case Grade::warning:
        return "warning";
    case Grade::left_out:
        return "left out";
    }
    return "";
}

/// Prints its lines; false when a gate is shut.
bool report(const Check& check, const Trial& trial, Totals& totals, const Print& print)
{
    const auto has = [&](Grade grade) {
        return std::any_of(trial.findings.begin(), trial.findings.end(),
                           [&](const Finding& finding) { return finding.grade == grade; });
    };
    ++totals.made;
    totals.failed += has(Grade::fault) ? 1 : 0;
    totals.left_out += has(Grade::left_out) ? 1 : 0;
    if (trial.findings.empty())
        print(fmt::format("{:<9} {}", "ok", check.name));
    std::size_t printed = 0;
    for (const Finding& finding : trial.findings) {
        totals.warned += finding.grade == Grade::warning ? 1 : 0;
        if (printed++ < most_findings)
            print(
                fmt::format("{:<9} {}: {}", to_text(finding.grade), check.name, finding.sentence));
    }
    if (printed > most_findings)
        print(fmt::format("{:<9} {}: and {} more like these", "", check.name,
                          printed - most_findings));
    return !check.gate || !(has(Grade::fault) || has(Grade::left_out));
}

/// Once is enough.
void warn_of_output(std::string& output, Trial& trial)
{
    const bool crashed =
        std::any_of(trial.findings.begin(), trial.findings.end(), [](const Finding& finding) {
            return finding.sentence.find("it said: ") != std::string::npos;
        });
    if (!output.empty() || trial.output.empty() || crashed)
        return;
    output = trial.output;
    trial.findings.push_back(
        {Grade::warning, "wrote to standard output or standard error, which is the daemon's, "
                         "instead of calling log: " +
                             text::printable(text::trim(output.substr(0, output.find('\n'))))});
}

std::string conclude(const std::string& file, const Totals& totals)
{
    std::string line = totals.failed == 0
                           ? fmt::format("{}: conforms to plugin ABI {}.{}: {} checks", file,
                                         MP_ABI_MAJOR, MP_ABI_MINOR, totals.made)
                           : fmt::format("{}: does not conform: {} of {} checks failed", file,
                                         totals.failed, totals.made);
    if (totals.warned > 0)
        line += fmt::format(", {} warning{}", totals.warned, totals.warned == 1 ? "" : "s");
    if (totals.left_out > 0)
        line += fmt::format(", {} left out", totals.left_out);
    return line;
}

} // namespace

bool examine(const Request& request, const Print& print)
{
    const TemporaryFolder folder;
    const auto subject = make_subject(request, folder.path());
    if (!subject) {
        print(subject.error().message);
        return false;
    }
    std::vector<Check> checks = general_checks();
    auto of_kind =
        subject->kind == plugin::Kind::accounting ? accounting_checks() : forwarding_checks();
    checks.insert(checks.end(), std::make_move_iterator(of_kind.begin()),
                  std::make_move_iterator(of_kind.end()));

    Totals totals;
    std::string output;
    for (const Check& check : checks) {
        auto trial = try_out(check.run, *subject);
        if (!trial) {
            print(trial.error().message);
            return false;
        }
        warn_of_output(output, *trial);
        if (!report(check, *trial, totals, print))
            break;
    }
    print(conclude(request.file, totals));
    return totals.failed == 0;
}

} // namespace mediaproxy::conformance
