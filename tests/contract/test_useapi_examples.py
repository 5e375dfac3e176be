"""Requests and responses of the useapi.net documents, sent to the sandbox with curl: each case with its source.

The real service was not reachable. `reference` is the project's useapi-runwayml reference, whose marks name the page:
`seed` is the page "Create or update Runway API account configuration".
"""

import re

import pytest

from tests.useapi_sandbox import FIRST, UseApiSandbox, png

TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")
ACCOUNT = {
    "email": FIRST, "password": "<text>", "maxJobs": 5,
    "jwt": {"token": "<text>", "exp": "<number>", "iat": "<number>", "id": "<number>"},
}  # fmt: skip
ARTIFACT = {
    "assetId": "<text>", "id": "<text>", "createdAt": "<time>", "updatedAt": "<time>", "userId": "<number>",
    "createdBy": "<number>", "taskId": "<text>", "parentAssetGroupId": None, "filename": "<text>", "url": "<text>",
    "fileSize": "<digits>", "isDirectory": False, "previewUrls": [], "private": True, "privateInTeam": True,
    "deleted": False, "reported": False, "favorite": False,
    "metadata": {"frameRate": "<number>", "duration": 5.0, "width": "<number>", "height": "<number>",
                 "hasAudio": False, "hasAlphaChannel": False},
}  # fmt: skip
TASK = {
    "taskId": "<task id>", "id": "<text>", "name": "<text>", "image": None, "createdAt": "<time>",
    "updatedAt": "<time>", "taskType": "<text>", "options": "<any>", "status": "SUCCEEDED", "error": None,
    "progressText": None, "progressRatio": "1", "estimatedTimeToStartSeconds": None, "artifacts": [ARTIFACT],
    "sharedAsset": None,
}  # fmt: skip
ASSET = {
    "assetId": "<asset id>", "id": "<text>", "createdAt": "<time>", "updatedAt": "<time>", "name": "input",
    "filename": "<text>", "mediaType": "<any>", "url": "<text>", "previewUrls": [], "fileSize": "<number>",
    "isDirectory": False, "private": True, "privateInTeam": True, "deleted": False, "reported": False,
    "metadata": {"width": 64, "height": 36}, "favorite": False, "userId": "<number>",
}  # fmt: skip
PLATFORM = {
    "id": "<number>", "email": "<text>", "created": "<time>", "name": "<text>", "subscriptionIsActive": True,
    "subscriptions": 1, "maxAccountsPerAPI": 3, "accounts": {"runwayml": {"total": 1, "active": 1, "error": 0}},
    "verified": True, "sub": "<digits>",
}  # fmt: skip


def refused(status, text="<text>"):
    return {"error": text, "code": status}


def account(**changes):
    return {"email": FIRST, "password": "secret", "maxJobs": 5, **changes}


