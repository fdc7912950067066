"""Finds ACPI tables as a guest does: from the RSDP, by addresses, checking every checksum and length."""

from __future__ import annotations

import struct

from vmm_main.machine.address_map import ACPI_TABLES_END_GPA, ACPI_TABLES_GPA


def read_tables(blob: bytes) -> dict[str, bytes]:
    """All tables of a blob for ACPI_TABLES_GPA, by signature; the FADT's signature is FACP."""
    assert ACPI_TABLES_GPA + len(blob) <= ACPI_TABLES_END_GPA
    signature, _, _, revision, rsdt, length, xsdt, _ = struct.unpack_from("<8sB6sBIIQB", blob)
    assert signature == b"RSD PTR "
    assert (revision, rsdt, length) == (2, 0, 36)
    assert sum(blob[:20]) & 0xFF == 0
    assert sum(blob[:36]) & 0xFF == 0
    assert blob[33:36] == bytes(3)
    tables = {"XSDT": _table_at(blob, xsdt)}
    for (gpa,) in struct.iter_unpack("<Q", tables["XSDT"][36:]):
        table = _table_at(blob, gpa)
        tables[table[:4].decode()] = table
    dsdt_32, dsdt_64 = (
        struct.unpack_from("<I", tables["FACP"], 40)[0],
        struct.unpack_from("<Q", tables["FACP"], 140)[0],
    )
    assert dsdt_32 == dsdt_64
    tables["DSDT"] = _table_at(blob, dsdt_64)
    return tables


def _table_at(blob: bytes, gpa: int) -> bytes:
    assert gpa % 16 == 0
    offset = gpa - ACPI_TABLES_GPA
    (length,) = struct.unpack_from("<I", blob, offset + 4)
    table = blob[offset : offset + length]
    assert len(table) == length
    assert sum(table) & 0xFF == 0
    return table
