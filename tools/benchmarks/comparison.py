"""Samples of several peers side by side: medians, ratios, and the verdict against the budgets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median

from tools.benchmarks.first_byte import Sample

# "Without devices, serial on stdio": what a VM of ours may take of QEMU microvm's in the same run.
FIRST_BYTE_BUDGET = 0.3
MEMORY_BUDGET = 0.4
# With BUDGETED_DEVICES devices, of QEMU microvm's without any; memory in KiB, and that of each further one.
DEVICES_FIRST_BYTE_BUDGET = 0.45
DEVICES_MEMORY_BUDGET = 14 * 1024
FURTHER_DEVICE_BUDGET = 0.75 * 1024


@dataclass(frozen=True)
class Medians:
    """The medians of one peer's samples. Memory in KiB, as in TreeMemory."""

    processes: float
    first_byte_ms: float
    pss: float
    private: float
    alone: float | None
    page_tables: float
    guest: float

    @classmethod
    def of(cls, samples: Sequence[Sample]) -> Medians:
        """Takes each figure's median by itself."""
        memory = [sample.memory for sample in samples]
        alone = [each.alone for each in memory if each.alone is not None]
        return cls(
            processes=median(each.processes for each in memory),
            first_byte_ms=median(sample.first_byte_ms for sample in samples),
            pss=median(each.pss for each in memory),
            private=median(each.private for each in memory),
            alone=median(alone) if len(alone) == len(memory) else None,
            page_tables=median(each.page_tables for each in memory),
            guest=median(each.guest for each in memory),
        )

    def memory(self) -> float:
        """The figure that the budget is about: PSS as if nobody else mapped the same files, where known."""
        return self.pss if self.alone is None else self.alone


@dataclass(frozen=True)
class BudgetLine:
    """One budget: what was measured and what is allowed, as ratios to QEMU's, or in KiB."""

    what: str
    measured: float
    allowed: float
    is_ratio: bool = True

    def kept(self) -> bool:
        """Whether what was measured is within the budget."""
        return self.measured <= self.allowed

    def __str__(self) -> str:
        """The line as it is printed."""
        verdict = "within budget" if self.kept() else "OVER BUDGET"
        if self.is_ratio:
            sizes = f"{self.measured:.3f} x QEMU microvm's, at most {self.allowed:g}"
        else:
            sizes = f"{_mib(self.measured)}, at most {_mib(self.allowed)}"
        return f"budget: {self.what}: {sizes}: {verdict}"


def budget_lines(ours: Medians, qemu: Medians) -> list[BudgetLine]:
    """Holds our medians against QEMU's. Both took the same figure for memory, or PSS decides."""
    same_figure = ours.alone is not None and qemu.alone is not None
    ours_kib, qemu_kib = (ours.memory(), qemu.memory()) if same_figure else (ours.pss, qemu.pss)
    return [
        BudgetLine("first byte", ours.first_byte_ms / qemu.first_byte_ms, FIRST_BYTE_BUDGET),
        BudgetLine("memory", ours_kib / qemu_kib, MEMORY_BUDGET),
    ]


def device_budget_lines(
    few: Medians, few_count: int, many: Medians, many_count: int, qemu: Medians
) -> list[BudgetLine]:
    """Holds VMs with few and with many devices against what each may take."""
    same_figure = few.alone is not None and many.alone is not None
    few_kib, many_kib = (few.memory(), many.memory()) if same_figure else (few.pss, many.pss)
    further = (many_kib - few_kib) / (many_count - few_count)
    ratio = few.first_byte_ms / qemu.first_byte_ms
    with_few = f"with {few_count} devices"
    return [
        BudgetLine(f"first byte {with_few}", ratio, DEVICES_FIRST_BYTE_BUDGET),
        BudgetLine(f"memory {with_few}", few_kib, DEVICES_MEMORY_BUDGET, is_ratio=False),
        BudgetLine("memory of each further device", further, FURTHER_DEVICE_BUDGET, is_ratio=False),
    ]


def table(medians: Mapping[str, Medians], base: str) -> str:
    """One row a peer: medians, and ratios to the peer named base."""
    heads = ("peer", "first byte", "ratio", "alone", "ratio", "PSS", "ratio", "private", "VmPTE", "processes")
    rows = [heads]
    reference = medians[base]
    for name, row in medians.items():
        rows.append(
            (
                name,
                f"{row.first_byte_ms:.2f} ms",
                f"{row.first_byte_ms / reference.first_byte_ms:.3f}",
                "hidden" if row.alone is None else _mib(row.alone),
                "-" if row.alone is None or reference.alone is None else f"{row.alone / reference.alone:.3f}",
                _mib(row.pss),
                f"{row.pss / reference.pss:.3f}",
                _mib(row.private),
                f"{row.page_tables:.0f} KiB",
                f"{row.processes:g}",
            )
        )
    widths = [max(len(row[column]) for row in rows) for column in range(len(heads))]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if column == 0 else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        for row in rows
    )


def _mib(kib: float) -> str:
    return f"{kib / 1024:.2f} MiB"