POST = f"POST /accounts/{FIRST}"
IMAGE = "<image asset>"
VIDEO = "<video asset>"
CASES = [
    # name, source, request, body, status, response
    ("create an account", "seed; reference 2.3", POST, account(), 200, ACCOUNT),
    ("create with %40", "reference 2.3", POST.replace("@", "%40"), account(), 200, ACCOUNT),
    ("most jobs", "seed", POST, account(maxJobs=10), 200, {**ACCOUNT, "maxJobs": 10}),
    ("e-mail differs", "seed; reference 2.3", POST, account(email="other@example.com"), 400, refused(400)),
    *(
        (f"maxJobs {value!r}", "seed; reference 11", POST, account(maxJobs=value), 400, refused(400))
        for value in (0, 11, "5", 5.0, True, None)
    ),
    ("no password", "seed; reference 2.3", POST, {"email": FIRST, "maxJobs": 5}, 400, refused(400)),
    ("no JSON", "reference 10", POST, b"{", 400, refused(400)),
    ("list accounts", "docs: get-accounts; reference 2.2", "GET /accounts", None, 200, {FIRST: ACCOUNT}),
    ("read an account", "docs: get-accounts-email", f"GET /accounts/{FIRST}", None, 200, ACCOUNT),
    ("unknown account", "docs: get-accounts-email", "GET /accounts/no@example.com", None, 404, b"Account no@example.com not found."),
    ("delete an account", "pm; reference 2.3", f"DELETE /accounts/{FIRST}", None, 204, b""),
    ("delete an unknown account", "reference 2.3", "DELETE /accounts/no@example.com", None, 404, refused(404)),
    ("read a task", "docs: get-tasks-taskId", "GET /tasks/<task>", None, 200, TASK),
    ("unknown task", "docs: get-tasks-taskId", "GET /tasks/no", None, 404, refused(404, "Not found.")),
    ("list tasks", "docs: get-tasks", "GET /tasks/?offset=0&limit=10", None, 200, "<any>"),
    ("list tasks by status", "docs: get-tasks", f"GET /tasks/?offset=0&limit=1000&email={FIRST}&statuses=FAILED,RUNNING", None, 200, []),
    *(
        (f"list tasks {query!r}", "docs: get-tasks", f"GET /tasks/?{query}", None, 400, refused(400))
        for query in ("", "offset=0", "offset=0&limit=0", "offset=1001&limit=1", "offset=0&limit=1001")
    ),
    ("delete a task", "pm; reference 5", "DELETE /tasks/<task>", None, 204, b""),
    ("scheduler", "docs: get-scheduler", "GET /scheduler", None, 200, []),
    ("stop tracking a finished task", "docs: MiniMax; reference 5", "DELETE /scheduler/<task>", None, 404, refused(404)),
    ("upload", "docs: post-assets", "POST /assets/?name=input", png(), 200, ASSET),
    ("upload without a name", "docs: post-assets", "POST /assets/", png(), 400, refused(400)),
    ("list assets", "docs: get-assets", "GET /assets/?offset=0&limit=50&mediaType=audio", None, 200, []),
    ("list too many assets", "docs: get-assets", "GET /assets/?offset=0&limit=51", None, 400, refused(400)),
    ("assets of an odd type", "docs: get-assets", "GET /assets/?offset=0&limit=5&mediaType=text", None, 400, refused(400)),
    ("read an asset", "docs: get-assets-assetId", f"GET /assets/{IMAGE}", None, 200, ASSET),
    ("unknown asset", "docs: get-assets-assetId", "GET /assets/no", None, 404, refused(404, "Not found.")),
    ("delete an asset", "pm; reference 7", f"DELETE /assets/{IMAGE}", None, 204, b""),
    ("describe an image", "docs: frames-describe", f"GET /frames/describe/{IMAGE}", None, 200, {"prompt": "<text>"}),
    ("describe a video", "docs: frames-describe", f"GET /frames/describe/{VIDEO}", None, 400, refused(400)),
    ("features", "docs: get-features; pm", "GET /features/", None, 200, {
        "permitted": {"storageGB": "<number>", "numPlanCredits": "<number>"}, "used": {"numPlanCredits": "<number>"},
        "teams": [{"id": "<number>", "name": "<text>"}],
    }),
    ("platform account", "docs: account-management", "GET //v2/account", None, 200, PLATFORM),
    ("default callback", "docs: account-management", "POST //v2/account",
     {"name": "Ada", "replyUrl": "http://127.0.0.1:9/x"}, 200, {**PLATFORM, "name": "Ada", "replyUrl": "http://127.0.0.1:9/x"}),
    ("callback too long", "docs: account-management", "POST //v2/account", {"replyUrl": "x" * 1025}, 400, refused(400)),
    ("retired preview", "docs; reference 6.2", "GET /text_to_image_preview/?text_prompt=x", None, 404, refused(404, "Not found.")),
    ("unknown path", "reference 11", "GET /no-such-path", None, 404, refused(404)),
    ("voices", "pm; reference 6.2, form unspecified", "GET /lipsync/voices/", None, 200,
     [{"id": "<text>", "name": "<text>", "previewUrl": "<text>"}] * 3),
    ("transcript", "pm; reference 6.2, form unspecified", f"GET /transcribe/?assetId={VIDEO}&language=en", None, 200, {"text": "<text>"}),
    ("transcript of an image", "pm; reference 6.2", f"GET /transcribe/?assetId={IMAGE}&language=en", None, 400, refused(400)),
    ("transcript of nothing", "pm; reference 6.2", "GET /transcribe/?language=en", None, 400, refused(400)),
    *(
        (f"transcript in {language!r}", "pm; reference 6.2", f"GET /transcribe/?assetId={VIDEO}&language={language}", None, 400, refused(400))
        for language in ("", "eng", "E1")
    ),
    ("upscale nothing", "pm; reference 6.2", "GET /image_upscaler/?width=8&height=8", None, 400, refused(400)),
    ("usage", "ae; reference 8, form unspecified", "GET //v2/account/stats", None, 200, {}),
]  # fmt: skip
CREATE = [
    ("pm; reference 6.3", "videos/create", {"model": "gen4.5", "text_prompt": "a ship", "duration": 2}),
    ("pm; reference 6.3", "videos/create", {"model": "seedance-2", "text_prompt": "a ship", "imageAssetId1": IMAGE}),
    ("pm; reference 6.3", "videos/create", {"model": "a-new-model", "text_prompt": "a ship", "duration": 7}),
    ("docs: videos-upscale", "videos/upscale", {"videoAssetId": VIDEO}),
    ("pm; reference 6.4", "images/create", {"model": "nano-banana", "text_prompt": "a cat", "num_images": 4}),
    ("docs: frames-create", "frames/create", {"text_prompt": "a cat by @IMG_1", "imageAssetId1": IMAGE, "aspect_ratio": "21:9"}),
    ("docs: gen4_5-create", "gen4_5/create", {"text_prompt": "a ship", "seconds": 8}),
    ("pm; reference 6.2", "gen4/create", {"firstImage_assetId": IMAGE, "seconds": 10}),
    ("pm; reference 6.2", "gen4turbo/create", {"firstImage_assetId": IMAGE, "aspect_ratio": "1:1"}),
    ("pm; reference 6.2", "gen4/upscale", {"assetId": VIDEO}),
    ("pm; reference 6.2", "gen4/video", {"video_assetId": VIDEO, "text_prompt": "in winter"}),
    ("pm; reference 6.2", "gen4/act-two", {"driving_assetId": VIDEO, "character_assetId": IMAGE}),
    ("pm; reference 6.2", "gen4/act-two-voice", {"video_assetId": VIDEO, "voiceId": "v1"}),
    ("pm; reference 6.2", "gen3turbo/create", {"text_prompt": "a ship", "zoom": -10, "aspect_ratio": "portrait"}),
    ("pm; reference 6.2", "gen3turbo/video", {"assetId": VIDEO, "text_prompt": "in winter"}),
    ("pm; reference 6.2", "gen3/video", {"assetId": VIDEO, "text_prompt": "in winter", "structure_transformation": 0}),
    ("pm; reference 6.2", "gen3turbo/extend", {"assetId": VIDEO}),
    ("docs: gen3-extend", "gen3/extend", {"assetId": VIDEO, "seconds": 5}),
    ("pm; reference 6.2", "gen3turbo/expand", {"videoAssetId": VIDEO, "outpaint_aspect_ratio": "1:1"}),
    ("pm; reference 6.2", "gen3turbo/actone", {"driving_assetId": VIDEO, "character_assetId": IMAGE}),
    ("pm; reference 6.2", "gen3/actone", {"driving_assetId": VIDEO, "character_assetId": IMAGE, "motion_multiplier": 5}),
    ("pm; reference 6.2", "gen3/create", {"text_prompt": "a ship"}),
    ("docs: gen3alpha-upscale", "gen3alpha/upscale", {"assetId": VIDEO, "maxJobs": 10}),
    ("pm; reference 6.2", "gen2/create", {"text_prompt": "a ship", "motion": 10}),
    ("pm; reference 6.2", "gen2/extend", {"assetId": VIDEO}),
    ("pm; reference 6.2", "lipsync/create", {"image_assetId": IMAGE, "voiceId": "v1", "voice_text": "hello"}),
    ("docs: super_slow_motion", "super_slow_motion", {"assetId": VIDEO, "speed": 0.1}),
]  # fmt: skip
WRONG = [
    ("videos/create", {"text_prompt": "no model"}),
    ("videos/create", {"model": "veo-3.1", "duration": 5}),
    ("videos/create", {"model": "gen4", "text_prompt": "x" * 513}),
    ("videos/create", {"model": "kling-o3-pro", "endFrameAssetId": IMAGE}),
    ("videos/create", {"model": ["gen4"], "imageAssetId1": 1}),
    ("videos/create", {"model": "gen4.5", "email": ["a"]}),
    ("videos/upscale", {}),
    ("images/create", {"model": "gen4", "num_images": 2}),
    ("images/create", {"model": "gen4", "seed": 4294967295}),
    ("frames/create", {"text_prompt": "x" * 1001}),
    ("frames/create", {"text_prompt": "x", "aspect_ratio": "2:1"}),
    ("gen4_5/create", {}),
    ("gen4/create", {"firstImage_assetId": IMAGE, "seconds": 8}),
    ("super_slow_motion", {"assetId": VIDEO, "speed": 2}),
    *(("gen3/create", wrong) for wrong in ({"maxJobs": 11}, {"maxJobs": "5"}, {"replyRef": "x" * 1025},
                                           {"replyUrl": "x" * 1025}, {"exploreMode": 1}, {"seed": True})),
]  # fmt: skip


