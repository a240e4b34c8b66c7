"""`unify push` with the real client of the Hub against a stand-in of its HTTP API on this machine."""

from __future__ import annotations

import base64
import hashlib
import json
import socket
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote, urlsplit

import datasets
import pyarrow.parquet as pq
import pytest
import yaml

from unify.build import build
from unify.cli import run
from unify.publish.licences import LICENCES, hub_licence, licence_of, obstacles
from unify.sources import SOURCES

from .worlds import plan_of, small_world, tree_bytes

#: What the Hub's client does to its HTTP library is not ours to mend.
pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")

TOKEN = "hf_stand_in"


@dataclass
class Repo:
    private: bool
    commits: list[dict[str, bytes]] = field(default_factory=lambda: [{".gitattributes": b"*.parquet filter=lfs\n"}])
    messages: list[dict] = field(default_factory=list)
    branches: dict[str, int] = field(default_factory=lambda: {"main": 0})
    tags: dict[str, int] = field(default_factory=dict)

    def oid(self, number: int) -> str:
        return f"{number + 1:040x}"

    def at(self, revision: str) -> dict[str, bytes]:
        named = {**self.branches, **self.tags}
        return self.commits[named[revision] if revision in named else int(revision, 16) - 1]


@dataclass
class Hub:
    """What a hub keeps. `fail`: (method, part of the path) → status, or a function called first."""

    url: str = ""
    repos: dict[str, Repo] = field(default_factory=dict)
    objects: dict[str, bytes] = field(default_factory=dict)
    calls: list[tuple[str, str]] = field(default_factory=list)
    fail: dict[tuple[str, str], int | Callable[[], None]] = field(default_factory=dict)

    def answer(self, method: str, path: str, token: str | None, body: bytes) -> tuple[int, object]:
        self.calls.append((method, path))
        for (failing, part), status in self.fail.items():
            if failing == method and part in path:
                if callable(status):
                    status()
                else:
                    return status, {"error": f"no: {status}"}
        if path.startswith("/upload/"):
            self.objects[path.rpartition("/")[2]] = body
            return 200, {}
        if token != TOKEN:
            return 401, {"error": "Invalid credentials in Authorization header"}
        if path == "/api/validate-yaml":
            return 200, {"errors": [], "warnings": []}
        if path == "/api/repos/create":
            asked = json.loads(body)
            assert asked["type"] == "dataset"
            name = f"{asked['organization']}/{asked['name']}"
            self.repos[name] = Repo(asked.get("visibility") == "private" or bool(asked.get("private")))
            return 200, {"url": f"{self.url}/datasets/{name}"}
        if path.startswith("/api/datasets/"):
            parts = path.split("/")[3:]
            name, rest = "/".join(parts[:2]), [unquote(p) for p in parts[2:]]
            return self.api(method, name, rest, body)
        parts = path.lstrip("/").split("/")
        name = "/".join(parts[1:3]).removesuffix(".git")
        if path.endswith("/info/lfs/objects/batch"):
            asked = json.loads(body)
            assert "basic" in asked["transfers"]
            return 200, {
                "transfer": "basic",
                "objects": [
                    {**o, "actions": {"upload": {"href": f"{self.url}/upload/{o['oid']}"}}} for o in asked["objects"]
                ],
            }
        if parts[3] == "resolve":
            files = self.repos[name].at(unquote(parts[4]))
            return (200, files[found]) if (found := "/".join(parts[5:])) in files else (404, "EntryNotFound")
        raise AssertionError((method, path))

    def api(self, method: str, name: str, rest: list[str], body: bytes) -> tuple[int, object]:
        repo = self.repos.get(name)
        if repo is None:
            return 404, "RepoNotFound"
        match rest:
            case ["refs"]:
                refs = {
                    kind: [
                        {"name": n, "ref": f"refs/{kind}/{n}", "targetCommit": repo.oid(c)} for n, c in named.items()
                    ]
                    for kind, named in (("branches", repo.branches), ("tags", repo.tags))
                }
                return 200, {**refs, "converts": []}
            case ["tree", revision, *_]:
                files = repo.at(revision)
                return 200, [{"type": "file", "path": p, "size": len(d), "oid": "0" * 40} for p, d in files.items()]
            case ["branch", branch]:
                repo.branches[branch] = repo.branches["main"]
                return 200, {}
            case ["preupload", _]:
                return 200, {
                    "files": [
                        {
                            "path": f["path"],
                            "uploadMode": "lfs" if f["path"].endswith(".parquet") else "regular",
                            "shouldIgnore": False,
                        }
                        for f in json.loads(body)["files"]
                    ]
                }
            case ["commit", revision]:
                return self.commit(repo, revision, body)
            case ["tag", revision]:
                asked = json.loads(body)
                repo.tags[asked["tag"]] = int(revision, 16) - 1
                return 200, {}
        raise AssertionError((method, rest))

    def commit(self, repo: Repo, revision: str, body: bytes) -> tuple[int, object]:
        lines = [json.loads(line) for line in body.splitlines()]
        files, header = dict(repo.at(revision)), lines[0]["value"]
        if header.get("parentCommit", repo.oid(repo.branches[revision])) != repo.oid(repo.branches[revision]):
            return 412, {"error": "A commit has happened since"}
        for line in lines[1:]:
            value = line["value"]
            if line["key"] == "file":
                files[value["path"]] = base64.b64decode(value["content"])
            elif line["key"] == "lfsFile":
                data = self.objects[value["oid"]]
                assert hashlib.sha256(data).hexdigest() == value["oid"] and len(data) == value["size"]
                files[value["path"]] = data
            else:
                assert line["key"] == "deletedFile"
                del files[value["path"]]
        repo.commits.append(files)
        repo.messages.append(header)
        repo.branches[revision] = len(repo.commits) - 1
        oid = repo.oid(repo.branches[revision])
        return 200, {"commitUrl": f"{self.url}/datasets/me/any/commit/{oid}", "commitOid": oid, "hookOutput": ""}


