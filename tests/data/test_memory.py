import pytest

from normwise.data import read_memory
from normwise.errors import UsageError


@pytest.mark.parametrize(
    ("memory", "size"),
    [
        (1, 1),
        (3 << 40, 3 << 40),
        ("100", 100),
        ("7B", 7),
        ("2KB", 2000),
        (" 1.5 gb ", 1_500_000_000),
        ("2GiB", 2 * 1024**3),
        ("1TB", 10**12),
        ("0.5MiB", 524288),
    ],
)
def test_bytes(memory, size):
    assert read_memory(memory) == size


@pytest.mark.parametrize("memory", [0, -1, True, 2.5, "2XB", "", "GB", "-1GB", "0GB", "1e3", None])
def test_what_is_no_number_of_bytes(memory):
    with pytest.raises(UsageError, match=r"memory=.*positive number of bytes"):
        read_memory(memory)
