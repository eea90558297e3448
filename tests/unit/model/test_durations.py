import pytest

from levada.model import durations


@pytest.mark.parametrize(
    ("text", "microseconds"),
    [
        ("PT0S", 0),
        ("PT0.25s", 250_000),
        ("pt1m", 60_000_000),
        ("PT1,5S", 1_500_000),
        ("P1DT12H", 36 * durations.HOUR),
        ("P1W", 7 * durations.DAY),
        ("-PT1M", -60_000_000),
        ("PT-1.5S", -1_500_000),
        ("PT-0.5S", -500_000),
        ("PT1H-1M", 59 * durations.MINUTE),
        ("PT0.0000019S", 1),
    ],
)
def test_iso_durations_are_read_as_java_reads_them(text: str, microseconds: int) -> None:
    assert durations.parse(text) == microseconds


@pytest.mark.parametrize("text", ["", "P", "PT", "5", "5 minutes", "P1Y", "P1M", "1h", "PT1", "PT9999999999999999S"])
def test_what_is_no_duration_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(durations.BadDuration, match="write it like PT30S"):
        durations.parse(text)


@pytest.mark.parametrize(
    ("microseconds", "text"),
    [
        (0, "PT0S"),
        (270_121_000_000, "PT75H2M1S"),
        (250_000, "PT0.25S"),
        (-1_500_000, "PT-1.5S"),
        (60_000_000, "PT1M"),
        (-90_061_000_000, "PT-25H-1M-1S"),
    ],
)
def test_durations_are_written_as_java_writes_them(microseconds: int, text: str) -> None:
    assert durations.format(microseconds) == text
    assert durations.parse(text) == microseconds
