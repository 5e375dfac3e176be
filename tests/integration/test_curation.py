"""Gallery, favourites and votes over a real log, on both databases."""

import io
import json
import time

import pytest
from PIL import Image

from runware_nb.core.media_types import sniff
from runware_nb.curation import Ballot, Exhibition
from runware_nb.errors import MagicUsageError, RunNotFound
from runware_nb.runlog.ballots import ballots_of, votes_of
from runware_nb.runlog.exhibits import list_images
from runware_nb.runlog.filters import RunFilter
from runware_nb.runlog.maintenance import forget_runs

SMALL = {"taskType": "imageInference", "model": "runware:101@1", "width": 128, "height": 128}


@pytest.fixture
def session(sandbox, make_session, log_url):
    made = make_session(sandbox, log_url=log_url)
    for number in range(3):
        made.submit({**SMALL, "positivePrompt": f"ship {number} <b>bold</b>", "numberResults": 2, "seed": 10 * number + 1},
                    tags=("study",)).result()  # fmt: skip
    return made


def test_images_are_listed_page_by_page_with_small_copies(session):
    show = Exhibition(session, RunFilter())
    assert show.open({}) == 6
    first = show.page(0, 4, makes=False)
    assert [number for number, _ in first] == [0, 1, 2, 3]
    assert all(each.body is None for _, each in first), "nothing is made while somebody waits"
    made = show.page(0, 4, makes=True)
    assert all(sniff(each.body) == "image/jpeg" and len(each.body) < 13_000 for _, each in made)
    assert all(each.body for _, each in show.page(0, 4, makes=False))
    assert [number for number, _ in show.page(4, 100, makes=False)] == [4, 5]
    assert show.page(99, 5, makes=False) == []
    assert {name: words for name, words, _ in first[0][1].facts()}["prompt"] == "ship 2 <b>bold</b>"


def test_filters_stars_and_favourites(session):
    show = Exhibition(session, RunFilter())
    show.open({})
    (_, one), (_, other) = show.page(0, 2, makes=False)
    show.rate(one.place, 4)
    show.mark(other.place, is_favourite=True)
    assert show.open({"stars": 4}) == 1
    assert show.page(0, 9, makes=False)[0][1].place == one.place
    assert show.open({"favourites": True}) == 1
    assert show.page(0, 9, makes=False)[0][1].result.is_favourite
    show.mark(other.place, is_favourite=False)
    assert show.open({"favourites": True}) == 0
    assert show.open({"search": "ship 1"}) == 2
    assert (
        show.open({"tag": "study", "model": "flux"}) == 0 or show.open({"tag": "study", "model": "runware:101@1"}) == 6
    )
    assert show.open({"tag": "nobody"}) == 0
    assert show.open({"sort": "rating"}) == 6
    with pytest.raises(MagicUsageError, match="Invalid sort"):
        show.open({"sort": "'; DROP TABLE runs"})
    with pytest.raises(MagicUsageError, match="Invalid stars 7"):
        show.rate(one.place, 7)
    with pytest.raises(RunNotFound):
        show.mark((one.place[0], 9), is_favourite=True)
    with pytest.raises(RunNotFound, match="no image"):
        show.find(("ffffffff", 0))


def test_what_is_made_meanwhile_does_not_move_the_pages(session):
    show = Exhibition(session, RunFilter())
    show.open({})
    before = [each.place for _, each in show.page(0, 6, makes=False)]
    session.submit({**SMALL, "positivePrompt": "one more", "seed": 99}).result()
    assert [each.place for _, each in show.page(0, 6, makes=False)] == before
    forget_runs(session.log, [before[0][0]])
    assert [number for number, _ in show.page(0, 6, makes=False)] == [2, 3, 4, 5], "numbers stay"
    assert show.open({}) == 5


def test_a_ballot_counts_ranks_and_takes_back(session):
    ballot = Ballot(session, "study", RunFilter(tags=("study",)), voter="ann")
    best = max(ballot.candidates)
    pairs = [(left, right) for left in ballot.candidates for right in ballot.candidates if left < right]
    for left, right in [*pairs, *((right, left) for left, right in pairs)]:  # each pair twice, on either side
        ballot.vote(left, right, "left" if left == best else "right" if right == best else "tie")
    assert len(ballot.votes) == len(pairs) == 15
    assert ballot.ranks()[0].item == best
    ballot.vote(*pairs[0], "tie")
    assert ballot.take_back(), "the vote that it replaced is there again"
    assert len(votes_of(session.log, "study")) == 15
    assert ballot.ranks()[0].item == best
    for _ in range(15):
        ballot.take_back()
    last = votes_of(session.log, "study")[-1]
    ballot.vote(last.left, last.right, "tie")
    Ballot(session, "study", RunFilter(tags=("study",)), voter="bob").vote(last.right, last.left, "left")
    assert ballots_of(session.log) == {"study": 16}, "bob's vote is his own"
    again = Ballot(session, "study", RunFilter(tags=("study",)))
    assert len(again.votes) == 16
    assert not again.take_back(), "only one's own last votes are taken back"
    with pytest.raises(MagicUsageError, match="choice 'both'"):
        ballot.vote(*ballot.next_pair(), "both")
    with pytest.raises(MagicUsageError, match="another result than left"):
        ballot.vote(best, best, "left")
    forget_runs(session.log, [best[0]])
    assert all(best[0] not in {vote.left[0], vote.right[0]} for vote in votes_of(session.log, "study"))


