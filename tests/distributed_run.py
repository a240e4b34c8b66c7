"""One process of a training by several, for tests: DATA OUT STOP KEY=VALUE ... (STOP: after so many steps, 0 never)."""

from __future__ import annotations

import sys
from pathlib import Path

from trainers import loop
from trainers.settings import settings_of
from unify.artifact import open_artifact


def main() -> None:
    data, out, stop, *given = sys.argv[1:]
    settings = settings_of("null-bce", dict(text.split("=") for text in given))
    done = 0

    def advance(steps: int, size: int) -> None:
        nonlocal done
        done += steps
        if done and done == int(stop):
            sys.exit(0)

    loop.train([open_artifact(Path(data))], Path(out), settings, resume=True, advance=advance)


if __name__ == "__main__":
    main()
