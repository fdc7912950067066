/* The driver's mistakes in words, for the log and for QMP. */
#include <stddef.h>
#include <stdint.h>

#include "black_box_cdef.h"
#include "guest_memory_cdef.h"
#include "virtqueue_cdef.h"

const char *virtqueue_error_text(int error)
{
    if (error < VIRTQ_ERROR_LAST || error > VIRTQ_BAD_SIZE)
        return NULL;
    switch ((enum virtqueue_error)error) {
    case VIRTQ_BAD_SIZE:
        return "the queue size isn't a power of two that the device allows";
    case VIRTQ_BAD_ALIGNMENT:
        return "a ring isn't aligned";
    case VIRTQ_RING_NOT_IN_RAM:
        return "a ring isn't in RAM";
    case VIRTQ_RINGS_OVERLAP:
        return "the used ring lies over another ring";
    case VIRTQ_WRONG_BASE:
        return "the used ring's index isn't where the device left it";
    case VIRTQ_AVAIL_JUMPED:
        return "the available ring's index has moved by more than the queue size";
    case VIRTQ_HEAD_TOO_HIGH:
        return "the available ring names a descriptor beyond the table";
    case VIRTQ_HEAD_IN_FLIGHT:
        return "the available ring names a descriptor chain that isn't completed yet";
    case VIRTQ_NEXT_TOO_HIGH:
        return "a descriptor's next is beyond the table";
    case VIRTQ_CHAIN_TOO_LONG:
        return "a descriptor chain loops or is too long";
    case VIRTQ_CHAIN_TOO_BIG:
        return "a descriptor chain has 4 GiB or more";
    case VIRTQ_BUFFER_NOT_IN_RAM:
        return "a descriptor's buffer isn't in RAM";
    case VIRTQ_READABLE_AFTER_WRITABLE:
        return "a device-readable descriptor follows a device-writable one";
    case VIRTQ_INDIRECT_NOT_NEGOTIATED:
        return "an indirect descriptor, which wasn't negotiated";
    case VIRTQ_INDIRECT_WITH_NEXT:
        return "an indirect descriptor has a next";
    case VIRTQ_INDIRECT_NESTED:
        return "an indirect descriptor in an indirect table";
    case VIRTQ_INDIRECT_BAD_LENGTH:
        return "an indirect table's length isn't a multiple of 16";
    case VIRTQ_INDIRECT_NOT_IN_RAM:
        return "an indirect table isn't in RAM";
    case VIRTQ_WRONG_DIRECTION:
        return "a descriptor of the wrong direction for this queue";
    case VIRTQ_NO_ROOM:
        return "a descriptor chain without room for what the device has to write";
    case VIRTQ_NO_HEADER:
        return "a descriptor chain without the header that says what is asked for";
    case VIRTQ_LOG_BAD_HEADER:
        return "the in-flight log isn't this queue's";
    case VIRTQ_LOG_BAD_INDEX:
        return "the in-flight log and the used ring don't agree";
    case VIRTQ_LOG_BAD_ENTRY:
        return "the in-flight log has an entry that is neither in flight nor not";
    case VIRTQ_LOG_BAD_COUNTER:
        return "the in-flight log's counters aren't in any order";
    case VIRTQ_LOG_TOO_MANY:
        return "the in-flight log has more in flight than the driver has given";
    }
    return NULL;
}
