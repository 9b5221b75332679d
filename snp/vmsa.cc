// SPDX-License-Identifier: Apache-2.0
#include "snp/vmsa.h"

#include <algorithm>

#include "snp/little_endian.h"

namespace vhsm::snp {
namespace {

/// What hypervisors do not agree on.
struct Habits {
  std::string_view name;
  std::uint16_t first_cs;  ///< attributes of CS in the first vCPU
  std::uint16_t ss;
  std::uint16_t tr;
  bool rdx_is_signature;
  std::uint64_t rdx;  ///< if it is not
  std::uint32_t mxcsr;
  std::uint16_t fcw;
};
constexpr std::array<Habits, 3> kHabits{{
    {"qemu", 0x9B, 0x93, 0x8B, true, 0, 0x1F80, 0x37F},
    {"ec2", 0x9A, 0x92, 0x83, false, 0x600, 0, 0},
    {"ec2-before-2026", 0x9A, 0x92, 0x83, false, 0, 0, 0},
}};

void put(VmsaPage& page, std::size_t offset, std::size_t bytes, std::uint64_t value) {
  write_number(std::span(page).subspan(offset, bytes), value);
}

/// A segment register: selector, attributes, limit, base.
struct Segment {
  std::size_t offset;
  std::uint16_t selector;
  std::uint16_t attributes;
  std::uint32_t base = 0;
};

void put(VmsaPage& page, const Segment& segment) {
  constexpr std::uint32_t kLimit = 0xFFFF;
  put(page, segment.offset, 2, segment.selector);
  put(page, segment.offset + 2, 2, segment.attributes);
  put(page, segment.offset + 4, 4, kLimit);
  put(page, segment.offset + 8, 8, segment.base);
}

void put_segments(VmsaPage& page, const Habits& habits, std::uint32_t eip) {
  constexpr std::uint16_t kData = 0x93;
  constexpr std::uint16_t kCode = 0x9B;
  const Segment segments[] = {
      {0x00, 0, kData},                                                                 // ES
      {0x10, 0xF000, eip == kResetVector ? habits.first_cs : kCode, eip & 0xFFFF0000},  // CS
      {0x20, 0, habits.ss},                                                             // SS
      {0x30, 0, kData},                                                                 // DS
      {0x40, 0, kData},                                                                 // FS
      {0x50, 0, kData},                                                                 // GS
      {0x60, 0, 0},                                                                     // GDTR
      {0x70, 0, 0x82},                                                                  // LDTR
      {0x80, 0, 0},                                                                     // IDTR
      {0x90, 0, habits.tr},                                                             // TR
  };
  for (const Segment& segment : segments) put(page, segment);
}

struct Register {
  std::size_t offset;
  std::size_t bytes;
  std::uint64_t value;
};

// EFER.SVME and CR4.MCE are KVM's doing; the others are the state after a reset.
constexpr Register kAlike[] = {
    {0x0D0, 8, 0x1000},           // EFER
    {0x148, 8, 0x40},             // CR4
    {0x158, 8, 0x10},             // CR0
    {0x160, 8, 0x400},            // DR7
    {0x168, 8, 0xFFFF0FF0},       // DR6
    {0x170, 8, 0x2},              // RFLAGS
    {0x268, 8, 0x7040600070406},  // G_PAT
    {0x3E8, 8, 0x1},              // XCR0
};

constexpr std::array<CpuModel, 6> kModels{{{"EPYC", 0x800F12},
                                           {"EPYC-IBPB", 0x800F12},
                                           {"EPYC-Rome", 0x830F10},
                                           {"EPYC-Milan", 0xA00F11},
                                           {"EPYC-Genoa", 0xA10F10},
                                           {"EPYC-Turin", 0xB00F00}}};

/// Without QEMU's version of the model.
std::string_view family_of(std::string_view name) {
  const auto dash = name.rfind("-v");
  const bool versioned =
      dash != name.npos && dash + 3 == name.size() && name.back() >= '1' && name.back() <= '9';
  return versioned ? name.substr(0, dash) : name;
}

}  // namespace

Result<Vmm> parse_vmm(std::string_view name) {
  const auto found = std::ranges::find(kHabits, name, &Habits::name);
  if (found != kHabits.end()) return static_cast<Vmm>(found - kHabits.begin());
  return fail(Errc::kInvalidArgument, "no hypervisor of this name (qemu, ec2, ec2-before-2026)",
              name);
}

VmsaPage vmsa_page(Vmm vmm, const VcpuStart& start) noexcept {
  const Habits& habits = kHabits[static_cast<std::size_t>(vmm)];
  VmsaPage page{};
  put_segments(page, habits, start.eip);
  for (const Register& one : kAlike) put(page, one.offset, one.bytes, one.value);
  const Register own[] = {
      {0x178, 8, start.eip & 0xFFFF},  // RIP
      {0x310, 8, habits.rdx_is_signature ? start.cpu_signature : habits.rdx},
      {0x3B0, 8, start.sev_features},
      {0x408, 4, habits.mxcsr},
      {0x410, 2, habits.fcw},
  };
  for (const Register& one : own) put(page, one.offset, one.bytes, one.value);
  return page;
}

std::span<const CpuModel> cpu_models() noexcept { return kModels; }

Result<std::uint32_t> cpu_signature(std::string_view name) {
  const auto found = std::ranges::find(kModels, family_of(name), &CpuModel::name);
  if (found != kModels.end()) return found->signature;
  return fail(Errc::kInvalidArgument,
              "no CPU model of this name (EPYC, EPYC-Rome, EPYC-Milan, EPYC-Genoa, EPYC-Turin)",
              name);
}

}  // namespace vhsm::snp
