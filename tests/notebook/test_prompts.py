"""Saved prompts, wildcards, weights and enhanced versions, in a real shell with a real sandbox."""

import html
import json
import os
from pathlib import Path

import pytest
from IPython.core.completer import provisionalcompleter

import runware_nb as rw
from runware_nb.errors import ConfigError, MagicUsageError, RunwareNBError, TaskInvalid
from runware_nb.notebook.completion import complete_runware
from runware_nb.session import current_session

SMALL = "-s 256x256 --yes"


def last_run():
    return current_session().log.recent(1)[0]


def number_of_runs():
    return current_session().log.count()


def save(folder, name, text):
    path = Path(folder) / f"{name}.txt"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text if isinstance(text, bytes) else text.encode())


# --- saved prompts -------------------------------------------------------------------------------------------


def test_a_prompt_is_saved_as_typed_and_used_by_name(shell, capsys):
    """Also where a variable has the name of one of its values."""
    shell.names["subject"] = "never"
    shell.run('%runware prompt save studio "a photo of {subject} in {place}"')
    said = capsys.readouterr().out
    assert "Write {@studio} to use it. Its values: {subject}, {place}." in said
    assert Path("prompts/studio.txt").read_text() == "a photo of {subject} in {place}\n"
    capsys.readouterr()
    shell.run(f"%%runware {SMALL} -v subject='a cat' --var place=Oslo\n{{@studio}}, {{{{@studio}}}}, {{@nothing}}")
    run = last_run()
    assert run.prompt == "a photo of a cat in Oslo, {@studio}, {@nothing}"
    assert run.prompt_template == "{@studio}, {{@studio}}, {@nothing}"
    assert run.prompt_origin == {
        "values": {"subject": "a cat", "place": "Oslo"},
        "saved": {"studio": "a photo of {subject} in {place}"},
    }
    assert "{@nothing} (no saved prompt has this name)" in capsys.readouterr().out
    shell.run(f"%runware show {run.task_uuid[:8]}")
    shown = " ".join(capsys.readouterr().out.split())
    assert "template {@studio}, {{@studio}}" in shown
    assert "{place} Oslo" in shown


def test_a_prompt_with_a_key_is_not_saved(shell, sandbox):
    """Neither a key in use nor one of a well-known shape gets into a file of the project, or into its copies."""
    for key in (sandbox.api_key, "sk-" + "a1" * 12):
        with pytest.raises(TaskInvalid, match=r"^Invalid text: it contains an API key .* Nothing was sent or stored"):
            rw.prompts.save("leak", f"a cat {key}")
        with pytest.raises(TaskInvalid, match="Invalid name"):
            rw.prompts.save(key, "a cat")
    with pytest.raises(TaskInvalid):
        shell.run(f"%%runware prompt save leak\na cat {sandbox.api_key}")
    assert not Path("prompts/leak.txt").exists()
    save("prompts", "old", f"a cat {sandbox.api_key}")  # written with an editor
    with pytest.raises(TaskInvalid):
        rw.prompts.rename("old", "new")
    rw.prompts.save("old", "a cat", replace=True)
    save("prompts", "old", f"a cat {sandbox.api_key}")
    rw.prompts.delete("old")
    kept = current_session().settings.home / "deleted-prompts" / "old.txt"
    assert not kept.exists()
    save(kept.parent, "old", f"a cat {sandbox.api_key}")
    with pytest.raises(TaskInvalid):
        rw.prompts.restore("old")
    assert list(Path("prompts").iterdir()) == []


def test_a_cell_saves_its_body(shell):
    shell.run('%%runware prompt save two-lines\na {subject}\n\n  "soft" light\n')
    assert rw.prompts["two-lines"] == 'a {subject}\n\n  "soft" light'


def test_variables_fill_a_saved_prompt_and_values_on_the_line_win(shell):
    rw.prompts.save("studio", "{subject} in {place}")
    shell.names.update(subject="a dog", place="Rome")
    shell.run(f"%%runware {SMALL} -v place=Oslo\n{{@studio}}")
    assert last_run().prompt == "a dog in Oslo"


def test_braces_in_values_are_not_replaced_again(shell):
    save("wildcards", "color", "red")
    rw.prompts.save("studio", "{subject}")
    shell.names.update(subject="{place} {@studio} __color__", place="Rome")
    for cell in (
        f"%%runware {SMALL}\n{{subject}}",
        f"%%runware {SMALL}\n{{@studio}}",
        "%runware text-to-image '{subject}' -s 256x256",
        "%runware text-to-image --prompt='{subject}' -s 256x256",
        "%runware text-to-image -s 256x256 --prompt '{subject}'",
    ):
        shell.run(cell)
        assert last_run().prompt == "{place} {@studio} __color__", cell


