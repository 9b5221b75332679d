#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A second implementation of what `vhsm measure` computes, and the firmware images for its tests.

  launch_reference.py image FILE [--pages N] [--without hashes|reset|metadata] [--hash-gpa N]
  launch_reference.py digest OVMF --vcpus N --signature N [--vmm qemu|ec2|ec2-before-2026]
                      [--features N] [--kernel FILE [--initrd FILE] [--append TEXT]]
  launch_reference.py check-id BLOCK AUTHENTICATION DIGEST    verifies both signatures

Source: AMD 56860 (PAGE_INFO, ID block), AMD 24593 (VMSA layout), edk2 OvmfSevMetadata.asm.
"""
import argparse
import hashlib
import struct
import uuid

PAGE = 4096
FOUR_GIB = 1 << 32
FOOTER = "96b582de-1fb2-45f7-baea-a366c55a082d"
METADATA = "dc886566-984a-4798-a75e-5585a7bf67cc"
HASHES = "7255371f-3a3b-4b04-927b-1da6efa8d454"
RESET = "00f771de-1a7e-4fcb-890e-68c77e2fb44e"


def efi(text):
    return uuid.UUID(text).bytes_le


# ---- images ---------------------------------------------------------------------------------------

def image(pages, without, hash_gpa):
    """Firmware of `pages` pages with every kind of section, but for what is in `without`."""
    data = bytearray((i * 7 + i // PAGE) & 0xFF for i in range(pages * PAGE))
    sections = [(0x800000, 0x9000, 1), (0x80A000, PAGE, 2), (0x80B000, PAGE, 3), (0x80C000, 0x2000, 4),
                (0x80F000, 0x1000, 1)]
    if "hashes" not in without:
        sections.insert(2, (0x810000, PAGE, 0x10))
    blob = struct.pack("<4sIII", b"ASEV", 16 + 12 * len(sections), 1, len(sections))
    blob += b"".join(struct.pack("<III", *one) for one in sections)
    at = len(data) - 0x400
    data[at:at + len(blob)] = blob
    entries = [("0f5a8d53-0000-4000-8000-000000000001", b"someone else's")]
    if "metadata" not in without:
        entries.append((METADATA, struct.pack("<I", len(data) - at)))
    if "hashes" not in without:
        entries.append((HASHES, struct.pack("<II", hash_gpa, 0x400)))
    if "reset" not in without:
        entries.append((RESET, struct.pack("<I", 0x80B004)))
    table = b"".join(value + struct.pack("<H", len(value) + 18) + efi(name) for name, value in entries)
    table += struct.pack("<H", len(table) + 18) + efi(FOOTER)
    data[-32 - len(table):-32] = table
    return bytes(data)


def table_of(data):
    end = len(data) - 32
    size, name = struct.unpack("<H16s", data[end - 18:end])
    assert name == efi(FOOTER)
    at, start, found = end - 18, end - size, {}
    while at > start:
        size, name = struct.unpack("<H16s", data[at - 18:at])
        found[name] = data[at - size:at - 18]
        at -= size
    return found


# ---- the digest -----------------------------------------------------------------------------------

def extend(digest, kind, gpa, page=None):
    content = hashlib.sha384(page).digest() if page is not None else bytes(48)
    info = digest + content + struct.pack("<HBBBBBBQ", 0x70, kind, 0, 0, 0, 0, 0, gpa)
    assert len(info) == 0x70
    return hashlib.sha384(info).digest()


def vcpu(vmm, eip, signature, features):
    page = bytearray(PAGE)
    qemu, first = vmm == "qemu", eip == 0xFFFFFFF0
    data = (0, 0x93, 0xFFFF, 0)
    segments = {"es": data, "cs": (0xF000, 0x9B if qemu or not first else 0x9A, 0xFFFF, eip & ~0xFFFF),
                "ss": (0, 0x93 if qemu else 0x92, 0xFFFF, 0), "ds": data, "fs": data, "gs": data,
                "gdtr": (0, 0, 0xFFFF, 0), "ldtr": (0, 0x82, 0xFFFF, 0), "idtr": (0, 0, 0xFFFF, 0),
                "tr": (0, 0x8B if qemu else 0x83, 0xFFFF, 0)}
    for i, one in enumerate(segments.values()):
        struct.pack_into("<HHIQ", page, 16 * i, *one)
    rdx = {"qemu": signature, "ec2": 0x600, "ec2-before-2026": 0}[vmm]
    for offset, value in [(0xD0, 0x1000), (0x148, 0x40), (0x158, 0x10), (0x160, 0x400), (0x168, 0xFFFF0FF0),
                          (0x170, 2), (0x178, eip & 0xFFFF), (0x268, 0x7040600070406), (0x310, rdx),
                          (0x3B0, features), (0x3E8, 1)]:
        struct.pack_into("<Q", page, offset, value)
    if qemu:
        struct.pack_into("<I", page, 0x408, 0x1F80)
        struct.pack_into("<H", page, 0x410, 0x37F)
    return bytes(page)


def hashes_page(args, offset):
    def contents(path):
        if path is None:
            return b""
        with open(path, "rb") as file:
            return file.read()
    entries = [("97d02dd8-bd20-4c94-aa78-e7714d36ab2a", args.append.encode() + b"\0"),
               ("44baf731-3a2f-4bd7-9af1-41e29169781d", contents(args.initrd)),
               ("4de79437-abd2-427f-b835-d5b172d2045b", contents(args.kernel))]
    body = b"".join(efi(name) + struct.pack("<H", 50) + hashlib.sha256(value).digest()
                    for name, value in entries)
    table = efi("9438d606-4f22-4cc9-b479-a793d411fd21") + struct.pack("<H", 18 + len(body)) + body
    page = bytearray(PAGE)
    page[offset:offset + len(table)] = table
    return bytes(page)


def launch_digest(args):
    with open(args.ovmf, "rb") as file:
        data = file.read()
    table = table_of(data)
    digest = bytes(48)
    for at in range(0, len(data), PAGE):
        digest = extend(digest, 1, FOUR_GIB - len(data) + at, data[at:at + PAGE])
    start = len(data) - struct.unpack_from("<I", table[efi(METADATA)])[0]
    count = struct.unpack_from("<I", data, start + 12)[0]
    sections = [struct.unpack_from("<III", data, start + 16 + 12 * i) for i in range(count)]
    if args.vmm != "qemu":
        sections.sort(key=lambda one: one[2] == 3)  # stable
    for gpa, size, kind in sections:
        if kind == 0x10 and args.kernel:
            offset = struct.unpack_from("<I", table[efi(HASHES)])[0] % PAGE
            digest = extend(digest, 1, gpa, hashes_page(args, offset))
            continue
        page_type = {1: 3, 2: 5, 3: 6, 4: 3, 0x10: 3}[kind]
        for at in range(0, size, PAGE):
            digest = extend(digest, page_type, gpa + at)
    for i in range(args.vcpus):
        eip = 0xFFFFFFF0 if i == 0 else struct.unpack_from("<I", table[efi(RESET)])[0]
        digest = extend(digest, 2, 0xFFFFFFFFF000, vcpu(args.vmm, eip, args.signature, args.features))
    return digest


# ---- the ID block ---------------------------------------------------------------------------------

def public_key(blob):
    from cryptography.hazmat.primitives.asymmetric import ec
    assert struct.unpack_from("<I", blob)[0] == 2 and not any(blob[148:])
    x, y = (int.from_bytes(blob[4 + 72 * i:76 + 72 * i], "little") for i in range(2))
    return ec.EllipticCurvePublicNumbers(x, y, ec.SECP384R1()).public_key()


def check_signature(key, blob, message):
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import ec, utils
    r, s = (int.from_bytes(blob[72 * i:72 + 72 * i], "little") for i in range(2))
    assert not any(blob[144:])
    key.verify(utils.encode_dss_signature(r, s), message, ec.ECDSA(hashes.SHA384()))


def check_id(block, whole, digest):
    """Prints what the block says; an exception where a signature is wrong."""
    assert len(block) == 96 and len(whole) == 4096 and block[:48] == digest
    id_algorithm, author_algorithm = struct.unpack_from("<II", whole)
    assert id_algorithm == 1 and not any(whole[8:0x40])
    id_key = whole[0x240:0x644]
    check_signature(public_key(id_key), whole[0x40:0x240], block)
    print("id_key_digest", hashlib.sha384(id_key).hexdigest())
    if author_algorithm:
        author_key = whole[0x880:0xC84]
        check_signature(public_key(author_key), whole[0x680:0x880], id_key)
        print("author_key_digest", hashlib.sha384(author_key).hexdigest())
    else:
        assert not any(whole[0x680:])
    print("family", block[48:64].hex(), "image", block[64:80].hex(),
          "version %d svn %d policy 0x%x" % struct.unpack_from("<IIQ", block, 80))


def number(text):
    return int(text, 0)


def main():
    parser = argparse.ArgumentParser()
    commands = parser.add_subparsers(dest="command", required=True)
    one = commands.add_parser("image")
    one.add_argument("out")
    one.add_argument("--pages", type=int, default=16)
    one.add_argument("--without", action="append", default=[])
    one.add_argument("--hash-gpa", type=number, default=0x810C00)
    one = commands.add_parser("digest")
    one.add_argument("ovmf")
    one.add_argument("--vcpus", type=int, required=True)
    one.add_argument("--signature", type=number, required=True)
    one.add_argument("--vmm", default="qemu")
    one.add_argument("--features", type=number, default=1)
    one.add_argument("--kernel")
    one.add_argument("--initrd")
    one.add_argument("--append", default="")
    one = commands.add_parser("check-id")
    one.add_argument("block")
    one.add_argument("authentication")
    one.add_argument("digest")
    args = parser.parse_args()
    if args.command == "image":
        with open(args.out, "wb") as file:
            file.write(image(args.pages, args.without, args.hash_gpa))
    elif args.command == "digest":
        print(launch_digest(args).hex())
    else:
        blobs = [open(path, "rb").read() for path in (args.block, args.authentication)]
        check_id(*blobs, bytes.fromhex(args.digest))


main()
