// SPDX-License-Identifier: GPL-2.0-or-later
#include "backend.hpp"

#include <algorithm>
#include <array>
#include <iterator>
#include <unistd.h>
#include <utility>

#include "dictionary.hpp"

namespace mediaproxy::accounting_radius
{

namespace
{

using plugin_support::Outcome;

/// A record that servers pass over so often, while they take others, is parked: it would keep all
/// that come after it.
constexpr int most_times_passed_over = 5;

constexpr std::size_t most_remembered = 10000;

void append_sentence(std::string& all, const std::string& sentence)
{
    if (!sentence.empty())
        all += (all.empty() ? "" : "; ") + sentence;
}

} // namespace

/// Records on their way.
struct Backend::Delivery {
    struct Record {
        std::string id;
        Bytes body;
        bool sent_before = false; ///< in an earlier attempt
        bool was_sent = false;
        bool passed_over = false;
    };
    std::vector<Record> records; ///< not acknowledged yet, in the order in which they go out
    std::string complaints;
    Clock::time_point began = Clock::now();

    /// Nothing in it that the servers have not been silent about already.
    bool is_doubtful() const
    {
        return std::all_of(records.begin(), records.end(),
                           [](const Record& record) { return record.sent_before; });
    }
};

Backend::Backend(Settings settings, plugin_support::Log log)
    : settings_(std::move(settings)), log_(std::move(log))
{
}

Outcome Backend::open()
{
    if (const auto failure = read_files())
        return {MP_E_AGAIN, failure->sentence};
    return {};
}

std::optional<Failure> Backend::read_files()
{
    const auto text = read_file(settings_.config_file);
    if (const auto* failure = std::get_if<Failure>(&text))
        return *failure;
    const auto file = parse_client_file(std::get<std::string>(text), settings_.config_file);
    if (const auto* failure = std::get_if<Failure>(&file))
        return *failure;
    const ClientFile& client = std::get<ClientFile>(file);
    patience_ = {client.timeout, client.tries};
    dead_time_ = client.dead_time;
    if (auto failure = read_dictionaries(client.dictionary))
        return failure;
    return find_servers(client);
}

/// The SIP proxy's first: the numbers of the Sip-*-Tag are its choice. Ours last, also behind an
/// `additional_dictionary` of somebody's own.
std::optional<Failure> Backend::read_dictionaries(const std::string& of_the_proxy)
{
    Dictionaries dictionaries;
    std::vector<std::string> paths;
    if (!of_the_proxy.empty())
        paths.push_back(path_beside(settings_.config_file, of_the_proxy));
    paths.push_back(settings_.additional_dictionary);
    if (settings_.additional_dictionary != our_dictionary && ::access(our_dictionary, R_OK) == 0)
        paths.emplace_back(our_dictionary);
    for (const std::string& path : paths) {
        if (auto failure = dictionaries.add(path))
            return failure;
    }

    const auto status = dictionaries.find_value("Acct-Status-Type", settings_.acct_status_type);
    if (const auto* failure = std::get_if<Failure>(&status))
        return *failure;
    choices_ = {std::get<std::uint32_t>(status), settings_.record_id_attribute,
                settings_.event_timestamp};
    for (const Attribute& attribute : possible_attributes(choices_)) {
        const auto number = dictionaries.find(attribute);
        if (const auto* failure = std::get_if<Failure>(&number))
            return *failure;
        numbers_[attribute.name] = std::get<Number>(number);
    }
    return std::nullopt;
}

std::optional<Failure> Backend::find_servers(const ClientFile& file)
{
    servers_.clear();
    from_.reset();
    if (!file.bind_address.empty()) {
        auto own = resolve(file.bind_address, 0, cancelled_);
        if (auto* failure = std::get_if<Failure>(&own))
            return Failure{settings_.config_file + ": bindaddr: " + failure->sentence};
        from_ = std::get<std::vector<SocketAddress>>(own).front();
    }
    Secrets secrets;
    if (!file.secrets_file.empty()) {
        const auto text = read_file(path_beside(settings_.config_file, file.secrets_file));
        if (const auto* failure = std::get_if<Failure>(&text))
            return *failure;
        secrets = Secrets::parse(std::get<std::string>(text));
    }
    std::string complaints;
    for (const NamedServer& named : file.servers) {
        if (const auto failure = add_server(named, secrets))
            append_sentence(complaints, failure->sentence);
    }
    if (servers_.empty())
        return Failure{complaints};
    if (!complaints.empty())
        log_(MP_LOG_WARNING, complaints);
    return std::nullopt;
}

/// Each address of a name is a server to try: `localhost` may be ::1 while the server has
/// 127.0.0.1.
std::optional<Failure> Backend::add_server(const NamedServer& named, const Secrets& secrets)
{
    const auto found = resolve(named.host, named.port, cancelled_);
    if (const auto* failure = std::get_if<Failure>(&found))
        return *failure;
    const auto& addresses = std::get<std::vector<SocketAddress>>(found);
    std::optional<std::string> secret = named.secret;
    if (named.secret.empty())
        secret = secrets.find(named.host);
    for (const SocketAddress& address : addresses) {
        const std::string host = address.host();
        if (!secret)
            secret = secrets.find(host);
        if (!secret)
            continue;
        std::string name = host.find(':') == host.npos ? host : "[" + host + "]";
        name += ":" + std::to_string(named.port);
        servers_.push_back(
            {host == named.host ? name : named.host + " (" + name + ")", address, *secret});
    }
    if (!secret)
        return Failure{"no secret for " + named.host + " in " + settings_.config_file +
                       " or its file of servers"};
    return std::nullopt;
}

Bytes Backend::encode(const mp_session_record& record)
{
    Bytes body;
    for (const Attribute& attribute : attributes_of(record, choices_)) {
        const bool whole = append_attribute(body, numbers_.at(attribute.name), attribute.value);
        if (!whole && cut_.insert(attribute.name).second)
            log_(MP_LOG_WARNING, attribute.name + " of record " + record.record_id +
                                     " is longer than RADIUS can say and was cut; said once");
    }
    return body;
}

/// Those that were silent lately come last.
std::vector<const Server*> Backend::in_order() const
{
    const auto now = Clock::now();
    std::vector<const Server*> order;
    for (const Server& server : servers_)
        order.push_back(&server);
    std::stable_partition(order.begin(), order.end(), [&](const Server* server) {
        const auto found = dead_until_.find(server->name);
        return found == dead_until_.end() || found->second <= now;
    });
    return order;
}

/// Records that nobody acknowledged the last time go first, so that answers to the others, behind
/// them, show who lives; but only as many as leave room for these.
Backend::Delivery Backend::prepare(std::span<const mp_session_record* const> records)
{
    std::vector<Delivery::Record> first, untried, rest;
    for (const mp_session_record* record : records) {
        if (acknowledged_.contains(record->record_id))
            continue;
        const bool sent_before = passed_over_.contains(record->record_id);
        auto& place = !sent_before ? untried : first.size() < Exchange::window / 2 ? first : rest;
        place.push_back({record->record_id, encode(*record), sent_before});
    }
    Delivery delivery;
    for (auto* part : {&first, &untried, &rest})
        std::move(part->begin(), part->end(), std::back_inserter(delivery.records));
    return delivery;
}

/// What the server took last is sent again: its answer tells one that passes others over from one
/// that is dead. Not before it was silent, lest a server that comes back gets a record twice.
bool Backend::answers_others(const Server& server)
{
    const auto taken = taken_.find(server.name);
    if (taken == taken_.end() || cancelled_.raised())
        return false;
    const Patience once{patience_.timeout, 1};
    Exchange exchange(server, once, from_, cancelled_);
    exchange.run(std::array{&std::as_const(taken->second.body)});
    return exchange.acknowledged(0);
}

/// A server whose database takes nothing new may still acknowledge what it has.
bool Backend::took_others_since(const Server& server, const std::string& record_id) const
{
    const auto taken = taken_.find(server.name);
    const auto sent = passed_over_.find(record_id);
    return taken != taken_.end() && sent != passed_over_.end() &&
           taken->second.new_at >= sent->second.first_sent;
}

void Backend::ask(const Server& server, Delivery& delivery)
{
    std::vector<const Bytes*> bodies;
    for (const Delivery::Record& record : delivery.records)
        bodies.push_back(&record.body);
    Exchange exchange(server, patience_, from_, cancelled_);
    exchange.run(bodies);
    const bool is_doubtful = delivery.is_doubtful();
    const auto now = Clock::now();

    std::vector<Delivery::Record> left;
    for (std::size_t i = 0; i < delivery.records.size(); ++i) {
        Delivery::Record& record = delivery.records[i];
        if (exchange.acknowledged(i)) {
            passed_over_.erase(record.id);
            acknowledged_.insert(std::move(record.id));
            Taken& taken = taken_[server.name];
            taken.body = std::move(record.body);
            if (!record.sent_before)
                taken.new_at = now;
            continue;
        }
        record.was_sent = record.was_sent || exchange.was_sent(i);
        record.passed_over = record.passed_over || exchange.passed_over(i);
        left.push_back(std::move(record));
    }
    delivery.records = std::move(left);
    const bool was_silent = exchange.gone() && delivery.records.size() == bodies.size();
    if (was_silent && is_doubtful && answers_others(server)) {
        for (Delivery::Record& record : delivery.records)
            record.passed_over =
                record.passed_over || (record.was_sent && took_others_since(server, record.id));
        dead_until_.erase(server.name);
        return;
    }
    append_sentence(delivery.complaints, exchange.complaint());
    if (exchange.gone())
        dead_until_[server.name] = Clock::now() + dead_time_;
    else
        dead_until_.erase(server.name);
}

void Backend::deliver(Delivery& delivery)
{
    for (const Server* server : in_order()) {
        if (delivery.records.empty() || cancelled_.raised())
            return;
        ask(*server, delivery);
    }
}

/// Of the first record that nobody acknowledged.
Outcome Backend::judge(const std::string& record_id, const Delivery& delivery)
{
    if (cancelled_.raised())
        return {MP_E_AGAIN, "cancelled"};
    for (const Delivery::Record& record : delivery.records) {
        if (!record.was_sent)
            continue;
        const auto entry = passed_over_.try_emplace(record.id, PassedOver{delivery.began}).first;
        entry->second.times += record.passed_over ? 1 : 0;
    }
    if (auto parked = park(record_id))
        return *std::move(parked);
    const auto found = passed_over_.find(record_id);
    if (found == passed_over_.end() || found->second.times == 0)
        return {MP_E_AGAIN, delivery.complaints};
    std::string sentence = "servers acknowledge other records but not " + record_id;
    append_sentence(sentence, delivery.complaints);
    return {MP_E_AGAIN, sentence};
}

std::optional<Outcome> Backend::park(const std::string& record_id)
{
    const auto found = passed_over_.find(record_id);
    if (found == passed_over_.end() || found->second.times < most_times_passed_over)
        return std::nullopt;
    passed_over_.erase(found);
    return Outcome{MP_E_FAILED, "servers acknowledge other records but not this one, " +
                                    std::to_string(most_times_passed_over) + " times"};
}

Outcome Backend::write(std::span<const mp_session_record* const> records, std::uint32_t& done)
{
    // After a failure the host brings the same records again; what is older is of no use.
    if (acknowledged_.size() > most_remembered || passed_over_.size() > most_remembered) {
        acknowledged_.clear();
        passed_over_.clear();
    }
    while (done < records.size()) {
        if (auto parked = park(records[done]->record_id)) // counted together with one before it
            return *std::move(parked);
        const auto batch =
            records.subspan(done, std::min(records.size() - done, Exchange::most_requests));
        Delivery delivery = prepare(batch);
        deliver(delivery);
        for (const mp_session_record* record : batch) {
            if (acknowledged_.erase(record->record_id) == 0)
                return judge(record->record_id, delivery);
            ++done;
        }
    }
    return {};
}

} // namespace mediaproxy::accounting_radius
