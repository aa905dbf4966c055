"""The outside services on this machine, speaking their wire protocols over HTTP. Now: KIE.ai.

Start
    python -m core.sandbox --port 9010 [--data-dir DIR] [--public-url URL]

It listens on 127.0.0.1 alone and prints `KIE sandbox on http://127.0.0.1:9010` once its port is bound;
GET /health answers when it serves. Callers send `Authorization: Bearer` with KIE_API_KEY, which must begin
with `sandbox-` (default `sandbox-local-key`). KIE_WEBHOOK_HMAC_KEY signs the callbacks. Beside production
settings it refuses to start: one sentence on standard error, exit code 1. State is kept in DIR (the data
folder's `sandbox`) and survives kill -9: callbacks still owed are sent after the restart.

In tests: `with running(Site(data_dir=tmp_path)) as server:` of core.sandbox.server, then `server.url`,
`server.key`.

Endpoints, as KIE documents them
    POST /api/v1/jobs/createTask · GET /api/v1/jobs/recordInfo · POST /api/v1/common/download-url
    GET /api/v1/chat/credit · GET /results/NAME (Range, ETag)
    GET /results/filler-BYTES-ANYTHING.jpg (or .png, .mp4): a valid file of that size without a task

Faults, one table in core.sandbox.faults
    In a prompt: `[[fault:callback_lost]]`, several if wanted. In full:
    `[[fault:NAME@PLACE,PLACE=VALUE*TIMES]]`, as in `[[fault:latency@read=3]]`, only at reads, or
    `[[fault:truncated_file*1]]`, only the first time. `@all` is wherever the fault can strike. Places:
    create, read, file, other; a fault of the task itself is decided once, when the task is created.
    A marker or rule that names no fault is an error that lists them.

Control, at /_sandbox with the header `X-Sandbox: 1`
    GET  /faults             the table, with the rule that is set for each
    PUT  /faults             replaces all rules; {} switches every fault off: {"callback_lost": 0.2,
                             "latency": {"value": 3, "at": ["read"], "rate": 1, "times": 5}, "dead": true}
    GET  /settings           durations, limits, status style, sizes, seed (core.sandbox.dials), `credits`
    PUT  /settings           the same, those named are changed
    GET  /tasks/ID           the task's record and faults
    POST /tasks/ID/finish    ends it now; {"fail": "500"} as a failure
    GET  /log                ?kind=&task=&generation=&after=&limit=
                             kinds: create, read, file, callback, callback_refused, download_url,
                             credit
    GET  /stats              ?generation=  counts; paid creates by the callback URL's `generation`
    POST /reset              forgets tasks, log and rules; dials as delivered
"""