def test_pairs_and_ranks_by_condition(session):
    from runware_nb.curation.ballot import rank_conditions
    from runware_nb.providers.runware.parameters import parameters_of

    for prompt in ("a fox", "a cat"):
        for cfg in (2, 7.0, 9):
            for steps in (10, 20):
                session.submit({**SMALL, "positivePrompt": prompt, "seed": 5, "numberResults": 2, "CFGScale": cfg,
                                "steps": steps}, tags=("cfg",)).result()  # fmt: skip
    ballot = Ballot(session, "cfg", RunFilter(tags=("cfg",)), voter="ann", by=["cfg"])
    assert len(ballot.candidates) == 24
    runs = {run.task_uuid: run for run in session.log.select(RunFilter(tags=("cfg",)))}

    def of(place):
        run = runs[place[0]]
        return {**parameters_of(run.request), "seed": run.results[place[1]].seed}

    for _ in range(30):
        left, right = ballot.next_pair()
        one, other = of(left), of(right)
        assert {name for name in one if one[name] != other[name]} == {"cfg_scale"}
        ballot.vote(left, right, "left" if one["cfg_scale"] == 7 else "right" if other["cfg_scale"] == 7 else "tie")
    assert len(ballot.votes) > 20, "a pair is not shown again while others have not been"
    ranking = rank_conditions(session.log, ballot.votes, ["cfg"])
    assert str(ranking.ranks[0].item) == "cfg_scale 7"
    assert {str(rank.item) for rank in ranking.ranks} == {"cfg_scale 2", "cfg_scale 7", "cfg_scale 9"}
    assert all(rank.low < rank.strength < rank.high for rank in ranking.ranks)
    assert (ranking.alike, ranking.mixed) == (0, 0)
    both = Ballot(session, "cfg", RunFilter(tags=("cfg",)), by=["cfg", "steps"])
    assert all(of(left)["positive_prompt"] == of(right)["positive_prompt"] for left, right in [both.next_pair()])
    same = next((left, right) for left in ballot.candidates for right in ballot.candidates
                if left != right and of(left)["cfg_scale"] == of(right)["cfg_scale"])  # fmt: skip
    with pytest.raises(MagicUsageError, match=r"Invalid right .*expected an image that differs"):
        ballot.vote(*same, "left")
    with pytest.raises(MagicUsageError, match="no run here has a parameter cfg_scal; the nearest is cfg_scale"):
        Ballot(session, "cfg", RunFilter(tags=("cfg",)), by=["cfg_scal"])
    with pytest.raises(RunNotFound, match="No two of these 6 images differ only in width"):
        Ballot(session, "x", RunFilter(tags=("study",)), by=["width"])


def test_a_ranking_by_condition_from_the_line(session, monkeypatch):
    from runware_nb.commands import call

    monkeypatch.setattr("runware_nb.session.current._session", session)
    for steps in (10, 20):
        session.submit({**SMALL, "positivePrompt": "a fox", "seed": 5, "steps": steps}, tags=("s",)).result()
    left, right = list_images(session.log, RunFilter(tags=("s",)))
    for _ in range(3):  # Run All
        call.command("vote", f"{left[0]}#1", f"{right[0]}#1", "left", tag="s", by="steps")
    ranked = call.command("ranking", "s", by="steps")
    assert [(row["condition"], row["votes"]) for row in ranked.json] == [({"steps": "20"}, 1), ({"steps": "10"}, 1)]
    assert "ballot s by steps: 1 votes on 2 conditions" in ranked.text
    assert "1 of 2 are shown" in call.command("ranking", "s", by="steps", limit=1).text
    assert "1 of 2 are shown" in call.command("ranking", "s", limit=1).text
    with pytest.raises(MagicUsageError, match="between two images that differ in width"):
        call.command("ranking", "s", by="width")


def test_a_vote_needs_two_images_and_not_a_thousand(session):
    with pytest.raises(RunNotFound, match="two or more images, and 0 match"):
        Ballot(session, "x", RunFilter(tags=("nobody",)))


def test_images_of_other_kinds_are_no_images(session):
    image = session.submit({**SMALL, "positivePrompt": "a ship", "seed": 5}).result()
    session.submit(
        {"taskType": "caption", "model": "runware:150@2", "inputs": {"image": image[0]}}, agreed=True
    ).result()
    places = list_images(session.log, RunFilter())
    assert len(places) == 7


