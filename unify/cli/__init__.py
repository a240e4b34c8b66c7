"""The command line: each command parses, calls one library function, prints."""

from __future__ import annotations

import signal
import sys
import traceback
from types import FrameType
from typing import NoReturn

import click

from unify import __version__
from unify.cli.artifacts import list_command, verify_command
from unify.cli.build import build_command
from unify.cli.convert import convert_command
from unify.cli.croissant import croissant_command
from unify.cli.datasets import datasets_command
from unify.cli.demo import demo_command
from unify.cli.diff import diff_command
from unify.cli.doctor import doctor
from unify.cli.erase import erase_command
from unify.cli.evaluate import evaluate_command
from unify.cli.export import export_command
from unify.cli.import_mapping import import_mapping_command
from unify.cli.influence import influence_command
from unify.cli.mix import mix_command
from unify.cli.papers import papers_command
from unify.cli.prepare import prepare
from unify.cli.probe import probe
from unify.cli.push import push_command
from unify.cli.recipes import recipes_command
from unify.cli.relations import relations
from unify.cli.robustness import robustness_command
from unify.cli.sample import sample
from unify.cli.spaces import spaces
from unify.cli.stats import stats_command
from unify.cli.train import train_command
from unify.cli.uncertainty import uncertainty_command
from unify.cli.view import view
from unify.errors import BUG, USAGE, UnifyError, summary

COMMANDS = (
    build_command,
    convert_command,
    croissant_command,
    datasets_command,
    demo_command,
    diff_command,
    doctor,
    erase_command,
    evaluate_command,
    export_command,
    import_mapping_command,
    influence_command,
    list_command,
    mix_command,
    papers_command,
    prepare,
    probe,
    push_command,
    recipes_command,
    relations,
    robustness_command,
    sample,
    spaces,
    stats_command,
    train_command,
    uncertainty_command,
    verify_command,
    view,
)


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="unify")
def app() -> None:
    """Many segmentation datasets in, one versioned dataset with one label space out.

    \b
    Example:
      unify sample streets --images 8
      unify build --datasets C,I,B,M --root streets

    Exit codes: 0 done, 1 bug, 2 usage, 3 finished with rejects, 65 bad input, 66 no or wrong root,
    70 worker gave up, 73 cannot create output, 74 I/O, 75 busy, 76 not verified, 77 permission or
    unsafe path, 78 bad mapping or config, 130/143 interrupted, 141 nobody reads the output any more.
    """


for _command in COMMANDS:
    app.add_command(_command)

_NO_READER = 128 + signal.SIGPIPE  #: no 0: of a build that stops when it cannot print, nothing is there


class _Terminated(BaseException):
    """SIGTERM, raised where the program stands, so that every `finally` runs."""


def _on_sigterm(number: int, frame: FrameType | None) -> NoReturn:
    raise _Terminated


def main() -> NoReturn:
    """Run the command line; every way out has its exit code."""
    signal.signal(signal.SIGTERM, _on_sigterm)
    try:
        code = run(sys.argv[1:])
    except BrokenPipeError:  # of the line that says what is wrong
        code = _NO_READER
    sys.exit(code)


def run(args: list[str]) -> int:
    """Run one command; its exit code."""
    try:
        result = app.main(args, prog_name="unify", standalone_mode=False)
        return result if isinstance(result, int) else 0
    except UnifyError as e:
        for line in summary(e.problems):
            click.echo(line, err=True)
        return e.exit_code
    except click.ClickException as e:
        e.show()
        return USAGE
    except (click.Abort, KeyboardInterrupt):
        click.echo("unify: interrupted", err=True)
        return 130
    except _Terminated:
        click.echo("unify: terminated", err=True)
        return 143
    except SystemExit:  # click's answer when the reader of our output goes away; nothing of ours raises it
        return _NO_READER
    except Exception:
        traceback.print_exc()
        click.echo("unify: this is a bug in unify; please report it with the lines above", err=True)
        return BUG