def assert_like(response, pattern, names):
    """Compare with a pattern. No field may be missing or new."""
    if isinstance(pattern, dict):
        assert set(response) == set(pattern)
        for key, inner in pattern.items():
            assert_like(response[key], inner, names)
    elif isinstance(pattern, list):
        assert len(response) == len(pattern)
        for item, inner in zip(response, pattern, strict=True):
            assert_like(item, inner, names)
    elif pattern == "<text>":
        assert isinstance(response, str)
        assert response
    elif pattern == "<digits>":
        assert isinstance(response, str)
        assert response.isdigit()
    elif pattern == "<number>":
        assert type(response) in {int, float}
    elif pattern == "<time>":
        assert TIME.fullmatch(response)
    elif pattern in {"<task id>", "<asset id>"}:
        assert re.fullmatch(rf"user:\d+-runwayml:{re.escape(FIRST)}-{pattern[1:-4]}:[0-9a-f-]{{36}}", response)
    elif pattern != "<any>":
        assert response == pattern


@pytest.fixture(scope="module")
def process():
    process = UseApiSandbox()
    yield process
    process.close()


@pytest.fixture
def useapi(process):
    """A service with one account, a finished video, and an uploaded image."""
    process.restart()
    process.add_account()
    process.names = {"<image asset>": process.upload()[1]["assetId"]}
    task_id = process.create()[1]["taskId"]
    video = process.call("GET", f"/tasks/{task_id}")[1]["artifacts"][0]["assetId"]
    process.names |= {"<task>": task_id, "<video asset>": video}
    return process