@pytest.mark.parametrize(
    "cell",
    [f"%%runware {SMALL}\n{{@studio}}", "%runware text-to-image '{@studio}' -s 256x256", "%runware enhance '{@studio}'",
     "%%runware video --duration 5\n{@studio}", "%%runware text\n{@studio}", "rw.prompt('studio', subject='a cat')"],
)  # fmt: skip
def test_missing_values_are_listed_and_nothing_is_sent(shell, sandbox, cell):
    rw.prompts.save("studio", "{subject} in {place} by {light}")
    shell.names.update(subject="a cat", rw=rw, light=None)
    with pytest.raises(MagicUsageError) as caught:
        shell.run(cell)
    sentence = str(caught.value)
    assert "no value for {place} (no variable has this name), {light} (" in sentence
    assert "Nothing was sent." in sentence
    assert not sandbox.charges()
    assert number_of_runs() == 0


@pytest.mark.parametrize(
    ("cell", "prompt"),
    [("%%runware enhance --yes\n{@light} {subject}", "soft light a cat"),
     ("%runware enhance --yes '{@light} {subject}'", "soft light a cat"),
     ("%%runware video --duration 5 --yes\n{@light} {subject}", "soft light a cat"),
     ("%%runware text --yes -v subject=birds\nname {subject}", "name birds"),
     ("rw.enhance(rw.prompts.render('{@light} {subject}', subject='a cat'), agreed=True).result()", "soft light a cat")],
)  # fmt: skip
def test_every_operation_renders_prompts_in_the_same_way(shell, cell, prompt):
    rw.prompts.save("light", "soft light")
    shell.names.update(subject="a cat", rw=rw)
    shell.run(cell)
    run = last_run()
    assert run.prompt == prompt
    assert "{" in run.prompt_template
    assert run.prompt_origin["values"]["subject"] == prompt.split("light ")[-1].removeprefix("name ")


def test_a_name_without_at_sign_names_the_saved_prompt(shell, capsys):
    rw.prompts.save("studio", "soft light")
    shell.run(f"%%runware {SMALL}\na cat, {{studio}} __name__")
    assert last_run().prompt == "a cat, {studio} __name__"
    said = capsys.readouterr().out
    assert "A saved prompt has this name: write {@studio}." in said
    assert "__name__ (" not in said


def test_a_saved_prompt_has_plain_names_only(shell, capsys):
    """It may come with a cloned project, and must not reach into objects."""
    rw.prompts.save("spy", "{config.secret} {names[0]} {{plain}} {@spy2}")
    shell.names.update(config=type("Config", (), {"secret": "hidden"}), names=["hidden"])
    shell.run(f"%%runware {SMALL}\n{{@spy}}")
    assert last_run().prompt == "{config.secret} {names[0]} {plain} {@spy2}"
    said = capsys.readouterr().out
    assert "{config.secret} (a saved prompt has plain names only)" in said
    assert "{@spy2} (no saved prompt has this name)" in said


def test_saving_over_a_prompt_needs_replace_and_can_be_undone(shell, capsys):
    shell.run("%runware prompt save a one")
    with pytest.raises(MagicUsageError) as caught:
        shell.run("%runware prompt save a two")
    caught.value.syntax = shell.names.get("syntax", caught.value.syntax)
    assert "there is a saved prompt of this name, 'one'. Nothing was changed." in str(caught.value)
    assert "`%runware prompt save a ... --replace` replaces it." in str(caught.value)
    shell.run("%runware prompt save a two --replace")
    assert "`%runware prompt restore a` brings the old text back." in capsys.readouterr().out
    shell.run("%runware prompt restore a")
    assert rw.prompts["a"] == "one"
    shell.run("%runware prompt restore a")
    assert rw.prompts["a"] == "two"
    shell.run("%runware prompt delete a")
    assert "`%runware prompt restore a` brings it back." in capsys.readouterr().out
    assert "a" not in rw.prompts
    shell.run("%runware prompt restore a")
    shell.run("%runware prompt rename a people/b")
    assert list(rw.prompts) == ["people/b"]
    shell.run("%runware prompt list")
    assert "people/b" in capsys.readouterr().out
    shell.run("%runware prompt show people/b")
    assert capsys.readouterr().out == "two\n"


