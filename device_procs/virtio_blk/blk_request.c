/* What a driver asks for, taken from its chain and checked (virtio 1.2, 5.2.6). It knows nothing of files. */
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "../data_plane/black_box_cdef.h"
#include "../data_plane/guest_memory_cdef.h"
#include "../data_plane/virtqueue_cdef.h"
#include "../data_plane/device_ops_cdef.h"
#include "backend_cdef.h"
#include "blk_cdef.h"

#define UNMAP_FLAG 1

/* struct virtio_blk_req, its first 16 bytes, and struct virtio_blk_discard_write_zeroes: both little-endian */
struct header {
    uint32_t type;
    uint32_t reserved;
    uint64_t sector;
};
struct wire_range {
    uint64_t sector;
    uint32_t sector_count;
    uint32_t flags;
};

/* Copies length bytes from the readable part of the chain, skipping as many as told. They are there. */
static void copy_readable(const struct descriptor_chain *chain, size_t skip, void *to, size_t length)
{
    uint8_t *next = to;

    for (uint16_t i = 0; i < chain->readable_count && length > 0; i++) {
        const struct chain_segment *segment = &chain->segments[i];
        size_t part;

        if (skip >= segment->length) {
            skip -= segment->length;
            continue;
        }
        part = segment->length - skip < length ? segment->length - skip : length;
        memcpy(next, segment->host + skip, part);
        next += part;
        length -= part;
        skip = 0;
    }
    /* What was copied is what is looked at: the compiler may not read the guest's memory again. */
    __asm__ volatile("" : : "r"(to) : "memory");
}

/* The last byte that may be written is the status (5.2.6); the segments before it hold nothing else of it. */
static uint8_t *find_status(const struct descriptor_chain *chain)
{
    for (uint32_t i = (uint32_t)chain->readable_count + chain->writable_count; i > chain->readable_count; i--)
        if (chain->segments[i - 1].length > 0)
            return chain->segments[i - 1].host + chain->segments[i - 1].length - 1;
    return NULL;
}

/* Takes `length` bytes of segments, from `skip` on. Returns 0 if there are too many of them. */
static int take_segments(struct blk_request *request, const struct chain_segment *segments, size_t skip, size_t length)
{
    request->segment_count = 0;
    for (; length > 0; segments++) {
        size_t part;

        if (skip >= segments->length) {
            skip -= segments->length;
            continue;
        }
        part = segments->length - skip < length ? segments->length - skip : length;
        if (request->segment_count == BLK_SEGMENTS_MAX)
            return 0;
        request->segments[request->segment_count++] =
            (struct chain_segment){.host = segments->host + skip, .length = part};
        length -= part;
        skip = 0;
    }
    return 1;
}

static int is_in_range(const struct blk_disk *disk, uint64_t sector, uint64_t bytes)
{
    uint64_t blocks = disk->block_bytes / BLK_SECTOR_BYTES;

    return bytes % disk->block_bytes == 0 && sector % blocks == 0 && sector <= disk->capacity_sectors &&
           bytes / BLK_SECTOR_BYTES <= disk->capacity_sectors - sector;
}

static int is_aligned(const struct blk_request *request, const struct blk_disk *disk)
{
    for (uint16_t i = 0; i < request->segment_count; i++)
        if ((uintptr_t)request->segments[i].host % disk->memory_alignment != 0 ||
            request->segments[i].length % disk->block_bytes != 0)
            return 0;
    return 1;
}

static int refuse(struct blk_request *request, uint32_t status)
{
    request->status_value = status;
    return 0;
}

static int parse_transfer(struct blk_request *request, const struct descriptor_chain *chain,
                          const struct blk_disk *disk, uint64_t sector)
{
    int reads = request->type == VIRTIO_BLK_T_IN;
    size_t bytes = reads ? chain->writable_bytes - 1 : chain->readable_bytes - sizeof(struct header);
    const struct chain_segment *from = reads ? chain->segments + chain->readable_count : chain->segments;

    /* "MUST set the status byte to VIRTIO_BLK_S_IOERR for a write request if the VIRTIO_BLK_F_RO feature if offered,
       and MUST NOT write any data" (5.2.6.2) */
    if (!reads && disk->read_only)
        return refuse(request, VIRTIO_BLK_S_IOERR);
    if (!is_in_range(disk, sector, bytes))
        return refuse(request, VIRTIO_BLK_S_IOERR);
    if (!take_segments(request, from, reads ? 0 : sizeof(struct header), bytes))
        return refuse(request, VIRTIO_BLK_S_IOERR);
    if (reads)
        request->written = (uint32_t)bytes + 1;
    request->offset = sector * BLK_SECTOR_BYTES;
    request->left = request->bytes = bytes;
    request->bounced = disk->memory_alignment > 1 && !is_aligned(request, disk);
    return bytes > 0;
}

