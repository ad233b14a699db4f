// SPDX-License-Identifier: GPL-2.0-or-later
#include <array>
#include <chrono>
#include <fmt/format.h>
#include <string>
#include <unistd.h>

#include "conformance/accounting_instance.hpp"
#include "conformance/checks.hpp"
#include "conformance/guest.hpp"

namespace mediaproxy::conformance
{

namespace
{

/// Unlike those of every other process.
std::string new_run(const Stage& stage)
{
    return fmt::format("{}-{}", stage.subject().run, ::getpid());
}

void is_created_and_destroyed(Stage& stage)
{
    const Guest guest(stage);
    stage.situation("instances were made and destroyed without being opened");
    for (int i = 0; i < 3; ++i)
        AccountingInstance(guest).destroy();
}

void judge_refusal(Stage& stage, const Outcome& created, std::string_view key)
{
    if (created.ok())
        return;
    if (created.status != MP_E_INVALID)
        stage.warn(fmt::format("create refused a value of {} with {}, not with MP_E_INVALID: {}",
                               key, to_text(created.status), created.message));
    else if (created.message.find(key) == std::string::npos)
        stage.warn(
            fmt::format("create refused a value of {} with a sentence that does not name it: "
                        "{}",
                        key, created.message));
}

void copes_with_settings(Stage& stage)
{
    const Guest guest(stage);
    stage.situation("create got no settings");
    AccountingInstance(guest, std::span<const mp_setting>()).destroy();
    for_each_odd_setting(stage, guest.plugin(),
                         [&](std::span<const mp_setting> settings, std::string_view key) {
                             AccountingInstance instance(guest, settings);
                             judge_refusal(stage, instance.created(), key);
                         });
}

void opens(Stage& stage)
{
    const Guest guest(stage);
    AccountingInstance instance(guest);
    Outcome opened;
    instance.worker().run([&] { opened = instance.call_open(); });
    if (!opened.ok())
        stage.give_up(fmt::format("open failed with {}: {} (the settings that it needs come as "
                                  "KEY=VALUE behind the file)",
                                  to_text(opened.status), opened.message));
    stage.situation("the instance was destroyed without a write");
}

void opens_again(Stage& stage)
{
    const Guest guest(stage);
    AccountingInstance instance(guest);
    instance.open();
    stage.situation("open was called for what is open already, as after MP_E_AGAIN");
    instance.open();
    SampleRecords records(new_run(stage));
    records.add(Shape::usual);
    instance.deliver(records);
    instance.open();
}

/// A check that writes what `fill` makes.
Check writes(std::string name, std::string situation, std::function<void(SampleRecords&)> fill,
             Sizes sizes = Sizes::ours)
{
    return {std::move(name),
            [situation = std::move(situation), fill = std::move(fill), sizes](Stage& stage) {
                const Guest guest(stage);
                SampleRecords records(new_run(stage));
                fill(records);
                AccountingInstance instance(guest);
                instance.open();
                stage.situation(situation);
                instance.deliver(records, sizes);
                // Another one: what was kept of the first is gone by now.
                SampleRecords usual(new_run(stage) + "-after");
                usual.add(Shape::usual);
                instance.deliver(usual);
            }};
}

Check writes_shape(Shape shape)
{
    const std::string text = fmt::format("a record {}", to_text(shape));
    return writes("write takes " + text, text + " was written",
                  [shape](SampleRecords& records) { records.add(shape); });
}

Check writes_batch(std::size_t count)
{
    return writes(fmt::format("write takes a batch of {}", count),
                  fmt::format("a batch of {} records was written", count),
                  [count](SampleRecords& records) { records.add(Shape::usual, count); });
}

void add_all_shapes(SampleRecords& records)
{
    for (int round = 0; round < 3; ++round) {
        for (int shape = 0; shape < static_cast<int>(Shape::last); ++shape)
            records.add(static_cast<Shape>(shape));
    }
}

void add_two_streams_a_record(SampleRecords& records)
{
    records.add(Shape::usual);
    records.add(Shape::nothing_known);
    records.add(Shape::unicode);
}

void takes_records_twice(Stage& stage)
{
    const Guest guest(stage);
    SampleRecords records(new_run(stage));
    records.add(Shape::usual, 10);
    AccountingInstance instance(guest);
    instance.open();
    instance.deliver(records);
    stage.situation("records were written a second time, as after a lost answer");
    instance.deliver(records);
    records.add(Shape::usual, 10);
    stage.situation("a batch was written of which one half is there already");
    instance.deliver(records);
    instance.destroy();

    stage.situation("records were written again by a new instance, as after a crash");
    AccountingInstance next(guest);
    next.open();
    next.deliver(records);
}

void works_on_any_thread(Stage& stage)
{
    const Guest guest(stage);
    AccountingInstance instance(guest);
    instance.open();
    for (int i = 0; i < 3; ++i) {
        stage.situation("write was called by another thread than open, which has ended");
        instance.change_worker();
        SampleRecords records(fmt::format("{}-{}", new_run(stage), i));
        records.add(Shape::usual, 5);
        instance.deliver(records);
    }
}

/// Two instances that do not share anything but what their settings name.
void works_beside_another(Stage& stage)
{
    const Guest guest(stage);
    SampleRecords ours(new_run(stage) + "-a"), theirs(new_run(stage) + "-b"), later(new_run(stage));
    ours.add(Shape::usual, 20);
    theirs.add(Shape::usual, 20);
    later.add(Shape::usual, 5);
    AccountingInstance first(guest), second(guest);
    first.open();
    second.open();
    stage.situation("two instances wrote at once");
    second.start_delivery(theirs);
    first.deliver(ours);
    second.worker().wait();
    stage.situation("one of two instances had been destroyed and the other one went on");
    first.destroy();
    second.deliver(later);
}

void require_mild(Stage& stage, const char* call, const Outcome& outcome)
{
    if (!outcome.ok() && outcome.status != MP_E_AGAIN)
        stage.give_up(fmt::format("{} returned {} after cancel, where only MP_E_AGAIN keeps "
                                  "the record: {}",
                                  call, to_text(outcome.status), outcome.message));
}

/// Cancels `pause` after the write began, and again and again, as the daemon does.
void cancel_a_write(Stage& stage, const Guest& guest, const SampleRecords& records,
                    Milliseconds pause)
{
    AccountingInstance instance(guest);
    instance.open();
    stage.situation("cancel was called during a write of 1000 records");
    instance.worker().start([&] {
        require_mild(stage, "write", instance.call_write(records.all(), Sizes::ours).outcome);
        require_mild(stage, "open", instance.call_open());
        require_mild(stage, "write", instance.call_write(records.all(), Sizes::ours).outcome);
    });
    const auto begin = std::chrono::steady_clock::now();
    while (!instance.worker().idle()) {
        stage.io().run_for(pause);
        instance.cancel();
        if (std::chrono::steady_clock::now() - begin > 4 * stage.subject().patience)
            stage.give_up("write and open together do not come to an end after cancel");
    }
}

void is_cancelled(Stage& stage)
{
    const Guest guest(stage);
    if (guest.accounting().cancel == nullptr)
        stage.leave_out("it has no cancel, which is optional");
    for (const Milliseconds pause : {Milliseconds(1), Milliseconds(5), Milliseconds(50)}) {
        SampleRecords records(fmt::format("{}-{}", new_run(stage), pause.count()));
        records.add(Shape::usual, 1000);
        cancel_a_write(stage, guest, records, pause);
        stage.situation("a new instance wrote what a cancelled one had left");
        AccountingInstance next(guest);
        next.open();
        next.deliver(records);
    }
    stage.situation("cancel was called before open");
    AccountingInstance idle(guest);
    idle.cancel();
    idle.worker().run([&] { require_mild(stage, "open", idle.call_open()); });
}

void leaves_nothing_behind(Stage& stage)
{
    const Guest guest(stage);
    int cycle = 0;
    stage.situation("instances were made, used and destroyed");
    look_for_leftovers(stage, [&] {
        SampleRecords records(fmt::format("{}-{}", new_run(stage), ++cycle));
        records.add(Shape::usual, 3);
        AccountingInstance instance(guest);
        instance.open();
        instance.deliver(records);
        instance.open();
    });
}

} // namespace

std::vector<Check> accounting_checks()
{
    std::vector<Check> checks{
        {"an instance is created and destroyed", is_created_and_destroyed, true},
        {"create copes with any settings", copes_with_settings},
        {"open works", opens, true},
        writes_shape(Shape::usual),
        {"open works when it is open already", opens_again},
    };
    checks[3].gate = true;
    for (int shape = 1; shape < static_cast<int>(Shape::last); ++shape)
        checks.push_back(writes_shape(static_cast<Shape>(shape)));
    checks.push_back(writes("write takes a record with an end reason of later",
                            "a record with an unknown end_reason was written",
                            [](SampleRecords& records) { records.add_with_end_reason(99); }));
    for (const std::size_t count : {1, 100, 1000})
        checks.push_back(writes_batch(count));
    checks.push_back(writes("write takes all shapes in one batch",
                            "a batch of records of every shape was written", add_all_shapes));
    checks.push_back(writes("write reads nothing behind a record",
                            "records were written with nothing behind them that may be read",
                            add_two_streams_a_record, Sizes::exact));
    checks.push_back(writes("write takes records of a later daemon",
                            "records were written whose structs have grown",
                            add_two_streams_a_record, Sizes::longer));
    checks.push_back({"write takes a record that is there already", takes_records_twice});
    checks.push_back({"write works on any thread", works_on_any_thread});
    checks.push_back({"two instances work at once", works_beside_another});
    checks.push_back({"cancel makes calls return", is_cancelled});
    checks.push_back({"destroy leaves nothing behind", leaves_nothing_behind});
    return checks;
}

} // namespace mediaproxy::conformance
