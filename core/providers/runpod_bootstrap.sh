# Runs inside the public image of ostris' ai-toolkit: fetches the ZIP, trains, pushes the weights.
# Nothing is kept in the pod; what it has to tell it writes to STUDIO_OPS_PROGRESS_URL as JSON:
#   {"run_id", "state": starting|training|uploading|done|failed, "step", "steps", "error", "at", "log": [...]}
# "done" is written only after the weights have been taken by STUDIO_OPS_WEIGHTS_URL.
set -u
folder="${STUDIO_OPS_FOLDER:-/workspace}"
toolkit="${STUDIO_OPS_TOOLKIT:-/app/ai-toolkit}"
mkdir -p "$folder/dataset" "$folder/output"
log="$folder/studio-ops.log"
: > "$log"

tell() { # tell STATE [ERROR]
  STATE="$1" ERROR="${2:-}" LOG="$log" python3 - > "$folder/progress.json" <<'PYTHON'
import datetime, json, os, re
text = open(os.environ["LOG"], errors="replace").read()[-200_000:].replace("\r", "\n")
found = re.findall(r"\b(\d{1,6})/(\d{1,6})\b[^\n]*(?:it/s|s/it|loss)", text)
steps = int(os.environ.get("STUDIO_OPS_STEPS", "0"))
mine = [int(done) for done, of in found if int(of) == steps]
lines = [line.strip()[:300] for line in text.split("\n") if line.strip()]
print(json.dumps({
    "run_id": os.environ["STUDIO_OPS_RUN_ID"], "state": os.environ["STATE"],
    "step": mine[-1] if mine else 0, "steps": steps, "error": os.environ["ERROR"] or None,
    "at": datetime.datetime.now(datetime.timezone.utc).isoformat(), "log": lines[-50:],
}))
PYTHON
  curl -sS --retry 3 --max-time 60 -X PUT -H "Content-Type: application/json" \
    --data-binary "@$folder/progress.json" "$STUDIO_OPS_PROGRESS_URL" > /dev/null 2>> "$folder/curl.log"
}

# A container that ends is started again by RunPod and would train once more, so it waits to be terminated.
finish() {
  tell "$@" || { sleep 10; tell "$@"; }
  sleep "${STUDIO_OPS_LINGER:-infinity}"
  exit 0
}

tell starting
export STUDIO_OPS_STEPS="$(printf '%s' "$STUDIO_OPS_CONFIG" | python3 -c \
  'import json, sys; print(json.load(sys.stdin)["config"]["process"][0]["train"]["steps"])')"
# Its addresses are signed: they never come into the log that is told.
curl -fsSL --retry 5 --max-time 600 -o "$folder/dataset.zip" "$STUDIO_OPS_DATASET_URL" 2>> "$folder/curl.log" \
  || finish failed "The ZIP of images could not be downloaded."
python3 -m zipfile -e "$folder/dataset.zip" "$folder/dataset" >> "$log" 2>&1 \
  || finish failed "The ZIP of images could not be opened."
printf '%s' "$STUDIO_OPS_CONFIG" | sed "s#@FOLDER@#$folder#g" > "$folder/config.json"

(cd "$toolkit" && exec python3 run.py "$folder/config.json") >> "$log" 2>&1 &
trainer=$!
while kill -0 "$trainer" 2> /dev/null; do
  tell training
  for _ in $(seq "${STUDIO_OPS_TELL_SECONDS:-15}"); do
    kill -0 "$trainer" 2> /dev/null && sleep 1
  done
done
wait "$trainer" || finish failed "The trainer ended with code $?."

weights="$folder/output/lora/lora.safetensors"
[ -s "$weights" ] || finish failed "The trainer left no weights."
tell uploading
curl -fsS --retry 5 --max-time 1800 -H "Content-Type: application/octet-stream" \
  --upload-file "$weights" "$STUDIO_OPS_WEIGHTS_URL" > /dev/null 2>> "$folder/curl.log" \
  || finish failed "The weights could not be uploaded."
finish done
