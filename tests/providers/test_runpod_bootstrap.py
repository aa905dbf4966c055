"""What runs inside a pod, run here: with a toolkit that is a few lines long, over real HTTP."""

import io
import json
import os
import shlex
import subprocess
import threading
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from core.providers.runpod_pods import order
from core.providers.training import PushTargets
from tests.providers.fake_vendor import RUN, wanted

TRAINS = """
import json, pathlib, sys
config = json.loads(pathlib.Path(sys.argv[1]).read_text())["config"]
process = config["process"][0]
images = sorted(path.name for path in pathlib.Path(process["datasets"][0]["folder_path"]).iterdir())
steps = process["train"]["steps"]
print(f"{len(images)} images for {process['trigger_word']}")
for step in (steps // 2, steps):
    sys.stderr.write(f"lora:  50%|#####     | {step}/{steps} [00:10<00:10,  1.01it/s, loss: 3.1e-01]\\r")
folder = pathlib.Path(process["training_folder"]) / config["name"]
folder.mkdir(parents=True)
(folder / "lora.safetensors").write_bytes(b"weights of " + " ".join(images).encode())
"""
FAILS = "import sys; sys.exit('CUDA out of memory')"


@dataclass
class Store:
    """Takes what the pod pushes and serves its ZIP."""

    url: str
    archive: bytes
    refuses: str = ""
    weights: list[bytes] = field(default_factory=list)
    progress: list[dict[str, Any]] = field(default_factory=list)


@contextmanager
def running(archive: bytes) -> Iterator[Store]:
    class Handler(BaseHTTPRequestHandler):
        def _answer(self, body: bytes = b"") -> None:
            self.send_response(403 if store.refuses and store.refuses in self.path else 200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def do_GET(self) -> None:
            self._answer(store.archive)

        def do_PUT(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if "weights" in self.path:
                store.weights.append(body)
            else:
                store.progress.append(json.loads(body))
            self._answer()

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the name in http.server
            return

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        store = Store(f"http://127.0.0.1:{server.server_port}", archive)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        thread.start()
        yield store
        server.shutdown()
        thread.join(5)


def zipped() -> bytes:
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w") as archive:
        for number in (1, 2, 3):
            archive.writestr(f"image_00{number}.jpg", b"jpeg")
    return held.getvalue()


def run(store: Store, folder: Path, trainer: str) -> None:
    """The container's command exactly as RunPod would start it."""
    toolkit = folder / "toolkit"
    toolkit.mkdir()
    (toolkit / "run.py").write_text(trainer)
    request = wanted(
        dataset_url=f"{store.url}/set.zip?token=dataset-secret-1",
        steps=40,
        push=PushTargets(f"{store.url}/weights?sig=secret-1", f"{store.url}/progress?sig=secret-1"),
    )
    ordered = order(request, "")
    in_the_pod = "/tmp/studio-ops.sh"  # noqa: S108 - a container of its own
    script = ordered["args"].replace(in_the_pod, str(folder / "studio-ops.sh"))
    own = {"STUDIO_OPS_FOLDER": str(folder / "work"), "STUDIO_OPS_TOOLKIT": str(toolkit)}
    own |= {"STUDIO_OPS_LINGER": "0", "STUDIO_OPS_TELL_SECONDS": "1", "PATH": os.environ["PATH"]}
    subprocess.run(shlex.split(script), env={**ordered["env"], **own}, check=True, timeout=30)


def test_a_training_from_zip_to_weights(tmp_path: Path) -> None:
    with running(zipped()) as store:
        run(store, tmp_path, TRAINS)
    assert store.weights == [b"weights of image_001.jpg image_002.jpg image_003.jpg"]
    states = [told["state"] for told in store.progress]
    assert (states[0], states[-2:]) == ("starting", ["uploading", "done"])
    last = store.progress[-1]
    assert (last["run_id"], last["step"], last["steps"], last["error"]) == (str(RUN), 40, 40, None)
    assert "3 images for ohwx woman" in last["log"]
    assert "secret-1" not in json.dumps(store.progress)


@pytest.mark.parametrize(
    ("trainer", "archive", "refuses", "says"),
    [
        (FAILS, zipped(), "", "The trainer ended with code 1."),
        ("", zipped(), "", "The trainer left no weights."),
        (TRAINS, b"no zip", "", "The ZIP of images could not be opened."),
        (TRAINS, zipped(), "set.zip", "The ZIP of images could not be downloaded."),
        (TRAINS, zipped(), "weights", "The weights could not be uploaded."),
    ],
)
def test_what_goes_wrong_is_told(
    tmp_path: Path, trainer: str, archive: bytes, refuses: str, says: str
) -> None:
    with running(archive) as store:
        store.refuses = refuses
        run(store, tmp_path, trainer)
    last = store.progress[-1]
    assert (last["state"], last["error"]) == ("failed", says)
    if trainer == FAILS:
        assert "CUDA out of memory" in last["log"]
    assert "secret-1" not in json.dumps(store.progress)
