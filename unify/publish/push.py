"""A version to a dataset repository on the Hugging Face Hub: one commit, and a tag with the version's number.

What is sent: every file that the manifest names, the manifest, and croissant.json. The commit removes files of an
earlier version that are no part of this one, which would otherwise be loaded, too. Nothing of it can be seen before
the commit; a tag is never moved.

Terms come first: what a source's licence does not let pass on is refused with a line for each source.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from unify import storage
from unify.artifact import Artifact
from unify.errors import Problem, UnifyError, error
from unify.manifest import FILE
from unify.publish.croissant import croissant
from unify.publish.labels_only import COLUMN, write_labels
from unify.publish.labels_only import FILE as LABELS
from unify.publish.licences import obstacles
from unify.sources import SOURCES, Source
from unify.verify import verify

if TYPE_CHECKING:
    from huggingface_hub import HfApi

T = TypeVar("T")

ENDPOINT = "https://huggingface.co"
CROISSANT = "croissant.json"
#: What a repository may hold before the first version comes.
_UNRELATED = {".gitattributes", ".gitignore", "README.md", "LICENSE", "LICENSE.md", "LICENSE.txt"}


@dataclass(frozen=True, slots=True)
class Parcel:
    """What is to be sent. `identity` is the file that says which version it is: equal bytes, equal version."""

    name: str
    version: str
    digest: str
    identity: str
    files: Mapping[str, Path | bytes]  # POSIX path in the repository → file or content

    def sizes(self) -> dict[str, int]:
        """Path in the repository → bytes."""
        return {
            path: len(what) if isinstance(what, bytes) else what.stat().st_size
            for path, what in sorted(self.files.items())
        }

    def content(self, path: str) -> bytes:
        what = self.files[path]
        return what if isinstance(what, bytes) else what.read_bytes()


@dataclass(frozen=True, slots=True)
class Pushed:
    """What came of it. `fresh` is false if the tag was there with the same content, and nothing was sent."""

    url: str
    commit: str
    tag: str
    removed: tuple[str, ...]
    created: bool
    fresh: bool


def check_terms(artifact: Artifact, *, labels_only: bool = False) -> None:
    """Raise `UnifyError` (usage), with a problem for each source whose terms do not let it be passed on."""
    fix = "give --allow-restricted if you have the right to; share mappings and `unify build` lines instead"
    found = obstacles(artifact.manifest.sources, labels_only=labels_only)
    if found:
        raise UnifyError(*(Problem("usage", source, why, fix) for source, why in found.items()))


def check_whole(artifact: Artifact, progress: Callable[[str, int], None] = lambda name, size: None) -> None:
    """Raise `UnifyError` (not-verified) unless the version is what was published."""
    if problems := verify(artifact, progress).problems:
        raise UnifyError(*problems)


def parcel(
    artifact: Artifact,
    url: str,
    published: str,
    *,
    labels_folder: Path | None = None,
    sources: Mapping[str, Source] = SOURCES,
) -> Parcel:
    """What `push` sends of a version.

    Args:
        url: of the repository, for croissant.json.
        published: date, YYYY-MM-DD.
        labels_folder: an empty folder; the version goes without its images, and is written there before.
        sources: what is known of the sources.
    """
    files: dict[str, Path | bytes]
    if labels_folder is not None:
        files = {**write_labels(artifact, labels_folder)}
        identity, without = LABELS, [COLUMN]
    else:
        files = {name: artifact.path / name for name in (*artifact.manifest.files, FILE)}
        identity, without = FILE, []
    small = {
        name: what if isinstance(what, bytes) else what.read_bytes()
        for name, what in files.items()
        if not name.startswith("data/")
    }
    about = croissant(artifact, published=published, url=url, without=without, files=small, sources=sources)
    files[CROISSANT] = (json.dumps(about, indent=1, ensure_ascii=False) + "\n").encode()
    return Parcel(artifact.manifest.name, artifact.manifest.version, artifact.digest, identity, files)


def check_repo_id(repo_id: str) -> None:
    """Raise `UnifyError` (usage) unless it is NAMESPACE/NAME, as the Hub allows them."""
    from huggingface_hub.errors import HFValidationError
    from huggingface_hub.utils import validate_repo_id  # type: ignore[attr-defined]  # public by its documents

    try:
        validate_repo_id(repo_id)
    except HFValidationError as e:
        raise error("usage", repo_id, f"is no repository id: {e}", "write NAMESPACE/NAME") from e
    if repo_id.count("/") != 1:
        raise error("usage", repo_id, "has no namespace", "write NAMESPACE/NAME, such as your user name first")


def repo_url(repo_id: str, endpoint: str) -> str:
    return f"{endpoint.rstrip('/')}/datasets/{repo_id}"


def push(
    what: Parcel, repo_id: str, *, endpoint: str = ENDPOINT, private: bool = True, revision: str = "main"
) -> Pushed:
    """Send `what` to the dataset repository `repo_id`, which is created if it is not there.

    Args:
        endpoint: of the Hub, or of one that speaks its language.
        private: of a repository that is created; one that is there stays as it is.
        revision: branch to commit to; made if it is not there.

    The token is that of `hf auth login`, or HF_TOKEN.

    Raises:
        UnifyError: no-permission (77) without a token or the right to write; cannot-create (73) if the tag is there
            with other content, or the repository holds something else; busy (75) if somebody else committed
            meanwhile; io (74) if the Hub cannot be reached or fails. Each says how far it came.
    """
    from huggingface_hub import HfApi, get_token

    check_repo_id(repo_id)
    if not get_token():
        fix = "run `hf auth login`, or set HF_TOKEN to a token that may write"
        raise error("no-permission", repo_id, "there is no access token for the Hub", fix)
    api = HfApi(endpoint=endpoint.rstrip("/"))
    place = _Place(api, repo_id, repo_url(repo_id, endpoint), revision)
    with _told(place.url, "nothing was sent"):
        refs = place.refs()
    created = refs is None
    if refs is None:
        with _told(place.url, "nothing was sent"):
            api.create_repo(repo_id, repo_type="dataset", private=private)
        with _told(place.url, "the repository was created and is empty"):
            refs = place.refs()
    if refs is None:
        raise error("io", place.url, "was created, but cannot be seen", "run the same command again")
    state = "the repository was created and is empty" if created else "nothing was changed"
    with _told(place.url, state):
        if what.version in refs.tags:
            return _as_before(what, place, refs.tags[what.version])
        if revision not in refs.branches:
            api.create_branch(repo_id, repo_type="dataset", branch=revision, exist_ok=True)
            refs = place.refs() or refs
        head = refs.branches.get(revision)
        removed = _removed(what, place)
    if removed is None:  # the commit is there, and only the tag is missing
        assert head is not None, "files without a commit"
        commit, removed = head, ()
    else:
        with _told(place.url, state, f"{state}, unless the commit went through: the same command again will tell"):
            commit = _commit(what, place, head, removed)
        with _told(place.url, f"everything was committed as {commit[:12]}, but not looked at nor tagged"):
            _check_arrived(what, place, commit)
    with _told(place.url, f"everything was committed as {commit[:12]}, but has no tag: run the same command again"):
        api.create_tag(repo_id, repo_type="dataset", tag=what.version, revision=commit)
    return Pushed(place.url, commit, what.version, removed, created, fresh=True)


@dataclass(frozen=True, slots=True)
class _Refs:
    branches: dict[str, str]  # name → commit
    tags: dict[str, str]


@dataclass(frozen=True, slots=True)
class _Place:
    """A branch of a repository."""

    api: HfApi
    repo_id: str
    url: str
    revision: str

    def refs(self) -> _Refs | None:
        """Branches and tags; None if there is no such repository, or none that may be seen."""
        from huggingface_hub.errors import RepositoryNotFoundError

        try:
            found = self.api.list_repo_refs(self.repo_id, repo_type="dataset")
        except RepositoryNotFoundError:
            return None
        branches, tags = ({ref.name: ref.target_commit for ref in refs} for refs in (found.branches, found.tags))
        return _Refs(branches, tags)

    def read(self, path: str, revision: str) -> bytes | None:
        """A small file; None if it is not there."""
        from huggingface_hub.errors import EntryNotFoundError
        from huggingface_hub.utils import (  # type: ignore[attr-defined]  # public by its documents
            build_hf_headers,
            get_session,
            hf_raise_for_status,
        )

        url = f"{self.url}/resolve/{revision}/{path}"
        response = get_session().get(url, headers=build_hf_headers())
        try:
            hf_raise_for_status(response)
        except EntryNotFoundError:
            return None
        return bytes(response.content)


def _as_before(what: Parcel, place: _Place, commit: str) -> Pushed:
    if place.read(what.identity, what.version) != what.content(what.identity):
        raise error(
            "cannot-create",
            place.url,
            f"has a tag {what.version} already, with other content",
            "published versions stay as they are: push to another repository",
        )
    return Pushed(place.url, commit, what.version, (), created=False, fresh=False)


def _removed(what: Parcel, place: _Place) -> tuple[str, ...] | None:
    """Files of an earlier version that are no part of this one; None if it is this version that is there."""
    there = set(place.api.list_repo_files(place.repo_id, repo_type="dataset", revision=place.revision))
    known: set[str] = set()
    for identity in (FILE, LABELS):
        data = place.read(identity, place.revision) if identity in there else None
        if data is None:
            continue
        if identity == what.identity and data == what.content(identity):
            return None
        facts = _facts(data)
        if facts is None or facts[0] != what.name:
            name = facts[0] if facts else "something that is no version"
            fix = "push to a repository of its own"
            raise error("cannot-create", place.url, f"holds {name}, not {what.name}", fix)
        known |= {*facts[1], identity, CROISSANT}
    if strangers := sorted(there - known - _UNRELATED - what.files.keys()):
        shown = ", ".join(strangers[:3]) + (", ..." if len(strangers) > 3 else "")
        fix = "push to a repository of its own, or remove them"
        raise error("cannot-create", place.url, f"holds files that are of no version: {shown}", fix)
    return tuple(sorted((there & known) - what.files.keys()))


def _facts(data: bytes) -> tuple[str, set[str]] | None:
    """Name and files of the version whose identity this is."""
    try:
        facts: dict[str, Any] = json.loads(data)
        return str(facts["name"]), set(facts["files"])
    except (ValueError, KeyError, TypeError):
        return None


def _commit(what: Parcel, place: _Place, head: str | None, removed: tuple[str, ...]) -> str:
    from huggingface_hub import CommitOperationAdd, CommitOperationDelete

    operations: list[Any] = [CommitOperationDelete(path, is_folder=False) for path in removed]
    operations += [
        CommitOperationAdd(path, data if isinstance(data, bytes) else str(data)) for path, data in what.files.items()
    ]
    done = place.api.create_commit(
        place.repo_id,
        operations,
        repo_type="dataset",
        revision=place.revision,
        commit_message=f"{what.name} {what.version}",
        commit_description=f"unify digest {what.digest}",
        parent_commit=head,
    )
    return str(done.oid)


def _check_arrived(what: Parcel, place: _Place, commit: str) -> None:
    """Raise `UnifyError` (not-verified) unless every file is there in its size, and no other of a version."""
    found = place.api.list_repo_tree(place.repo_id, repo_type="dataset", revision=commit, recursive=True)
    there = {entry.path: size for entry in found if (size := getattr(entry, "size", None)) is not None}
    sizes = what.sizes()
    wrong = [path for path, n_bytes in sizes.items() if there.get(path) != n_bytes]
    wrong += [path for path in there if path.startswith("data/") and path not in sizes]
    if wrong:
        what_is = f"holds other files after the commit {commit[:12]} than were sent, such as {wrong[0]}; it has no tag"
        raise error("not-verified", place.url, what_is, "run the same command again, or look at the repository")


@contextmanager
def _told(url: str, state: str, unsure: str = "") -> Iterator[None]:
    """What the Hub or the network refuses becomes a `UnifyError`; `state` is how far things came before, `unsure`
    where the failure does not say whether the last request was carried out.
    """
    try:
        yield
    except UnifyError:
        raise
    except Exception as e:
        if (problem := _problem(e, url, state if _is_refusal(e) else unsure or state)) is None:
            raise
        raise UnifyError(problem) from e


def _is_refusal(e: BaseException) -> bool:
    """Whether the Hub answered, and that it did nothing: with a status of 400 to 499."""
    if isinstance(e, RuntimeError) and e.__cause__ is not None:  # of an upload, which comes before the commit
        return True
    status = getattr(getattr(e, "response", None), "status_code", 0)
    return isinstance(status, int) and 400 <= status < 500


#: HTTP status → kind, what it means, what to do.
_STATUS = {
    401: ("no-permission", "does not accept the access token", "run `hf auth login` again, or set another HF_TOKEN"),
    403: ("no-permission", "lets this token not do that", "use a token that may write to this namespace"),
    404: ("not-found", "was not found", "check the repository's name and --endpoint"),
    409: ("busy", "was changed by somebody else", "look at it, then run the same command again"),
    412: ("busy", "was changed by somebody else", "run the same command again"),
    413: ("io", "does not take files of this size", "ask its operator"),
    429: ("io", "has had too many requests", "run the same command again later"),
}
_NETWORK = {"httpx", "httpx2", "httpcore", "httpcore2", "requests", "urllib3"}


def _problem(e: BaseException, url: str, state: str) -> Problem | None:
    """The exceptions of `huggingface_hub` 0.3x to 2.x and of the HTTP clients below them; None of any other."""
    from huggingface_hub.errors import HfHubHTTPError

    if isinstance(e, HfHubHTTPError):
        response = getattr(e, "response", None)
        status = int(getattr(response, "status_code", 0) or 0)
        kind, what, fix = _STATUS.get(status, ("io", "failed", "run the same command again later"))
        said = (getattr(e, "server_message", None) or "").strip().splitlines()
        text = f"{what} (HTTP {status}{': ' + said[0] if said else ''}); {state}"
        return Problem(kind, url, text, fix)
    if type(e).__module__.partition(".")[0] in _NETWORK or isinstance(e, ConnectionError | TimeoutError):
        return Problem("io", url, f"cannot be reached ({e or type(e).__name__}); {state}", "check the network")
    if isinstance(e, RuntimeError) and e.__cause__ is not None:  # "Error while uploading ..."
        return _problem(e.__cause__, url, state)
    if isinstance(e, ValueError):  # what the Hub finds wrong with the card, and what it says of single uploads
        lines = [line for line in str(e).splitlines() if line.strip()]
        return Problem("bad-artifact", url, f"refused: {' '.join(lines)[:500]}; {state}", "report it with this line")
    if isinstance(e, OSError):
        return storage.refused("read", Path(e.filename or "."), e).problems[0]
    return None
