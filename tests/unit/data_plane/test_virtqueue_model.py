"""Rings of every kind, sane and insane: the C, under sanitizers, sees what an independent model sees."""

from __future__ import annotations

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.unit.data_plane.ring_case import (
    BUFFERS,
    EVENT_IDX,
    HIGH_BYTES,
    HIGH_GPA,
    INDIRECT_DESC,
    LOW_BYTES,
    LOW_GPA,
    READ_ONLY_GPA,
    TOP_GPA,
    VERSION_1,
    RingCase,
    RingProgram,
    judge_by_model,
)
from tests.unit.data_plane.ring_model import INDIRECT, NEXT, WRITE

TABLES = (BUFFERS, BUFFERS + 0x100, HIGH_GPA)  # where indirect tables lie; buffers may overlap them
EDGES = (0, LOW_GPA, LOW_GPA + LOW_BYTES, HIGH_GPA + HIGH_BYTES, READ_ONLY_GPA, TOP_GPA + 0x1000, 1 << 64)

addresses = st.one_of(
    st.sampled_from(TABLES),
    st.builds(lambda offset: BUFFERS + offset, st.integers(0, 0xFFF)),
    st.builds(lambda edge, by: (edge + by) % (1 << 64), st.sampled_from(EDGES), st.integers(-40, 40)),
    st.integers(0, (1 << 64) - 1),
)
lengths = st.one_of(
    st.sampled_from([0, 1, 16, 32, 48, 64]), st.integers(0, 64), st.integers(0, (1 << 32) - 1)
)
flags = st.one_of(
    st.sampled_from([0, WRITE, NEXT, NEXT | WRITE, INDIRECT, INDIRECT | WRITE]), st.integers(0, 65535)
)
indexes = st.one_of(st.integers(0, 8), st.integers(0, 65535))
descriptors = st.tuples(addresses, lengths, flags, indexes)


@st.composite
def rings(draw: st.DrawFn) -> RingCase:
    num = draw(st.sampled_from([1, 2, 4, 8]))
    case = RingCase(num=num, completes=draw(st.booleans()))
    case.features = VERSION_1 | draw(st.sampled_from([0, INDIRECT_DESC, INDIRECT_DESC, EVENT_IDX]))
    for index, values in enumerate(draw(st.lists(descriptors, max_size=num))):
        case.descriptor(index, *values)
    for table in TABLES:
        for index, values in enumerate(draw(st.lists(descriptors, max_size=4))):
            case.entry(table, index, values)
    first = draw(st.sampled_from([0, 0, 1, 65530, 65535]))
    case.set_used_idx(first)
    heads = draw(st.lists(st.one_of(st.integers(0, num - 1), indexes), max_size=num + 1))
    case.offer(*heads, first=first)
    return case


@settings(max_examples=1500, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(case=rings())
def test_the_c_agrees_with_the_model(ring_program: RingProgram, case: RingCase) -> None:
    mine, model = ring_program.judge(case), judge_by_model(case)
    assert mine.chains == model.chains
    assert (mine.error is None) == (model.error is None), (mine.error, model.error)
    assert mine.memory == model.memory
