// SPDX-License-Identifier: Apache-2.0
//
// Keys on disk: nothing of a key that is imported, made, sealed or unsealed, nor of the root key
// and the keys of its slots, is outside protected memory of the vhsm command, vhsmd and the
// provider.
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "keystore/sealed/folder.h"
#include "snp/emulator.h"
#include "snp/sealing.h"
#include "tests/keystore/samples.h"
#include "tests/residue/full_pipe.h"
#include "tests/residue/host.h"
#include "tests/residue/note.h"
#include "tests/residue/scan.h"
#include "tests/servers/server.h"

namespace vhsm::tests {
namespace {

namespace sealed = keystore::sealed;
using ::testing::IsEmpty;
using ::testing::Not;

constexpr const char* kName = "default/residue/sealed";
constexpr const char* kUri = "vhsm:default/residue/sealed";
constexpr const char* kReceiver = "default/residue/receiver";
constexpr const char* kReceiverUri = "vhsm:default/residue/receiver";
constexpr const char* kNonce = "00112233445566778899aabbccddeeff";
constexpr std::string_view kLabel = "vhsm keystore root key";  // as module/slot_keys.cc has it

TimePoint soon() { return Clock::now() + std::chrono::seconds(10); }

Bytes clear(const SecretBytes& secret) { return {secret.expose().begin(), secret.expose().end()}; }

SecretBytes from_hex_file(const std::string& path) {
  const std::string text = read_file(path);
  Bytes bytes;
  for (std::size_t i = 0; i + 1 < text.size(); i += 2) {
    bytes.push_back(static_cast<std::uint8_t>(std::stoi(text.substr(i, 2), nullptr, 16)));
  }
  return SecretBytes::copy(bytes).value();
}

/// What this machine derives for a slot.
SecretBytes platform_key(const std::string& machine, const sealed::SlotTerms& terms) {
  std::shared_ptr<snp::Platform> platform = snp::open_emulator(machine, {}).value();
  auto keys = snp::SealingKeys::open(std::move(platform), soon()).value();
  return keys.sealing_key(snp::binding_from_bytes(terms.terms).value(), kLabel, soon()).value();
}

/// The test's own key to a folder: that of the platform's slot.
class MachineKeys final : public sealed::SlotKeys {
 public:
  explicit MachineKeys(std::string machine) : machine_(std::move(machine)) {}
  Result<SecretBytes> key_for(const sealed::SlotTerms& terms, TimePoint /*deadline*/) override {
    if (terms.kind == sealed::SlotKind::kPlatform) return platform_key(machine_, terms);
    return fail(Errc::kUnsupported, "not this one");
  }

 private:
  std::string machine_;
};

/// "secret" or "locked", the kinds of protected memory.
class SealedResidueTest : public keystore::KeystoreTest,
                          public ::testing::WithParamInterface<const char*> {
 protected:
  void SetUp() override {
    ASSERT_TRUE(world_.ready());
    plain_ = world_.file("plain.pem");
    ASSERT_EQ(
        run({"openssl", "genpkey", "-algorithm", "EC", "-pkeyopt", "group:P-256", "-out", plain_})
            .status,
        0);
    write_file(world_.file("message"), "the message");
    write_file(world_.file("vhsm.cnf"),
               "[vhsm]\nplatform = emulator:" + machine() + "\nkeystore = dir:" + folder() + "\n");
  }
  void init() const { must({"keystore", "init", "--new-recovery-key", recovery()}); }

  [[nodiscard]] std::string machine() const { return world_.file("snp"); }
  [[nodiscard]] std::string folder() const { return world_.file("keys"); }
  [[nodiscard]] std::string recovery() const { return world_.file("recovery.hex"); }
  [[nodiscard]] std::vector<std::string> environment() const {
    auto all = world_.environment();
    all.push_back(std::string("VHSM_MEMORY=") + GetParam());
    return all;
  }
  static std::vector<std::string> vhsm(std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), VHSM_BIN_DIR "/vhsm");
    return arguments;
  }
  void must(const std::vector<std::string>& arguments) const {
    const Outcome outcome = run(vhsm(arguments), environment());
    ASSERT_EQ(outcome.status, 0) << outcome.err;
  }

  // ----- what is looked for

