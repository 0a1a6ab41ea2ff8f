"""Code blocks of Markdown pages: found, and run as a reader would.

A block runs unless the comment `<!-- not run: REASON -->` stands above it. By its language:

    console   commands after `$ `, and their output, which has to be that of the page
    python    executed; in a block with `>>>` prompts the output is compared too
    toml      written to the file that its first line names, as `# space.toml`; without a
              name it has to be a valid recipe
    yaml      has to be valid YAML
    bash      has to be a valid script
    text      no code

The blocks of a page share a folder and, in Python, their variables. `zoo` runs in this
process. Backbones whose weights do not come with the project, and those that Python names to
train a head on, are replaced by a small one, and searches try two trials;
`<!-- run as written -->` in a page prevents that.
"""

from __future__ import annotations

import contextlib
import doctest
import io
import os
import re
import shlex
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

FENCE = re.compile(r"^(`{3,})(.*)$")
COMMENT = re.compile(r"^<!-- (.*?) -->$")
NOT_RUN = "not run: "
AS_WRITTEN = "<!-- run as written -->"
NO_CODE = ("text", "json")
LANGUAGES = ("console", "python", "toml", "yaml", "bash", *NO_CODE)
FLAGS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE

SUBSTITUTIONS = (
    (re.compile(r"\b(?!efficientnet_lite)\w+\.imagenet\b"), "micro_resnet_s.cifar10"),
    (re.compile(r'\bbackbone="\w+\.imagenet"'), 'backbone="micro_resnet_s.cifar10"'),
    (re.compile(r"\btrials([ =])\d+"), r"trials\g<1>2"),
)


@dataclass(frozen=True)
class CodeBlock:
    """A fenced block of a page.

    Args:
        line: Line of its first line of code, from 1.
        language: What follows the fence.
        text: The code.
        reason: Why it does not run; empty if it does.
    """

    line: int
    language: str
    text: str
    reason: str = ""


def read_code_blocks(page: str) -> Iterator[CodeBlock]:
    """Yields the fenced blocks of a page; MyST's directives in braces are none."""
    lines = page.splitlines()
    number = 0
    above = ""
    while number < len(lines):
        line = lines[number]
        if not (fence := FENCE.match(line)):
            above = line if line.strip() else above
            number += 1
            continue
        end = lines.index(fence[1], number + 1)
        comment = COMMENT.match(above)
        reason = comment[1].removeprefix(NOT_RUN) if comment and NOT_RUN in above else ""
        text = "\n".join(lines[number + 1 : end]) + "\n"
        if not fence[2].startswith("{"):
            yield CodeBlock(number + 2, fence[2], text, reason)
        above, number = "", end + 1


class PageRunner:
    """Runs the blocks of one page, in the current folder.

    Args:
        name: The page, for messages.
        page: Its text.
    """

    def __init__(self, name: str, page: str) -> None:
        self.name = name
        self.as_written = AS_WRITTEN in page
        self.blocks = list(read_code_blocks(page))
        self.variables: dict[str, Any] = {"__name__": "__page__"}

    @property
    def runnable(self) -> list[CodeBlock]:
        """The blocks that run."""
        return [b for b in self.blocks if b.language not in NO_CODE and not b.reason]

    def run(self) -> None:
        """Runs every block that can run, in order."""
        runners = {
            "console": self.run_console,
            "python": self.run_python,
            "toml": self.use_toml,
            "yaml": lambda block: yaml.safe_load(block.text),
            "bash": lambda block: subprocess.run(
                ["bash", "-n"], input=block.text, text=True, check=True
            ),
        }
        for block in self.runnable:
            runners[block.language](block)

    def adapt(self, text: str) -> str:
        """Returns code with the substitutions, unless the page runs as written."""
        if self.as_written:
            return text
        for pattern, replacement in SUBSTITUTIONS:
            text = pattern.sub(replacement, text)
        return text

    def run_python(self, block: CodeBlock) -> None:
        """Executes a block, or compares the outputs of its prompts."""
        text = self.adapt(block.text)
        place = f"{self.name}:{block.line}"
        if ">>>" not in text:
            # The line numbers are those of the page.
            exec(compile("\n" * (block.line - 1) + text, place, "exec"), self.variables)
            return
        parsed = doctest.DocTestParser().get_doctest(
            text, self.variables, place, place, block.line - 1
        )
        report = io.StringIO()
        runner = doctest.DocTestRunner(optionflags=FLAGS)
        failed = runner.run(parsed, out=report.write, clear_globs=False).failed
        self.variables.update(parsed.globs)
        assert not failed, report.getvalue()

    def use_toml(self, block: CodeBlock) -> None:
        """Writes a block to the file that it names, or checks that it is a recipe."""
        from pipelines.recipe.recipe import Recipe

        text = self.adapt(block.text)
        if name := re.match(r"# ([\w.]+\.toml)\n", text):
            Path(name[1]).write_text(text)
            return
        file = Path("checked.toml")
        file.write_text(text)
        Recipe.from_toml(file)

    def run_console(self, block: CodeBlock) -> None:
        """Runs the commands of a block, and compares what they print."""
        for command, expected in split_commands(block.text):
            printed, status = run_command(self.adapt(command))
            place = f"{self.name}:{block.line}: {command}\n"
            shown_error = expected.startswith("error: ")
            assert (status != 0) == shown_error, f"{place}exit status {status}\n{printed}"
            if expected and not doctest.OutputChecker().check_output(expected, printed, FLAGS):
                raise AssertionError(f"{place}expected:\n{expected}\nreceived:\n{printed}")


def split_commands(text: str) -> Iterator[tuple[str, str]]:
    """Yields each command of a console block with the output that the block shows."""
    parts = re.split(r"^\$ ", text, flags=re.MULTILINE)
    assert not parts[0].strip(), f"a console block begins with `$ `: {text}"
    for part in parts[1:]:
        lines = part.split("\n")
        size = 1
        while lines[size - 1].endswith("\\"):
            size += 1
        command = " ".join(line.rstrip("\\").strip() for line in lines[:size])
        yield command, "\n".join(lines[size:])


def run_command(command: str) -> tuple[str, int]:
    """Runs one command of the page; returns what a terminal shows, and the exit status."""
    from pipelines.cli.main import run_command as run_zoo

    program, *arguments = shlex.split(command, comments=True)
    variables = {}
    while "=" in program:
        name, _, variables[name] = program.partition("=")
        program, *arguments = arguments
    assert program == "zoo", f"only `zoo` is run; mark the block: <!-- {NOT_RUN}REASON -->"
    terminal = io.StringIO()
    with (
        contextlib.redirect_stdout(terminal),
        contextlib.redirect_stderr(terminal),
        _environment(variables),
    ):
        status = run_zoo(arguments)
    return terminal.getvalue(), status


@contextlib.contextmanager
def _environment(variables: dict[str, str]) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name)
            else:
                os.environ[name] = value