def filled(value, names):
    if isinstance(value, dict):
        return {key: filled(inner, names) for key, inner in value.items()}
    if isinstance(value, str):
        for name, stands_for in names.items():
            value = value.replace(name, stands_for)
    return value


@pytest.mark.parametrize(
    ("request_line", "body", "status", "pattern"), [case[2:] for case in CASES], ids=[case[0] for case in CASES]
)
def test_examples(useapi, request_line, body, status, pattern):
    method, path = filled(request_line, useapi.names).split(" ", 1)
    if isinstance(pattern, bytes):
        response = useapi.raw(method, path)
        assert (response[0], response[2]) == (status, pattern)
        return
    media_type = {"Content-Type": "image/png"} if path.startswith("/assets/?") else {}
    response_status, response = useapi.call(method, path, body, **media_type)
    assert response_status == status, response
    assert_like(response, pattern, useapi.names)


@pytest.mark.parametrize(("source", "path", "body"), CREATE, ids=[f"{n}-{case[1]}" for n, case in enumerate(CREATE)])
def test_create_calls(useapi, source, path, body):
    """Each documented create call is accepted with its documented parameters, and returns a task with a taskId."""
    status, task = useapi.create(f"/{path}", **filled(body, useapi.names))
    assert status == 200, task
    assert_like({**task, "artifacts": []}, {**TASK, "artifacts": []}, useapi.names)
    assert (
        useapi.call("GET", f"/tasks/{task['taskId']}")[1]["options"].items()
        >= {name: value for name, value in filled(body, useapi.names).items() if name != "maxJobs"}.items()
    )


