"""What was typed is what is sent, byte for byte; and what a form writes as a cell is what the cell sends."""

import json

from hypothesis import assume, given
from hypothesis import strategies as st

from runware_nb.commands.arguments import split_line
from runware_nb.commands.as_cell import as_cell, quote_word
from runware_nb.commands.image_options import task_from
from runware_nb.commands.names import fill_names
from runware_nb.core.infotext import is_infotext
from runware_nb.core.key_shapes import looks_like_key
from runware_nb.errors import MagicUsageError
from runware_nb.notebook.parsing import fill_line, parse_cell

HARD = st.sampled_from(
    ['"', "'", "\\", "{", "}", "{{", "}}", "{x}", "{{x}}", "%", "$x", "<img onerror=alert(1)>", "&amp;", "\u202e", "😀",
     "שלום", "e\u0301", "\n", "\t", "#3", "--seed", "`", ";", "\\n", "\x7f", "\u2028", "x" * 3000]
)  # fmt: skip
prompts = st.lists(HARD | st.text(max_size=20), min_size=1, max_size=8).map("".join)


def sent(line, body, names=None):
    asked = parse_cell(line, body, names or {})
    return task_from(asked.options, asked.prompt, lambda word: word).to_wire()


@given(prompts)
def test_a_prompt_is_sent_byte_for_byte(prompt):
    assume(prompt.strip() and prompt == prompt.strip("\r\n") and not is_infotext(prompt) and "{{" not in prompt)
    assert sent("--seed 7", f"{prompt}\n")["positivePrompt"] == prompt


@given(prompts, prompts)
def test_a_value_is_filled_in_once_and_never_looked_into(before, value):
    assume("{" not in before)
    assert fill_names(f"{before}{{x}}", {"x": value}).text == before + value


@given(st.lists(prompts, max_size=5))
def test_quoted_words_are_read_as_they_were(words):
    line = " ".join(map(quote_word, words))
    assert fill_line(line, {"x": "filled", "a": "in"})[0] == words


@given(st.text(max_size=60))
def test_any_line_is_read_or_refused_in_a_sentence(line):
    try:
        parse_cell(line, "a ship", {})
    except MagicUsageError as error:
        assert "\n" not in str(error)
    except Exception as error:
        assert type(error).__name__ == "HelpRequested"


numbers = st.integers(0, 2**31)
tasks = st.fixed_dictionaries(
    {"positivePrompt": prompts, "model": st.just("runware:101@1"), "width": st.integers(128, 2048),
     "height": st.integers(128, 2048)},
    optional={
        "negativePrompt": prompts, "seed": numbers, "steps": st.integers(1, 100), "numberResults": st.integers(1, 20),
        "CFGScale": st.floats(0, 50), "strength": st.floats(0, 1), "scheduler": st.sampled_from(["Euler a", "DPM++ 2M Karras"]),
        "outputFormat": st.sampled_from(["JPG", "png"]), "clipSkip": st.integers(0, 2),
        "settings": st.dictionaries(st.text(max_size=5), st.text(max_size=9) | st.booleans() | st.none(), max_size=3),
        "lora": st.lists(st.fixed_dictionaries({"model": st.just("civitai:1@2"), "weight": st.floats(-4, 4)}), min_size=1, max_size=2),
        "inputs": st.fixed_dictionaries({"seedImage": st.sampled_from(["ships", "a b/c.png", "#3"])},
                                        optional={"referenceImages": st.lists(st.just("x"), min_size=1, max_size=2)}),
    },
)  # fmt: skip


@given(tasks)
def test_a_request_written_as_a_cell_is_the_same_request(task):
    cell = as_cell({"taskType": "imageInference", **task})
    if cell is None:
        return  # said in Python instead
    head, _, body = cell.partition("\n")
    assume(not any(looks_like_key(word) for word in split_line(head)))
    made = sent(head.removeprefix("%%runware"), body, {"x": "must not be filled in", "ships": "nor this"})
    made = json.loads(json.dumps(made))
    inputs = {name: made.pop(name) for name in ("seedImage", "maskImage", "referenceImages") if name in made}
    expected = {"taskType": "imageInference", "numberResults": 1, **task}
    assert inputs == expected.pop("inputs", {})
    assert made == expected


@given(prompts)
def test_few_prompts_need_python(prompt):
    """The way around through Python is for line breaks at the ends and for blocks of parameters only."""
    task = {"positivePrompt": prompt, "model": "m", "width": 1, "height": 1}
    trimmed = not prompt.strip() or prompt != prompt.strip("\r\n") or is_infotext(prompt)
    assert (as_cell(task) is None) == trimmed
