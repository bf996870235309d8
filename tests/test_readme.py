"""What the two READMEs and docs/ say: adding a network is done here, word for word, in a copy of the project."""

from __future__ import annotations

import ast
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from d2lrun.cli.main import all_verbs
from d2lrun.config.compose import compose
from tests import pages

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
CHINESE = (ROOT / "README.zh-CN.md").read_text(encoding="utf-8")
DOCS = {path.stem: path.read_text(encoding="utf-8") for path in (ROOT / "docs").glob("*.md")}


@pytest.fixture
def project(tmp_path):
    """A copy of the project, with the network of docs/networks.md added."""
    project = pages.copied(tmp_path)
    named = pages.follow(project, "networks", "Add a network")
    assert pages.changed(project) == set(named) and len(named) == 3
    return project


def d2lrun(project, *words):
    command = [sys.executable, "-m", "d2lrun", *words]
    return subprocess.run(command, cwd=project, capture_output=True, text=True, encoding="utf-8", check=False)


def test_one_file_one_yaml_and_one_line_add_a_network(project):
    done = d2lrun(project, "summary", "model=tiny-cnn", "model.channels=2")
    assert done.returncode == 0, done.stderr
    assert f"{2 * 9 + 2 + 98 * 10 + 10:,}" in done.stdout  # its parameters


def test_the_new_network_is_in_the_help_and_its_range_is_kept(project):
    assert "A small convolutional network" in d2lrun(project, "--help").stdout
    refused = d2lrun(project, "model=tiny-cnn", "model.channels=0")
    assert refused.returncode == 2
    assert "model.channels=0: wanted a whole number at least 1" in refused.stderr


def test_every_file_of_the_package_stands_in_the_layout():
    layout = DOCS["code"].partition("```\n")[2].partition("```")[0]
    assert "d2lrun/" in layout
    for path in (ROOT / "d2lrun").glob("*.py"):
        assert path.name in layout or path.stem.startswith("__"), f"{path.name} is missing in docs/code.md"


def test_every_make_target_that_is_named_exists():
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for target in set(re.findall(r"`make ([a-z0-9-]+)", "\n".join([README, CHINESE, *DOCS.values()]))):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target


def test_a_held_out_figure_is_the_same_wherever_it_stands():
    """In the table of the chapters and in the claim of the recipe."""
    rows = dict(re.findall(r"`make ([a-z0-9-]+)`.*held out: ([\d.]+)", DOCS["chapters"]))
    recipes = {"language-model": "model/ngram", "whole-book": "experiment/whole-book"}
    assert rows.keys() == recipes.keys()
    for target, recipe in recipes.items():
        text = (ROOT / "conf" / f"{recipe}.yaml").read_text(encoding="utf-8")
        assert re.search(r"Claim: held-out perplexity ([\d.]+)", text)[1] == rows[target]


def test_every_link_leads_to_a_file():
    for folder, text in ((ROOT, README), (ROOT, CHINESE), *((ROOT / "docs", text) for text in DOCS.values())):
        for target in re.findall(r"\]\((?!https?:|#)([^)#]+)", text):
            assert (folder / target).exists(), target


def test_every_link_to_a_section_leads_to_one():
    pages = {"README": README, "README.zh-CN": CHINESE, **DOCS}
    for page, text in pages.items():
        for path, anchor in re.findall(r"\]\((?!https?:)([^)#]*)#([^)]+)\)", text):
            assert anchor in anchors(pages[Path(path).stem if path else page]), f"{page}: {path}#{anchor}"


def anchors(text):
    """The anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading).lower().replace(" ", "-") for heading in headings}


def test_the_readme_leads_to_every_document():
    assert [name for name in DOCS if f"docs/{name}.md" not in README] == []


def test_the_two_readmes_lead_to_each_other():
    assert "(README.zh-CN.md)" in "".join(README.splitlines()[:4])
    assert "(README.md)" in "".join(CHINESE.splitlines()[:4])


def test_the_readme_is_short():
    assert len(README.splitlines()) <= 180


def test_the_two_readmes_name_the_same_targets():
    def targets(text):
        return set(re.findall(r"`make ([a-z0-9-]+)", text))

    assert targets(README) - targets(CHINESE) <= {"test", "test-ray", "bench"}  # what only a developer needs


@pytest.mark.parametrize("text", [README, CHINESE], ids=["English", "Chinese"])
def test_every_verb_is_shown(text):
    assert [verb for verb in all_verbs() if verb != "train" and f"d2lrun {verb}" not in text] == []


@pytest.mark.parametrize("text", [README, CHINESE], ids=["English", "Chinese"])
def test_the_settings_of_every_command_that_trains_are_accepted(text):
    """Those of a single run, without its data; a command that is continued in the next line is joined."""
    blocks = re.findall(r"^```\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    lines = [line for block in blocks for line in block.replace("\\\n", "").splitlines()]
    commands = [shlex.split(line, comments=True)[1:] for line in lines if re.match(r"d2lrun '?[a-z_.]+=", line)]
    assert len(commands) > 10
    for words in commands:
        compose(words)


@pytest.mark.parametrize("text", [DOCS["troubleshooting"], CHINESE], ids=["English", "Chinese"])
def test_every_message_that_is_explained_is_the_programs(text):
    """The words between the … of each message stand in the code."""
    trees = [ast.parse(path.read_text(encoding="utf-8")) for path in (ROOT / "d2lrun").rglob("*.py")]
    nodes = [node for tree in trees for node in ast.walk(tree) if isinstance(node, ast.Constant)]
    ours = "\0".join(node.value for node in nodes if isinstance(node.value, str))
    messages = explained(text)
    assert len(messages) > 40
    parts = [(part.strip(" :;,"), message) for message in messages for part in message.split("…")]
    assert [message for part, message in parts if part not in ours] == []


def explained(text):
    """The messages in the first column of each table of messages."""
    tables = re.findall(r"^\| (?:message|信息) \|.*\n\|[-| ]+\n((?:\|.*\n)+)", text, re.MULTILINE)
    return [
        message
        for table in tables
        for row in table.splitlines()
        for message in re.findall(r"`(.+?)`", row[: row.find(" | ")])
    ]