@pytest.mark.parametrize(
    "name", ["../x", "/etc/x", "a/../b", "a//b", ".x", "a b", "", "nul", "a/CON", "x" * 101, "a\\b", "a\0b", "~"]
)
def test_a_name_is_never_a_path(shell, name):
    for act in (lambda: rw.prompts.save(name, "x"), lambda: rw.prompts[name], lambda: rw.prompts.delete(name),
                lambda: rw.prompts.restore(name), lambda: rw.prompts.rename("a", name)):  # fmt: skip
        rw.prompts.save("a", "x")
        with pytest.raises(MagicUsageError):
            act()
    assert os.listdir("prompts") == ["a.txt"]


@pytest.mark.parametrize(
    ("line", "problem"),
    [("prompt save", "needs the name"), ("prompt save a", "There is no text"), ("prompt show a", "Invalid name a"),
     ("prompt delete a", "Invalid name a"), ("prompt rename a", "needs a new name"), ("prompt paint a", "invalid choice"),
     ("prompt restore a", "deleted or replaced here"), ("text-to-image x -v place", "expected NAME=TEXT"),
     ("text-to-image x -v a=1 -v a=2", "given twice"), ("text-to-image x -v 1a=1", "expected NAME=TEXT")],
)  # fmt: skip
def test_wrong_lines_are_explained(shell, sandbox, line, problem):
    with pytest.raises(MagicUsageError, match=problem):
        shell.run(f"%runware {line}")
    assert not sandbox.charges()


def test_only_save_takes_a_body(shell):
    rw.prompts.save("a", "x")
    with pytest.raises(MagicUsageError, match="takes no text below the line"):
        shell.run("%%runware prompt delete a\nsome text")
    with pytest.raises(MagicUsageError, match="There are two texts"):
        shell.run("%%runware prompt save b one\ntwo")
    assert list(rw.prompts) == ["a"]


def test_saved_prompts_in_a_circle_are_refused(shell):
    rw.prompts.save("a", "{@b}")
    rw.prompts.save("b", "{@a}")
    with pytest.raises(MagicUsageError, match=r"\{@a\} -> \{@b\} -> \{@a\}. Nothing was sent"):
        shell.run(f"%%runware {SMALL}\n{{@a}}")


def test_a_key_in_a_saved_prompt_is_not_sent(shell, sandbox):
    save("prompts", "leak", f"a {sandbox.api_key}")
    with pytest.raises(TaskInvalid, match="contains an API key"):
        shell.run(f"%%runware {SMALL}\n{{@leak}}")
    assert not sandbox.charges()


# --- wildcards -----------------------------------------------------------------------------------------------


def test_wildcards_are_drawn_by_the_seed_and_recorded(shell, sandbox, capsys):
    save("wildcards", "color", "\ufeff# colors\r\nred\r\n\r\n2::blue\r\n0::never\r\n\\#1\r\n")
    save("wildcards", "light/soft", "__color__ light")
    shell.run(f"%%runware {SMALL} --seed 7\na __color__ ship in __light/soft__, \\__color__, __nothing__")
    run = last_run()
    choices = run.prompt_origin["wildcards"]
    assert [name for name, _ in choices] == ["color", "light/soft", "color"]
    first, _, inner = (option for _, option in choices)
    assert run.prompt == f"a {first} ship in {inner} light, __color__, __nothing__"
    assert {first, inner} <= {"red", "blue", "#1"}
    notices = capsys.readouterr().out
    assert f"__color__ is '{first}'" in notices
    assert "__nothing__ (there is no file wildcards/nothing.txt and no list nothing)" in notices
    shell.run(f"%%runware {SMALL} --seed 7\na __color__ ship in __light/soft__, \\__color__, __nothing__")
    assert len(sandbox.charges()) == 1  # the same seed draws the same options, so the log answers


def test_without_a_seed_all_options_appear_and_weights_count(shell):
    save("wildcards", "color", "1::red\n9::blue\n0::never")
    drawn = [rw.prompts.render("__color__") for _ in range(300)]
    assert set(drawn) == {"red", "blue"}
    assert drawn.count("blue") > 200


def test_a_list_is_a_wildcard_and_wins_over_a_file(shell):
    save("wildcards", "color", "red")
    shell.names["color"] = ["teal"]
    shell.run(f"%%runware {SMALL}\na __color__ ship, __name__ {{color}}")
    assert last_run().prompt == "a teal ship, __name__ ['teal']"
    assert rw.prompts.render("__size__ m", size=[5]) == "5 m"