@pytest.mark.parametrize(("path", "body"), WRONG)
def test_wrong_parameters_are_refused(useapi, path, body):
    status, response = useapi.call("POST", f"/{path}", filled(body, useapi.names))
    assert status == 400, response
    assert_like(response, refused(400), useapi.names)


@pytest.mark.parametrize("path", ["/accounts", "/tasks?offset=0&limit=5", "//v2/account", "/anything"])
def test_wrong_token(useapi, path):
    """Source: seed, 401; reference 10."""
    assert useapi.call("GET", path, token="user:1-other") == (401, {"error": "Unauthorized", "code": 401})


@pytest.mark.parametrize(
    ("reason", "text"), [("password", "Wrong username/password combination."), ("suspended", "Account suspended.")]
)
def test_login_errors(useapi, reason, text):
    """Source: seed, 401: the same status as for a wrong token."""
    useapi.faults({"kind": "login", "on": "accounts", "reason": reason})
    assert useapi.call("POST", f"/accounts/{FIRST}", account()) == (401, {"error": text, "code": 401})


FORM = "multipart/form-data; boundary=----form"


def form(**fields):
    parts = (
        f'------form\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'
        for name, value in fields.items()
    )
    return f"{''.join(parts)}------form--\r\n".encode()


def test_forms(useapi):
    """Source: docs: most POSTs also accept multipart/form-data, and the accounts POST too; reference 1."""
    status, response = useapi.call(
        "POST", f"/accounts/{FIRST}", form(**account(password="12345")), **{"Content-Type": FORM}
    )
    assert status == 200, response
    assert_like(response, ACCOUNT, useapi.names)
    body = form(model="gen4", text_prompt="a ship\r\nat sea", duration=10, exploreMode="true", replyRef="é")
    status, task = useapi.call("POST", "/videos/create", body, **{"Content-Type": FORM})
    assert status == 200, task
    assert task["options"] == {"model": "gen4", "text_prompt": "a ship\r\nat sea", "duration": 10, "exploreMode": True}
    assert task["replyRef"] == "é"


@pytest.mark.parametrize(
    ("body", "media_type"),
    [
        (b"[]", "application/json"),
        (b"[" * 100_000, "application/json"),
        (b"no form", FORM),
        (b"no form", "multipart/form-data"),
        (b"------form\r\n\r\nno name\r\n------form--\r\n", FORM),
    ],
)
def test_unreadable_bodies_are_refused(useapi, body, media_type):
    status, response = useapi.call("POST", "/videos/create", body, **{"Content-Type": media_type})
    assert_like(response, refused(400), useapi.names)
    assert status == 400


def test_no_accounts(useapi):
    """Source: docs: get-accounts: the 404 is a sentence."""
    useapi.restart()
    assert useapi.raw("GET", "/accounts")[::2] == (404, b"No accounts are configured.")


def test_the_session_lasts_30_days(useapi):
    """Source: seed; reference 2.1."""
    jwt = useapi.add_account()["jwt"]
    assert jwt["exp"] - jwt["iat"] == 30 * 24 * 3600