static int parse_ranges(struct blk_request *request, const struct descriptor_chain *chain, const struct blk_disk *disk)
{
    size_t bytes = chain->readable_bytes - sizeof(struct header);
    int zeroes = request->type == VIRTIO_BLK_T_WRITE_ZEROES;

    if (disk->read_only || bytes % sizeof(struct wire_range) != 0 ||
        bytes / sizeof(struct wire_range) > BLK_RANGES_MAX)
        return refuse(request, VIRTIO_BLK_S_IOERR);
    for (size_t at = 0; at < bytes; at += sizeof(struct wire_range)) {
        struct wire_range range;
        struct blk_range *next = &request->ranges[request->range_count];

        copy_readable(chain, sizeof(struct header) + at, &range, sizeof(range));
        /* "MUST set the status byte to VIRTIO_BLK_S_UNSUPP" for the unmap flag of a discard, and for unknown flags */
        if ((range.flags & ~(zeroes ? (uint32_t)UNMAP_FLAG : 0)) != 0)
            return refuse(request, VIRTIO_BLK_S_UNSUPP);
        if (range.sector_count > BLK_RANGE_SECTORS_MAX ||
            !is_in_range(disk, range.sector, (uint64_t)range.sector_count * BLK_SECTOR_BYTES))
            return refuse(request, VIRTIO_BLK_S_IOERR);
        if (range.sector_count == 0)
            continue;
        next->offset = range.sector * BLK_SECTOR_BYTES;
        next->length = (uint64_t)range.sector_count * BLK_SECTOR_BYTES;
        next->operation = zeroes && !(range.flags & UNMAP_FLAG) ? DISK_ZERO : DISK_PUNCH;
        request->range_count++;
    }
    return request->range_count > 0;
}

static int answer_id(struct blk_request *request, const struct descriptor_chain *chain, const struct blk_disk *disk)
{
    size_t room = chain->writable_bytes - 1, done = 0;

    if (room > BLK_ID_BYTES)
        room = BLK_ID_BYTES;
    take_segments(request, chain->segments + chain->readable_count, 0, room);
    for (uint16_t i = 0; i < request->segment_count; i++) {
        memcpy(request->segments[i].host, disk->id + done, request->segments[i].length);
        done += request->segments[i].length;
    }
    /* "the first `len` bytes": with room beyond the id, the status isn't among them */
    request->written = (uint32_t)done + (chain->writable_bytes == done + 1);
    return 0;
}

int blk_request_parse(struct blk_request *request, const struct descriptor_chain *chain, const struct blk_disk *disk)
{
    struct header header;

    request->head = chain->head;
    request->status_value = VIRTIO_BLK_S_OK;
    request->written = request->written_at_least = chain->writable_bytes == 1;
    request->segment_count = request->segment_next = 0;
    request->range_count = request->range_next = 0;
    request->bounced = request->retries = 0;
    request->is_flushed = 0;
    request->offset = request->left = request->bytes = 0;
    if (chain->readable_bytes < sizeof(header))
        return VIRTQ_NO_HEADER;
    request->status = find_status(chain);
    if (request->status == NULL)
        return VIRTQ_NO_ROOM;
    copy_readable(chain, 0, &header, sizeof(header));
    request->type = header.type;
    switch (header.type) {
    case VIRTIO_BLK_T_IN:
    case VIRTIO_BLK_T_OUT:
        return parse_transfer(request, chain, disk, header.sector);
    case VIRTIO_BLK_T_FLUSH:
        return !disk->read_only;
    case VIRTIO_BLK_T_GET_ID:
        return answer_id(request, chain, disk);
    case VIRTIO_BLK_T_DISCARD:
    case VIRTIO_BLK_T_WRITE_ZEROES:
        return parse_ranges(request, chain, disk);
    default:
        return refuse(request, VIRTIO_BLK_S_UNSUPP);
    }
}
