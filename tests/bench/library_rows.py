"""A library of LoRAs as the measurement of its queries needs it: names, words, tags, ratings and uses.

Uses are filled as counts and by the day, fifty to a LoRA on average; of single uses there is a sample of the
most used ones. LoRAs of the last week have few uses, pending ones none, rated ones many: what is filtered and
what is sorted by hang together, as they do in life.
"""

from datetime import datetime, timedelta

import psycopg

DAY = timedelta(days=1)
BATCH = 100_000
USES_A_LORA = 50
SAMPLE_OF, SAMPLE = 200, 1_000
CREATORS = 20_000
# A few words are in many LoRAs and many words in few.
WORDS = (
    "ada", "cyberpunk", "girl", "boy", "knight", "lighthouse", "keeper", "dragon", "robot", "captain", "sea",
    "forest", "winter", "neon", "samurai", "witch",
    *(first + last for first in ("bal", "cor", "dun", "fen", "gar", "hol", "jor", "kel", "lun", "mor", "nar",
                                 "pel", "quo", "ros", "sil", "tam")
      for last in ("ak", "ber", "cin", "dor", "eth", "fil", "gon", "hir", "iam", "jun", "kos", "lin", "mar",
                   "nes")),
)  # fmt: skip
TAGS = ("portrait", "fantasy", "anime", "photo", "mascot", "child", "animal", "product")
RARE_WORD, RARE_TAG = "xylophonist", "quixotic"

_LORAS = """
INSERT INTO lora_models (id, creator_key, creator_name, name, description, training_status, usage_count,
                         created_at, updated_at, completed_at, base_model, huggingface_url, tags, is_private,
                         hidden_at, archived_at, storage_path, storage_url, file_size, trigger_word,
                         weights_sha256)
SELECT md5('lora' || n)::uuid, 'staff:c' || creator, 'creator' || creator || '@example.com',
       initcap(word[1] || ' ' || word[2]) || ' ' || n
           || CASE WHEN n %% 20011 = 0 THEN ' ' || %(rare_word)s ELSE '' END,
       'A ' || word[3] || ' and a ' || word[4] || ' by the '
           || word[5] || ', number ' || n,
       status,
       CASE WHEN status <> 'completed' OR h %% 2 = 0 THEN 0
            ELSE (%(mean)s * 2.35 * -ln(1 - (n::bigint * 7919 %% 1000003) / 1000004.0)
                  * least(1, (%(rows)s - n) / (%(rows)s / 20.0)))::int END,
       at, at, CASE WHEN status = 'completed' THEN at + interval '40 min' END,
       CASE WHEN h / 3 %% 10 < 7 THEN 'FLUX.1' WHEN h / 3 %% 10 < 9 THEN 'SDXL' ELSE 'SD 3' END,
       CASE WHEN status = 'completed' AND h / 5 %% 7 = 0 THEN 'https://huggingface.co/x/' || n END,
       CASE WHEN n %% 50021 = 0 THEN ARRAY[%(rare_tag)s]
            ELSE ARRAY[tags[1 + h %% 8], tags[1 + h / 8 %% 8]] END,
       n %% 25 = 3, CASE WHEN n %% 500 = 9 THEN at END, CASE WHEN n %% 40 = 11 THEN at END,
       CASE WHEN status = 'completed' THEN 'studio-ops/' || n || '.safetensors' END,
       CASE WHEN status = 'completed' THEN 'storage://lora-models/' || n END,
       CASE WHEN status = 'completed' THEN 40000000 + h %% 40000000 END, 'tok_' || n,
       CASE WHEN status = 'completed' THEN md5(n::text) || md5(n::text) END
FROM (
    SELECT *, ARRAY(SELECT words[1 + (240 * (h / d %% 1009 / 1009.0) ^ 2)::int %% 240]
                    FROM unnest(ARRAY[1, 17, 1021, 32771, 7]) AS d) AS word
    FROM (
    SELECT n, hashint4(n) & 2147483647 AS h,
           %(now)s::timestamptz - (%(rows)s - n)::float8 / %(rows)s * interval '400 days' AS at,
           (hashint4(n + 1) & 2147483647) %% %(creators)s AS creator,
           CASE WHEN n > %(rows)s - %(rows)s / 1000 THEN (ARRAY['pending', 'training', 'validating']
                )[1 + n %% 3]
                WHEN n %% 10 = 5 THEN 'failed' ELSE 'completed' END AS status,
           %(words)s::text[] AS words, %(tags)s::text[] AS tags
    FROM generate_series(%(first)s::int, %(last)s::int) AS made(n)) hashed) drawn
"""
_RATINGS = """
UPDATE lora_library e
SET rating_count = k, rating_sum = s, rating_average = s::numeric / k,
    rating_score = (15 + s)::numeric / (5 + k)
FROM (SELECT lora_model_id, 1 + c AS k, ((1 + c) * (2.5 + 2.5 * q))::int AS s
      FROM (SELECT lora_model_id, (hashtext(lora_model_id::text) & 1023) % 20 AS c,
                   (hashtext('q' || lora_model_id::text) & 65535) % 1000 / 1000.0 AS q
            FROM lora_library WHERE uses > 60) d) r
WHERE r.lora_model_id = e.lora_model_id
"""
_DAYS = """
INSERT INTO lora_uses_daily (lora_model_id, day, uses)
SELECT lora_model_id, CAST(%(now)s::timestamptz AS date) - d * 3, greatest(1, uses / 10)::int
FROM lora_library, generate_series(0, 9) d WHERE uses > 20
ON CONFLICT DO NOTHING
"""
_USES = """
INSERT INTO lora_uses (generation_id, lora_model_id, way, used_at)
SELECT md5(lora_model_id::text || n)::uuid, lora_model_id, 'direct',
       %(now)s::timestamptz - n * interval '7 min'
FROM (SELECT lora_model_id FROM lora_library ORDER BY uses DESC LIMIT %(of)s) e,
     generate_series(1, %(sample)s) n
"""


def fill(url: str, rows: int, now: datetime) -> None:
    """So many LoRAs into a migrated database, their indexes made afterwards."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("SET maintenance_work_mem = '256MB'")
        connection.execute("SET session_replication_role = replica")
        indexes = connection.execute(
            "SELECT indexrelid::regclass::text, pg_get_indexdef(indexrelid) FROM pg_index"
            " WHERE indrelid IN ('lora_models'::regclass, 'lora_library'::regclass) AND NOT indisprimary"
        ).fetchall()
        for name, _ in indexes:
            connection.execute(f"DROP INDEX {name}".encode())
        given = {
            "rows": rows, "now": now, "creators": CREATORS, "mean": USES_A_LORA, "words": list(WORDS),
            "tags": list(TAGS), "rare_word": RARE_WORD, "rare_tag": RARE_TAG,
        }  # fmt: skip
        for first in range(1, rows + 1, BATCH):
            connection.execute(_LORAS, given | {"first": first, "last": min(first + BATCH - 1, rows)})
        connection.execute("SELECT studio_ops_list_loras(NULL)")
        connection.execute(_RATINGS)
        for _, made in indexes:
            connection.execute(made.encode())
        connection.execute(_DAYS, {"now": now})
        connection.execute(_USES, {"now": now, "of": SAMPLE_OF, "sample": SAMPLE})
        connection.execute("VACUUM ANALYZE")