  void add(const std::string& name, const SecretBytes& secret) {
    values_.push_back({name, clear(secret)});
  }
  void add_key_of(const std::string& pem_file) {
    const auto more = values_of_key(read_key(pem_file).get());
    ASSERT_FALSE(more.empty());
    values_.insert(values_.end(), more.begin(), more.end());
  }
  /// The root key and what opens it, of the folder as it is now.
  void add_keys_of_folder(const std::string& path) {
    const auto files = sealed::open_files(path).value();
    for (const std::string& file : files->names().value()) {
      if (!file.starts_with("root.")) continue;
      for (const auto& slot : sealed::parse_slots(files->read(file, 1 << 16).value()).value()) {
        const bool is_platform = slot.terms.kind == sealed::SlotKind::kPlatform;
        const SecretBytes key =
            is_platform ? platform_key(machine(), slot.terms) : from_hex_file(recovery());
        add(is_platform ? "slot key" : "recovery key", key);
        add("root key", sealed::open_slot(slot, key).value());
      }
    }
  }
  /// The newest version of the key that a command has made.
  void add_made_key(const std::string& name = kName) {
    sealed::Folder opened(sealed::open_files(folder()).value(),
                          std::make_shared<MachineKeys>(machine()));
    const auto made = opened.open(name, std::nullopt, soon()).value();
    const Bytes pkcs8 = clear(made.content);
    const std::string der = world_.file("made.der");
    const std::string pem = world_.file("made.pem");
    write_file(der, {pkcs8.begin(), pkcs8.end()});
    ASSERT_EQ(run({"openssl", "pkey", "-inform", "DER", "-in", der, "-out", pem}).status, 0);
    add_key_of(pem);
  }

  /// A key that may leave, another that backups are for, and its evidence.
  void make_both_ends(const std::string& receiver) {
    init();
    add_keys_of_folder(folder());
    must({"key", "import", kUri, plain_, "--policy", "backup=attested"});
    add_key_of(plain_);
    must({"key", "generate", kReceiverUri, "--algorithm", receiver, "--policy",
          "operations=restore"});
    add_made_key(kReceiver);
    must({"key", "attest", kReceiverUri, "--nonce", kNonce, "--out", world_.file("evidence")});
    write_file(world_.file("policy.cnf"),
               "[snp_policy]\nreport_data = any\nminimum_tcb = any\nvmpl = 0\nmeasurement = any\n");
  }
  [[nodiscard]] std::vector<std::string> backing_up() const {
    return vhsm({"key", "backup", kUri, "--for", world_.file("evidence"), "--nonce", kNonce,
                 "--policy", world_.file("policy.cnf"), "--allow", "recovery", "--trust-test-root",
                 machine() + "/ark.pem"});
  }

  // ----- who is searched

  /// @param holds  it has a key, or the root key, in protected memory now: there it is found.
  void expect_nothing_in(const std::string& situation, pid_t process, bool holds = true) {
    ASSERT_FALSE(values_.empty());
    const Report report = scan({.process = process, .dump = true}, values_);
    EXPECT_EQ(report.error, "");
    EXPECT_GT(report.bytes, 1U << 20);
    EXPECT_GT(report.core_bytes, 1U << 20) << report.core;
    EXPECT_THAT(report.leaks(), IsEmpty());
    if (holds && GetParam() == std::string("locked")) {
      EXPECT_THAT(report.at(Place::kProtected), Not(IsEmpty()));
    }
    note({situation, "P-256", GetParam()}, report);
  }

  /// Runs a command until it prints what it has done, and calls `look` meanwhile.
  void stop_at_output(const std::vector<std::string>& command,
                      const std::function<void(pid_t)>& look) const {
    FullPipe pipe(world_.file("pipe"));
    const int out = ::open(world_.file("pipe").c_str(), O_WRONLY | O_CLOEXEC);
    Child child(command, environment(), -1, out);
    ::close(out);
    ASSERT_TRUE(eventually([&] { return writes(child.process()); }));
    look(child.process());
    static_cast<void>(pipe.drain());
    child.wait();
  }
  /// Has the message signed, and calls `look` before it is there: then the key is.
  void stop_at_message(const std::function<void(pid_t)>& look) const {
    const std::string message = world_.file("late");
    ASSERT_EQ(::mkfifo(message.c_str(), 0600), 0);
    Child child(signing(message), environment());
    int late = -1;
    const auto is_awaited = [&] {
      late = ::open(message.c_str(), O_WRONLY | O_NONBLOCK | O_CLOEXEC);
      return late >= 0;
    };
    ASSERT_TRUE(eventually(is_awaited));
    look(child.process());
    ::close(late);
    child.wait();
    std::filesystem::remove(message);
  }
  [[nodiscard]] std::vector<std::string> signing(const std::string& message) const {
    return {"openssl",
            "dgst",
            "-provider",
            "vhsm",
            "-provider",
            "default",
            "-sha256",
            "-sign",
            kUri,
            "-out",
            world_.file("signature"),
            message};
  }

  World world_;
  std::string plain_;
  std::vector<Value> values_;
};

TEST_P(SealedResidueTest, OfAKeystoreThatIsMade) {
  stop_at_output(vhsm({"keystore", "init", "--new-recovery-key", recovery()}), [&](pid_t process) {
    add_keys_of_folder(folder());
    expect_nothing_in("vhsm keystore init", process, false);
  });
}

TEST_P(SealedResidueTest, OfASlotThatIsAdded) {
  init();
  add_keys_of_folder(folder());
  const std::string more = world_.file("more.hex");
  stop_at_output(vhsm({"keystore", "add-slot", "recovery", "--new-recovery-key", more,
                       "--recovery-key", recovery()}),
                 [&](pid_t process) {
                   add("new recovery key", from_hex_file(more));
                   expect_nothing_in("vhsm keystore add-slot", process);
                 });
}