@pytest.fixture
def hub(monkeypatch, tmp_path) -> Iterator[Hub]:
    from huggingface_hub import constants

    there = Hub()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def handle_any(self) -> None:
            if self.headers.get("Transfer-Encoding") == "chunked":
                body = b""
                while size := int(self.rfile.readline(), 16):
                    body += self.rfile.read(size)
                    self.rfile.readline()
                self.rfile.readline()
            else:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            token = (self.headers.get("Authorization") or "").removeprefix("Bearer ") or None
            status, found = there.answer(self.command, urlsplit(self.path).path, token, body)
            code = found if isinstance(found, str) else ""
            data = found if isinstance(found, bytes) else json.dumps({"error": code} if code else found).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            if code:
                self.send_header("X-Error-Code", code)
            self.end_headers()
            self.wfile.write(data)

        do_GET = do_POST = do_PUT = do_HEAD = handle_any

        def log_message(self, *args: object) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    there.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "no-token"))
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)  # the stand-in speaks the older protocol
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    yield there
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture(scope="module")
def roots(tmp_path_factory):
    """Raw roots that say they are generated."""
    folder = small_world(tmp_path_factory.mktemp("raw"), "IBV")
    (folder / "truth.json").write_text("{}")
    return folder


@pytest.fixture(scope="module")
def free(roots, tmp_path_factory):
    artifact = build(plan_of(roots, "I,B"), tmp_path_factory.mktemp("out")).artifact
    assert all(facts["generated"] for facts in artifact.manifest.sources.values())
    return artifact


@pytest.fixture(scope="module")
def restricted(tmp_path_factory):
    raw = small_world(tmp_path_factory.mktemp("raw"), "CIBMV")
    return build(plan_of(raw, "C,I,B,V", "cityscapes19"), tmp_path_factory.mktemp("out")).artifact


def push(hub: Hub, artifact, *options: str, repo: str = "me/streets") -> int:
    return run(["push", str(artifact.path), repo, "--endpoint", hub.url, *options])


def err_line(capsys) -> str:
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("unify:")]
    assert len(lines) == 1, lines
    return lines[0]


# --- what arrives -------------------------------------------------------------------------------------


