"""What a LoRA does to the prompt: its trigger word, put in once, and prompts to begin with."""

from uuid import UUID

import streamlit as st

from core.loras.models import Lora
from pages.components import look

_PUT = "so-lora-put"
SAMPLES = {
    "Portrait": "portrait photo of {word}, looking into the camera, soft daylight, detailed face",
    "Full body": "full body photo of {word} walking through a city street at dusk",
    "In profile": "photo of {word} in profile, in a studio with a plain grey background",
    "In motion": "{word} runs along a beach at sunrise, the camera follows at eye level",
}


def word_of(lora: Lora) -> str:
    """The word that calls the character up; its name where it has none."""
    return lora.trigger_word or lora.name


def put(lora: Lora | None, key: str) -> None:
    """Put the trigger word of a LoRA that has just been chosen into the prompt under this key, and take that
    of the one before out again. Once a choice: whoever removes it afterwards has it removed."""
    put_id, put_word = st.session_state.get(_PUT, (None, ""))
    chosen = lora.id if lora else None
    if put_id == chosen:
        return
    prompt = without(str(st.session_state.get(key) or ""), put_word)
    word = word_of(lora) if lora else ""
    if word and word.lower() not in prompt.lower():
        prompt = f"{word}, {prompt}" if prompt else f"{word} "
    st.session_state[key] = prompt.lstrip()
    st.session_state[_PUT] = (chosen, word)


def keep(lora_id: UUID | None) -> None:
    """The prompt is as it is to be with this LoRA: nothing is put in."""
    st.session_state[_PUT] = (lora_id, "")


def begin(lora: Lora, key: str) -> None:
    """Put a whole prompt where nothing but the trigger word stands yet."""
    if str(st.session_state.get(key) or "").strip() in {"", word_of(lora)}:
        _fill(key, SAMPLES["Portrait"].format(word=word_of(lora)))


def without(prompt: str, word: str) -> str:
    """The prompt without the word that was put at its beginning."""
    if not word or not prompt.startswith(word):
        return prompt
    return prompt[len(word) :].lstrip(", ")


def samples(lora: Lora, key: str) -> None:
    """Prompts to begin with; a click puts one in."""
    with st.container(key="so-lora-sample-head", gap=None):
        st.html('<span class="so-quiet so-small">Sample prompts</span>')
    with st.container(horizontal=True, vertical_alignment="center", key="so-lora-samples", gap="small"):
        for name, text in SAMPLES.items():
            st.button(
                name,
                key=f"so-lora-sample-{look.safe_key(name)}",
                type="tertiary",
                on_click=_fill,
                args=(key, text.format(word=word_of(lora))),
            )


def _fill(key: str, text: str) -> None:
    st.session_state[key] = text
