"""Jobs on disk and back, and which of them a resumed study does again."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from normwise.study.schedule import Job, Schedule

SCHEDULE = Schedule(
    workers=2,
    jobs=(
        Job((("plain", 0), ("plain", 2)), True, "faster"),
        Job((("plain", 1), ("plain", 3)), True, "faster"),
        Job((("batch", 0),), False, "not stackable"),
        Job((("batch", 1),), False, "not stackable"),
    ),
)

runs = st.tuples(st.text(), st.integers(0, 2**63 - 1))
jobs = st.builds(Job, st.lists(runs, min_size=1).map(tuple), st.booleans(), st.text())
schedules = st.builds(Schedule, st.integers(1, 64), st.lists(jobs).map(tuple))


@given(schedules)
def test_comes_back_from_json_as_it_was(schedule: Schedule):
    assert Schedule.from_plain(json.loads(json.dumps(schedule.to_plain()))) == schedule


def test_a_stack_is_done_whole_for_the_sake_of_one_run():
    jobs, new = SCHEDULE.for_runs([("plain", 3), ("batch", 1), ("batch", 2)])
    assert jobs == [SCHEDULE.jobs[1], SCHEDULE.jobs[3]]
    assert new == [("batch", 2)]


def test_is_extended_by_new_jobs_only():
    later = Schedule(1, (SCHEDULE.jobs[0], Job((("batch", 2),), False, "one run")))
    extended = SCHEDULE.extended(later)
    assert extended.jobs == (*SCHEDULE.jobs, later.jobs[1])
    assert extended.workers == 1


def test_frame_counts_runs_by_how_they_are_trained():
    rows = SCHEDULE.frame().to_dict("records")
    assert rows == [
        {"variants": "plain", "runs": 4, "how": "stack of 2", "reason": "faster"},
        {"variants": "batch", "runs": 2, "how": "alone", "reason": "not stackable"},
    ]


@pytest.mark.parametrize(
    ("schedule", "told"),
    [
        (SCHEDULE, "2 stacks of 2 runs and 2 runs alone, in 2 processes with one thread each"),
        (Schedule(1, SCHEDULE.jobs[2:3]), "1 run alone, in one process, one thread"),
        (
            Schedule(2, (SCHEDULE.jobs[0], Job((("a", 0), ("a", 1), ("a", 2)), True, ""))),
            "2 stacks of 2 to 3 runs, in 2 processes with one thread each",
        ),
        (Schedule(1, ()), "nothing left to train, in one process, one thread"),
    ],
)
def test_is_told_in_a_few_words(schedule: Schedule, told: str):
    assert str(schedule) == told
