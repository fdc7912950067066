"""The devices' C with one check left out of it, or one field read twice: what the attacks must notice."""

from __future__ import annotations

from tests.unit.hostile_driver.standalone_build import Mutant

_MEMORY = "device_procs/data_plane/guest_memory.c"
_QUEUE = "device_procs/data_plane/virtqueue.c"
_RNG = "device_procs/virtio_rng/rng.c"
_REQUEST = "device_procs/virtio_blk/blk_request.c"
BLK, RNG = ("virtio-blk", "preadv"), ("virtio-rng", "urandom")
NEVER = "if (0 && "

# What lacks, and which device shows it.
TABLE: dict[str, tuple[tuple[str, str], Mutant]] = {
    "the end of a region": (
        RNG,
        Mutant(_MEMORY, "if (length > region->size", f"{NEVER}length > region->size"),
    ),
    "a sum that can't wrap": (
        RNG,
        Mutant(
            _MEMORY,
            "if (length > region->size - (gpa - region->gpa))",
            "if (gpa + length > region->gpa + region->size)",
        ),
    ),
    "read-only memory": (RNG, Mutant(_MEMORY, "return for_writing && !", "return for_writing && 0 && !")),
    "avail.idx": (RNG, Mutant(_QUEUE, "if (available > queue->num)", f"{NEVER}available > queue->num)")),
    "heads": (
        RNG,
        Mutant(
            _QUEUE, "if (head >= queue->num)\n        return", f"{NEVER}head >= queue->num)\n        return"
        ),
    ),
    "heads in flight": (
        BLK,
        Mutant(_QUEUE, "if (is_in_flight(queue, head))", f"{NEVER}is_in_flight(queue, head))"),
    ),
    "next": (BLK, Mutant(_QUEUE, "if (desc.next >= size)", f"{NEVER}desc.next >= size)")),
    "how many segments": (
        RNG,
        Mutant(_QUEUE, "if (segments == CHAIN_SEGMENTS_MAX)", f"{NEVER}segments == CHAIN_SEGMENTS_MAX)"),
    ),
    "how many bytes": (
        RNG,
        Mutant(
            _QUEUE, "if (desc->length > UINT32_MAX - *bytes)", f"{NEVER}desc->length > UINT32_MAX - *bytes)"
        ),
    ),
    "their order": (BLK, Mutant(_QUEUE, "if (!writable && chain->", f"{NEVER}!writable && chain->")),
    "the feature": (RNG, Mutant(_QUEUE, "if (!queue->indirect)", f"{NEVER}!queue->indirect)")),
    "nested tables": (RNG, Mutant(_QUEUE, "if (indirect == NULL)", f"{NEVER}indirect == NULL)")),
    "next of an indirect one": (
        RNG,
        Mutant(_QUEUE, "if (desc->flags & DESC_F_NEXT)", f"{NEVER}desc->flags)"),
    ),
    "a table's length": (
        RNG,
        Mutant(_QUEUE, "if (desc->length == 0 || desc->length % DESC_BYTES != 0)", f"{NEVER}desc->length)"),
    ),
    "a table's place": (
        RNG,
        Mutant(
            _QUEUE,
            "table = guest_memory_at(queue->memory, desc->gpa, desc->length, 0);",
            "table = guest_memory_at(queue->memory, desc->gpa, 1, 0);",
        ),
    ),
    "the queue's size": (RNG, Mutant(_QUEUE, "|| (num & (num - 1)) != 0)", ")")),
    "a ring's place": (
        RNG,
        Mutant(
            _QUEUE,
            "addresses->used_gpa, used_bytes, 1);",
            "addresses->used_gpa, RING_ENTRIES_OFFSET, 1);",
        ),
    ),
    "a used ring that can be written": (
        RNG,
        Mutant(_QUEUE, "addresses->used_gpa, used_bytes, 1);", "addresses->used_gpa, used_bytes, 0);"),
    ),
    "rings apart": (RNG, Mutant(_QUEUE, "return VIRTQ_RINGS_OVERLAP;", "(void)0;")),
    "an rng's direction": (
        RNG,
        Mutant(_RNG, "if (rng->chain.readable_count > 0)", f"{NEVER}rng->chain.head)"),
    ),
    "an rng's room": (RNG, Mutant(_RNG, "rng->chain.writable_bytes > 0 ? 1 :", "1 ? 1 :")),
    "a disk's header": (
        BLK,
        Mutant(_REQUEST, "if (chain->readable_bytes < sizeof(header))", f"{NEVER}chain->head)"),
    ),
    "a disk's status": (BLK, Mutant(_REQUEST, "if (request->status == NULL)", f"{NEVER}chain->head)")),
    "a disk's end": (
        BLK,
        Mutant(
            _REQUEST, "bytes / BLK_SECTOR_BYTES <= disk->capacity_sectors - sector", "bytes < (1ull << 40)"
        ),
    ),
    "a range's length": (
        BLK,
        Mutant(_REQUEST, "bytes / sizeof(struct wire_range) > BLK_RANGES_MAX", "bytes > (1ull << 40)"),
    ),
}
_AGAIN = (
    "        error = add_segment(queue, chain, &desc);\n        if (error < 0)\n            return error;\n"
)
# What is read twice: once to be checked, and once to be used.
RACES: dict[str, tuple[tuple[str, str], str, Mutant]] = {
    "a descriptor's length": (
        BLK,
        "length of the last descriptor, queue 0",
        Mutant(
            _QUEUE,
            _AGAIN,
            _AGAIN + "        chain->segments[chain->readable_count + chain->writable_count - 1].length =\n"
            "            ((const volatile struct descriptor *)(const void *)table)[index].length;\n",
        ),
    ),
    "a disk's sector": (
        BLK,
        "the sector of a write",
        Mutant(
            _REQUEST,
            "    request->offset = sector * BLK_SECTOR_BYTES;\n    request->left",
            "    struct header again;\n    copy_readable(chain, 0, &again, sizeof(again));\n"
            "    request->offset = again.sector * BLK_SECTOR_BYTES;\n    request->left",
        ),
    ),
}
