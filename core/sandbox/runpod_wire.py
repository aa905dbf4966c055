"""RunPod's REST API v2 as data: what a pod's order may hold, and what is said of a pod.

Source: https://docs.runpod.io/api-reference-v2 (its OpenAPI document).
"""

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, StrictBool, StrictStr, ValidationError, model_validator
from starlette.responses import JSONResponse, Response

from core.sandbox.trainings import Stage, Training, iso

# id, name, memory in GB, USD an hour in the secure and the community cloud, the most of them in a pod
_CATALOG: tuple[tuple[str, str, int, float, float, int], ...] = (
    ("NVIDIA H100 80GB HBM3", "H100 SXM", 80, 3.99, 2.69, 8),
    ("NVIDIA H100 PCIe", "H100 PCIe", 80, 2.89, 1.99, 8),
    ("NVIDIA A100-SXM4-80GB", "A100 SXM", 80, 1.89, 1.39, 8),
    ("NVIDIA A100 80GB PCIe", "A100 PCIe", 80, 1.79, 1.19, 8),
    ("NVIDIA L40S", "L40S", 48, 0.99, 0.79, 8),
    ("NVIDIA RTX A6000", "RTX A6000", 48, 0.53, 0.33, 8),
    ("NVIDIA GeForce RTX 4090", "RTX 4090", 24, 0.69, 0.34, 8),
)
GPUS = {row[0]: row for row in _CATALOG}
CPU_USD = 0.08
TITLES = {
    400: "Bad Request",
    401: "Unauthorized",
    402: "Payment Required",
    403: "Forbidden",
    404: "Not Found",
    409: "Conflict",
    422: "Unprocessable Entity",
    429: "Too Many Requests",
}
RETRY_AFTER = 12
Name = Annotated[StrictStr, Field(min_length=1)]


class _Strict(BaseModel):
    """Keys that are not known are refused."""

    model_config = ConfigDict(extra="forbid")


class Gpu(_Strict):
    """Which GPU, how many."""

    id: StrictStr
    count: int = Field(default=1, ge=1, strict=True)
    allowedCudaVersions: list[StrictStr] | None = None  # noqa: N815 - the wire's spelling, here and below
    minCudaVersion: StrictStr | None = None  # noqa: N815


class Persistent(_Strict):
    """A disk on the pod's machine."""

    size: int = Field(ge=10, strict=True)
    path: StrictStr


class Mounts(_Strict):
    """What is mounted."""

    persistent: Persistent | None = None
    network: list[dict[str, Any]] | None = Field(default=None, max_length=1)


class Container(_Strict):
    """What a pod runs; also what may be changed of it."""

    name: Name | None = None
    image: StrictStr | None = None
    args: StrictStr | None = None
    disk: int | None = Field(default=None, ge=1, strict=True)
    env: dict[str, StrictStr] | None = None
    ports: list[Annotated[StrictStr, Field(pattern=r"^\d+/(http|tcp)$")]] | None = None
    registry: StrictStr | None = None
    mounts: Mounts | None = None
    globalNetworking: StrictBool | None = None  # noqa: N815
    templateId: Name | None = None  # noqa: N815


class Change(Container):
    """The body of a PATCH."""

    locked: StrictBool | None = None


class Order(Container):
    """The body that asks for a pod."""

    name: Name
    cloud: Literal["SECURE", "COMMUNITY"] = "SECURE"
    gpu: Gpu | None = None
    cpu: dict[str, Any] | None = None
    dataCenterIds: list[StrictStr] | None = None  # noqa: N815
    startJupyter: StrictBool = False  # noqa: N815
    startSsh: StrictBool = False  # noqa: N815

    @model_validator(mode="after")
    def _has_an_image(self) -> Self:
        if self.image is None and self.templateId is None:
            raise ValueError("missing property 'image'")
        return self

    def broken_rule(self) -> str | None:
        """A rule across fields that the order breaks, or None."""
        if (self.gpu is None) == (self.cpu is None):
            return "exactly one of gpu or cpu must be set"
        if self.gpu is not None and self.gpu.id not in GPUS:
            return f"gpu type {self.gpu.id[:60]} not found"
        if self.gpu is not None and self.gpu.count > GPUS[self.gpu.id][5]:
            return f"gpu count must be at most {GPUS[self.gpu.id][5]}"
        if self.mounts and self.mounts.persistent and self.mounts.network:
            return "mounts.persistent and mounts.network are mutually exclusive"
        return None


