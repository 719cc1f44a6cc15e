from __future__ import annotations

import pytest

from endpoints_pipeline.engine.rows import JsonRows, split

HEAD = b'["n"]\n["UInt8"]\n'


@pytest.mark.parametrize(
    ("body", "limit", "expected"),
    [
        (b"", None, JsonRows(b"", 0, False)),
        (b"[1]\n", None, JsonRows(b"[1]", 1, False)),
        (b"[1]\n[2]\n[3]\n", None, JsonRows(b"[1],[2],[3]", 3, False)),
        (b"[1]\n[2]\n[3]\n", 3, JsonRows(b"[1],[2],[3]", 3, False)),
        (b"[1]\n[2]\n[3]\n", 2, JsonRows(b"[1],[2]", 2, True)),
        (b"[1]\n", 0, JsonRows(b"", 0, True)),
        (b"", 0, JsonRows(b"", 0, False)),
        (b'["a\\nb"]\n', None, JsonRows(b'["a\\nb"]', 1, False)),
    ],
)
def test_rows_are_cut_out_of_the_engines_answer(body: bytes, limit: int | None, expected: JsonRows) -> None:
    assert split(HEAD + body, limit=limit) == expected
