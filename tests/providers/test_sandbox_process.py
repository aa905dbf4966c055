"""The sandbox as a process: start, refusals, kill -9, signatures."""

import base64
import hashlib
import hmac
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest

from core.sandbox.server import Site, running
from core.settings import ROOT
from tests.providers.sandbox_rig import Rig, receiver, rig, until
from tests.providers.training_rig import RUN, shelf


def _spawn(data_dir: Path, port: int = 0, **environment: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "core.sandbox", "--port", str(port), "--data-dir", str(data_dir)],
        cwd=ROOT,
        env={"PATH": os.environ["PATH"], **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@contextmanager
def process(data_dir: Path, port: int = 0, **environment: str) -> Iterator[tuple[Rig, subprocess.Popen[str]]]:
    """A sandbox in a process of its own, killed with SIGKILL at the end of the block."""
    child = _spawn(data_dir, port, **environment)
    assert child.stdout is not None
    assert child.stderr is not None
    try:
        url = child.stdout.readline().split()[-1]
        key = environment.get("KIE_API_KEY", "sandbox-local-key")
        with (
            httpx.Client(base_url=url, headers={"Authorization": f"Bearer {key}"}, trust_env=False) as kie,
            httpx.Client(base_url=f"{url}/_sandbox", headers={"X-Sandbox": "1"}, trust_env=False) as control,
        ):
            yield Rig(url, kie, control), child
    finally:
        child.kill()
        child.wait()
        child.stdout.close()
        child.stderr.close()


def test_tasks_counts_and_owed_callbacks_survive_a_kill(tmp_path: Path) -> None:
    with receiver() as web:
        with process(tmp_path) as (kie, _):
            kie.set(image_seconds=1.5, jitter=0, credits=1000)
            kie.faults(latency={"at": ["other"], "value": 0.01})
            done = kie.create("a lake [[fault:callback_before_answer]] [[fault:truncated_file*1]]")
            first = _download(kie, done)
            port = urlsplit(kie.url).port or 0
            task_id = kie.create(callback=f"{web.url}?generation=g1")
        assert web.bodies == []
        with process(tmp_path, port) as (kie, _):
            assert kie.stats()["paid_by_generation"] == {"g1": 1}
            until(lambda: web.bodies)
            assert kie.finished(task_id)["state"] == "success"
            assert kie.control.get("/settings").json()["image_seconds"] == 1.5
            assert kie.control.get("/settings").json()["credits"] == 990
            rules = [row["name"] for row in kie.control.get("/faults").json()["faults"] if row["rule"]]
            assert rules == ["latency"]
            assert (first, _download(kie, done)) == ("broken off", "whole")
            until(lambda: kie.log(kind="callback"))
    assert web.paths == ["/api/kie/callback?generation=g1"]


def test_trainings_survive_a_kill_and_their_work_is_done_after_it(tmp_path: Path) -> None:
    with shelf() as files, receiver() as web:
        with process(tmp_path) as (kie, _):
            kie.set(training_seconds=1.2, jitter=0)
            port = urlsplit(kie.url).port or 0
            kie.kie.headers["Authorization"] = "Key sandbox-local-key"
            body = {"images_data_url": files.zip(), "steps": 200}
            app, hook = "/fal/fal-ai/flux-lora-fast-training", f"{web.url}?run={RUN}"
            sent = kie.kie.post(app, json=body, params={"fal_webhook": hook}).json()
            keys = kie.kie.get("/fal/.well-known/jwks.json").json()
        assert web.bodies == []
        with process(tmp_path, port) as (kie, _):
            assert kie.stats()["trainings"]["paid_by_run"] == {RUN: 1}
            until(lambda: web.bodies)
            kie.kie.headers["Authorization"] = "Key sandbox-local-key"
            assert kie.kie.get(sent["status_url"]).json()["status"] == "COMPLETED"
            assert kie.kie.get("/fal/.well-known/jwks.json").json() == keys
    assert files.asked


def _download(kie: Rig, task_id: str) -> str:
    try:
        httpx.get(f"{kie.url}/results/{task_id.removeprefix('task_')}_0.jpg", trust_env=False, timeout=20)
    except httpx.RemoteProtocolError:
        return "broken off"
    return "whole"


def test_its_key_comes_from_the_settings(tmp_path: Path) -> None:
    with process(tmp_path, KIE_API_KEY="sandbox-of-its-own") as (kie, _):
        assert kie.kie.get("/api/v1/chat/credit").json()["code"] == 200
        kie.kie.headers["Authorization"] = "Bearer sandbox-local-key"
        assert kie.kie.get("/api/v1/chat/credit").json()["code"] == 401


@pytest.mark.parametrize(
    ("environment", "sentence"),
    [
        (
            {"DATABASE_URL": "postgresql://u:hidden@db.example.com/studio"},
            "DATABASE_URL points at another machine. Unset DATABASE_URL to use the sandbox.",
        ),
        ({"FAL_KEY": "hidden"}, "FAL_KEY belongs to a real service. Unset FAL_KEY to use the sandbox."),
    ],
)
def test_it_does_not_start_beside_production(
    tmp_path: Path, environment: dict[str, str], sentence: str
) -> None:
    child = _spawn(tmp_path, 0, **environment)
    _, errors = child.communicate(timeout=15)
    assert child.returncode == 1
    assert errors == f"The sandbox does not start: {sentence}\n"


def test_a_taken_port_and_a_taken_folder_are_named(tmp_path: Path) -> None:
    with running(Site(data_dir=tmp_path / "a")) as server:
        port = urlsplit(server.url).port or 0
        children = [_spawn(tmp_path / "b", port), _spawn(tmp_path / "a")]
        said = [child.communicate(timeout=15)[1] for child in children]
    assert [child.returncode for child in children] == [1, 1]
    assert said[0].startswith(f"The sandbox cannot listen on 127.0.0.1 port {port}: Address already in use.")
    assert said[1].startswith(f"Another sandbox runs in {tmp_path / 'a'}.")


def test_it_ends_when_asked(tmp_path: Path) -> None:
    with process(tmp_path) as (kie, child):
        kie.create()
        child.terminate()
        assert child.wait(10) == -15
        assert child.stderr is not None
        assert child.stderr.read() == ""


def test_callbacks_are_signed_when_a_key_is_set(tmp_path: Path) -> None:
    with rig(tmp_path, hmac_key="hmac-secret") as kie, receiver() as web:
        task_id = kie.create(callback=web.url)
        until(lambda: web.headers)
    headers = web.headers[0]
    text = f"{task_id}.{headers['X-Webhook-Timestamp']}"
    expected = base64.b64encode(hmac.new(b"hmac-secret", text.encode(), hashlib.sha256).digest()).decode()
    assert headers["X-Webhook-Signature"] == expected


def test_result_urls_follow_the_public_url(tmp_path: Path) -> None:
    with (
        running(Site(data_dir=tmp_path, public_url="http://sandbox.localhost:8080/kie/")) as server,
        httpx.Client(
            base_url=server.url, headers={"Authorization": f"Bearer {server.key}"}, trust_env=False
        ) as kie,
        httpx.Client(
            base_url=f"{server.url}/_sandbox", headers={"X-Sandbox": "1"}, trust_env=False
        ) as control,
    ):
        found = Rig(server.url, kie, control)
        found.reset()
        data = found.finished(found.create())
    assert '"http://sandbox.localhost:8080/kie/results/' in data["resultJson"]