def test_other_underscores_stay_without_a_notice(shell, capsys):
    shell.run(f"%%runware {SMALL}\n__init__ and __main__, snake__case__name, ____, __")
    assert last_run().prompt == "__init__ and __main__, snake__case__name, ____, __"
    assert "Not replaced" not in capsys.readouterr().out


def test_positive_and_negative_prompts_are_rendered_by_one_generator(shell):
    save("wildcards", "digit", "\n".join(map(str, range(1000))))
    rw.prompts.save("bad", "blurry __digit__")
    shell.run(f"%%runware {SMALL} --seed 1 --negative '{{@bad}}'\nship __digit__")
    run = last_run()
    positive, negative = run.request["positivePrompt"].split()[1], run.request["negativePrompt"].split()[1]
    assert positive != negative
    assert run.prompt_origin["wildcards"] == [["digit", positive], ["digit", negative]]


@pytest.mark.parametrize(
    ("text", "problem"),
    [(b"", "has no option to draw"), (b"# only\n\n", "has no option"), (b"0::x\n", "has no option"),
     (b"\xff\xfe\x00", "is not UTF-8 text"), (b"a\x00b", "NUL character"), (b"x" * 5_000_000, "5,000,000 bytes"),
     (b"__color__\n", "__color__ -> __color__"), (b"__other__ __other__\n", "in a circle"),
     (b"__deep1__", "draws more than 1,000 wildcards")],
)  # fmt: skip
def test_wildcards_that_cannot_be_drawn_send_nothing(shell, sandbox, text, problem):
    save("wildcards", "color", text)
    save("wildcards", "other", "__color__")
    for number in range(1, 13):
        save("wildcards", f"deep{number}", f"__deep{number + 1}__ " * 2)
    save("wildcards", "deep13", "end")
    with pytest.raises((MagicUsageError, ConfigError)) as caught:
        shell.run(f"%%runware {SMALL}\na __color__ ship")
    assert problem in str(caught.value)
    assert str(caught.value).rstrip().endswith("Nothing was sent.")
    assert not sandbox.charges()


@pytest.mark.skipif(not hasattr(os, "symlink"), reason="needs symbolic links")
def test_a_link_out_of_the_folder_is_not_read(shell, sandbox, tmp_path_factory):
    """A cloned project must not make a private file of this user a prompt."""
    private = tmp_path_factory.mktemp("private") / "secret.txt"
    private.write_text("private")
    for folder in ("prompts", "wildcards"):
        Path(folder).mkdir()
        (Path(folder) / "leak.txt").symlink_to(private)
    (Path("prompts") / "loop.txt").symlink_to("loop.txt")
    for prompt in ("{@leak}", "__leak__"):
        with pytest.raises(ConfigError, match="link that leads out of the folder"):
            shell.run(f"%%runware {SMALL}\n{prompt}")
    with pytest.raises(RunwareNBError, match="Nothing was sent"):
        shell.run(f"%%runware {SMALL}\n{{@loop}}")
    assert rw.command("prompt", "list").json["prompts"] == {}
    assert not sandbox.charges()


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_a_pipe_is_not_read(shell):
    Path("wildcards").mkdir()
    os.mkfifo("wildcards/pipe.txt")
    with pytest.raises(ConfigError, match="is not a file"):
        shell.run(f"%%runware {SMALL}\n__pipe__")


# --- weights -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("model", "sent", "notation"),
    [("sdxl", "a (red)1.3 (tall)1.21 cat", "compel"), ("flux", "a (red:1.3) (tall:1.21) cat", "sdEmbeds")],
)
def test_weights_are_written_in_the_notation_of_the_model(shell, model, sent, notation):
    shell.run(f"%%runware {SMALL} -m {model} --weights --negative '(blurry:1.2)'\na (red:1.3) tall++ cat")
    request = last_run().request
    assert (request["positivePrompt"], request["promptWeighting"]) == (sent, notation)
    assert "1.2" in request["negativePrompt"]
    rw.image("a (red)1.3 tall++ cat", model=model, width=256, height=256, prompt_weighting=True).result()
    assert last_run().request["positivePrompt"] == sent