TEST_P(SealedResidueTest, OfAKeyThatIsImported) {
  init();
  add_keys_of_folder(folder());
  add_key_of(plain_);
  stop_at_output(vhsm({"key", "import", kUri, plain_}),
                 [&](pid_t process) { expect_nothing_in("vhsm key import", process); });
}

TEST_P(SealedResidueTest, OfAKeyThatIsGenerated) {
  init();
  add_keys_of_folder(folder());
  stop_at_output(vhsm({"key", "generate", kUri, "--algorithm", "EC:P-256"}), [&](pid_t process) {
    add_made_key();
    expect_nothing_in("vhsm key generate", process);
  });
}

TEST_P(SealedResidueTest, OfAKeyThatIsRotated) {
  init();
  add_keys_of_folder(folder());
  must({"key", "generate", kUri, "--algorithm", "EC:P-256"});
  add_made_key();
  stop_at_output(vhsm({"key", "rotate", kUri}), [&](pid_t process) {
    add_made_key();
    expect_nothing_in("vhsm key rotate", process);
  });
}

class BackupResidueTest : public SealedResidueTest {
 protected:
  void expect_nothing_of_a_backup_for(const std::string& receiver) {
    make_both_ends(receiver);
    const Outcome backup = run(backing_up(), environment());
    ASSERT_EQ(backup.status, 0) << backup.err;
    write_file(world_.file("backup"), backup.out);
    stop_at_output(backing_up(), [&](pid_t process) {
      expect_nothing_in("vhsm key backup for " + receiver, process);
    });
    stop_at_output(
        vhsm({"key", "restore", world_.file("backup"), "--as", "vhsm:default/residue/restored"}),
        [&](pid_t process) { expect_nothing_in("vhsm key restore by " + receiver, process); });
  }
};

TEST_P(BackupResidueTest, OfAKeyThatLeavesForAnEcKeyAndComesBack) {
  expect_nothing_of_a_backup_for("EC:P-256");
}

TEST_P(BackupResidueTest, OfAKeyThatLeavesForAnRsaKeyAndComesBack) {
  expect_nothing_of_a_backup_for("RSA:2048");
}

TEST_P(SealedResidueTest, OfAKeyThatTheProviderUnseals) {
  init();
  add_keys_of_folder(folder());
  must({"key", "import", kUri, plain_});
  add_key_of(plain_);
  stop_at_message([&](pid_t process) { expect_nothing_in("openssl dgst, key on disk", process); });
}

TEST_P(SealedResidueTest, OfAKeyThatVhsmdUnseals) {
  init();
  add_keys_of_folder(folder());
  must({"key", "import", kUri, plain_});
  add_key_of(plain_);
  const std::string socket = world_.file("run/vhsmd.sock");
  write_file(world_.file("vhsm.cnf"), "[vhsm]\nplatform = emulator:" + machine() +
                                          "\nkeystore = unix:" + socket +
                                          "\nvhsmd_keystore = dir:" + folder() + "\n" +
                                          "grants = " + world_.file("grants").string() + "\n");
  const Child daemon({VHSM_BIN_DIR "/vhsmd", "--config", world_.file("vhsm.cnf")}, environment());
  ASSERT_TRUE(
      eventually([&] { return run(signing(world_.file("message")), environment()).status == 0; }));
  expect_nothing_in("vhsmd, keys on disk", daemon.process());
}

TEST_P(SealedResidueTest, OfACopyThatIsKeptAndOfOneThatIsServed) {
  world_.put(kName, read_file(plain_));
  world_.configure("gate = lease\noffline_grace = 1h\noffline_copies = dir:" +
                   world_.file("copies").string() + "\n");
  add_key_of(plain_);
  stop_at_message([&](pid_t process) {
    add_keys_of_folder(world_.file("copies"));
    expect_nothing_in("openssl dgst, copy kept", process);
  });
  world_.stop_kbs();
  stop_at_message([&](pid_t process) { expect_nothing_in("openssl dgst, copy served", process); });
}

class KeyInAFileTest : public SealedResidueTest {};

TEST_P(KeyInAFileTest, IsFoundByTheSameSearch) {
  add_key_of(plain_);
  stop_at_output({"openssl", "pkey", "-in", plain_}, [&](pid_t process) {
    const Report report = scan({.process = process, .dump = true}, values_);
    EXPECT_EQ(report.error, "");
    EXPECT_THAT(report.leaks(), Not(IsEmpty()));
    note({"openssl pkey", "P-256", GetParam()}, report);
  });
}

INSTANTIATE_TEST_SUITE_P(Memories, KeyInAFileTest, ::testing::Values("file"),
                         [](const auto& value) { return std::string(value.param); });

INSTANTIATE_TEST_SUITE_P(Memories, BackupResidueTest, ::testing::Values("secret", "locked"),
                         [](const auto& value) { return std::string(value.param); });

INSTANTIATE_TEST_SUITE_P(Memories, SealedResidueTest, ::testing::Values("secret", "locked"),
                         [](const auto& value) { return std::string(value.param); });

}  // namespace
}  // namespace vhsm::tests