def test_every_file_arrives_in_one_tagged_commit(hub, free, capsys):
    assert push(hub, free, "--json") == 0
    told = json.loads(capsys.readouterr().out)
    repo = hub.repos["me/streets"]
    assert repo.private and len(repo.commits) == 2
    found = dict(repo.at("1.0.0"))
    assert found == repo.at("main")
    croissant = json.loads(found.pop("croissant.json"))
    del found[".gitattributes"]
    assert found == tree_bytes(free.path)
    assert croissant["url"] == f"{hub.url}/datasets/me/streets"
    assert repo.messages[0]["summary"] == f"{free.manifest.name} 1.0.0"
    assert free.digest in repo.messages[0]["description"]
    assert (told["created"], told["fresh"], told["tag"]) == (True, True, "1.0.0")
    assert told["files"] == len(found) + 1
    assert told["bytes"] == sum(map(len, found.values())) + len(repo.at("main")["croissant.json"])


def test_what_arrived_opens_with_datasets_and_verifies(hub, free, tmp_path):
    assert push(hub, free, "--public") == 0
    repo = hub.repos["me/streets"]
    assert not repo.private
    for name, data in repo.at("main").items():
        (tmp_path / "copy" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "copy" / name).write_bytes(data)
    union = datasets.load_dataset(str(tmp_path / "copy"), cache_dir=str(tmp_path / "cache"))
    assert {split: len(rows) for split, rows in union.items()} == {"train": 4, "val": 2}


def test_the_same_again_sends_nothing(hub, free, capsys):
    assert push(hub, free) == 0
    hub.calls.clear()
    assert push(hub, free) == 0
    assert "nothing to do" in capsys.readouterr().out
    assert all(method == "GET" for method, _ in hub.calls)
    assert len(hub.repos["me/streets"].commits) == 2


def test_a_next_version_removes_what_is_gone_and_leaves_the_old_tag(hub, free, roots, tmp_path, capsys):
    assert push(hub, free) == 0
    before = dict(hub.repos["me/streets"].at("1.0.0"))
    out = tmp_path / "out"
    build(plan_of(roots, "I,B"), out)
    second = build(plan_of(roots, "I,B", splits=("val",), name=None), out).artifact
    assert second.manifest.version == "2.0.0"
    capsys.readouterr()
    assert push(hub, second, "--json") == 0
    told = json.loads(capsys.readouterr().out)
    assert told["removed"] == [f"data/{s}/train-00000-of-00001.parquet" for s in ("bdd100k", "idd")]
    repo = hub.repos["me/streets"]
    assert repo.at("1.0.0") == before
    left = {name for name in repo.at("main") if name not in (".gitattributes", "croissant.json")}
    assert left == set(tree_bytes(second.path))


def test_another_branch(hub, free):
    assert push(hub, free, "--revision", "next") == 0
    repo = hub.repos["me/streets"]
    assert set(repo.branches) == {"main", "next"}
    assert "manifest.json" in repo.at("next") and "manifest.json" not in repo.at("main")


def test_dry_run_asks_nobody_and_names_every_file(hub, free, monkeypatch, capsys):
    monkeypatch.delenv("HF_TOKEN")
    assert push(hub, free, "--dry-run", "--json") == 0
    told = json.loads(capsys.readouterr().out)
    assert not hub.calls
    assert set(told["sizes"]) == {*tree_bytes(free.path), "croissant.json"}
    assert all(told["sizes"][n] == len(d) for n, d in tree_bytes(free.path).items())
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    assert push(hub, free) == 0
    arrived = {n: len(d) for n, d in hub.repos["me/streets"].at("main").items() if n != ".gitattributes"}
    assert told["sizes"] == arrived
    assert push(hub, free, "--dry-run") == 0
    text = capsys.readouterr().out
    assert "would go to" in text and "idd: generated" in text and "croissant.json" in text


# --- terms --------------------------------------------------------------------------------------------


def test_restricted_sources_are_refused_with_a_line_each(hub, restricted, capsys):
    assert push(hub, restricted) == 2
    lines = capsys.readouterr().err.splitlines()
    assert [line.split(": ")[1:3] for line in lines] == [["usage", s] for s in ("cityscapes", "idd", "camvid")]
    assert "may be distributed" in lines[0] and "--allow-restricted" in lines[0]
    assert "do not say that it may be passed on" in lines[2]
    assert not hub.calls
    assert push(hub, restricted, "--labels-only") == 2
    assert push(hub, restricted, "--dry-run") == 2


