"""Parameters by their Python names, whatever a request holds."""

import json
import random

from hypothesis import given
from hypothesis import strategies as st

from runware_nb.core.differences import differences
from runware_nb.providers.runware.operations import WIRE_NAMES
from runware_nb.providers.runware.parameters import DELIVERY, in_order, parameters_of

scalars = st.one_of(st.integers(), st.floats(allow_nan=False), st.text(max_size=8), st.booleans())
names = st.one_of(st.sampled_from(sorted(WIRE_NAMES.values())), st.text("abcABC", min_size=1, max_size=5))
values = st.recursive(scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=3),
                      max_leaves=6)  # fmt: skip
requests = st.dictionaries(names, values, max_size=6)


def leaves(value):
    if isinstance(value, dict):
        return [leaf for inner in value.values() for leaf in leaves(inner)]
    if isinstance(value, list):
        return [leaf for inner in value for leaf in leaves(inner)]
    return [json.dumps(value)]


@given(requests)
def test_every_value_is_there_once_and_the_order_depends_on_nothing_but_the_names(request):
    parameters = parameters_of(request)
    kept = {name: value for name, value in request.items() if name not in DELIVERY}
    assert sorted(leaves(list(parameters.values()))) == sorted(leaves(kept))
    shuffled = list(request.items())
    random.Random(1).shuffle(shuffled)
    assert list(parameters_of(dict(shuffled)).items()) == list(parameters.items())


def test_names_are_those_of_python():
    request = {
        "taskType": "imageInference", "taskUUID": "x", "width": 64, "CFGScale": 3.5, "positivePrompt": "a", "clipSkip": 1,
        "lora": [{"model": "m:1@1", "weight": 0.5}], "outpaint": {"top": 64}, "trueCFGScale": 2, "checkNSFW": True,
        "referenceImages": ["u1", "u2"], "seedImage": "u3", "negativePrompt": None,
    }  # fmt: skip
    inputs = [{"file": "ab/c.png"}, {"named": "https://x/y.png"}, {}]
    assert parameters_of(request, inputs) == {
        "positive_prompt": "a", "width": 64, "cfg_scale": 3.5, "loras.0.model": "m:1@1", "loras.0.weight": 0.5,
        "clip_skip": 1, "outpaint.top": 64, "true_cfg_scale": 2, "check_nsfw": True,
        "reference_images": ["ab/c.png", "https://x/y.png"], "seed_image": "u3",
    }  # fmt: skip


def test_two_orders_are_one_and_differences_are_named():
    assert list(in_order({"seed": 1, "b": 2, "positivePrompt": "x"})) == ["positivePrompt", "seed", "b"]
    assert differences({"steps": 1, "seed": 2}, {"seed": 3, "width": 4}) == {
        "steps": (1, None), "seed": (2, 3), "width": (None, 4)
    }  # fmt: skip
