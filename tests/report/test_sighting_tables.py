"""Which checker saw which defect: every answer below its checker, and shares of those that it answered for."""

from convnet.board.checkers import NOT_MEASURED, NOT_OFFERED, NOT_SEEN, SEEN, Sighting
from convnet.report.sighting_tables import defect_sections, kind_table, sighting_table


def sighted(function, kind, args, *answers, dtype="float64", order=1):
    by_name = dict(zip(("ours", "theirs", "torch"), answers, strict=True))
    return Sighting(function, f"{function}(x)", kind, args, dtype, order, by_name)


SIGHTINGS = [
    sighted("jax.nn.relu", "not finite", ["nan"], SEEN, SEEN, NOT_MEASURED),
    sighted("jax.lax.erf", "higher order", [0.5], NOT_SEEN, NOT_OFFERED, NOT_MEASURED, order=2),
    sighted("jax.lax.sort", "wrong", [[1.0, -2.5]], SEEN, NOT_SEEN, NOT_MEASURED, dtype="float32"),
    sighted("jax.lax.cummax", "wrong", [3.0], SEEN, NOT_OFFERED, NOT_MEASURED),
    sighted("jax.lax.cummin", "wrong", [4.0], SEEN, SEEN, NOT_MEASURED),
]


def test_one_line_per_kind_and_one_for_all():
    """The worst kinds first; those that nobody has are left out."""
    assert kind_table(SIGHTINGS) == [
        ["defects", "entries", "ours", "theirs", "torch"],
        ["wrong", "3", "3 of 3", "1 of 2", "not measured"],
        ["not finite", "1", "1 of 1", "1 of 1", "not measured"],
        ["higher order", "1", "0 of 1", "not offered", "not measured"],
        ["all", "5", "4 of 5", "2 of 3", "not measured"],
    ]


def test_one_line_per_entry():
    assert sighting_table(SIGHTINGS[:3]) == [
        ["function", "kind", "at", "dtype", "order", "ours", "theirs", "torch"],
        ["jax.nn.relu", "not finite", "nan", "float64", "1", "seen", "seen", "not measured"],
        ["jax.lax.erf", "higher order", "0.5", "float64", "2", "not seen", "not offered", "not measured"],
        ["jax.lax.sort", "wrong", "[1, -2.5]", "float32", "1", "seen", "not seen", "not measured"],
    ]


def test_the_sections():
    assert [section.table for section in defect_sections(SIGHTINGS)] == [
        kind_table(SIGHTINGS), sighting_table(SIGHTINGS),
    ]  # fmt: skip
