"""The paragraph for a paper: nothing that was sent is missing, and nothing that was not sent is claimed."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from runware_nb.commands.methods import paragraph
from runware_nb.providers.runware.parameters import parameters_of
from runware_nb.runlog import ResultRecord, State
from runware_nb.session import Session
from runware_nb.settings import Settings
from tests.runs import run_record

requests = st.fixed_dictionaries(
    {"positivePrompt": st.sampled_from(["a fox", "a cat", "a cup"])},
    optional={
        "width": st.sampled_from([256, 512, 768, 1024, 1152]), "height": st.sampled_from([256, 512, 640, 896, 1024]),
        "steps": st.integers(1, 10), "CFGScale": st.sampled_from([1, 3.5, 7, 7.5]), "scheduler": st.sampled_from(["Euler", "DPM++"]),
        "negativePrompt": st.sampled_from(["text", "blurry hands"]), "acceleration": st.sampled_from(["none", "high"]),
        "lora": st.lists(st.fixed_dictionaries({"model": st.sampled_from(["c:1@1", "c:2@2"]), "weight": st.sampled_from([0.5, 1])}),
                         min_size=1, max_size=2),
        "outpaint": st.just({"top": 64}), "seedImage": st.sampled_from(["https://x/a.png", "https://x/b.png"]),
        "numberResults": st.integers(1, 4), "seed": st.integers(1, 12), "checkNSFW": st.booleans(),
    },
)  # fmt: skip


@pytest.fixture(scope="module")
def session(tmp_path_factory):
    made = Session(Settings(home=tmp_path_factory.mktemp("home") / ".runware"))
    yield made
    made.close()


def run_of(number, request, **changes):
    run = run_record(number, request=request, model="runware:101@1", prompt=request.get("positivePrompt"), cost=0.01,
                     state=State.SUCCEEDED, **changes)  # fmt: skip
    run.results = [ResultRecord(position=0, seed=request.get("seed"))]
    return run


@given(st.lists(requests, min_size=1, max_size=8))
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_every_parameter_of_every_run_is_in_the_paragraph(session, given_requests):
    said = paragraph(session, [run_of(number, request) for number, request in enumerate(given_requests)])
    for request in given_requests:
        for name, value in parameters_of(request).items():
            word = name.split(".")[0].replace("_", " ")
            word = {"number results": "number of results", "loras": "lora", "positive prompt": "prompt"}.get(word, word)
            assert word in said.lower() or word in {"width", "height"}, name
            text = (
                str(value).lower()
                if isinstance(value, bool)
                else f"{value:g}"
                if isinstance(value, float)
                else str(value)
            )
            assert text in said, (name, value, said)


def test_defaults_are_named_as_defaults_and_counted(session):
    runs = [run_of(1, {"steps": 9, "width": 256, "height": 256}), run_of(2, {"width": 256, "height": 256})]
    said = paragraph(session, runs)
    assert "size 256 × 256 pixels" in said
    assert "steps was 9 in 1 run and the model's default in 1 run" in said
    for part in ("CFG scale (the model's default)", "LoRA (none)", "output format (the API's default, JPG)"):
        assert part in said
    assert "28" not in said, "the catalogue's usual value is not what the service used"


def test_eight_values_stay_eight_and_what_is_summed_up_says_so(session):
    eight = paragraph(session, [run_of(n, {"steps": n, "width": 64 * n, "height": 64}) for n in range(1, 9)])
    assert all(f"{n} in 1 run" in eight for n in range(1, 9))
    assert all(f"{64 * n} × 64 pixels" in eight for n in range(1, 9))
    assert "summed up" not in eight
    many = paragraph(session, [run_of(n, {"steps": n, "positivePrompt": f"prompt {n}"}) for n in range(1, 31)])
    assert "steps was one of 30 different values from 1 to 30 in 30 runs" in many
    assert "prompt was one of 30 different values in 30 runs" in many
    assert "`rw.log.df()`" in many
    long = paragraph(session, [run_of(1, {"positivePrompt": "x" * 900})])
    assert "prompt a text of 900 characters" in long
    assert "`rw.log.df()`" in long


def test_operations_services_failures_and_re_runs_are_told_apart(session):
    caption = run_of(2, {"inputs": {"image": "https://x/a.png"}}, task_type="caption", provider="runware")
    caption.model = None
    part = run_of(3, {"seed": 7}, is_imported=True, prompt_template="a {animal}")
    part.state = State.PARTIAL
    part.results.append(ResultRecord(position=1, error={"message": "no"}))
    part.prompt = "a fox"
    said = paragraph(session, [run_of(1, {"seed": 1}), caption, part], failed=2, left_out=3)
    for words in (
        "the service's default model for caption in 1 run", "inputs.image https://x/a.png", "the Runware API",
        "local sandbox", "1 run returned only a part of the results; 1 result failed.",
        "2 further runs failed and returned no result.", "3 re-runs made to verify or replay others are not counted.",
        "1 of the runs is imported", 'from the template "a {animal}"', "The random seeds were 1 and 7",
    ):  # fmt: skip
        assert words in said, (words, said)