def test_weights_without_the_option_are_text_and_a_notice_tells_so(shell, capsys):
    shell.run(f"%%runware {SMALL}\na (red:1.3) cat")
    assert last_run().prompt == "a (red:1.3) cat"
    said = capsys.readouterr().out
    assert "prompt weighting is off. Add `--weights` to apply it." in said
    shell.run(f"%%runware {SMALL} --set promptWeighting=sdEmbeds\na (red:1.3) cat")
    assert "prompt weighting is off" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("model", "prompt", "problem"),
    [("flux-2", "a (red:1.3) cat", "takes no weights. Nothing was sent. Models that take them: flux"),
     ("civitai:1@2", "a (red:1.3) cat", "not known here"), ("sdxl", "a (red cat", "is not closed. Nothing was sent."),
     ("sdxl", "a (red:99) cat", "not between 0 and 10. Nothing was sent.")],
)  # fmt: skip
def test_weights_that_cannot_be_applied_send_nothing(shell, sandbox, model, prompt, problem):
    with pytest.raises(TaskInvalid) as caught:
        shell.run(f"%%runware {SMALL} -m {model} --weights\n{prompt}")
    assert problem in str(caught.value)
    assert not sandbox.charges()


# --- enhancement ---------------------------------------------------------------------------------------------


def test_a_chosen_version_is_the_prompt_and_its_run_a_parent(shell, capsys):
    shell.run("%runware enhance 'a cat' --yes -n 3 -o better")
    assert "{better[0]} is version #1, {better[1]} is version #2" in capsys.readouterr().out
    better = shell.names["better"]
    shown = better._repr_mimebundle_()["text/html"]
    assert shown.index("#1") < shown.index(html.escape(better[0].text)[:20]) < shown.index("#2")
    shell.run(f"%%runware {SMALL} -o cats\n{{better[1]}}, at night")
    assert "Not replaced" not in capsys.readouterr().out
    run = last_run()
    assert run.prompt == f"{better[1].text}, at night"
    assert [(parent.task_uuid, parent.role, parent.index) for parent in run.parents] == [
        (better.task_uuid, "prompt", 1)
    ]
    rw.image(better[2], width=256, height=256).result()
    assert last_run().prompt == better[2].text
    assert [(parent.role, parent.index) for parent in last_run().parents] == [("prompt", 2)]
    shell.run(f"%runware history {run.task_uuid[:8]}")
    assert better.task_uuid[:8] in capsys.readouterr().out


@pytest.mark.parametrize(
    "cell",
    ["%%runware -s 256x256 --yes --enhance -v subject='a cat'\n{subject}", "%runware text-to-image a cat --enhance --yes",
     "rw.image('a cat', enhance=True, agreed=True, width=256, height=256).result()"],
)  # fmt: skip
def test_enhance_and_generate_in_one_step(shell, sandbox, cell):
    shell.names["rw"] = rw
    shell.run(cell)
    image, enhanced = current_session().log.recent(2)
    assert (image.operation, enhanced.operation) == ("text-to-image", "enhance")
    assert enhanced.prompt == "a cat"
    assert image.prompt == enhanced.results[0].raw["text"]
    assert [(parent.task_uuid, parent.role, parent.index) for parent in image.parents] == [
        (enhanced.task_uuid, "prompt", 0)
    ]
    assert len(sandbox.charges()) == 2


def test_what_cannot_be_generated_is_not_enhanced(shell, sandbox):
    for options, prompt in (("--steps 500", "a cat"), ("", "a cat " * 60)):
        with pytest.raises(TaskInvalid, match=r"steps|300"):
            shell.run(f"%%runware -s 256x256 --yes --enhance {options}\n{prompt}")
    assert not sandbox.charges()
    assert number_of_runs() == 0


def test_a_dry_run_states_that_the_prompt_is_enhanced_first(shell, capsys):
    shell.run("%%runware --dry-run --enhance\na cat")
    assert "The prompt is enhanced first. All together: unknown." in capsys.readouterr().out
    assert number_of_runs() == 0


def test_several_versions_are_not_a_prompt(shell, sandbox):
    shell.run("%runware enhance 'a cat' --yes -n 2 -o better")
    number = number_of_runs()
    with pytest.raises(
        MagicUsageError, match=r"has 2 texts. Choose one: \{better\[0\]\}, \{better\[1\]\}. Nothing was"
    ):
        shell.run(f"%%runware {SMALL}\n{{better}}")
    with pytest.raises(TaskInvalid, match="Nothing was sent"):
        rw.image(shell.names["better"], width=256, height=256)
    assert number_of_runs() == number


