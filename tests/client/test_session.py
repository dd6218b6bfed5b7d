"""A session says what a command should know before it starts."""

import pytest

from relay_dagster.client.session import connected


@pytest.mark.parametrize(
    ("url", "key", "is_told"),
    [
        ("http://relay.example.com", "key", True),
        ("http://10.1.2.3:8000", "key", True),
        ("https://relay.example.com", "key", False),
        ("http://127.0.0.1:8000", "key", False),
        ("http://localhost:8000", "key", False),
        ("http://relay.example.com", None, False),
    ],
)
def test_a_key_that_others_can_read_on_its_way_is_told(
    url: str, key: str | None, is_told: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    with connected(url, key):
        pass
    out, err = capsys.readouterr()
    assert out == ""
    assert bool(err) == is_told
    if is_told:
        assert err == (
            f"Warning: the API key is sent to {url} without encryption. Use https.\n"
        )
