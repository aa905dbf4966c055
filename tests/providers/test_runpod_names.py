"""What the name of a pod of ours carries: its run, and the installation that made it."""

from core.providers.runpod import from_settings
from core.providers.runpod_pods import mark_of, name_of, run_of
from core.settings import load
from tests.providers.fake_vendor import RUN


def test_a_pods_name_tells_which_installation_made_it() -> None:
    known = load({"RUNPOD_API_KEY": "runpod-key-0123456789", "HUGGINGFACE_API_TOKEN": "hub-token-0123456789"})
    ours, other = (
        from_settings(known.model_copy(update={"public_base_url": url}), lambda _: None)
        for url in ("https://ops.example.com", "https://staging.example.com")
    )
    assert ours.mark
    assert ours.mark != other.mark
    name = name_of(RUN, ours.mark)
    assert (run_of(name), mark_of(name)) == (RUN, ours.mark)
    assert (run_of(name_of(RUN)), mark_of(name_of(RUN))) == (RUN, "")
    assert (run_of(f"{name} 2"), mark_of("studio-ops-by-hand")) == (None, "")
    ours.close()
    other.close()
