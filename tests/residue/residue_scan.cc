// SPDX-License-Identifier: Apache-2.0
//
// residue_scan: looks for a private key in the memory of a running process.
#include <getopt.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <iostream>
#include <iterator>
#include <map>
#include <optional>
#include <set>
#include <sstream>
#include <string>
#include <vector>

#include "tests/residue/forms.h"
#include "tests/residue/process.h"
#include "tests/residue/scan.h"
#include "tests/residue/values.h"

namespace vhsm::tests {
namespace {

constexpr int kClean = 0;
constexpr int kFailed = 1;
constexpr int kUsage = 2;
constexpr int kFound = 3;

constexpr const char* kHelp =
    R"(residue_scan --pid PID --key KEY.pem [OPTION]...
residue_scan --core FILE --key KEY.pem [OPTION]...

Stops the process PID, looks for the private key KEY.pem in all of its memory and in a core dump,
lets it go on, and prints what was looked for and what was found.

  --pid PID            the process; ptrace(2) must be allowed
  --key FILE           a private key in PEM without a passphrase
  --secret NAME=FILE   another secret: FILE has its bytes in hexadecimal
  --signature FILE     a signature that the key has made (ECDSA in DER, or Ed25519): its nonce is
                       looked for; --message says of what
  --message FILE       the message of the last --signature
  --digest NAME        the digest of the last --signature (SHA256)
  --words FROM-TO      addresses in hexadecimal, as in /proc/PID/maps, where 8 bytes are a finding:
                       alternate signal stacks; "all": everywhere
  --core FILE          look at this core dump instead of making one with gcore
  --no-core            make no core dump
  --help

Exit status: 0 nothing found, 3 something found, 1 the job could not be done, 2 wrong usage.
What is found in protected memory (locked, and never dumped) and in the registers of a thread that
uses the key is printed, and does not count.
)";

struct SignatureFiles {
  std::string signature, message, digest = "SHA256";
};

struct Order {
  Target target{.dump = true};
  std::vector<std::string> keys;
  std::vector<std::string> secrets;
  std::vector<SignatureFiles> signatures;
  bool help = false;
  bool good = true;
};

std::optional<Range> range_of(const std::string& text) {
  Range range;
  if (std::sscanf(text.c_str(), "%lx-%lx", &range.from, &range.to) != 2) return std::nullopt;
  return range;
}

void add_words(Order& order, const std::string& text) {
  if (text == "all") {
    order.target.words_everywhere = true;
  } else if (const auto range = range_of(text)) {
    order.target.words.push_back(*range);
  } else {
    order.good = false;
  }
}

void add_to_signature(Order& order, std::string SignatureFiles::*part, const char* text) {
  if (order.signatures.empty()) {
    order.good = false;
  } else {
    order.signatures.back().*part = text;
  }
}

void set_process(Order& order, const char* text) {
  char* end = nullptr;
  order.target.process = static_cast<pid_t>(std::strtol(text, &end, 10));
  order.good = order.good && order.target.process > 0 && *end == '\0';
}

void apply(Order& order, int option, const char* text) {
  switch (option) {
    case 'p': set_process(order, text); break;
    case 'k': order.keys.emplace_back(text); break;
    case 's': order.secrets.emplace_back(text); break;
    case 'g': order.signatures.push_back({text, {}}); break;
    case 'm': add_to_signature(order, &SignatureFiles::message, text); break;
    case 'd': add_to_signature(order, &SignatureFiles::digest, text); break;
    case 'w': add_words(order, text); break;
    case 'c': order.target.core = text; break;
    case 'n': order.target.dump = false; break;
    case 'h': order.help = true; break;
    default: order.good = false;
  }
}

Order read_order(int argc, char** argv) {
  constexpr std::array<option, 11> kOptions{{{"pid", required_argument, nullptr, 'p'},
                                             {"key", required_argument, nullptr, 'k'},
                                             {"secret", required_argument, nullptr, 's'},
                                             {"signature", required_argument, nullptr, 'g'},
                                             {"message", required_argument, nullptr, 'm'},
                                             {"digest", required_argument, nullptr, 'd'},
                                             {"words", required_argument, nullptr, 'w'},
                                             {"core", required_argument, nullptr, 'c'},
                                             {"no-core", no_argument, nullptr, 'n'},
                                             {"help", no_argument, nullptr, 'h'},
                                             {nullptr, 0, nullptr, 0}}};
  Order order;
  for (int next = 0; (next = ::getopt_long(argc, argv, "", kOptions.data(), nullptr)) != -1;) {
    apply(order, next, optarg);
  }
  const bool something = !order.keys.empty() || !order.secrets.empty();
  const bool somewhere = order.target.process > 0 || !order.target.core.empty();
  const bool signed_by_one = order.signatures.empty() || order.keys.size() == 1;
  order.good = order.good && optind == argc && something && somewhere && signed_by_one;
  return order;
}

Bytes read_bytes(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

/// Of hexadecimal digits; other characters stand for nothing.
Bytes bytes_of_hex(const Bytes& text) {
  std::string digits;
  std::ranges::copy_if(text, std::back_inserter(digits),
                       [](std::uint8_t c) { return std::isxdigit(c) != 0; });
  Bytes bytes;
  for (std::size_t at = 0; at + 2 <= digits.size(); at += 2) {
    bytes.push_back(static_cast<std::uint8_t>(std::stoul(digits.substr(at, 2), nullptr, 16)));
  }
  return bytes;
}

/// Collects the values, or says which argument gave none.
class Collection {
 public:
  void add(std::vector<Value> values, const std::string& source) {
    if (values.empty()) error_ = source;
    std::ranges::move(values, std::back_inserter(values_));
  }
  [[nodiscard]] const std::string& error() const noexcept { return error_; }
  [[nodiscard]] const std::vector<Value>& values() const noexcept { return values_; }

 private:
  std::vector<Value> values_;
  std::string error_;
};

void add_secret(Collection& collection, const std::string& text) {
  const auto equals = text.find('=');
  if (equals == std::string::npos) return collection.add({}, text);
  Bytes bytes = bytes_of_hex(read_bytes(text.substr(equals + 1)));
  std::vector<Value> values;
  if (bytes.size() >= 16) values.push_back({text.substr(0, equals), std::move(bytes)});
  collection.add(std::move(values), text + " (16 bytes or more in hexadecimal)");
}

void add_key(Collection& collection, const std::string& path, const Order& order) {
  const ossl::PKey key = read_key(path);
  collection.add(key == nullptr ? std::vector<Value>{} : values_of_key(key.get()),
                 path + " (a private key in PEM)");
  if (key == nullptr) return;
  for (const auto& [signature, message, digest] : order.signatures) {
    collection.add(
        values_of_signature(key.get(), {read_bytes(signature), read_bytes(message), digest}),
        signature + " (an ECDSA or Ed25519 signature of " + message + " by this key)");
  }
}

Collection collect(const Order& order) {
  Collection collection;
  for (const auto& path : order.keys) add_key(collection, path, order);
  for (const auto& text : order.secrets) add_secret(collection, text);
  return collection;
}

std::string mebibytes(std::size_t bytes) {
  std::array<char, 32> text{};
  std::snprintf(text.data(), text.size(), "%.1f MiB", static_cast<double>(bytes) / (1 << 20));
  return text.data();
}

void print_where(const Target& target, const Report& report) {
  if (target.process != 0) {
    std::cout << "process " << target.process << " (" << name_of(target.process)
              << "): " << report.threads << " threads stopped, " << mebibytes(report.bytes)
              << " of memory, " << report.register_bytes << " bytes of registers, "
              << report.word_bytes << " bytes by words\n";
  }
  std::cout << "core dump: " << mebibytes(report.core_bytes) << " (" << report.core << ")\n";
}

constexpr std::array<std::pair<Place, const char*>, 6> kPlaces{{
    {Place::kMemory, "memory"},
    {Place::kWords, "words"},
    {Place::kCore, "core dump"},
    {Place::kProtected, "protected memory"},
    {Place::kRegisters, "registers"},
    {Place::kCoreRegisters, "registers in the core dump"},
}};

/// "none", or where which values were found.
std::string found_in_form(const Report& report, const std::string& form) {
  std::map<Place, std::string> values;
  for (const Finding& finding : report.findings) {
    if (finding.match.form == form) values[finding.place] += " " + finding.match.value + ",";
  }
  std::string text;
  for (const auto& [place, name] : kPlaces) {
    if (!values.contains(place)) continue;
    values[place].back() = ';';
    text += std::string(text.empty() ? "" : " ") + name + ":" + values[place];
  }
  return text.empty() ? "none" : text;
}

void print_table(const Report& report, const std::vector<Value>& values) {
  std::cout << "looked for:";
  for (const Value& value : values) std::cout << " [" << value.name << "]";
  std::cout << "\n\n";
  for (const Form& form : forms()) {
    const auto has_form = [&](const Value& value) { return !form.encode(value).empty(); };
    if (std::ranges::none_of(values, has_form)) continue;
    std::string name(form.name);
    name.resize(28, ' ');
    std::cout << name << found_in_form(report, form.name) << "\n";
  }
}

void print_findings(const Report& report) {
  for (const auto& [place, name] : kPlaces) {
    const auto findings = report.at(place);
    if (findings.empty()) continue;
    std::cout << "\n" << (place <= Place::kCore ? "LEAK in " : "in ") << name << ":\n";
    for (const Finding& finding : findings) {
      std::cout << "  ";
      PrintTo(finding, &std::cout);
      std::cout << "\n";
    }
  }
}

void print_lines(const char* title, const std::vector<std::string>& lines) {
  if (lines.empty()) return;
  std::cout << "\n" << title << ":\n";
  for (const auto& line : lines) std::cout << "  " << line << "\n";
}

int run(const Order& order) {
  const Collection collection = collect(order);
  if (!collection.error().empty()) {
    std::cerr << "residue_scan: nothing to look for in " << collection.error() << "\n";
    return kFailed;
  }
  const Report report = scan(order.target, collection.values());
  if (!report.error.empty()) {
    std::cerr << "residue_scan: " << report.error << "\n";
    return kFailed;
  }
  print_where(order.target, report);
  print_table(report, collection.values());
  print_findings(report);
  print_lines("the kernel gives nothing of", report.unreadable);
  print_lines("protected memory that could be read", report.protected_memory);
  const bool found = !report.leaks().empty();
  std::cout << "\n" << (found ? "FOUND" : "nothing found") << "\n";
  return found ? kFound : kClean;
}

}  // namespace
}  // namespace vhsm::tests

int main(int argc, char** argv) {
  const vhsm::tests::Order order = vhsm::tests::read_order(argc, argv);
  if (order.help) return std::cout << vhsm::tests::kHelp, 0;
  if (!order.good) return std::cerr << vhsm::tests::kHelp, vhsm::tests::kUsage;
  return vhsm::tests::run(order);
}
