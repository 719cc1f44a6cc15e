from __future__ import annotations

import pytest

from endpoints_pipeline.snapshots.layout import VersionLayout


@pytest.mark.parametrize(("prefix", "base"), [("", ""), ("a", "a/"), ("a/b", "a/b/"), ("/a/b/", "a/b/"), ("/", "")])
def test_keys_have_one_slash_between_their_parts(prefix: str, base: str) -> None:
    layout = VersionLayout(prefix, 7, "daily-sales", 3)
    root = f"{base}projects/7/endpoints/daily-sales/v3"
    assert layout.root == root
    assert layout.parts_folder("s1") == f"{root}/parts/s1/"
    assert layout.part("s1", 12) == f"{root}/parts/s1/part-00012.parquet"
    assert layout.manifest("s1") == f"{root}/manifests/s1.json"
    assert layout.current == f"{root}/current.json"


def test_no_version_is_in_the_folder_of_another() -> None:
    assert not VersionLayout("", 1, "a", 11).root.startswith(f"{VersionLayout('', 1, 'a', 1).root}/")