def test_allow_restricted_sends_it(hub, restricted):
    assert push(hub, restricted, "--allow-restricted") == 0
    assert "manifest.json" in hub.repos["me/streets"].at("1.0.0")


def test_generated_data_is_free_and_unknown_sources_are_not():
    facts = {"cityscapes": {"generated": True}, "mapillary": {"generated": False}}
    assert obstacles(facts) == {}
    assert list(obstacles({"mine": {"generated": False}, "kitti": {"generated": False}})) == ["mine"]
    assert licence_of("mine").confidence == "low"


def test_every_source_has_its_terms():
    assert list(LICENCES) == list(SOURCES)
    for licence in LICENCES.values():
        assert licence.url.startswith("http") and licence.conditions
        assert licence.hub == "other" or licence.images == "conditions"
    kitti, mapillary = ({name: {"generated": False}} for name in ("kitti", "mapillary"))
    assert hub_licence(kitti) == "cc-by-nc-sa-3.0"
    assert hub_licence({**kitti, **mapillary}) == "other"


def test_labels_only_has_all_but_the_images(hub, free, tmp_path):
    assert push(hub, free, "--labels-only", repo="me/labels") == 0
    files = hub.repos["me/labels"].at("1.0.0")
    assert "manifest.json" not in files
    facts = json.loads(files["labels.json"])
    assert facts["parent"] == free.digest and facts["without"] == ["image"]
    for name, data in files.items():
        (tmp_path / "copy" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "copy" / name).write_bytes(data)
    for name in free.manifest.files:
        if name.startswith("data/"):
            whole, left = pq.read_table(free.path / name), pq.read_table(tmp_path / "copy" / name)
            assert left.equals(whole.drop_columns(["image"]))
            features = json.loads(left.schema.metadata[b"huggingface"])["info"]["features"]
            assert list(features) == left.column_names, "also where there is no card"
    union = datasets.load_dataset(str(tmp_path / "copy"), cache_dir=str(tmp_path / "cache"))
    assert "image" not in union["train"].features
    assert union["train"].features["classes"].feature.names == list(free.taxonomy.space.names)
    assert union["train"][0]["label"].size == (64, 32)
    head = yaml.safe_load(files["README.md"].decode().split("---\n")[1])
    assert "labels-only" in head["tags"]
    text = files["README.md"].decode()
    assert "(labels only)" in text and "| `image` |" not in text and "| `label` |" in text
    about = json.loads(files["croissant.json"])
    assert not [f for f in about["recordSet"][0]["field"] if f["name"] == "image"]
    listed = {d["@id"]: d for d in about["distribution"]}
    assert listed["README.md"]["sha256"] == hashlib.sha256(files["README.md"]).hexdigest()
    assert push(hub, free, "--labels-only", repo="me/labels") == 0, "nothing to do"
    assert len(hub.repos["me/labels"].commits) == 2


# --- what goes wrong ----------------------------------------------------------------------------------


def test_without_a_token_nobody_is_asked(hub, free, monkeypatch, capsys):
    monkeypatch.delenv("HF_TOKEN")
    assert push(hub, free) == 77
    assert "no access token" in err_line(capsys)
    assert not hub.calls


@pytest.mark.parametrize(
    ("token", "fail", "code", "words"),
    [
        ("hf_wrong", {}, 77, ["does not accept the access token", "nothing was sent"]),
        (TOKEN, {("POST", "/api/repos/create"): 403}, 77, ["token that may write", "nothing was sent"]),
        (TOKEN, {("POST", "/commit/"): 403}, 77, ["the repository was created and is empty"]),
        (TOKEN, {("POST", "/commit/"): 409}, 75, ["changed by somebody else", "created and is empty"]),
        (TOKEN, {("POST", "/commit/"): 500}, 74, ["HTTP 500", "created and is empty, unless the commit went through"]),
        (TOKEN, {("PUT", "/upload/"): 403}, 77, ["created and is empty"]),
        (TOKEN, {("POST", "/tag/"): 403}, 77, ["everything was committed as 000000000000", "no tag"]),
    ],
)
def test_a_refusal_is_one_line_with_how_far_it_came(hub, free, monkeypatch, capsys, token, fail, code, words):
    monkeypatch.setenv("HF_TOKEN", token)
    hub.fail = fail
    assert push(hub, free) == code
    line = err_line(capsys)
    assert all(word in line for word in words), line
    created = hub.repos.get("me/streets")
    assert created is None or not created.tags
    committed = created is not None and len(created.commits) > 1
    assert committed == ("/tag/" in str(fail))
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    hub.fail = {}
    assert push(hub, free) == 0, "the same command again"
    repo = hub.repos["me/streets"]
    assert set(tree_bytes(free.path)) <= set(repo.at("1.0.0")) and len(repo.commits) == 2


