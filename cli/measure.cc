// SPDX-License-Identifier: Apache-2.0
//
// vhsm measure: what the reports of a guest will call MEASUREMENT, and the ID block that signs it.
#include <fmt/format.h>
#include <openssl/evp.h>

#include <memory>
#include <string>
#include <vector>

#include "cli/console.h"
#include "cli/signing_key.h"
#include "memory/protected_memory.h"
#include "snp/files.h"
#include "snp/hex.h"
#include "snp/id_block.h"
#include "snp/launch_digest.h"

namespace vhsm::cli {
namespace {

struct MeasureArguments {
  std::string ovmf;
  std::string kernel;
  std::string initrd;
  std::string append;
  std::uint32_t vcpus = 0;
  std::string vcpu_type;
  std::string vmm = "qemu";
  std::uint64_t guest_features = 1;

  std::string id_block;  ///< the file to write
  std::string id_auth;
  std::string id_key;
  std::string author_key;
  std::string family_id;
  std::string image_id;
  std::uint32_t guest_svn = 0;
  std::uint64_t policy = 0x30000;  ///< SMT allowed
};

/// EC2 tells its guests' CPU model to nobody, so the digest does not hold it.
Result<std::uint32_t> signature_of(const MeasureArguments& arguments, snp::Vmm vmm) {
  if (vmm != snp::Vmm::kQemu) return 0U;
  if (arguments.vcpu_type.empty()) {
    return fail(Errc::kInvalidArgument, "QEMU's CPU model is measured: name it", "--vcpu-type");
  }
  return snp::cpu_signature(arguments.vcpu_type);
}

Result<snp::Measurement> digest_of(const MeasureArguments& arguments) {
  const auto image = VHSM_TRY(snp::read_file(arguments.ovmf, snp::kMaxOvmfBytes));
  const auto firmware = snp::parse_ovmf(image);
  if (!firmware.ok()) return firmware.error().about(arguments.ovmf);
  snp::Launch launch{.firmware = &firmware.value(), .kernel = {}};
  launch.vmm = VHSM_TRY(snp::parse_vmm(arguments.vmm));
  launch.cpu_signature = VHSM_TRY(signature_of(arguments, launch.vmm));
  launch.vcpus = arguments.vcpus;
  launch.sev_features = arguments.guest_features;
  if (!arguments.kernel.empty()) {
    launch.kernel =
        VHSM_TRY(snp::hash_kernel(arguments.kernel, arguments.initrd, arguments.append));
  }
  return snp::launch_digest(launch);
}

// ---- the ID block ------------------------------------------------------------------------------

template <class Id>
Result<Id> id_of(const std::string& hex, const char* option) {
  Id id;
  const Status parsed = hex.empty() ? Status() : snp::from_hex(hex, id.value);
  if (!parsed.ok()) return parsed.error().about(option);
  return id;
}

Result<snp::IdBlock> block_of(const MeasureArguments& arguments, const snp::Measurement& digest) {
  snp::GuestIdentity identity;
  identity.measurement = digest;
  identity.family_id = VHSM_TRY(id_of<snp::FamilyId>(arguments.family_id, "--family-id"));
  identity.image_id = VHSM_TRY(id_of<snp::ImageId>(arguments.image_id, "--image-id"));
  identity.guest_svn = arguments.guest_svn;
  identity.policy = arguments.policy;
  return snp::make_id_block(identity);
}

/// What QEMU takes: -object sev-snp-guest,id-block=...,id-auth=...
std::string base64(std::span<const std::uint8_t> bytes) {
  std::vector<unsigned char> text(4 * ((bytes.size() + 2) / 3) + 1);
  const int size = EVP_EncodeBlock(text.data(), bytes.data(), static_cast<int>(bytes.size()));
  return {text.begin(), text.begin() + size};
}

/// The digest of a key, by the name that reports have for it.
Status add_digest(Json& json, const char* name, const EVP_PKEY* key) {
  if (key == nullptr) return {};
  const snp::KeyDigest digest = VHSM_TRY(snp::key_digest(key));
  json[name] = snp::to_hex(digest);
  return {};
}

Status write_id_block(const MeasureArguments& arguments, const snp::Measurement& digest,
                      Json& json) {
  const snp::IdBlock block = VHSM_TRY(block_of(arguments, digest));
  VHSM_TRY(memory::initialise({.protection_key = false}));
  const auto id_key = VHSM_TRY(read_signing_key(arguments.id_key));
  ossl::PKey author_key;
  if (!arguments.author_key.empty()) {
    author_key = VHSM_TRY(read_signing_key(arguments.author_key));
  }
  const auto authentication = VHSM_TRY(memory::run_protected(
      [&] { return snp::authenticate(block, id_key.get(), author_key.get()); }));
  VHSM_TRY(write_file(arguments.id_block, block));
  VHSM_TRY(write_file(arguments.id_auth, authentication));
  VHSM_TRY(add_digest(json, "id_key_digest", id_key.get()));
  VHSM_TRY(add_digest(json, "author_key_digest", author_key.get()));
  json["id_block"] = base64(block);
  json["id_auth"] = base64(authentication);
  return {};
}

// ---- the command -------------------------------------------------------------------------------

/// The measurement alone, for scripts; with keys, their digests below.
std::string text_of(const Json& json) {
  std::string text = json["measurement"].get<std::string>() + "\n";
  for (const char* name : {"id_key_digest", "author_key_digest"}) {
    if (json.contains(name)) text += fmt::format("{} {}\n", name, json[name].get<std::string>());
  }
  return text;
}

Result<Exit> run(const Console& console, const MeasureArguments& arguments) {
  const snp::Measurement digest = VHSM_TRY(digest_of(arguments));
  Json json{{"measurement", snp::to_hex(digest.value)}};
  if (!arguments.id_block.empty()) VHSM_TRY(write_id_block(arguments, digest, json));
  VHSM_TRY(console.json ? print_json(json) : print(text_of(json)));
  return Exit::kDone;
}

void add_launch_options(CLI::App& measure, MeasureArguments& arguments) {
  measure.add_option("--ovmf", arguments.ovmf, "The firmware image")->required();
  CLI::Option* const kernel =
      measure.add_option("--kernel", arguments.kernel, "A kernel that QEMU loads itself");
  measure.add_option("--initrd", arguments.initrd, "Its initrd")->needs(kernel);
  measure.add_option("--append", arguments.append, "Its command line")->needs(kernel);
  measure.add_option("--vcpus", arguments.vcpus, "Number of vCPUs")->required();
  measure.add_option("--vcpu-type", arguments.vcpu_type, "QEMU's CPU model, such as EPYC-Milan");
  measure.add_option("--vmm", arguments.vmm, "qemu (default), ec2 or ec2-before-2026");
  measure.add_option("--guest-features", arguments.guest_features,
                     "SEV_FEATURES of the vCPUs (default 1: SNP)");
}

void add_id_options(CLI::App& measure, MeasureArguments& arguments) {
  CLI::Option* const block =
      measure.add_option("--id-block", arguments.id_block, "File for an ID block");
  CLI::Option* const auth =
      measure.add_option("--id-auth", arguments.id_auth, "File for its authentication");
  CLI::Option* const key =
      measure.add_option("--id-key", arguments.id_key, "Private P-384 key that signs it (PEM)");
  block->needs(auth)->needs(key);
  auth->needs(block);
  key->needs(block);
  measure.add_option("--author-key", arguments.author_key, "Key that signs the ID key (PEM)")
      ->needs(block);
  measure.add_option("--family-id", arguments.family_id, "16 bytes, hex")->needs(block);
  measure.add_option("--image-id", arguments.image_id, "16 bytes, hex")->needs(block);
  measure.add_option("--guest-svn", arguments.guest_svn, "Security version of the guest")
      ->needs(block);
  measure.add_option("--policy", arguments.policy, "The guest's POLICY (default 0x30000)")
      ->needs(block);
}

}  // namespace

void add_measure(CLI::App& app, Console& console) {
  const auto arguments = std::make_shared<MeasureArguments>();
  CLI::App* const measure =
      app.add_subcommand("measure", "Compute the launch digest of a guest, and its ID block");
  add_launch_options(*measure, *arguments);
  add_id_options(*measure, *arguments);
  add_json(*measure, console);
  measure->callback([&console, arguments] {
    console.action = [&console, arguments] { return run(console, *arguments); };
  });
}

}  // namespace vhsm::cli