def violations(kind: type[BaseModel], body: Mapping[str, Any]) -> list[str]:
    """Each way in which the body leaves the contract."""
    try:
        kind.model_validate(body)
    except ValidationError as error:
        found = []
        for fault in error.errors(include_url=False, include_input=False, include_context=False):
            *where, last = fault["loc"] or ("",)
            extra = fault["type"] == "extra_forbidden"
            path = ".".join(["$", *map(str, where if extra else fault["loc"])])
            said = f"additional properties '{last}' not allowed" if extra else fault["msg"]
            found.append(f"{path}: {said}"[:300])
        return found
    return []


def problem(status: int, detail: str, errors: list[str] | None = None) -> Response:
    """An error as RunPod says it."""
    body: dict[str, Any] = {"title": TITLES.get(status, "Error"), "status": status, "detail": detail}
    if errors:
        body["errors"] = errors
    headers = {"Retry-After": str(RETRY_AFTER)} if status == 429 else {}
    return JSONResponse(body, status, headers=headers, media_type="application/problem+json")


def catalog(stock: bool) -> dict[str, Any]:
    """The GPU types with their prices; `stock` adds how well they can be had."""
    return {
        "gpus": [
            {
                "id": gpu_id,
                "name": name,
                "pool": None,
                "manufacturer": "NVIDIA",
                "memory": memory,
                "secure": True,
                "community": True,
                "price": {"secure": secure, "community": community},
                "maxCount": {"secure": most, "community": most},
                **({"availability": "HIGH"} if stock else {}),
            }
            for gpu_id, name, memory, secure, community, most in _CATALOG
        ]
    }


def usd_per_hour(body: Mapping[str, Any]) -> float:
    """What a pod of that order costs while it lives."""
    gpu = body.get("gpu")
    if not gpu:
        return CPU_USD
    row = GPUS[gpu["id"]]
    return float(row[4] if body.get("cloud") == "COMMUNITY" else row[3]) * int(gpu.get("count", 1))


def status(one: Training) -> str:
    """The pod's status word."""
    if one.stage.ended:
        lingers = one.facts.get("lingers") and one.stage in {Stage.SUCCEEDED, Stage.FAILED}
        return "RUNNING" if lingers and "terminated" not in one.facts else "EXITED"
    return {Stage.QUEUED: "PROVISIONING", Stage.STARTING: "STARTING"}.get(one.stage, "RUNNING")


ACTIONS = {
    "PROVISIONING": ["stop", "terminate"],
    "STARTING": ["stop", "terminate"],
    "RUNNING": ["stop", "restart", "terminate"],
    "EXITED": ["start", "terminate"],
}


def told(one: Training, now: int) -> dict[str, Any]:
    """The pod as RunPod's object."""
    body, word = one.body, status(one)
    began = one.since.get(Stage.RUNNING)
    runs = word == "RUNNING" and began is not None
    compute = (
        {"gpu": {"id": body["gpu"]["id"], "count": body["gpu"].get("count", 1)}} if body.get("gpu") else {}
    )
    return {
        "id": one.id,
        "name": body["name"],
        "image": body.get("image") or "",
        "args": body.get("args") or "",
        "disk": body.get("disk") or 20,
        "ports": body.get("ports") or [],
        "env": body.get("env") or {},
        "registry": body.get("registry"),
        "status": word,
        "actions": ACTIONS[word],
        "mounts": body.get("mounts") or {},
        **compute,
        **({"cpu": body["cpu"]} if body.get("cpu") else {}),
        "cloud": body.get("cloud", "SECURE"),
        "dataCenterId": "US-KS-2",
        "cudaVersion": "12.8",
        "ssh": {"proxy": None, "direct": None},
        "template": body.get("templateId"),
        "cost": 0.0 if word == "EXITED" else round(usd_per_hour(body), 4),
        "locked": bool(body.get("locked")),
        "globalNetworking": {"enabled": bool(body.get("globalNetworking"))},
        "runtime": {"uptime": (now - (began or now)) // 1000, "gpus": [], "ports": []} if runs else None,
        "createdAt": iso(int(one.facts.get("made") or one.created)),
        "startedAt": iso(began),
    }


def spent(one: Training, now: int) -> float:
    """What the pod has cost so far in USD: from its creation to its end, earlier lives included."""
    ended = one.facts.get("terminated") if one.facts.get("lingers") else None
    last = now if status(one) != "EXITED" else int(ended or one.ended_at or now)
    hours = (last - one.created) / 3_600_000 + float(one.facts.get("earlier_hours") or 0)
    return max(hours, 0.0) * usd_per_hour(one.body)
