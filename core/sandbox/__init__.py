"""The outside services on this machine, speaking their wire protocols over HTTP.

KIE.ai, fal, Replicate, RunPod v2 and the Hugging Face hub.

Start
    python -m core.sandbox --port 9010 [--data-dir DIR] [--public-url URL]

It listens on 127.0.0.1 alone and prints `KIE sandbox on http://127.0.0.1:9010` once its port is bound;
GET /health answers when it serves. Callers send `Authorization: Bearer` (at fal: `Key`) with KIE_API_KEY,
which must begin with `sandbox-` (default `sandbox-local-key`); it is every service's key.
KIE_WEBHOOK_HMAC_KEY signs KIE's callbacks. Beside production settings it refuses to start: one sentence on
standard error, exit code 1. State is kept in DIR (the data folder's `sandbox`) and survives kill -9:
callbacks still owed are sent after the restart.

In tests: `with running(Site(data_dir=tmp_path)) as server:` of core.sandbox.server, then `server.url`,
`server.key`.

Endpoints, as KIE documents them
    POST /api/v1/jobs/createTask · GET /api/v1/jobs/recordInfo · POST /api/v1/common/download-url
    GET /api/v1/chat/credit · GET /results/NAME (Range, ETag)
    GET /results/filler-BYTES-ANYTHING.jpg (or .png, .mp4): a valid file of that size without a task

The trainers and the hub, under base paths of their own
    /fal                FAL_QUEUE_URL: fal-ai/flux-lora-fast-training, fal-ai/flux-lora
    /fal/.well-known/jwks.json  FAL_JWKS_URL
    /replicate/v1       REPLICATE_BASE_URL: ostris/flux-dev-lora-trainer, core.sandbox.replicate_wire has
                        its version
    /runpod/v2          RUNPOD_BASE_URL; what a pod does with its environment: core.sandbox.pod
    /hf                 HF_ENDPOINT
    A training really fetches its ZIP (http on this machine only), opens it, and leaves real safetensors.
    Trainings survive a restart and are taken up again; webhooks still owed are sent.

Faults: core.sandbox.fault_table for KIE, core.sandbox.training_faults for the others
    In a prompt: `[[fault:callback_lost]]`, several if wanted. In full:
    `[[fault:NAME@PLACE,PLACE=VALUE*TIMES]]`, as in `[[fault:latency@read=3]]`, only at reads, or
    `[[fault:truncated_file*1]]`, only the first time. `@all` is wherever the fault can strike. Places:
    create, read, file, other; a fault of the task itself is decided once, when the task is created.
    The trainers' faults take a marker in any text of a submission, or a rule; their places name the
    service: `fal_submit`, `replicate_read`, `runpod_cancel`, … (core.sandbox.fault).
    A marker or rule that names no fault is an error that lists them.

Control, at /_sandbox with the header `X-Sandbox: 1`
    GET  /faults             the table, with the rule that is set for each
    PUT  /faults             replaces all rules; {} switches every fault off: {"callback_lost": 0.2,
                             "latency": {"value": 3, "at": ["read"], "rate": 1, "times": 5}, "dead": true}
    GET  /settings           durations, limits, status style, sizes, seed (core.sandbox.dials), `credits`
    PUT  /settings           the same, those named are changed
    GET  /tasks/ID           the task's record and faults
    POST /tasks/ID/finish    ends it now; {"fail": "500"} as a failure
    GET  /trainings          ?run=  newest first
    GET  /trainings/ID       stage, faults, log, what the work found
    POST /trainings/ID/finish  ends it now, its work is done first; {"fail": "words"} as a failure
    GET  /hold               which request is to be held, and which is
    PUT  /hold               {"kind": "fal_submit", "moment": "arrival" or "answer", "nth": 1}: keeps that one
                             waiting, before anything is done or when all but its answer is; {} lets it go
    GET  /log                ?kind=&task=&generation=&after=&limit=
                             kinds: create, read, file, callback, callback_refused, download_url,
                             credit, webhook, fal_submit, fal_status, fal_cancel, replicate_submit, …
    GET  /stats              ?generation=  counts; paid creates by the callback URL's `generation`;
                             `trainings`: paid, living, cancelled by service, pods alive, paid by run
    POST /reset              forgets tasks, log and rules; dials as delivered
"""
