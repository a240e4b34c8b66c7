"""What a build will do, known before a pixel is read: which samples, in which shards, under which digest."""

from __future__ import annotations

import dataclasses
import json
import stat
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from blake3 import blake3

from unify.errors import Problem, error
from unify.sources import SOURCES, Detection, InstanceFiles, Pair, Source
from unify.taxonomy import Taxonomy

#: The on-disk format of a version. Readers refuse what is newer than they know.
FORMAT = 1
#: Part of the plan's digest: raise it when the same inputs give other bytes but the same pixels.
ENCODING = 5
#: Input bytes per shard. Small enough to spread and to redo, large enough for sequential reads;
#: the plan never looks at the worker count, so neither do the bytes.
SHARD_BYTES = 64 << 20


@dataclass(frozen=True, slots=True)
class Sample:
    """One image and its label: paths relative to the source's root, sizes in bytes.

    `sample_id` is `<source>/<split>/<id in the split>`, unique in the version. `instance`: "" for no file.
    """

    sample_id: str
    image: str
    label: str
    image_bytes: int
    label_bytes: int
    instance: str = ""
    instance_bytes: int = 0

    @property
    def files(self) -> tuple[str, ...]:
        """Paths: image, label, and instances if there are any."""
        return (self.image, self.label, self.instance) if self.instance else (self.image, self.label)

    @property
    def input_bytes(self) -> int:
        return self.image_bytes + self.label_bytes + self.instance_bytes


@dataclass(frozen=True, slots=True)
class Shard:
    """The unit of work: the samples of one Parquet file, in row order."""

    source: str
    split: str
    index: int
    count: int
    samples: tuple[Sample, ...]

    @property
    def path(self) -> str:
        return f"data/{self.source}/{self.split}-{self.index:05d}-of-{self.count:05d}.parquet"

    @property
    def input_bytes(self) -> int:
        return sum(sample.input_bytes for sample in self.samples)


@dataclass(frozen=True, slots=True)
class Plan:
    """A whole build. `sources`: those of `roots`. `problems` are those seen so far, without opening a file."""

    name: str
    taxonomy: Taxonomy
    roots: Mapping[str, Detection]
    sources: Mapping[str, Source]
    shards: tuple[Shard, ...]
    options: tuple[str, ...]
    problems: tuple[Problem, ...]

    @property
    def samples(self) -> int:
        return sum(len(s.samples) for s in self.shards)

    @property
    def input_bytes(self) -> int:
        return sum(s.input_bytes for s in self.shards)

    @property
    def recipe(self) -> dict[str, object]:
        """All that decides the pixels, apart from the raw files themselves."""
        return {
            "taxonomy": self.taxonomy.digest(),
            "adapters": {
                name: {"release": d.release, "version": self.sources[name].version} for name, d in self.roots.items()
            },
            "options": list(self.options),
        }

    def key(self, shard: Shard) -> str:
        """BLAKE3 of all that decides the bytes of a shard, but for the content of its raw files.

        An unfinished build takes over the shards whose keys did not change, whatever else did.
        """
        samples = [
            [x.sample_id, x.image, x.label, x.image_bytes, x.label_bytes]
            + ([x.instance, x.instance_bytes] if x.instance else [])
            for x in shard.samples
        ]
        return digest_of(
            {"format": FORMAT, "encoding": ENCODING, **self.recipe, "shard": shard.path, "samples": samples}
        )

    def digest(self) -> str:
        """BLAKE3 of name and shards: the same digest, the same work."""
        return digest_of({"name": self.name, **self.recipe, "shards": [self.key(shard) for shard in self.shards]})


