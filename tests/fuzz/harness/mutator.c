/* Mutations by steps, so that an input stays a program: libFuzzer's own know bytes only. */
#include <string.h>

#include "fuzzed_device.h"

#define STEP sizeof(struct step)
#define WEIGHTED_OPERATIONS 12 /* program.c */

size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t max_size);
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned int seed);
size_t LLVMFuzzerCustomCrossOver(const uint8_t *one, size_t one_size, const uint8_t *other, size_t other_size,
                                 uint8_t *out, size_t max_out_size, unsigned int seed);

static uint64_t state;

static uint32_t chance(size_t below)
{
    state = state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (uint32_t)((state >> 33) % below);
}

static struct step any_step(void)
{
    static const uint64_t numbers[] = {0, 1, 2, 3, 4, 8, 11, 13, 16, 127, 128, 255, 256, 512, 4096, 0xffff, 0xffffffff};
    uint64_t number = numbers[chance(sizeof(numbers) / sizeof(numbers[0]))];
    struct step step = {
        /* Plain requests and kicks are what the rest happens to. */
        .operation = (uint8_t)(chance(2) ? chance(2) : chance(WEIGHTED_OPERATIONS)),
        .a = (uint8_t)chance(256),
        .b = (uint16_t)(chance(2) ? chance(16) : chance(0x10000)),
        .c = (uint32_t)(chance(2) ? numbers[chance(sizeof(numbers) / sizeof(numbers[0]))] : chance(0x10000)),
        .d = number | (uint64_t)(chance(4) == 0 ? chance(256) : 0) << 56,
    };

    return step;
}

static size_t insert(uint8_t *data, size_t steps, size_t at, struct step step)
{
    memmove(data + (at + 1) * STEP, data + at * STEP, (steps - at) * STEP);
    memcpy(data + at * STEP, &step, STEP);
    return steps + 1;
}

static void change(uint8_t *data, size_t at)
{
    struct step step, other = any_step();

    memcpy(&step, data + at * STEP, STEP);
    switch (chance(7)) {
    case 0:
        step.operation = other.operation;
        break;
    case 1:
        step.a = (uint8_t)(chance(2) ? step.a ^ 1 << chance(8) : other.a);
        break;
    case 2:
        step.b = (uint16_t)(chance(2) ? step.b + chance(5) - 2 : other.b);
        break;
    case 3:
        step.c = chance(2) ? step.c + chance(5) - 2 : other.c;
        break;
    case 4:
        step.d = chance(2) ? step.d + chance(5) - 2 : other.d;
        break;
    case 5: /* as four fields of two bytes, or eight of one */
        step.d ^= (uint64_t)chance(chance(2) ? 256 : 0x10000) << 8 * chance(8);
        break;
    default:
        LLVMFuzzerMutate((uint8_t *)&step, STEP, STEP);
    }
    memcpy(data + at * STEP, &step, STEP);
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned int seed)
{
    size_t steps = size / STEP, most = max_size / STEP;

    state = seed;
    if (most == 0)
        return LLVMFuzzerMutate(data, size, max_size);
    for (uint32_t times = 1 + chance(4); times > 0; times--) {
        size_t at = steps > 0 ? chance(steps) : 0;
        struct step copied;

        if (steps == 0 || (steps < most && chance(3) == 0)) {
            steps = insert(data, steps, at, any_step());
        } else if (steps > 1 && chance(6) == 0) {
            memmove(data + at * STEP, data + (at + 1) * STEP, (steps - at - 1) * STEP);
            steps--;
        } else if (steps < most && chance(4) == 0) {
            memcpy(&copied, data + at * STEP, STEP);
            steps = insert(data, steps, chance(steps + 1), copied);
        } else {
            change(data, at);
        }
    }
    return steps * STEP;
}

size_t LLVMFuzzerCustomCrossOver(const uint8_t *one, size_t one_size, const uint8_t *other, size_t other_size,
                                 uint8_t *out, size_t max_out_size, unsigned int seed)
{
    size_t begin, from, length, size;

    state = seed;
    begin = chance(one_size / STEP + 1) * STEP;
    from = chance(other_size / STEP + 1) * STEP;
    length = other_size / STEP * STEP - from;
    size = begin < max_out_size ? begin : max_out_size;
    memcpy(out, one, size);
    if (length > max_out_size - size)
        length = max_out_size - size;
    memcpy(out + size, other + from, length);
    return size + length;
}