def test_a_long_prompt_is_not_enhanced(shell):
    with pytest.raises(TaskInvalid, match="300"):
        shell.run(f"%runware enhance '{'x' * 301}'")
    assert number_of_runs() == 0


def test_a_job_can_be_the_prompt_before_it_is_done(shell):
    enhanced = rw.enhance("a cat", agreed=True)
    outcome = rw.image(enhanced, width=256, height=256).result()
    assert outcome.task["positivePrompt"] == enhanced.result()[0].text
    assert [parent.role for parent in last_run().parents] == ["prompt"]


# --- elsewhere -----------------------------------------------------------------------------------------------


def test_a_form_inserts_a_saved_prompt_and_names_its_values(shell, sandbox):
    import ipywidgets as widgets

    def menus(form):
        return [child for child in form._buttons.children if isinstance(child, widgets.Dropdown)]

    assert not menus(rw.form("runware:101@1"))
    rw.prompts.save("studio", "a photo of {subject}")
    form = rw.form("runware:101@1", positivePrompt="a ship,")
    (menu,) = menus(form)
    menu.value = "studio"
    assert form.task["positivePrompt"] == "a ship, a photo of {subject}"
    assert "Write text in place of {subject}" in form._sender.status.value
    assert menu.value == ""
    rw.prompts.delete("studio")
    menu.value = "studio"
    assert "expected a saved prompt" in form._sender.status.value
    assert not sandbox.charges()


def test_a_terminal_saves_and_uses_prompts(make_session, sandbox, monkeypatch, capsys):
    from runware_nb import cli
    from runware_nb.session import current

    monkeypatch.setattr(current, "_session", make_session(sandbox))
    assert cli.main(["prompt", "save", "studio", "a {subject}, __color__"]) == 0
    save("wildcards", "color", "red")
    assert cli.main(["text-to-image", "{@studio}", "-v", "subject={cat}", "-s", "256x256"]) == 0
    assert "imageUUID" in capsys.readouterr().out
    assert last_run().prompt == "a {cat}, red"
    assert cli.main(["text-to-image", "{@studio}", "-s", "256x256"]) == 2
    assert "Add `--var subject=TEXT`" in capsys.readouterr().err


def test_names_are_completed(shell):
    rw.prompts.save("studio", "x")
    rw.prompts.save("stage", "x")
    assert set(complete_runware("%runware prompt s")[1]) == {"save", "show"}
    assert set(complete_runware("%runware prompt show st")[1]) == {"stage", "studio"}
    assert complete_runware("%runware text-to-image a,{@stu")[1] == ["a,{@studio}"]
    assert "--weights" in complete_runware("%%runware --w")[1]
    text = "%%runware -q\na photo, {@st"
    with provisionalcompleter():
        found = list(shell.shell.Completer.completions(text, len(text)))
    assert {each.text for each in found} >= {"{@stage}", "{@studio}"}


def test_a_copied_cell_sends_the_same_prompt(shell):
    """Also if the prompt contains what would be replaced."""
    from runware_nb.commands.as_cell import as_cell

    save("wildcards", "color", "red")
    rw.prompts.save("studio", "x")
    prompt = "{@studio} {name} __color__ \\__color__ {{@studio}}"
    shell.names["name"] = "never"
    task = {"model": "runware:101@1", "width": 256, "height": 256, "positivePrompt": prompt, "negativePrompt": prompt}
    shell.run(as_cell(task))
    assert last_run().request["positivePrompt"] == prompt
    assert last_run().request["negativePrompt"] == prompt


def test_a_bundle_has_the_template_and_the_values(shell, tmp_path):
    rw.prompts.save("studio", "{subject}")
    shell.run(f"%%runware {SMALL} -v subject=cat\n{{@studio}}")
    run = last_run()
    from runware_nb.reproduce.records import read_lines, write_lines

    lines = list(write_lines(current_session().log, [run]))
    (read,) = read_lines(lines).runs
    assert (read.prompt_template, read.prompt_origin) == (run.prompt_template, run.prompt_origin)


def test_a_prompt_keeps_its_origin_in_copies(shell):
    import copy
    import pickle

    rw.prompts.save("studio", "{subject}")
    prompt = rw.prompt("studio", subject="cat")
    for other in (copy.copy(prompt), copy.deepcopy(prompt), pickle.loads(pickle.dumps(prompt))):
        assert (other, other.origin) == ("cat", prompt.origin)
    assert json.dumps({"prompt": prompt}) == '{"prompt": "cat"}'