def digest_of(value: object) -> str:
    """BLAKE3 hex digest of the canonical JSON of `value`."""
    return blake3(json.dumps(value, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def plan_build(
    roots: Mapping[str, Detection],
    taxonomy: Taxonomy,
    splits: Sequence[str],
    *,
    name: str | None = None,
    options: Sequence[str] = (),
    follow_links: bool = False,
    shard_bytes: int = SHARD_BYTES,
    sources: Mapping[str, Source] = SOURCES,
) -> Plan:
    """List every root's samples for `splits` and deal them to shards.

    `sources`: what the names in `roots` mean. A source without one of the splits is passed over for it.
    Faults of the roots (missing pairs, duplicates, unsafe paths) become `Plan.problems`.

    Raises:
        UnifyError: usage (2) for a split that none of the sources has.
    """
    sources = {name: sources[name] for name in roots}
    releases = {source: sources[source].releases[found.release] for source, found in roots.items()}
    known = {split for release in releases.values() for split in (*release.splits, *release.withheld)}
    if unknown := [split for split in splits if split not in known]:
        raise error("usage", "", f"no dataset has a split {unknown[0]!r}", f"known: {', '.join(sorted(known))}")
    shards: list[Shard] = []
    problems: list[Problem] = []
    for source, found in roots.items():
        release = releases[source]
        for split in splits:
            if split not in release.splits and split not in release.withheld:
                continue
            listing = release.find(found.root, split, follow_links=follow_links)
            files = release.instances if "instances" in options else None
            samples, unreadable = _measure(found.root, f"{source}/{split}", listing.pairs, files, follow_links)
            problems += under(found.root, [*listing.problems, *unreadable])
            shards += _deal(source, split, samples, shard_bytes)
    return Plan(
        name or default_name(sources.values(), taxonomy),
        taxonomy,
        dict(roots),
        sources,
        tuple(shards),
        tuple(sorted(options)),
        tuple(problems),
    )


def default_name(sources: Iterable[Source], taxonomy: Taxonomy) -> str:
    """`cibm-union70`: the sources' letters, the label space, and the variants it was mapped by."""
    return f"{''.join(s.letter.lower() for s in sources)}-{taxonomy.space.name}{taxonomy.suffix}"


def under(root: Path, problems: Iterable[Problem]) -> list[Problem]:
    """The same problems, their paths starting with the root's own name: which root, and where in it."""
    return [dataclasses.replace(p, path=f"{root.name}/{p.path}" if p.path else root.name) for p in problems]


def _measure(
    root: Path, prefix: str, pairs: Sequence[Pair], instances: InstanceFiles | None, follow_links: bool
) -> tuple[list[Sample], list[Problem]]:
    samples: list[Sample] = []
    problems: list[Problem] = []
    lacking: list[Pair] = []
    home = root.resolve()
    for pair in pairs:
        instance = instances.path(pair.label) if instances else ""
        sizes = [0, 0, 0]
        for i, path in enumerate(filter(None, (pair.image, pair.label, instance))):
            try:
                info = (root / path).stat()
                # the other two were listed, and links looked at then
                leads_out = i == 2 and not follow_links and not (root / path).resolve().is_relative_to(home)
            except OSError as e:
                if i == 2 and isinstance(e, FileNotFoundError):
                    lacking.append(pair)
                else:
                    problems.append(Problem("no-permission", path, f"cannot be read: {e.strerror}", "check it"))
                break
            if leads_out:
                fix = "allow that with --follow-links, or copy it"
                problems.append(Problem("unsafe-path", path, "leads out of the root", fix))
                break
            if not stat.S_ISREG(info.st_mode):
                problems.append(Problem("unsafe-path", path, "is not a regular file", "remove it"))
                break
            sizes[i] = info.st_size
        else:
            sample_id = f"{prefix}/{pair.sample_id}"
            samples.append(Sample(sample_id, pair.image, pair.label, sizes[0], sizes[1], instance, sizes[2]))
    if instances and lacking:
        problems += _without_instances(lacking, instances, all_of_them=len(lacking) == len(pairs) > 1)
    return samples, problems


def _without_instances(pairs: Sequence[Pair], files: InstanceFiles, *, all_of_them: bool) -> list[Problem]:
    """A problem a file, or a single one where the files of a whole split are not there."""
    if all_of_them:
        first = files.path(pairs[0].label)
        what = f"no instance files of {len(pairs):,} labels: there is no {first}"
        folder = first.rpartition("/")[0]
        fix = f"run `{files.made_by}`" if files.made_by else "unpack them there"
        return [Problem("missing-label", folder, what, f"{fix}, or build without --instances")]
    fix = "add the file, or build with --keep-going to leave the sample out"
    return [
        Problem("missing-label", pair.label, f"has no instances: there is no {files.path(pair.label)}", fix)
        for pair in pairs
    ]


def _deal(source: str, split: str, samples: Sequence[Sample], shard_bytes: int) -> list[Shard]:
    """Consecutive runs of samples of about equal bytes, each at most about `shard_bytes`."""
    if not samples:
        return []
    sizes = [sample.input_bytes for sample in samples]
    count = min(len(samples), max(1, -(-sum(sizes) // shard_bytes)))
    runs: list[list[Sample]] = [[] for _ in range(count)]
    total, before = max(1, sum(sizes)), 0
    for sample, size in zip(samples, sizes, strict=True):
        runs[min(count - 1, before * count // total)].append(sample)
        before += size
    runs = [run for run in runs if run]
    return [Shard(source, split, i, len(runs), tuple(run)) for i, run in enumerate(runs)]
