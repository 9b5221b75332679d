// SPDX-License-Identifier: Apache-2.0
#include "base/error.h"

#include <array>
#include <string>
#include <system_error>

namespace vhsm {
namespace {

struct Text {
  const char* reason;
  const char* cure;
};

// In the order of Errc. A cure names the command, option or file that helps.
constexpr std::array<Text, 34> kTexts{{
    {"invalid argument", "check the arguments of the call"},
    {"bad length", "check the lengths of the call"},
    {"wrong state", "initialise the operation first"},
    {"unsupported", "see vhsm(7) for what is supported"},
    {"crypto failure", "the error queue above this entry says more"},
    {"out of memory", "free some memory"},
    {"internal error", "please report this with the file and line"},
    {"malformed URI", "write vhsm: and 1 to 3 segments, e.g. vhsm:default/tls/www"},
    {"bad configuration", "correct vhsm.cnf, see vhsm.cnf(5)"},
    {"malformed data", "check what was stored or sent"},
    {"file error", "check that the file is there and its permissions"},
    {"memory limit reached", "raise RLIMIT_MEMLOCK (ulimit -l, LimitMEMLOCK=) or memory_limit"},
    {"process was cloned", "fork with fork(), not with a raw clone, and while no key is in use"},
    {"no private key", "name a private key"},
    {"not exportable", "the private key stays in protected memory; PEM output gives a stand-in"},
    {"refused by key policy", "see the key's policy with: vhsm key show"},
    {"no platform", "run in an SEV-SNP VM, or set platform in vhsm.cnf; vhsm doctor tells more"},
    {"platform failure", "run vhsm doctor"},
    {"untrusted chain", "check who signed this, and which roots are trusted here"},
    {"bad signature", "the data was changed or signed by someone else"},
    {"refused by policy", "check the report against the policy"},
    {"not attested", "the KBS's audit table names the check that failed"},
    {"denied", "let the KBS's policy release the resource to this VM"},
    {"missing", "store the resource first: vhsm-kbs resource put"},
    {"version", "run a KBS that speaks protocol 0.4.0"},
    {"unreachable", "check kbs and kbs_ca in vhsm.cnf, the network and the KBS; then try again"},
    {"forged", "someone changed the KBS's answer: check kbs, kbs_ca and the network"},
    {"not granted", "root decides: vhsm key grants, vhsm key grant NAME --user USER"},
    {"no vhsmd", "start vhsmd, after an upgrade anew; keystore in vhsm.cnf names its socket"},
    {"in use", "wait for the other one, or end it"},
    {"key damaged", "something overwrote this program's memory: restart it and look for the cause"},
    {"keystore damaged",
     "restore the folder of keys from a backup; vhsm keystore check names what is wrong"},
    {"too few slots", "add one: vhsm keystore add-slot, see vhsm(1)"},
    {"keystore sealed", "open it by another slot: vhsm keystore add-slot snp --recovery-key FILE"},
}};

const Text& text_of(Errc code) noexcept {
  const auto index = static_cast<std::size_t>(code) - 1;
  return kTexts[index < kTexts.size() ? index : static_cast<std::size_t>(Errc::kInternal) - 1];
}

}  // namespace

static_assert(kTexts.size() == static_cast<std::size_t>(Errc::kLast));

const char* reason(Errc code) noexcept { return text_of(code).reason; }
const char* cure(Errc code) noexcept { return text_of(code).cure; }

const char* cure(const Error& error) noexcept {
  return error.own_cure != nullptr ? error.own_cure : cure(error.code);
}

Error io_failure(Literal what, std::string_view path, int number, const Where& where) {
  const std::string reason = std::generic_category().message(number);
  return fail(Errc::kIo, what, std::string(path) + " (" + reason + ")", where);
}

std::string describe(const Error& error) {
  std::string text;
  if (!error.subject.empty()) text.append(error.subject.text()).append(": ");
  return text.append(error.what.c_str()).append(" (").append(cure(error)).append(")");
}

}  // namespace vhsm