def test_the_widget_answers_what_the_browser_asks(session, monkeypatch):
    from runware_nb.notebook.canvas.gallery import Gallery

    monkeypatch.setattr("runware_nb.notebook.forms.api._last", None)  # no form is open
    gallery = Gallery(session, RunFilter())
    sent = []
    monkeypatch.setattr(gallery, "send", lambda content, buffers=None: sent.append((content, buffers or [])))
    gallery._received(None, {"kind": "open", "generation": 1, "filters": {}}, [])
    assert sent.pop()[0] == {"kind": "total", "generation": 1, "total": 6}
    gallery._received(None, {"kind": "page", "generation": 1, "start": 0, "count": 48}, [])
    until = time.monotonic() + 10
    while not (len(sent) > 1) and time.monotonic() < until:
        time.sleep(0.01)
    (first, none), (second, pictures) = sent[:2]
    assert [item["buffer"] for item in first["items"]] == [None] * 6
    assert none == []
    assert [item["buffer"] for item in second["items"]] == list(range(6))
    assert all(sniff(body) == "image/jpeg" for body in pictures)
    json.dumps(second)
    sent.clear()
    item = second["items"][0]
    place = {"uuid": item["uuid"], "position": item["position"]}
    gallery._received(None, {"kind": "rate", **place, "stars": 5}, [])
    gallery._received(None, {"kind": "favourite", **place, "is_favourite": True}, [])
    gallery._received(None, {"kind": "large", "places": [[place["uuid"], place["position"]]]}, [])
    assert sent == [(sent[0][0], sent[0][1])]
    large, bodies = sent.pop()
    assert dict(each[:2] for each in large["items"][0]["facts"])["stars"] == "★★★★★"
    assert Image.open(io.BytesIO(bodies[0])).size == (128, 128)
    gallery._received(None, {"kind": "reuse", **place, "name": "seed"}, [])
    assert f"--seed {dict(each[:2] for each in large['items'][0]['facts'])['seed']}" in sent.pop()[0]["words"]
    for nonsense in (
        {"kind": "page"},
        {"kind": "rate", "uuid": 7},
        {"kind": "__init__"},
        [],
        None,
        {"kind": "rate", **place, "stars": 99},
    ):
        gallery._received(None, nonsense, [])
        assert sent.pop()[0]["words"].startswith("✗")


def test_votes_travel_with_the_runs_once_each(session, sandbox, make_session, tmp_path):
    from runware_nb.reproduce.bundle import merge_bundle
    from runware_nb.reproduce.records import write_lines

    ballot = Ballot(session, "study", RunFilter(tags=("study",)), voter="ann")
    for choice in ("left", "right", "tie", "left"):
        ballot.vote(*ballot.next_pair(), choice)
    assert len(ballot.votes) == 4
    file = tmp_path / "study.jsonl"
    file.write_text("".join(write_lines(session.log, session.log.recent())))
    assert list(write_lines(session.log, session.log.recent())) == file.read_text().splitlines(keepends=True)
    other = make_session(sandbox, home=tmp_path / "colleague" / ".runware")
    for _ in range(2):
        merge_bundle(other, file)
        # votes of one millisecond travel in the order of their images
        assert sorted((vote.left, vote.choice, vote.voter) for vote in votes_of(other.log, "study")) == sorted(
            (vote.left, vote.choice, vote.voter) for vote in votes_of(session.log, "study")
        )
    changed = votes_of(session.log, "study")[0]
    time.sleep(0.002)  # a later millisecond
    ballot.vote(changed.right, changed.left, "tie")
    file.write_text("".join(write_lines(session.log, session.log.recent())))
    merge_bundle(other, file)
    assert [vote.choice for vote in votes_of(other.log, "study")].count("tie") == 2, "the later vote replaces"
    some = [run for run in session.log.recent() if run.task_uuid != ballot.candidates[0][0]]
    assert not [line for line in write_lines(session.log, some) if ballot.candidates[0][0] in line]


@pytest.mark.parametrize(
    "vote",
    [
        {"left": ["x", 0], "right": ["y", 0], "choice": "left"},
        {"left": None, "right": [1, 2], "choice": "left"},
        {"left": ["3f2a0000-0000-4000-8000-000000000002", True], "right": ["3f2a0000-0000-4000-8000-000000000001", 0], "choice": "left"},
        {"left": ["3f2a0000-0000-4000-8000-000000000002", 0], "right": ["3f2a0000-0000-4000-8000-000000000002", 0], "choice": "left"},
        {"left": ["3f2a0000-0000-4000-8000-000000000002", 0], "right": ["3f2a0000-0000-4000-8000-000000000001", 0], "choice": "both"},
        {"left": ["3f2a0000-0000-4000-8000-000000000002", 0], "right": ["3f2a0000-0000-4000-8000-000000000001", 0], "choice": "tie", "voter": 7},
    ],
)  # fmt: skip
def test_votes_that_are_none_are_refused(vote):
    from runware_nb.errors import BundleError
    from runware_nb.reproduce.records import read_lines

    lines = ['{"kind": "runware_nb records", "version": 1}', json.dumps({"kind": "vote", "ballot": "b", **vote})]
    with pytest.raises(BundleError, match="line 2: invalid vote"):
        read_lines(lines)
