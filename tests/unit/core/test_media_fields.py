"""Where media are in a task: under the names of a service, or inside `assets` under any name."""

from pathlib import Path

import pytest

from runware_nb.core.media_fields import holds_media, replace_media


@pytest.mark.parametrize("value", ["id:1", Path("a.png"), b"x", ["id:1", "id:2"], {"deep": ["id:1"]}])
def test_all_values_inside_assets_are_media(value):
    task = {"text_prompt": "id:1", "assets": {"startFrame": value}}
    seen = []
    replaced = replace_media(task, lambda medium: seen.append(medium) or "new")
    assert holds_media(task)
    assert replaced["text_prompt"] == "id:1"
    assert set(map(str, seen)) <= {"id:1", "id:2", "a.png", "b'x'"}
    assert "id" not in str(replaced["assets"])
    assert task["assets"] == {"startFrame": value}


def test_assets_means_media_only_at_the_top():
    task = {"input": {"assets": {"a": "text"}, "notes": ["text"]}, "assets": {"a": None}}
    assert replace_media(task, lambda _: "new") == task