def test_a_commit_by_somebody_else_meanwhile_is_not_overwritten(hub, free, capsys):
    def meanwhile() -> None:
        hub.fail.clear()
        repo = hub.repos["me/streets"]
        repo.commits.append({**repo.at("main"), "README.md": b"theirs"})
        repo.branches["main"] += 1

    hub.fail = {("POST", "/preupload/"): meanwhile}
    assert push(hub, free) == 75
    assert "somebody else" in err_line(capsys)
    assert hub.repos["me/streets"].at("main")["README.md"] == b"theirs"


def test_a_file_that_did_not_arrive_whole_is_told_before_the_tag(hub, free, capsys):
    def lose() -> None:
        hub.fail.clear()
        at = hub.repos["me/streets"].at("main")
        at["stats.parquet"] = at["stats.parquet"][:-1]

    hub.repos["me/streets"] = Repo(True)
    hub.fail = {("GET", f"/tree/{2:040x}"): lose}
    assert push(hub, free) == 76
    assert "stats.parquet; it has no tag" in err_line(capsys)
    assert not hub.repos["me/streets"].tags


def test_a_network_that_is_down(free, monkeypatch, capsys):
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # nobody listens
        url = f"http://127.0.0.1:{taken.getsockname()[1]}"
        assert run(["push", str(free.path), "me/streets", "--endpoint", url]) == 74
    line = err_line(capsys)
    assert "cannot be reached" in line and "nothing was sent" in line


def test_a_tag_with_other_content_is_never_moved(hub, free, roots, tmp_path, capsys):
    assert push(hub, free) == 0
    other = build(plan_of(roots, "I,B", splits=("val",)), tmp_path / "other").artifact
    assert other.manifest.version == "1.0.0" and other.manifest.name == free.manifest.name
    capsys.readouterr()
    assert push(hub, other) == 73
    assert "has a tag 1.0.0 already, with other content" in err_line(capsys)
    assert len(hub.repos["me/streets"].commits) == 2


def test_a_repository_of_something_else_is_left_alone(hub, free, roots, tmp_path, capsys):
    hub.repos["me/streets"] = Repo(True, commits=[{"weights.bin": b"1", "README.md": b""}])
    assert push(hub, free) == 73
    assert "files that are of no version: weights.bin" in err_line(capsys)
    hub.repos["me/streets"] = Repo(True, commits=[{".gitattributes": b"", "README.md": b"a stub"}])
    assert push(hub, free) == 0, "an empty repository as the Hub makes it"
    hub.repos["me/streets"].tags.clear()
    camvid = build(plan_of(roots, "V"), tmp_path / "other").artifact
    capsys.readouterr()
    assert push(hub, camvid) == 73
    assert f"holds {free.manifest.name}, not {camvid.manifest.name}" in err_line(capsys)


def test_a_damaged_version_is_not_sent(hub, roots, tmp_path, capsys):
    artifact = build(plan_of(roots, "V"), tmp_path / "out").artifact
    (artifact.path / "id2label.json").write_text("{}")
    assert push(hub, artifact) == 76
    assert "id2label.json" in capsys.readouterr().err
    assert not hub.calls


@pytest.mark.parametrize("repo", ["streets", "a/b/c", "me/no spaces", "me/-x-"])
def test_a_repository_id_is_checked_first(hub, free, capsys, repo):
    assert push(hub, free, repo=repo) == 2
    assert "NAMESPACE/NAME" in err_line(capsys)
    assert not hub.calls
